//! Sockets: which of our network namespace wait for others at a port.
//!
//! Where the kernel can be asked for them alone it is asked, so that the cost is that of
//! those that wait: tens of microseconds. Else its tables are read, and it walks every
//! connection of the host for them. Where it has neither, nobody waits.

use hsu_model::discovery::Protocol;

#[cfg(target_os = "linux")]
#[path = "sockets/linux.rs"]
mod asking;
#[cfg(not(target_os = "linux"))]
#[path = "sockets/elsewhere.rs"]
mod asking;
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

/// Calls back with the port and the number of each socket that waits at a port: of TCP
/// those that listen, of UDP those that are not connected.
pub fn waiting(protocol: Protocol, mut each: impl FnMut(u16, u64)) {
    for family in [Family::Four, Family::Six] {
        match asking::waiting(protocol, family) {
            Ok(sockets) => sockets.into_iter().for_each(|(port, number)| each(port, number)),
            Err(Mute) => table::waiting(protocol, family, &mut each),
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
