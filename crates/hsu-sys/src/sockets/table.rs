//! The kernel's tables of sockets: `/proc/net/tcp` and its kin.
// Source: proc_pid_net(5).

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hsu_model::discovery::Protocol;

use super::{Family, Waiting};

/// The state of a TCP socket that listens, and of a UDP socket that is not connected.
// Source: net/tcp_states.h, TCP_LISTEN and TCP_CLOSE.
const LISTENS: &str = "0A";
const UNCONNECTED: &str = "07";

pub(super) fn waiting(protocol: Protocol, family: Family, each: &mut impl FnMut(Waiting)) {
    let path = match (protocol, family) {
        (Protocol::Tcp, Family::Four) => "/proc/net/tcp",
        (Protocol::Tcp, Family::Six) => "/proc/net/tcp6",
        (Protocol::Udp, Family::Four) => "/proc/net/udp",
        (Protocol::Udp, Family::Six) => "/proc/net/udp6",
    };
    // A kernel without IPv6 has no table of it.
    let Ok(table) = File::open(path) else { return };
    let lines = BufReader::new(table).lines().skip(1).map_while(Result::ok);
    lines.filter_map(|line| listener(&line, protocol)).for_each(each);
}

/// The socket in a line of a table; none when it does not listen.
fn listener(line: &str, protocol: Protocol) -> Option<Waiting> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let wanted = match protocol {
        Protocol::Tcp => LISTENS,
        Protocol::Udp => UNCONNECTED,
    };
    if state != wanted {
        return None;
    }
    let (address, port) = local.rsplit_once(':')?;
    let address = self::address(address)?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // After the state: queues, timer, retransmits, user, timeout, and then the number.
    let user = fields.nth(3)?.parse().ok()?;
    let number = fields.nth(1)?.parse().ok()?;
    Some(Waiting { address, port, number, user })
}

/// An address as the table writes it: each four bytes of it as one number of this host.
fn address(text: &str) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    let length = text.len() / 2;
    for (into, place) in bytes.chunks_mut(4).zip((0..text.len()).step_by(8)) {
        let number = u32::from_str_radix(text.get(place..place + 8)?, 16).ok()?;
        into.copy_from_slice(&number.to_ne_bytes());
    }
    match length {
        4 => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_table_tells_the_port_and_the_number_of_what_listens_only() {
        let listens = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 12345 1 0000000000000000 100 0 0 10 0";
        let (address, user) = (Ipv4Addr::LOCALHOST.into(), 33);
        let first = Waiting { address, port: 8080, number: 12345, user };
        assert_eq!(listener(listens, Protocol::Tcp), Some(first));
        assert_eq!(listener(&listens.replace(" 0A ", " 01 "), Protocol::Tcp), None);
        let six = "   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 77 2 0 0";
        let (address, user) = (Ipv6Addr::LOCALHOST.into(), 101);
        let second = Waiting { address, port: 53, number: 77, user };
        assert_eq!(listener(six, Protocol::Udp), Some(second));
        assert_eq!(listener(six, Protocol::Tcp), None);
        for broken in [
            "",
            "0:",
            "0: x 0 0A",
            "   0: 0100007F:ZZZZ 0 0A 0 0 0 0 0 1",
            "0: 01:1 0 0A 0 0 0 0 0 1",
        ] {
            assert_eq!(listener(broken, Protocol::Tcp), None, "{broken}");
        }
    }
}
