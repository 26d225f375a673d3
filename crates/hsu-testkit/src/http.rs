//! HTTP, as little of it as tests need to ask a server whether it answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The status code of `GET path` from a server on this host; 100 to 599.
///
/// # Errors
/// Whatever the connection answers, and `InvalidData` when it is not HTTP.
pub fn status(address: SocketAddr, path: &str, within: Duration) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = String::from_utf8_lossy(&answer);
    let code = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    code.and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP status line"))
}
