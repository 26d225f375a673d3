//! Whoever talks to a real master while it is lost or replaced does not notice.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use hsu_testkit::binaries::binary;
use hsu_testkit::{Fleet, FleetBuilder, Role, Sandbox, Worker, eventually};
use rustix::process::Signal;
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

/// A client that follows, and ends with the test.
struct Follower<'a> {
    sandbox: &'a Sandbox,
    child: Child,
    lines: Receiver<String>,
}

impl<'a> Follower<'a> {
    fn start(sandbox: &'a Sandbox, fleet: &Fleet<'_>, words: &[&str]) -> Self {
        let mut command = sandbox.command(binary("hsu-master-cli").unwrap());
        command.arg("--config").arg(fleet.config()).args(words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { sandbox, child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(SOON).unwrap()
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        // Our child is the door of the sandbox, which ends with, and reaps, the one inside.
        let all = self.sandbox.processes().unwrap_or_default();
        for client in all.iter().filter(|process| process.name() == "hsu-master-cli") {
            drop(client.signal(Signal::KILL));
        }
        drop(self.child.wait());
    }
}

/// A worker that counts, on the stream that is not standard output every tenth time.
fn counter() -> Worker {
    let script = "i=0; while :; do if [ $((i % 10)) = 7 ]; then echo $i >&2; else echo $i; fi; \
                  i=$((i + 1)); sleep 0.005; done";
    Worker::new("counter", "/bin/sh")
        .arguments(["-c", script])
        .set("log_collection", json!({"enabled": true}))
}

fn back(fleet: &Fleet<'_>) {
    let asked = || fleet.list().map(drop).map_err(|error| error.to_string());
    eventually("a master answers", SOON, asked).unwrap();
}

#[test]
fn followed_lines_are_neither_lost_nor_repeated_when_masters_are_killed_and_replaced() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(counter()).start().unwrap();
    fleet.wait_for("counter", "running", SOON).unwrap();
    let follower = Follower::start(&sandbox, &fleet, &["logs", "counter", "-f"]);
    let mut numbers: Vec<u64> = Vec::new();
    for round in 0..6 {
        for _ in 0..50 {
            numbers.push(follower.next().parse().unwrap());
        }
        if round % 2 == 0 {
            // One that was replaced may still be closing its books.
            assert!(fleet.kill(Role::Master).unwrap() >= 1);
        } else {
            fleet.tell(&["master", "upgrade"]).unwrap();
        }
        back(&fleet);
    }
    for _ in 0..50 {
        numbers.push(follower.next().parse().unwrap());
    }
    drop(follower);
    // The two streams are followed side by side, so each keeps its own order.
    for is_error in [false, true] {
        let of_stream = numbers.iter().filter(|number| (*number % 10 == 7) == is_error);
        let of_stream: Vec<u64> = of_stream.copied().collect();
        let first = of_stream.first().copied().unwrap();
        let all = (first..).filter(|number| (number % 10 == 7) == is_error);
        let expected: Vec<u64> = all.take(of_stream.len()).collect();
        assert_eq!(of_stream, expected, "standard error: {is_error}");
    }
    fleet.stop(SOON).unwrap();
}

#[test]
fn followed_events_are_neither_lost_nor_repeated_when_masters_are_killed_and_replaced() {
    let sandbox = Sandbox::new().unwrap();
    let crashing = Worker::new("crashing", "/bin/sh")
        .arguments(["-c", "sleep 0.05; exit 1"])
        .retries(100_000, Duration::from_millis(1));
    let mut fleet = FleetBuilder::new(&sandbox).worker(crashing).start().unwrap();
    let words = ["events", "-f", "--after", "0", "-o", "json"];
    let follower = Follower::start(&sandbox, &fleet, &words);
    let mut expected = 1;
    for round in 0..4 {
        for _ in 0..20 {
            let event: serde_json::Value = serde_json::from_str(&follower.next()).unwrap();
            assert_eq!(event["sequence"], json!(expected), "round {round}: {event}");
            expected += 1;
        }
        if round % 2 == 0 {
            // One that was replaced may still be closing its books.
            assert!(fleet.kill(Role::Master).unwrap() >= 1);
        } else {
            fleet.tell(&["master", "upgrade"]).unwrap();
        }
        back(&fleet);
    }
    drop(follower);
    fleet.stop(SOON).unwrap();
}

#[test]
fn the_loss_of_a_master_is_an_event_and_its_replacement_and_its_end_are_not() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(counter()).start().unwrap();
    fleet.wait_for("counter", "running", SOON).unwrap();
    let lost = |fleet: &Fleet<'_>| {
        let events = fleet.tell(&["events"]).unwrap();
        events.matches("the master was lost and is replaced").count()
    };
    fleet.tell(&["master", "upgrade"]).unwrap();
    back(&fleet);
    assert_eq!(lost(&fleet), 0);
    fleet.kill(Role::Master).unwrap();
    back(&fleet);
    fleet.wait_for("counter", "running", SOON).unwrap();
    assert_eq!(lost(&fleet), 1);
    fleet.stop(SOON).unwrap();
    fleet.launch().unwrap();
    assert_eq!(lost(&fleet), 1, "one that ended was not lost");
    fleet.tell(&["master", "shutdown", "--keep-workers", "--wait"]).unwrap();
    fleet.launch().unwrap();
    assert_eq!(lost(&fleet), 1, "one that left its workers was not lost");
    fleet.stop(SOON).unwrap();
}

/// An upgrade to a master that does not begin before a file is there.
fn slow_upgrade(sandbox: &Sandbox, fleet: &Fleet<'_>) -> (Child, PathBuf) {
    let path = |name: &str| sandbox.folder().join(name);
    let (slow, begun, go) = (path("slow"), path("begun"), path("go"));
    let script = format!(
        "#!/bin/sh\n: > {}\nwhile [ ! -e {} ]; do sleep 0.05; done\nexec {} \"$@\"\n",
        begun.display(),
        go.display(),
        binary("hsu-master").unwrap().display(),
    );
    std::fs::write(&slow, script).unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
    let upgrade = sandbox
        .command(binary("hsu-master-cli").unwrap())
        .arg("--config")
        .arg(fleet.config())
        .args(["master", "upgrade", "--executable"])
        .arg(&slow)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let there = || if begun.exists() { Ok(()) } else { Err("no candidate yet".to_owned()) };
    eventually("another master is started", SOON, there).unwrap();
    (upgrade.unwrap(), go)
}

#[test]
fn a_master_that_is_told_to_end_does_not_give_way_to_another() {
    let sandbox = Sandbox::new().unwrap();
    let script = "trap 'sleep 3; exit 0' TERM; while :; do sleep 0.1; done";
    let worker = Worker::new("slow", "/bin/sh").arguments(["-c", script]);
    let fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    fleet.wait_for("slow", "running", SOON).unwrap();
    let (mut upgrade, go) = slow_upgrade(&sandbox, &fleet);
    fleet.tell(&["master", "shutdown"]).unwrap();
    std::fs::write(&go, "").unwrap();
    sandbox.empty_within(SOON).unwrap();
    assert!(!upgrade.wait().unwrap().success(), "nobody has taken over");
}

/// An upgrade to a master that takes the state up and then fails: it cannot have the socket.
fn failing_upgrade(sandbox: &Sandbox, fleet: &Fleet<'_>) -> (Child, PathBuf, PathBuf) {
    let (upgrade, go) = slow_upgrade(sandbox, fleet);
    let socket = fleet.socket().unwrap();
    std::fs::remove_file(&socket).unwrap();
    std::fs::create_dir(&socket).unwrap();
    (upgrade, go, socket)
}

#[test]
fn a_master_begins_anew_when_the_one_that_was_to_take_over_has_written_the_state() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(counter()).start().unwrap();
    let pid = fleet.wait_for("counter", "running", SOON).unwrap().pid();
    let (mut upgrade, go, socket) = failing_upgrade(&sandbox, &fleet);
    std::fs::write(&go, "").unwrap();
    assert!(!upgrade.wait().unwrap().success(), "nobody has taken over");
    std::fs::remove_dir(&socket).unwrap();
    back(&fleet);
    assert_eq!(fleet.wait_for("counter", "running", SOON).unwrap().pid(), pid);
    let events = fleet.tell(&["events"]).unwrap();
    // The first one, and this one after what the other one has written.
    assert_eq!(events.matches("the master serves").count(), 2, "{events}");
    assert_eq!(events.matches("the master was lost and is replaced").count(), 1, "{events}");
    fleet.stop(SOON).unwrap();
}

/// It has given way when it is told to end, and does so although it begins anew.
#[test]
fn a_wish_to_end_is_kept_by_a_master_that_begins_anew() {
    let sandbox = Sandbox::new().unwrap();
    let fleet = FleetBuilder::new(&sandbox).worker(counter()).start().unwrap();
    fleet.wait_for("counter", "running", SOON).unwrap();
    // The door of the sandbox stops with the master that it let in, and not with the next one.
    fleet.tell(&["master", "upgrade"]).unwrap();
    back(&fleet);
    let old = fleet.players(Role::Master).unwrap().pop().unwrap();
    let (mut upgrade, go, socket) = failing_upgrade(&sandbox, &fleet);
    old.signal(Signal::STOP).unwrap();
    std::fs::write(&go, "").unwrap();
    let two = || match fleet.players(Role::Master).map_err(|error| error.to_string())?.len() {
        2 => Ok(()),
        count => Err(format!("{count} masters")),
    };
    eventually("the other one begins", SOON, two).unwrap();
    // It says hello, and the keeper asks the old one to give way before it hears the signal.
    std::thread::sleep(Duration::from_millis(300));
    old.signal(Signal::TERM).unwrap();
    old.signal(Signal::CONT).unwrap();
    assert!(!upgrade.wait().unwrap().success(), "nobody has taken over");
    std::fs::remove_dir(&socket).unwrap();
    sandbox.empty_within(SOON).unwrap();
}

#[test]
fn the_loss_of_a_master_while_another_one_is_about_to_take_over_is_an_event() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(counter()).start().unwrap();
    fleet.wait_for("counter", "running", SOON).unwrap();
    // A master of which nothing is written yet is not known to have been lost.
    let written = || {
        let events = fleet.tell(&["events"]).map_err(|error| error.to_string())?;
        if events.contains("the master serves") { Ok(()) } else { Err(events) }
    };
    eventually("the first events are written", SOON, written).unwrap();
    let (mut upgrade, go) = slow_upgrade(&sandbox, &fleet);
    assert_eq!(fleet.kill(Role::Master).unwrap(), 1);
    std::fs::write(&go, "").unwrap();
    back(&fleet);
    let events = fleet.tell(&["events"]).unwrap();
    assert_eq!(events.matches("the master was lost and is replaced").count(), 1, "{events}");
    upgrade.wait().unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_restart_that_meets_an_upgrade_is_done_and_said_to_be_done() {
    let sandbox = Sandbox::new().unwrap();
    let web = Worker::new("web", "/bin/sleep").arguments(["1000"]);
    let mut fleet = FleetBuilder::new(&sandbox).worker(web).start().unwrap();
    let mut pid = fleet.wait_for("web", "running", SOON).unwrap().pid();
    for _ in 0..3 {
        let upgrade = sandbox
            .command(binary("hsu-master-cli").unwrap())
            .arg("--config")
            .arg(fleet.config())
            .args(["master", "upgrade"])
            .stdout(Stdio::null())
            .spawn();
        let mut upgrade = upgrade.unwrap();
        while upgrade.try_wait().unwrap().is_none() {
            let said = fleet.client(&["restart", "web"]).unwrap();
            assert_eq!(said.status.code(), Some(0), "{said:?}");
            let now = fleet.wait_for("web", "running", SOON).unwrap().pid();
            assert_ne!(now, pid, "{said:?}");
            pid = now;
        }
        assert!(upgrade.wait().unwrap().success());
    }
    fleet.stop(SOON).unwrap();
}

#[test]
fn the_first_line_on_a_terminal_is_the_masters_own() {
    let sandbox = Sandbox::new().unwrap();
    let web = Worker::new("web", "/bin/sleep").arguments(["1000"]);
    let mut fleet = FleetBuilder::new(&sandbox).worker(web).start().unwrap();
    let terminal = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).unwrap();
    rustix::pty::grantpt(&terminal).unwrap();
    rustix::pty::unlockpt(&terminal).unwrap();
    let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
    let screen = std::fs::OpenOptions::new().write(true).open(name.to_str().unwrap()).unwrap();
    // A second master ends as soon as it has said why.
    let mut second = sandbox.command(binary("hsu-master").unwrap());
    second.arg("--config").arg(fleet.config()).stdin(Stdio::null()).stdout(Stdio::null());
    assert_eq!(second.stderr(screen).status().unwrap().code(), Some(3));
    drop(second);
    let mut text = Vec::new();
    // A terminal without writers ends with an error, after everything was read.
    drop(std::fs::File::from(terminal).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().next().unwrap_or_default();
    assert!(first.contains("ERROR") && first.contains("another master"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains("ansi"), "{text}");
    fleet.stop(SOON).unwrap();
}
