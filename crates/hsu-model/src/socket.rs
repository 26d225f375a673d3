//! Sockets that a worker is given: they listen before it starts, and while it is replaced.

use alloc::string::String;
use core::fmt;
use core::net::SocketAddr;

/// One socket.
// Source: sd_listen_fds(3); systemd.socket(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListeningSocket {
    /// Its name in `LISTEN_FDNAMES`.
    pub name: String,
    /// Where it listens.
    pub address: ListenAddress,
    /// What it takes.
    pub kind: SocketKind,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Who may connect, for one that is a file.
    pub owner: SocketOwner,
}

impl ListeningSocket {
    /// The documented number of connections that may wait.
    // Source: linux net/core/dev.c, SOMAXCONN.
    pub const DEFAULT_BACKLOG: u32 = 4096;
    /// The documented mode of a file.
    // Source: systemd.socket(5), `SocketMode=`.
    pub const DEFAULT_MODE: u32 = 0o666;

    /// What it is known by, whatever its name: equal for what cannot be open twice.
    #[must_use]
    pub fn label(&self) -> String {
        alloc::format!("{} {}", self.kind, self.address)
    }
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// On the network.
    Network(SocketAddr),
    /// At an absolute path.
    Path(String),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Path(path) => f.write_str(path),
        }
    }
}

/// What a socket takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketKind {
    /// Connections: TCP, or a stream at a path.
    #[default]
    Stream,
    /// Datagrams: UDP, or datagrams at a path.
    Datagram,
    /// Connections that keep messages apart, at a path.
    SequentialPacket,
}

impl fmt::Display for SocketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "stream",
            Self::Datagram => "datagram",
            Self::SequentialPacket => "seqpacket",
        })
    }
}

/// Whose a socket is that is a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOwner {
    /// Its mode.
    pub mode: u32,
    /// Its user; none stays the master's.
    pub user: Option<String>,
    /// Its group; none stays the master's.
    pub group: Option<String>,
}
