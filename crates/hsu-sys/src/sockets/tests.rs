//! Tests of sockets: real ones of this network namespace, asked for and in the tables.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

fn number(socket: &impl std::os::fd::AsRawFd) -> u64 {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
    let text = link.to_str().unwrap().strip_prefix("socket:[").unwrap().to_owned();
    text.strip_suffix(']').unwrap().parse().unwrap()
}

fn all(protocol: Protocol) -> BTreeSet<(u16, u64)> {
    let mut all = BTreeSet::new();
    waiting(protocol, |port, number| all.extend([(port, number)]));
    all
}

/// The same by the tables of the kernel.
fn in_tables(protocol: Protocol) -> BTreeSet<(u16, u64)> {
    let mut all = BTreeSet::new();
    for family in [Family::Four, Family::Six] {
        table::waiting(protocol, family, &mut |port, number| all.extend([(port, number)]));
    }
    all
}

#[test]
fn a_socket_that_listens_is_told_and_what_is_connected_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let (server, _) = listener.accept().unwrap();
    for all in [all(Protocol::Tcp), in_tables(Protocol::Tcp)] {
        assert!(all.contains(&(address.port(), number(&listener))));
        for connected in [&client, &server] {
            let own = number(connected);
            assert!(all.iter().all(|(_, number)| *number != own), "it is connected");
        }
    }
}

#[test]
fn a_datagram_socket_is_told_until_it_is_connected() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let seen = (socket.local_addr().unwrap().port(), number(&socket));
    assert!(all(Protocol::Udp).contains(&seen));
    assert!(in_tables(Protocol::Udp).contains(&seen));
    socket.connect(socket.local_addr().unwrap()).unwrap();
    assert!(!all(Protocol::Udp).contains(&seen));
    assert!(!in_tables(Protocol::Udp).contains(&seen));
}

#[test]
fn a_socket_of_the_newer_family_is_told_where_there_is_one() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let seen = (listener.local_addr().unwrap().port(), number(&listener));
    assert!(all(Protocol::Tcp).contains(&seen));
    assert!(in_tables(Protocol::Tcp).contains(&seen));
}

#[test]
fn more_sockets_than_one_answer_holds_are_all_told() {
    // An answer of the kernel holds at most 32 KiB, and a socket takes 72 bytes and more.
    let listeners: Vec<_> = (0..600).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let all = all(Protocol::Tcp);
    for listener in &listeners {
        let seen = (listener.local_addr().unwrap().port(), number(listener));
        assert!(all.contains(&seen));
    }
}
