//! Ports: loopback ports that nobody uses at the moment.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::TestError;

/// Where ports are looked for: below those that the kernel gives to clients, so that no
/// connection takes one between the look and its use.
// Source: kernel, networking/ip-sysctl.rst, "ip_local_port_range", 32768 by default.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// A TCP port of the loopback address that was free a moment ago, and that this process
/// has not given before.
///
/// Another test process may take it before the caller does; tests that can, let the
/// program choose with port 0 instead.
///
/// # Errors
/// [`TestError::Io`] when none is free.
pub fn free_port() -> Result<u16, TestError> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes begin at places of their own.
    let begin = std::process::id().wrapping_mul(2_654_435_761);
    let mut taken = None;
    for _ in 0..COUNT {
        let next = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + next % COUNT).unwrap_or(u16::MAX);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => taken = Some(error),
        }
    }
    let error = taken.unwrap_or_else(|| std::io::Error::other("no port was tried"));
    Err(TestError::io("find a free port")(error))
}
