//! Workers that tell of themselves: by sd_notify's protocol, with Debian's own
//! `systemd-notify`, and by s6's line; and the sockets that outlive their processes.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use hsu_testkit::{Fleet, FleetBuilder, Role, Sandbox, Worker, WorkerView, eventually};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// A worker that runs a line of shell.
fn shell(id: &str, line: &str) -> Worker {
    Worker::new(id, "/bin/sh").arguments(["-c".to_owned(), line.to_owned()])
}

fn says(worker: &WorkerView, phase: &str, text: &str) -> bool {
    worker.field("told")["phase"] == phase && worker.field("told")["text"] == text
}

fn wait_until_ready(fleet: &Fleet<'_>, id: &str) -> WorkerView {
    fleet.wait_until(id, "ready", SOON, WorkerView::is_ready).unwrap()
}

#[test]
fn a_worker_is_ready_when_it_says_so_and_stays_so_for_every_next_master() {
    let sandbox = Sandbox::new().unwrap();
    let go = sandbox.folder().join("go");
    let line = format!(
        "while ! test -e {}; do sleep 0.01; done; \
         systemd-notify --ready --status='serving 3 of 4'; exec sleep 1000",
        go.display()
    );
    let worker = shell("web", &line).set("notify", json!({"access": "all"}));
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    let web = fleet.wait_for("web", "running", SOON).unwrap();
    assert!(!web.is_ready(), "{web:?}");
    assert!(says(&web, "starting", ""), "{web:?}");
    std::fs::write(&go, "").unwrap();
    let web = wait_until_ready(&fleet, "web");
    assert!(says(&web, "ready", "serving 3 of 4"), "{web:?}");
    for role in [Role::Master, Role::Master, Role::Keeper] {
        fleet.kill(role).unwrap();
        let again = wait_until_ready(&fleet, "web");
        assert_eq!(again.pid(), web.pid());
    }
    let events = fleet.tell(&["events"]).unwrap();
    assert!(events.contains("says: ready"), "{events}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn words_that_nobody_could_hear_are_heard_by_the_next_master() {
    let sandbox = Sandbox::new().unwrap();
    let go = sandbox.folder().join("go");
    // It speaks while there is no master, and does not wait for an answer.
    let line = format!(
        "while ! test -e {}; do sleep 0.01; done; \
         systemd-notify --no-block --ready; exec sleep 1000",
        go.display()
    );
    let worker = shell("web", &line).set("notify", json!({"access": "all"}));
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    fleet.wait_for("web", "running", SOON).unwrap();
    let master = fleet.players(Role::Master).unwrap().remove(0);
    master.signal(rustix::process::Signal::STOP).unwrap();
    std::fs::write(&go, "").unwrap();
    eventually("it has spoken", SOON, || {
        let talks = sandbox.processes().map_err(|error| error.to_string())?;
        let sleeps =
            talks.iter().any(|process| process.arguments.iter().any(|word| word == "1000"));
        if sleeps { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .unwrap();
    fleet.kill(Role::Master).unwrap();
    wait_until_ready(&fleet, "web");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_worker_that_does_not_become_ready_in_time_is_restarted_and_says_why() {
    let sandbox = Sandbox::new().unwrap();
    let worker = shell("web", "exec sleep 1000")
        .set("notify", json!({"startup_timeout": "300ms"}))
        .restart("on-failure")
        .retries(1, Duration::from_millis(10));
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    fleet.wait_for("web", "tripped", SOON).unwrap();
    let why = fleet.tell(&["why", "web"]).unwrap();
    assert!(why.contains("it did not say in time that it is ready"), "{why}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_watchdog_that_is_not_fed_restarts_its_worker_and_one_that_is_does_not() {
    let sandbox = Sandbox::new().unwrap();
    let feed = "echo told $WATCHDOG_USEC; systemd-notify --ready; \
                while :; do systemd-notify WATCHDOG=1; sleep 0.05; done";
    let starve = "systemd-notify --ready; exec sleep 1000";
    let notify = json!({"access": "all", "watchdog": "2s"});
    let mut fleet = FleetBuilder::new(&sandbox)
        .argument("--enable-log")
        .worker(shell("fed", feed).set("notify", notify.clone()))
        .worker(
            shell("starved", starve)
                .set("notify", notify)
                .restart("always")
                .retries(100, Duration::from_millis(10)),
        )
        .start()
        .unwrap();
    let restarted = |worker: &WorkerView| worker.restarts() >= 2;
    fleet.wait_until("starved", "restarted", SOON, restarted).unwrap();
    let why = fleet.tell(&["why", "starved"]).unwrap();
    assert!(why.contains("it did not say in time that it lives"), "{why}");
    let fed = fleet.wait_for("fed", "running", SOON).unwrap();
    assert_eq!(fed.restarts(), 0);
    let told = fleet.tell(&["logs", "fed", "--raw"]).unwrap();
    assert!(told.contains("told 2000000"), "{told}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn only_those_speak_for_a_worker_who_may() {
    let sandbox = Sandbox::new().unwrap();
    // With `main`, a child does not count; a stranger never does. (As root,
    // systemd-notify speaks in the name of its parent.)
    let code = "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); \
                s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])";
    let line = &format!("python3 -c \"{code}\"; exec sleep 1000");
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(shell("web", line).set("notify", json!({"access": "main"})))
        .worker(shell("shy", "exec sleep 1000").set("notify", json!({"access": "all"})))
        .start()
        .unwrap();
    fleet.wait_for("web", "running", SOON).unwrap();
    let socket = fleet.base().join("notify/shy");
    eventually("there is a socket", SOON, || {
        if socket.exists() { Ok(()) } else { Err("none".to_owned()) }
    })
    .unwrap();
    let status = sandbox
        .command("systemd-notify")
        .arg("--ready")
        .env("NOTIFY_SOCKET", &socket)
        .status()
        .unwrap();
    assert!(status.success());
    eventually("both are told apart", SOON, || {
        let words = fleet.own_words();
        let ignored = words.matches("a notice of a process that does not speak for the worker");
        if ignored.count() >= 2 { Ok(()) } else { Err(words) }
    })
    .unwrap();
    for worker in fleet.list().unwrap() {
        assert!(!worker.is_ready(), "{worker:?}");
    }
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_line_at_a_descriptor_makes_a_worker_ready() {
    let sandbox = Sandbox::new().unwrap();
    let line = "sleep 0.1; echo >&5; exec sleep 1000";
    let worker = shell("web", line).set("notify", json!({"descriptor": 5}));
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    let web = wait_until_ready(&fleet, "web");
    fleet.kill(Role::Master).unwrap();
    assert_eq!(wait_until_ready(&fleet, "web").pid(), web.pid());
    fleet.stop(SOON).unwrap();
}

/// Answers every connection with its run, from the sockets that it finds open.
const SERVER: &str = r#"
import os, socket
s = socket.socket(fileno=3)
assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_PID"] == str(os.getpid())
while True:
    c, _ = s.accept()
    c.recv(1)
    c.sendall(os.environ["HSU_RUN_ID"].encode())
    c.close()
"#;

#[test]
fn no_connection_is_refused_while_a_worker_is_restarted_and_roles_are_killed() {
    let sandbox = Sandbox::new().unwrap();
    let port = hsu_testkit::ports::free_port().unwrap();
    let address = format!("127.0.0.1:{port}");
    let worker = Worker::new("web", "python3")
        .arguments(["-c".to_owned(), SERVER.to_owned()])
        .set("sockets", json!([{"listen": address, "name": "http"}]));
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    fleet.wait_for("web", "running", SOON).unwrap();
    let ask = || {
        let mut answer = String::new();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.write_all(b"x").unwrap();
        client.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut last = ask();
    for role in [Role::Master, Role::Keeper, Role::Pump] {
        fleet.kill(role).unwrap();
        assert_eq!(ask(), last);
        fleet.wait_for("web", "running", SOON).unwrap();
        fleet.tell(&["restart", "web"]).unwrap();
        let next = ask();
        assert_ne!(next, last, "the next run answers");
        last = next;
    }
    fleet.tell(&["stop", "web"]).unwrap();
    eventually("nobody listens for a worker that rests", SOON, || {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(_) => Err("somebody listens".to_owned()),
            Err(_) => Ok(()),
        }
    })
    .unwrap();
    fleet.tell(&["start", "web"]).unwrap();
    ask();
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_port_that_is_taken_fails_the_start_with_the_reason_until_it_is_free() {
    let sandbox = Sandbox::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let worker = shell("web", "exec sleep 1000")
        .set("sockets", json!([{"listen": address}]))
        .retries(100_000, Duration::from_millis(10));
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    let reason = format!("cannot listen at {address}");
    eventually("it says why it does not start", SOON, || {
        let why = fleet.tell(&["why", "web"]).map_err(|error| error.to_string())?;
        if why.contains(&reason) && why.contains("ss -ltnp") { Ok(()) } else { Err(why) }
    })
    .unwrap();
    drop(taken);
    fleet.wait_for("web", "running", SOON).unwrap();
    fleet.stop(SOON).unwrap();
}

/// Stores a pipe that it has written into, or reads what an earlier run has left.
const KEEPER: &str = r#"
import array, os, socket, sys, time
def say(text, *fds):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(os.environ["NOTIFY_SOCKET"])
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    s.sendmsg([text.encode()], beside)
count = int(os.environ.get("LISTEN_FDS", "0"))
if count == 0:
    r, w = os.pipe()
    os.write(w, b"left by the run before")
    say("FDSTORE=1\nFDNAME=memory\nFDPOLL=0", r)
    say("FDSTORE=1\nFDNAME=memory\nFDPOLL=0", r)
    say("READY=1")
else:
    print(count, os.environ["LISTEN_FDNAMES"], os.read(3, 100).decode(), flush=True)
    say("FDSTOREREMOVE=1\nFDNAME=memory")
    say("READY=1")
time.sleep(1000)
"#;

#[test]
fn what_a_worker_stores_is_passed_to_its_next_run_whatever_is_killed() {
    let sandbox = Sandbox::new().unwrap();
    let worker = Worker::new("web", "python3")
        .arguments(["-c".to_owned(), KEEPER.to_owned()])
        .set("notify", json!({"store": 4}));
    let builder = FleetBuilder::new(&sandbox).argument("--enable-log");
    let mut fleet = builder.worker(worker).start().unwrap();
    wait_until_ready(&fleet, "web");
    for role in [Role::Master, Role::Keeper] {
        fleet.kill(role).unwrap();
        wait_until_ready(&fleet, "web");
    }
    fleet.tell(&["restart", "web"]).unwrap();
    wait_until_ready(&fleet, "web");
    let output = fleet.tell(&["logs", "web", "--raw"]).unwrap();
    assert_eq!(output.trim(), "1 memory left by the run before");
    fleet.tell(&["restart", "web"]).unwrap();
    wait_until_ready(&fleet, "web");
    let output = fleet.tell(&["logs", "web", "--raw"]).unwrap();
    assert_eq!(output.lines().count(), 1, "it was removed, and is not passed again: {output}");
    fleet.stop(SOON).unwrap();
}

/// Leaves two pipes whose other ends are gone a moment later, and wants one of them back.
const LEAVER: &str = r#"
import array, os, socket, time
def say(text, *fds):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(os.environ["NOTIFY_SOCKET"])
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    s.sendmsg([text.encode()], beside)
if "LISTEN_FDS" not in os.environ:
    for name, more in [("gone", ""), ("kept", "\nFDPOLL=0")]:
        r, w = os.pipe()
        say("FDSTORE=1\nFDNAME=" + name + more, r)
        os.close(w)
else:
    print(os.environ["LISTEN_FDNAMES"], flush=True)
say("READY=1")
time.sleep(1000)
"#;

#[test]
fn a_stored_descriptor_whose_other_end_is_gone_is_dropped_unless_it_shall_be_kept() {
    let sandbox = Sandbox::new().unwrap();
    let worker = Worker::new("web", "python3")
        .arguments(["-c".to_owned(), LEAVER.to_owned()])
        .set("notify", json!({"store": 4}));
    let builder = FleetBuilder::new(&sandbox).argument("--enable-log");
    let mut fleet = builder.worker(worker).start().unwrap();
    wait_until_ready(&fleet, "web");
    eventually("one is dropped", SOON, || {
        let words = fleet.own_words();
        let dropped = words.matches("the other end of a stored descriptor is gone").count();
        if dropped == 1 { Ok(()) } else { Err(words) }
    })
    .unwrap();
    // The next master keeps what is left, and drops nothing of it.
    fleet.kill(Role::Master).unwrap();
    wait_until_ready(&fleet, "web");
    fleet.tell(&["restart", "web"]).unwrap();
    wait_until_ready(&fleet, "web");
    let output = fleet.tell(&["logs", "web", "--raw"]).unwrap();
    assert_eq!(output.trim(), "kept");
    fleet.stop(SOON).unwrap();
}
