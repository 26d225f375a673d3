//! Workers that put themselves into the background and name who goes on (`MAINPID=`).
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::Path;
use std::time::Duration;

use hsu_testkit::ports::free_port;
use hsu_testkit::{Fleet, FleetBuilder, Process, Role, Sandbox, Worker, WorkerView, eventually};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// Waits until a worker runs as this process.
fn runs_as(fleet: &Fleet<'_>, id: &str, pid: u32) -> WorkerView {
    let is_it = |worker: &WorkerView| worker.state() == "running" && worker.pid() == Some(pid);
    fleet.wait_until(id, &format!("running as {pid}"), SOON, is_it).unwrap()
}

/// Waits until an event is durable, and so told.
fn is_told(fleet: &Fleet<'_>, words: &str) {
    eventually(&format!("it is told: {words}"), SOON, || {
        let events = fleet.tell(&["events"]).map_err(|error| error.to_string())?;
        if events.contains(words) { Ok(()) } else { Err(events) }
    })
    .unwrap();
}

/// A number that a program writes into a file.
fn number_in(path: &Path) -> u32 {
    eventually("there is a number", SOON, || {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let line = text.strip_suffix('\n').ok_or_else(|| text.clone())?;
        line.trim().parse::<u32>().map_err(|error| error.to_string())
    })
    .unwrap()
}

/// The configuration of an nginx that goes into the background.
fn nginx(folder: &Path, port: u16) -> String {
    let temp = folder.join("temp");
    let config = format!(
        "daemon on; pid {pid}; error_log stderr; events {{}}\n\
         http {{ access_log off; client_body_temp_path {temp}; proxy_temp_path {temp}; \
         fastcgi_temp_path {temp}; uwsgi_temp_path {temp}; scgi_temp_path {temp}; \
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 'hello'; }} }} }}\n",
        pid = folder.join("nginx.pid").display(),
        temp = temp.display(),
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    // nginx writes its number when it serves; the shell ends when it is told.
    format!(
        "set -e; rm -f {pid}; /usr/sbin/nginx -c {file} -e stderr; \
         while ! test -s {pid}; do sleep 0.01; done; \
         systemd-notify --ready MAINPID=$(cat {pid})",
        pid = folder.join("nginx.pid").display(),
        file = file.display(),
    )
}

#[test]
fn an_nginx_in_the_background_is_the_worker_whatever_is_killed_and_its_end_is_seen() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().to_owned();
    let line = nginx(&folder, free_port().unwrap());
    let worker = Worker::new("web", "/bin/sh")
        .arguments(["-c".to_owned(), line])
        .set("notify", json!({"access": "all"}))
        .restart("always")
        .retries(100, Duration::from_millis(10));
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    let web = fleet.wait_until("web", "ready", SOON, WorkerView::is_ready).unwrap();
    let pid = number_in(&folder.join("nginx.pid"));
    assert_eq!(web.pid(), Some(pid));
    for role in [Role::Master, Role::Keeper, Role::Pump, Role::Master] {
        fleet.kill(role).unwrap();
        // What was said and is not durable yet is heard again by the next master.
        let goes_on = |worker: &WorkerView| worker.is_ready() && worker.pid() == Some(pid);
        let web = fleet.wait_until("web", "ready as before", SOON, goes_on).unwrap();
        assert_eq!(web.restarts(), 0, "{role:?}: {web:?}");
    }
    // Its end is the worker's: another nginx comes, and is named in its turn.
    let main = sandbox.processes().unwrap().into_iter().find(|process| process.pid == pid).unwrap();
    main.signal(rustix::process::Signal::KILL).unwrap();
    let again = |worker: &WorkerView| worker.restarts() == 1 && worker.is_ready();
    let web = fleet.wait_until("web", "ready again", SOON, again).unwrap();
    assert_ne!(web.pid(), Some(pid));
    let next = number_in(&folder.join("nginx.pid"));
    assert_eq!(web.pid(), Some(next));
    is_told(&fleet, &format!("goes on as PID {next}, which it has named"));
    is_told(&fleet, "signal SIGKILL");
    fleet.tell(&["stop", "web"]).unwrap();
    fleet.wait_for("web", "stopped", SOON).unwrap();
    let left = sandbox.processes().unwrap();
    let is_nginx = |process: &&Process| {
        process.program.as_ref().is_some_and(|program| program.ends_with("nginx"))
    };
    let left: Vec<_> = left.iter().filter(is_nginx).collect();
    assert!(left.is_empty(), "{left:?}");
    fleet.stop(SOON).unwrap();
}

/// Goes into the background as a daemon does, says so, and waits for no answer: the one
/// that was started ends at once.
const DAEMON: &str = r#"
import os, socket, sys, time
folder = sys.argv[1]
while not os.path.exists(folder + "/go"):
    time.sleep(0.01)
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(os.environ["NOTIFY_SOCKET"])
    s.send(b"MAINPID=%d\nREADY=1" % os.getpid())
    with open(folder + "/second", "w") as file:
        file.write("%d\n" % os.getpid())
    os.write(w, b"x")
    time.sleep(1000)
os.read(r, 1)
os._exit(0)
"#;

fn daemon(folder: &Path) -> Worker {
    Worker::new("web", "python3")
        .arguments(["-c".to_owned(), DAEMON.to_owned(), folder.display().to_string()])
        .set("notify", json!({"access": "all"}))
        .restart("never")
}

#[test]
fn a_daemon_that_ends_in_front_before_it_is_heard_goes_on_in_the_background() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().to_owned();
    let mut fleet = FleetBuilder::new(&sandbox).worker(daemon(&folder)).start().unwrap();
    fleet.wait_for("web", "running", SOON).unwrap();
    std::fs::write(folder.join("go"), "").unwrap();
    let second = number_in(&folder.join("second"));
    assert!(runs_as(&fleet, "web", second).restarts() == 0);
    fleet.wait_until("web", "ready", SOON, WorkerView::is_ready).unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_daemon_that_goes_into_the_background_without_a_master_is_taken_over_by_the_next_one() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().to_owned();
    let mut fleet = FleetBuilder::new(&sandbox).worker(daemon(&folder)).start().unwrap();
    let first = fleet.wait_for("web", "running", SOON).unwrap().pid().unwrap();
    let master = fleet.players(Role::Master).unwrap().remove(0);
    master.signal(rustix::process::Signal::STOP).unwrap();
    std::fs::write(folder.join("go"), "").unwrap();
    let second = number_in(&folder.join("second"));
    eventually("the one in front has ended", SOON, || {
        let all = sandbox.processes().map_err(|error| error.to_string())?;
        let is_there = all.iter().any(|process| process.pid == first);
        if is_there { Err("not yet".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    fleet.kill(Role::Master).unwrap();
    runs_as(&fleet, "web", second);
    fleet.wait_until("web", "ready", SOON, WorkerView::is_ready).unwrap();
    fleet.kill(Role::Keeper).unwrap();
    runs_as(&fleet, "web", second);
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_process_of_somebody_else_is_refused_with_the_reason() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.folder().join("other");
    let line = format!("echo $$$$ > {}; exec sleep 1000", file.display());
    let other = Worker::new("other", "/bin/sh").arguments(["-c".to_owned(), line]);
    let line = format!(
        "while ! test -s {0}; do sleep 0.01; done; \
         systemd-notify MAINPID=$(cat {0}); systemd-notify MAINPID=4194303; \
         systemd-notify --ready; exec sleep 1000",
        file.display()
    );
    let web = Worker::new("web", "/bin/sh")
        .arguments(["-c".to_owned(), line])
        .set("notify", json!({"access": "all"}));
    let mut fleet = FleetBuilder::new(&sandbox).worker(other).worker(web).start().unwrap();
    let web = fleet.wait_until("web", "ready", SOON, WorkerView::is_ready).unwrap();
    let other = number_in(&file);
    assert_ne!(web.pid(), Some(other));
    is_told(&fleet, &format!("MAINPID={other} of run 2 is refused: it is no process of this"));
    is_told(&fleet, "MAINPID=4194303 of run 2 is refused: no such process runs");
    fleet.stop(SOON).unwrap();
}
