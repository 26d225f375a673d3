//! Asking Linux for sockets: its socket diagnosis by netlink.
// Source: sock_diag(7), netlink(7); linux/inet_diag.h, linux/netlink.h.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hsu_model::discovery::Protocol;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use super::{Family, Mute, Waiting};

/// A question: the header of a message and `inet_diag_req_v2`.
const QUESTION: usize = 72;
const HEADER: usize = 16;
/// The kernel fills no answer beyond this.
const ANSWER: usize = 32 << 10;
/// It answers at once, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(1);

// Source: linux/sock_diag.h; linux/netlink.h, NLM_F_REQUEST with NLM_F_DUMP.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const ALL_OF_THEM: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
// Source: net/tcp_states.h, TCP_LISTEN and TCP_CLOSE.
const LISTENS: u32 = 1 << 10;
const UNCONNECTED: u32 = 1 << 7;

/// What the kernel has no diagnosis of, or we may not ask for: it is not asked again, as
/// it would look for a module each time.
static MUTE: [AtomicBool; 4] = [const { AtomicBool::new(false) }; 4];

/// Those at a port, or all. The kernel passes over other ports by itself.
pub(super) fn waiting(
    protocol: Protocol,
    family: Family,
    port: Option<u16>,
) -> Result<Vec<Waiting>, Mute> {
    let place = match (protocol, family) {
        (Protocol::Tcp, Family::Four) => 0,
        (Protocol::Tcp, Family::Six) => 1,
        (Protocol::Udp, Family::Four) => 2,
        (Protocol::Udp, Family::Six) => 3,
    };
    let is_mute = MUTE.get(place).ok_or(Mute)?;
    if is_mute.load(Ordering::Relaxed) {
        return Err(Mute);
    }
    let told = ask(protocol, family, port).and_then(|socket| hear(&socket));
    told.map_err(|trouble| {
        if trouble == Trouble::Refused {
            is_mute.store(true, Ordering::Relaxed);
        }
        Mute
    })
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Nor will there be one.
    Refused,
    /// This time.
    Passing,
}

fn ask(protocol: Protocol, family: Family, port: Option<u16>) -> Result<OwnedFd, Trouble> {
    let kind = Some(netlink::SOCK_DIAG);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, kind)
        .map_err(|error| match error {
        rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::NOBUFS => {
            Trouble::Passing
        }
        _ => Trouble::Refused,
    })?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).map_err(|_| Trouble::Passing)?;
    let question = question(protocol, family, port);
    send(&socket, &question, SendFlags::empty()).map_err(|_| Trouble::Passing)?;
    Ok(socket)
}

fn question(protocol: Protocol, family: Family, port: Option<u16>) -> [u8; QUESTION] {
    let family = match family {
        Family::Four => AddressFamily::INET,
        Family::Six => AddressFamily::INET6,
    };
    let (number, states) = match protocol {
        Protocol::Tcp => (rustix::net::ipproto::TCP, LISTENS),
        Protocol::Udp => (rustix::net::ipproto::UDP, UNCONNECTED),
    };
    let mut question = [0; QUESTION];
    let mut put = |at: usize, bytes: &[u8]| {
        question.iter_mut().skip(at).zip(bytes).for_each(|(into, byte)| *into = *byte);
    };
    put(0, &72_u32.to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &ALL_OF_THEM.to_ne_bytes());
    // After the header: family, protocol, extensions and padding, states, our port and an
    // address of zeros, which is any, as a port of zero is.
    put(HEADER, &[low_byte(u32::from(family.as_raw())), low_byte(number.as_raw().get())]);
    put(HEADER + 4, &states.to_ne_bytes());
    put(HEADER + 8, &port.unwrap_or(0).to_be_bytes());
    question
}

/// Takes the answers until the kernel says that they are all.
fn hear(socket: &OwnedFd) -> Result<Vec<Waiting>, Trouble> {
    let mut sockets = Vec::new();
    let mut answer = vec![0_u8; ANSWER];
    loop {
        let length = match recv(socket, answer.as_mut_slice(), RecvFlags::TRUNC) {
            Ok((_, length)) if length > 0 => length,
            Err(rustix::io::Errno::INTR) => continue,
            Ok(_) | Err(_) => return Err(Trouble::Passing),
        };
        // One that was cut is not the whole truth.
        let bytes = answer.get(..length).ok_or(Trouble::Passing)?;
        if read(bytes, &mut sockets)? == Heard::All {
            return Ok(sockets);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    All,
    Some,
}

/// Reads the messages of one answer.
fn read(mut bytes: &[u8], sockets: &mut Vec<Waiting>) -> Result<Heard, Trouble> {
    while !bytes.is_empty() {
        let length = number(bytes, 0).ok_or(Trouble::Passing)?;
        let length = usize::try_from(length).map_err(|_| Trouble::Passing)?;
        let message = bytes.get(..length).filter(|message| message.len() >= HEADER);
        let message = message.ok_or(Trouble::Passing)?;
        let kind = message.get(4..6).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes);
        match kind {
            Some(NLMSG_DONE) => return Ok(Heard::All),
            Some(NLMSG_ERROR) => return Err(Trouble::Refused),
            Some(SOCK_DIAG_BY_FAMILY) => {
                sockets.push(socket(message).ok_or(Trouble::Passing)?);
            }
            _ => {}
        }
        // Each begins at a multiple of four.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Heard::Some)
}

/// The socket in an `inet_diag_msg`: family, state, timer and retransmits, 48 bytes of
/// addresses that begin with the port, three numbers, the user, and its own number.
fn socket(message: &[u8]) -> Option<Waiting> {
    let port = message.get(HEADER + 4..HEADER + 6)?.try_into().ok().map(u16::from_be_bytes)?;
    let address = message.get(HEADER + 8..)?;
    let address = match AddressFamily::from_raw((*message.get(HEADER)?).into()) {
        AddressFamily::INET => IpAddr::from(Ipv4Addr::from(*address.first_chunk::<4>()?)),
        AddressFamily::INET6 => IpAddr::from(Ipv6Addr::from(*address.first_chunk::<16>()?)),
        _ => return None,
    };
    let (user, own) = (number(message, HEADER + 64)?, number(message, HEADER + 68)?);
    Some(Waiting { address, port, number: own.into(), user })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn low_byte(number: u32) -> u8 {
    number.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the kernel builds it.
    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn one(port: u16, number: u32) -> Vec<u8> {
        let mut body = vec![2, 10, 0, 0];
        body.extend(port.to_be_bytes());
        body.extend([0, 0, 127, 0, 0, 1]);
        body.resize(64, 0);
        body.extend(33_u32.to_ne_bytes());
        body.extend(number.to_ne_bytes());
        // Attributes follow.
        body.extend([5, 0, 8, 0, 0]);
        message(SOCK_DIAG_BY_FAMILY, &body)
    }

    #[test]
    fn each_message_of_an_answer_is_a_socket_until_the_last() {
        let mut sockets = Vec::new();
        let some = [one(80, 7), one(443, 8)].concat();
        assert_eq!(read(&some, &mut sockets), Ok(Heard::Some));
        let last = [one(1, 9), message(NLMSG_DONE, &[0; 4]), one(2, 10)].concat();
        assert_eq!(read(&last, &mut sockets), Ok(Heard::All));
        let told = |(port, number)| {
            let address = Ipv4Addr::LOCALHOST.into();
            Waiting { address, port, number, user: 33 }
        };
        assert_eq!(sockets, [(80, 7), (443, 8), (1, 9)].map(told));
    }

    #[test]
    fn an_answer_that_is_none_or_is_cut_is_not_believed() {
        let error = message(NLMSG_ERROR, &(-2_i32).to_ne_bytes());
        assert_eq!(read(&error, &mut Vec::new()), Err(Trouble::Refused));
        let whole = one(80, 7);
        for length in 1..whole.len() - 3 {
            let cut = whole.get(..length).unwrap();
            assert_eq!(read(cut, &mut Vec::new()), Err(Trouble::Passing), "{length}");
        }
        let empty = message(SOCK_DIAG_BY_FAMILY, &[]);
        assert_eq!(read(&empty, &mut Vec::new()), Err(Trouble::Passing));
        assert_eq!(read(&[0; 16], &mut Vec::new()), Err(Trouble::Passing), "it would not end");
    }
}
