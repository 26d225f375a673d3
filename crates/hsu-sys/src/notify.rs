//! Words to the service manager that started the master (sd_notify).
// Source: sd_notify(3).

use std::time::Duration;

/// The master serves.
pub fn ready() {
    send("READY=1");
}

/// The master is ending.
pub fn stopping() {
    send("STOPPING=1");
}

/// What the master is doing, in one line.
pub fn status(text: &str) {
    send(&format!("STATUS={}", text.replace('\n', " ")));
}

/// The master's loop lives.
pub fn watchdog() {
    send("WATCHDOG=1");
}

/// How often the service manager wants to hear [`watchdog`]; none when it does not.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    let for_whom = std::env::var("WATCHDOG_PID").ok();
    if for_whom.is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let limit: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (limit > 0).then(|| Duration::from_micros(limit / 2))
}

#[cfg(target_os = "linux")]
fn send(text: &str) {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match path.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    // Nobody waits for these words: a manager that is gone is none of our business.
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        drop(socket.send_to_addr(text.as_bytes(), &address));
    }
}

#[cfg(not(target_os = "linux"))]
fn send(_: &str) {}
