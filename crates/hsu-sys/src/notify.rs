//! Words to the service manager that started the master (sd_notify).
//!
//! Nobody waits for these words: without a manager, or with one that is gone or
//! hangs, they are not said.
// Source: sd_notify(3).

use std::ffi::OsStr;
use std::time::Duration;

/// How long a manager that does not listen may delay the master.
#[cfg(target_os = "linux")]
const PATIENCE: Duration = Duration::from_millis(500);

/// The master serves. Also says which process it is, because the one that the
/// manager started may have been replaced.
pub fn ready() {
    send(&format!("READY=1\nMAINPID={}", std::process::id()));
}

/// The master is about to be replaced in place; [`ready`] ends this.
pub fn reloading() {
    let microseconds = crate::clock::now().tick.0 / 1000;
    send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

/// The master is ending.
pub fn stopping() {
    send("STOPPING=1");
}

/// The master's loop lives.
pub fn watchdog() {
    send("WATCHDOG=1");
}

/// How often to say [`watchdog`]: half of what the service manager allows; none
/// when it does not want to hear it from this process.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    let variable = |name| std::env::var(name).ok();
    interval(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id())
}

fn interval(limit: Option<String>, whom: Option<String>, own: u32) -> Option<Duration> {
    let is_for_us = whom.is_none_or(|pid| pid.parse() == Ok(own));
    let limit: u64 = limit?.parse().ok()?;
    (is_for_us && limit > 1).then(|| Duration::from_micros(limit / 2))
}

fn send(text: &str) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        tell(&socket, text);
    }
}

#[cfg(target_os = "linux")]
fn tell(socket: &OsStr, text: &str) {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match socket.as_encoded_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(socket),
        _ => return,
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        drop(socket.set_write_timeout(Some(PATIENCE)));
        drop(socket.send_to_addr(text.as_bytes(), &address));
    }
}

/// No manager of this platform listens to these words.
#[cfg(not(target_os = "linux"))]
fn tell(_: &OsStr, _: &str) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_asked_and_only_by_whom_it_means() {
        let text = |text: &str| Some(text.to_owned());
        let second = Some(Duration::from_secs(1));
        assert_eq!(interval(text("2000000"), None, 7), second);
        assert_eq!(interval(text("2000000"), text("7"), 7), second);
        let others = [("2000000", "8"), ("0", "7"), ("1", "7"), ("", "7"), ("-5", "7"), ("5", "")];
        for (limit, whom) in others {
            assert_eq!(interval(text(limit), text(whom), 7), None, "{limit} {whom}");
        }
        assert_eq!(interval(None, None, 7), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn words_reach_a_socket_with_a_path_and_one_with_an_abstract_name() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixDatagram};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("hsu-notify-{}", std::process::id());
        let hidden = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap());
        let listed = UnixDatagram::bind(&path);
        for (socket, address) in
            [(listed, path.into_os_string()), (hidden, format!("@{name}").into())]
        {
            tell(&address, "READY=1");
            let mut buffer = [0; 64];
            let length = socket.unwrap().recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        }
    }

    #[test]
    fn a_manager_that_is_gone_is_none_of_our_business() {
        for nowhere in ["", "@", "/nowhere/at/all", "vsock:2:1234", "relative"] {
            tell(OsStr::new(nowhere), "READY=1");
        }
    }
}
