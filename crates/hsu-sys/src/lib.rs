//! The kernel's neighbour: what the master asks of the operating system.
//!
//! Process identity, trees of processes, users, paths, small files, locks and
//! the loop's sleep. Every look that needs `unsafe` or depends on the platform
//! is here, so that no other room of the master has either. Linux is real;
//! elsewhere a function that cannot do its job says so.
#![cfg_attr(unix, expect(unsafe_code, reason = "it speaks with the kernel"))]

pub mod brief;
pub mod census;
pub mod clock;
pub mod datagram;
pub mod descriptors;
pub mod ears;
pub mod exits;
pub mod files;
pub mod folders;
#[doc(hidden)]
pub mod fuzzing;

pub mod limits;
pub mod listening;
pub mod local;
pub mod lock;
pub mod memory;
pub mod notify;
pub mod path;
pub mod presence;
pub mod process;
mod procfs;
pub mod reactor;
pub mod sockets;
pub mod systemd;
pub mod tree;
pub mod usage;
pub mod users;

mod capability;

pub use capability::{Capability, capabilities};
