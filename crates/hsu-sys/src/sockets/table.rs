//! The kernel's tables of sockets: `/proc/net/tcp` and its kin.
// Source: proc_pid_net(5).

use std::fs::File;
use std::io::{BufRead as _, BufReader};

use hsu_model::discovery::Protocol;

use super::Family;

/// The state of a TCP socket that listens, and of a UDP socket that is not connected.
// Source: net/tcp_states.h, TCP_LISTEN and TCP_CLOSE.
const LISTENS: &str = "0A";
const UNCONNECTED: &str = "07";

pub(super) fn waiting(protocol: Protocol, family: Family, each: &mut impl FnMut(u16, u64)) {
    let path = match (protocol, family) {
        (Protocol::Tcp, Family::Four) => "/proc/net/tcp",
        (Protocol::Tcp, Family::Six) => "/proc/net/tcp6",
        (Protocol::Udp, Family::Four) => "/proc/net/udp",
        (Protocol::Udp, Family::Six) => "/proc/net/udp6",
    };
    // A kernel without IPv6 has no table of it.
    let Ok(table) = File::open(path) else { return };
    let lines = BufReader::new(table).lines().skip(1).map_while(Result::ok);
    for (port, number) in lines.filter_map(|line| listener(&line, protocol)) {
        each(port, number);
    }
}

/// Port and number of the socket in a line of a table; none when it does not listen.
fn listener(line: &str, protocol: Protocol) -> Option<(u16, u64)> {
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
    let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    // After the state: queues, timer, retransmits, user, timeout, and then the number.
    let number = fields.nth(5)?.parse().ok()?;
    Some((port, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_table_tells_the_port_and_the_number_of_what_listens_only() {
        let listens = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listener(listens, Protocol::Tcp), Some((8080, 12345)));
        assert_eq!(listener(&listens.replace(" 0A ", " 01 "), Protocol::Tcp), None);
        let six = "   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 77 2 0 0";
        assert_eq!(listener(six, Protocol::Udp), Some((53, 77)));
        assert_eq!(listener(six, Protocol::Tcp), None);
        for broken in ["", "0:", "0: x 0 0A", "   0: 0100007F:ZZZZ 0 0A 0 0 0 0 0 1"] {
            assert_eq!(listener(broken, Protocol::Tcp), None, "{broken}");
        }
    }
}
