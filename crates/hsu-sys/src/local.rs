//! Local sockets: how a client of this host reaches the master, and who it is.

#[cfg(unix)]
#[path = "local/unix.rs"]
mod os;
#[cfg(not(unix))]
#[path = "local/elsewhere.rs"]
mod os;

pub use os::{
    AsyncListener, AsyncStream, LocalListener, LocalStream, connect_async, listener_of, own_uid,
    owner,
};
