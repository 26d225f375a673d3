//! A service manager that started the master hears how it is (sd_notify).

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use hsu_testkit::{FleetBuilder, Role, Sandbox, Worker};

const SOON: Duration = Duration::from_secs(20);

/// The next assignment of a name, whatever else is said before it; none when nobody
/// speaks any more.
fn next(socket: &UnixDatagram, name: &str) -> Option<String> {
    loop {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let said = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        if let Some(value) = said {
            return Some(value.to_owned());
        }
    }
}

#[test]
fn the_service_manager_hears_every_master_in_turn() {
    let sandbox = Sandbox::new().unwrap();
    let path = sandbox.folder().join("manager");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(Worker::new("web", "/bin/sleep").arguments(["1000".to_owned()]))
        .variable("NOTIFY_SOCKET", path.to_str().unwrap())
        .variable("WATCHDOG_USEC", "100000")
        .start()
        .unwrap();
    let first = next(&socket, "MAINPID").unwrap();
    assert_eq!(next(&socket, "WATCHDOG").as_deref(), Some("1"));
    assert_eq!(fleet.kill(Role::Master).unwrap(), 1);
    let second = next(&socket, "MAINPID").unwrap();
    assert_ne!(first, second, "the keeper has started another master");
    assert_eq!(next(&socket, "WATCHDOG").as_deref(), Some("1"));
    fleet.tell(&["master", "upgrade"]).unwrap();
    assert_eq!(next(&socket, "RELOADING").as_deref(), Some("1"));
    let third = next(&socket, "MAINPID").unwrap();
    assert_ne!(second, third, "a master has taken over");
    assert_eq!(next(&socket, "WATCHDOG").as_deref(), Some("1"));
    fleet.stop(SOON).unwrap();
    assert_eq!(next(&socket, "STOPPING").as_deref(), Some("1"));
}
