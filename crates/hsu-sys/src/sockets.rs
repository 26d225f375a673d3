//! Sockets: which of our network namespace wait for others, and who holds them.
//!
//! Where the kernel can be asked for them alone it is asked, so that the cost is that of
//! those that wait: tens of microseconds. Else its tables are read, and it walks every
//! connection of the host for them. Where it has neither, nobody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hsu_model::discovery::Protocol;

use crate::census;

#[cfg(target_os = "linux")]
#[path = "sockets/linux.rs"]
mod asking;
#[cfg(not(target_os = "linux"))]
#[path = "sockets/elsewhere.rs"]
mod asking;
mod paths;
mod table;

/// An address family of the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Four,
    Six,
}

/// The kernel does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mute;

/// A socket that waits at a port: of TCP one that listens, of UDP one that is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// The address that it is bound to; the unspecified one for any.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its own number.
    pub number: u64,
    /// The user who made it.
    pub user: u32,
}

/// Calls back with each socket that waits at a port.
pub fn waiting(protocol: Protocol, each: impl FnMut(Waiting)) {
    told(protocol, None, each);
}

/// The sockets that take what comes to an address of this host; several share its port.
/// About 50 us, whatever else waits on the host.
// Source: linux net/ipv4/inet_hashtables.c, __inet_lookup_listener: whoever is bound to the
// very address comes before whoever takes any, and of these one of the same family.
#[must_use]
pub fn at(protocol: Protocol, place: SocketAddr) -> Vec<Waiting> {
    let mut all = Vec::new();
    told(protocol, Some(place.port()), |socket| {
        all.extend((socket.port == place.port()).then_some(socket));
    });
    let wanted = place.ip().to_canonical();
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let own_family = if wanted.is_ipv4() { &any[..] } else { &any[1..] };
    let bound_to = |address: IpAddr| {
        let fits = |socket: &&Waiting| socket.address.to_canonical() == address;
        all.iter().filter(fits).copied().collect::<Vec<_>>()
    };
    let tried = std::iter::once(wanted).chain(own_family.iter().copied());
    tried.map(bound_to).find(|sockets| !sockets.is_empty()).unwrap_or_default()
}

fn told(protocol: Protocol, port: Option<u16>, mut each: impl FnMut(Waiting)) {
    for family in [Family::Four, Family::Six] {
        match asking::waiting(protocol, family, port) {
            Ok(sockets) => sockets.into_iter().for_each(&mut each),
            Err(Mute) => table::waiting(protocol, family, &mut each),
        }
    }
}

/// The numbers of the Unix sockets that wait at each path: of those that listen, and of
/// datagrams.
#[must_use]
pub fn at_paths() -> BTreeMap<Vec<u8>, BTreeSet<u64>> {
    paths::read()
}

/// Whether a process holds one of these sockets.
///
/// # Errors
/// The kernel's; [`io::ErrorKind::PermissionDenied`] for other users' processes.
pub fn holds(pid: u32, sockets: &BTreeSet<u64>) -> io::Result<bool> {
    let mut found = false;
    census::open_files(pid, |target| {
        found = number_of(target).is_some_and(|number| sockets.contains(&number));
        !found
    })?;
    Ok(found)
}

/// The number of a socket by what its descriptor leads to.
fn number_of(target: &[u8]) -> Option<u64> {
    let number = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
