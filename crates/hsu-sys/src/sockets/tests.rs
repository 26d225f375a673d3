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
    waiting(protocol, |socket| all.extend([(socket.port, socket.number)]));
    all
}

/// The same by the tables of the kernel.
fn in_tables(protocol: Protocol) -> BTreeSet<(u16, u64)> {
    let mut all = BTreeSet::new();
    for family in [Family::Four, Family::Six] {
        let mut each = |socket: Waiting| all.extend([(socket.port, socket.number)]);
        table::waiting(protocol, family, &mut each);
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

#[test]
fn what_comes_to_an_address_is_taken_by_whoever_is_bound_to_it_before_whoever_takes_any() {
    let any = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = any.local_addr().unwrap().port();
    // Linux lets a socket of one address be bound beside, of another one only.
    let other = TcpListener::bind("127.0.0.2:0").unwrap();
    let own = crate::users::effective();
    let numbers = |place: &str, port| {
        let taken = at(Protocol::Tcp, SocketAddr::new(place.parse().unwrap(), port));
        assert!(taken.iter().all(|socket| socket.user == own && socket.port == port));
        taken.into_iter().map(|socket| socket.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers("127.0.0.1", port), [number(&any)]);
    assert_eq!(numbers("::ffff:127.0.0.1", port), [number(&any)]);
    assert_eq!(numbers("::1", port), [], "it takes nothing of the newer family");
    let exact = other.local_addr().unwrap().port();
    assert_eq!(numbers("127.0.0.2", exact), [number(&other)]);
    assert_eq!(numbers("127.0.0.1", exact), []);
    assert_eq!(numbers("127.0.0.1", 1), [], "nobody is there");
}

#[test]
fn a_table_tells_the_address_and_the_user_of_a_socket_as_the_kernel_does() {
    let listeners: Vec<_> = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"]
        .iter()
        .filter_map(|place| TcpListener::bind(place).ok())
        .collect();
    let (mut asked, mut read) = (BTreeSet::new(), BTreeSet::new());
    waiting(Protocol::Tcp, |socket| asked.extend([socket]));
    for family in [Family::Four, Family::Six] {
        table::waiting(Protocol::Tcp, family, &mut |socket| read.extend([socket]));
    }
    for listener in &listeners {
        let own = listener.local_addr().unwrap();
        let seen = Waiting {
            address: own.ip(),
            port: own.port(),
            number: number(listener),
            user: crate::users::effective(),
        };
        assert!(asked.contains(&seen) && read.contains(&seen), "{seen:?}");
    }
}

#[test]
fn a_process_holds_the_sockets_that_it_has_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = std::process::id();
    assert!(holds(own, &[number(&listener), 1].into()).unwrap());
    assert!(!holds(own, &[1].into()).unwrap());
    assert_eq!(number_of(b"socket:[4711]"), Some(4711));
    assert_eq!(number_of(b"/socket:[4711]"), None);
}
