//! Ports: loopback ports that nobody uses at the moment.

use std::net::{Ipv4Addr, TcpListener};

use crate::error::TestError;

/// A TCP port of the loopback address that was free a moment ago.
///
/// Somebody else may take it before the caller does; tests that can, let the
/// program choose with port 0 instead.
///
/// # Errors
/// [`TestError::Io`] when the kernel has no port to give.
pub fn free_port() -> Result<u16, TestError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(TestError::io("bind"))?;
    let address = listener.local_addr().map_err(TestError::io("read the bound address"))?;
    Ok(address.port())
}
