//! Listening sockets that are made for workers.

#[cfg(target_os = "linux")]
#[path = "listening/linux.rs"]
mod os;
#[cfg(not(target_os = "linux"))]
#[path = "listening/elsewhere.rs"]
mod os;

#[cfg(target_os = "linux")]
pub(crate) use os::bind_path;
pub use os::{Owned, forget, listen};
