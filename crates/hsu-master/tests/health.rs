//! Health under a real master: what is looked at, what is said of it, what follows.

use std::time::Duration;

use hsu_testkit::ports::free_port;
use hsu_testkit::{Fleet, FleetBuilder, Sandbox, Worker, WorkerView, eventually};
use serde_json::{Value, json};

#[path = "health/kinds.rs"]
mod kinds;

const SOON: Duration = Duration::from_secs(30);

/// Fast checks, so that a test does not wait: `retries` failures in a row count.
fn options(retries: u32) -> Value {
    json!({"interval": "100ms", "timeout": "90ms", "retries": retries})
}

/// A worker that is restarted at once, and not spared after its start.
fn worker(id: &str, program: &str, arguments: &[&str]) -> Worker {
    let restart = json!({
        "default": {"max_retries": 0, "retry_delay": "0s"},
        "startup_grace_period": "0s",
    });
    Worker::new(id, program)
        .arguments(arguments.iter().copied())
        .set("context_aware_restart", restart)
}

fn dummy(id: &str, arguments: &[&str]) -> Worker {
    let program = hsu_testkit::binaries::binary("hsu-dummy").expect("it was built");
    worker(id, program.to_str().expect("a path that is text"), arguments)
}

fn events(fleet: &Fleet<'_>, kind: &str) -> Vec<Value> {
    let list = fleet.ask(&["events", "--limit", "1000"]).expect("events");
    let all = list["events"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|event| event["kind"] == kind).collect()
}

#[test]
fn a_web_server_that_turns_bad_is_restarted_and_why_tells_its_status() {
    let sandbox = Sandbox::new().unwrap();
    let port = free_port().unwrap().to_string();
    let url = format!("http://127.0.0.1:{port}/");
    let check = json!({"type": "http", "http": {"url": url}, "run_options": options(3)});
    let web = dummy("web", &["--health-port", &port, "--fail-health-after", "2s"]);
    let mut fleet =
        FleetBuilder::new(&sandbox).worker(web.managed("health_check", check)).start().unwrap();
    let healthy = |view: &WorkerView| view.is_ready() && view.field("health") == &json!("healthy");
    let first = fleet.wait_until("web", "healthy", SOON, healthy).unwrap();
    let second = fleet
        .wait_until("web", "another one, healthy", SOON, |view| {
            healthy(view) && view.pid() != first.pid()
        })
        .unwrap();
    assert!(second.restarts() >= 1);
    let changes = events(&fleet, "state_changed");
    let reason = |event: &Value| event["reason"].as_str().unwrap_or_default().to_owned();
    let stopped = changes.iter().map(reason).find(|reason| reason.contains("unhealthy")).unwrap();
    assert!(stopped.contains("check `http`: status 503 (3 times in a row)"), "{stopped}");
    let why = fleet.tell(&["why", "web"]).unwrap();
    assert!(why.contains("status 503"), "{why}");
    let described = fleet.ask(&["describe", "web"]).unwrap();
    let check = &described["checks"][0];
    assert_eq!(
        (&check["kind"], &check["duties"]),
        (&json!("http"), &json!(["readiness", "liveness"]))
    );
    assert!(check["failures"].as_u64() >= Some(3) && check["usual_seconds"].as_f64() > Some(0.0));
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_port_that_a_stranger_answers_at_is_not_the_workers_where_that_is_asked_for() {
    let sandbox = Sandbox::new().unwrap();
    let program = hsu_testkit::binaries::binary("hsu-dummy").unwrap();
    let (taken, own) = (free_port().unwrap().to_string(), free_port().unwrap().to_string());
    let mut door = sandbox.command(&program).args(["--health-port", &taken]).spawn().unwrap();
    let check = |port: &str, answered_by: &str| {
        let url = format!("http://127.0.0.1:{port}/");
        let http = json!({"url": url, "answered_by": answered_by});
        json!({"readiness": [{"type": "http", "http": http, "run_options": options(1)}]})
    };
    let sleeper = |id, answered_by| {
        worker(id, "/bin/sleep", &["1000"]).managed("health", check(&taken, answered_by))
    };
    let proper = dummy("proper", &["--health-port", &own]).managed("health", check(&own, "worker"));
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(sleeper("robbed", "worker"))
        .worker(sleeper("fooled", "anybody"))
        .worker(proper)
        .start()
        .unwrap();
    for name in ["fooled", "proper"] {
        fleet.wait_until(name, "ready", SOON, |view| view.is_ready()).unwrap();
    }
    let robbed = fleet
        .wait_until("robbed", "told who answers", SOON, |view| {
            view.field("health") == &json!("degraded")
        })
        .unwrap();
    assert!(!robbed.is_ready(), "row 114");
    let why = fleet.tell(&["why", "robbed"]).unwrap();
    let says = format!("127.0.0.1:{taken} is answered by PID ");
    assert!(why.contains("no process of this worker"), "row 114: {why}");
    let pid = why.split(&says).nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let stranger = sandbox.process(pid.parse().unwrap()).unwrap().unwrap();
    assert_eq!(stranger.name(), "hsu-dummy", "row 114: {why}");
    stranger.signal(rustix::process::Signal::KILL).unwrap();
    door.wait().unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_worker_is_ready_when_its_port_opens_and_no_sooner() {
    let sandbox = Sandbox::new().unwrap();
    let port = free_port().unwrap();
    let number = port.to_string();
    let check = json!({
        "startup": [{"type": "tcp", "tcp": {"address": "localhost", "port": port},
            "run_options": {"interval": "50ms", "timeout": "40ms", "retries": 1000}}],
    });
    let late = dummy("late", &["--tcp-port", &number, "--startup-delay", "1s"]);
    let mut fleet =
        FleetBuilder::new(&sandbox).worker(late.managed("health", check)).start().unwrap();
    let running = fleet.wait_for("late", "running", SOON).unwrap();
    assert!(!running.is_ready(), "{running:?}");
    let ready = fleet.wait_until("late", "ready", SOON, |view| view.is_ready()).unwrap();
    assert_eq!(ready.restarts(), 0);
    let changed = events(&fleet, "health_changed");
    assert_eq!(changed.last().unwrap()["to"], "healthy", "{changed:?}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_program_that_says_no_makes_its_worker_unready_and_restarts_nothing() {
    let sandbox = Sandbox::new().unwrap();
    let flag = sandbox.folder().join("good");
    let script = format!("test -e '{}' || {{ echo not yet; exit 4; }}", flag.display());
    let check = json!({
        "readiness": [{"type": "exec", "exec": {"command": "/bin/sh", "args": ["-c", script]},
            "run_options": {"interval": "300ms", "timeout": "250ms", "retries": 1}}],
    });
    let fleet_of = FleetBuilder::new(&sandbox);
    let slow = worker("slow", "/bin/sleep", &["1000"]).managed("health", check);
    let mut fleet = fleet_of.worker(slow).start().unwrap();
    let degraded = |view: &WorkerView| view.field("health") == &json!("degraded");
    let before = fleet.wait_until("slow", "degraded", SOON, degraded).unwrap();
    assert!(!before.is_ready());
    let why = fleet.tell(&["why", "slow"]).unwrap();
    assert!(why.contains("exit code 4, and said \"not yet\""), "{why}");
    std::fs::write(&flag, "").unwrap();
    let after = fleet.wait_until("slow", "ready", SOON, |view| view.is_ready()).unwrap();
    assert_eq!((after.pid(), after.restarts()), (before.pid(), 0));
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_process_that_was_stopped_cannot_react_and_is_restarted() {
    let sandbox = Sandbox::new().unwrap();
    let check = json!({"type": "process", "run_options": options(2)});
    let frozen = worker("frozen", "/bin/sleep", &["1000"]).managed("health_check", check);
    let mut fleet = FleetBuilder::new(&sandbox).worker(frozen).start().unwrap();
    let first = fleet.wait_until("frozen", "ready", SOON, |view| view.is_ready()).unwrap();
    let process = sandbox.process(first.pid().unwrap()).unwrap().unwrap();
    process.signal(rustix::process::Signal::STOP).unwrap();
    let second = fleet
        .wait_until("frozen", "another one", SOON, |view| {
            view.is_ready() && view.pid() != first.pid()
        })
        .unwrap();
    assert_eq!(second.restarts(), 1);
    let why = events(&fleet, "state_changed");
    let is_told = why.iter().any(|event| event["text"].as_str().unwrap().contains("is stopped"));
    assert!(is_told, "{why:?}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_check_that_hangs_is_killed_whole_and_leaves_nothing_when_the_master_ends() {
    let sandbox = Sandbox::new().unwrap();
    let script = "setsid sleep 1000 & sleep 1000";
    let check = json!({
        "checks": [{"name": "stuck", "type": "script", "script": {"inline": script},
            "run_options": {"interval": "400ms", "timeout": "300ms"}}],
    });
    let idle = worker("idle", "/bin/sleep", &["2000"]).managed("health", check);
    let mut fleet = FleetBuilder::new(&sandbox).worker(idle).start().unwrap();
    eventually("the check failed twice", SOON, || {
        let described = fleet.ask(&["describe", "idle"]).map_err(|error| error.to_string())?;
        let check = &described["checks"][0];
        if check["failures"].as_u64() >= Some(2) { Ok(()) } else { Err(check.to_string()) }
    })
    .unwrap();
    let sleeps = sandbox.processes().unwrap();
    let left: Vec<_> = sleeps
        .iter()
        .filter(|p| p.name() == "sleep" && p.arguments.contains(&"1000".to_owned()))
        .collect();
    // One look goes on at most.
    assert!(left.len() <= 2, "{left:?}");
    fleet.stop(SOON).unwrap();
}
