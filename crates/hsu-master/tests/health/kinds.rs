//! Kinds of checks that turn bad, and what follows: each about a real thing, in the
//! words of the guide.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hsu_testkit::ports::free_port;
use hsu_testkit::{Fleet, FleetBuilder, Sandbox, WorkerView, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{SOON, dummy, events, worker};

/// A look five times a second; one that fails counts.
fn fast() -> Value {
    often(1)
}

fn often(retries: u32) -> Value {
    json!({"interval": "200ms", "timeout": "190ms", "retries": retries})
}

/// A check with a name that is made fast.
fn check(name: &str, kind: &str, section: &Value) -> Value {
    json!({"name": name, "type": kind, kind: section, "run_options": fast()})
}

fn is(view: &WorkerView, ready: bool, health: &str) -> bool {
    view.is_ready() == ready && view.field("health") == health
}

/// Waits until a check of a worker has this verdict and a note that holds `says`.
fn told(fleet: &Fleet<'_>, (worker, check): (&str, &str), verdict: &str, says: &str) {
    eventually(&format!("{check} of {worker} is {verdict}: {says}"), SOON, || {
        let described = fleet.ask(&["describe", worker]).map_err(|error| error.to_string())?;
        let checks = described["checks"].as_array().cloned().unwrap_or_default();
        let found = checks.into_iter().find(|one| one["name"] == check).unwrap_or_default();
        let note = found["last_note"].as_str().unwrap_or_default();
        match found["verdict"] == verdict && note.contains(says) {
            true => Ok(()),
            false => Err(found.to_string()),
        }
    })
    .unwrap();
}

/// Waits until `why` says this of a worker.
fn explained(fleet: &Fleet<'_>, worker: &str, says: &str) {
    eventually(&format!("why {worker} says {says}"), SOON, || {
        let why = fleet.tell(&["why", worker]).map_err(|error| error.to_string())?;
        if why.contains(says) { Ok(()) } else { Err(why) }
    })
    .unwrap();
}

/// Why the runs of a worker ended so far.
fn ends(fleet: &Fleet<'_>, worker: &str) -> String {
    let all = events(fleet, "state_changed").into_iter().filter(|event| event["worker"] == worker);
    all.map(|event| format!("{}\n", event["reason"].as_str().unwrap_or_default())).collect()
}

/// Puts a file in its place at once, so that no look finds half of it.
fn put(path: &Path, text: &str) {
    let first = path.with_extension("first");
    fs::write(&first, text).unwrap();
    fs::rename(&first, path).unwrap();
}

fn make_older(path: &Path, by: Duration) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn a_file_that_grows_old_shrinks_or_says_something_else_makes_its_worker_degraded() {
    let sandbox = Sandbox::new().unwrap();
    let file = |name: &str| sandbox.folder().join(name);
    let (latest, closed, beat) = (file("latest"), file("maintenance"), file("beat"));
    put(&latest, "OK 1400 files\n");
    let wanted =
        json!({"path": latest, "max_age": "1d", "min_size": "8", "expected_content": "^OK"});
    let checks = json!({
        "dependencies": [check("latest", "file", &wanted)],
        "readiness": [check("no-maintenance", "file", &json!({"path": closed, "exists": false}))],
    });
    let lives = json!({"liveness": [{"name": "beat", "type": "file",
        "file": {"path": beat, "max_age": "1h"}, "run_options": often(5)}]});
    let line = format!("touch '{}'; exec sleep 1000", beat.display());
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(worker("backup", "/bin/sleep", &["1000"]).managed("health", checks))
        .worker(worker("beating", "/bin/sh", &["-c", &line]).managed("health", lives))
        .start()
        .unwrap();
    let healthy = |view: &WorkerView| is(view, true, "healthy");
    let degraded = |view: &WorkerView| is(view, true, "degraded");
    let first = fleet.wait_until("backup", "healthy", SOON, healthy).unwrap();
    make_older(&latest, 2 * DAY);
    fleet.wait_until("backup", "degraded and ready", SOON, degraded).unwrap();
    told(&fleet, ("backup", "latest"), "failing", "latest was written 172");
    put(&latest, "OK\n");
    told(&fleet, ("backup", "latest"), "failing", "has 3 bytes, less than 8");
    put(&latest, "FAILED at 3 of 1400 files\n");
    told(&fleet, ("backup", "latest"), "failing", "does not match `^OK`");
    put(&latest, "OK 1401 files\n");
    fleet.wait_until("backup", "healthy again", SOON, healthy).unwrap();
    put(&closed, "");
    fleet.wait_until("backup", "not ready", SOON, |view| is(view, false, "degraded")).unwrap();
    told(&fleet, ("backup", "no-maintenance"), "failing", "maintenance is there");
    fs::remove_file(&closed).unwrap();
    let last = fleet.wait_until("backup", "ready again", SOON, healthy).unwrap();
    assert_eq!((last.pid(), last.restarts()), (first.pid(), 0));

    let first = fleet.wait_until("beating", "healthy", SOON, healthy).unwrap();
    make_older(&beat, DAY);
    let other = |view: &WorkerView| healthy(view) && view.pid() != first.pid();
    fleet.wait_until("beating", "another one", SOON, other).unwrap();
    let why = ends(&fleet, "beating");
    assert!(why.contains("was written 864"), "{why}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_redis_that_answers_no_ping_any_more_is_restarted() {
    let sandbox = Sandbox::new().unwrap();
    let (port, folder) = (free_port().unwrap(), sandbox.folder().display().to_string());
    let socket = sandbox.folder().join("redis.sock").display().to_string();
    let ping = json!([{"send": "PING\r\n", "expect": "^\\+PONG\r\n$"}]);
    let at_port = json!({"address": "127.0.0.1", "port": port, "exchange": ping});
    let twice = json!([
        {"send": "SET greeting hello\r\n", "expect": "^\\+OK"},
        {"send": "GET greeting\r\n", "expect": "hello"},
    ]);
    let at_socket = json!({"unix_socket": socket, "exchange": twice});
    let silent = json!({"address": "127.0.0.1", "port": port, "exchange": [{"expect": "^220"}]});
    let mut first = check("up", "protocol", &at_port);
    first["run_options"]["retries"] = 1000.into();
    let mut alive = check("alive", "protocol", &at_port);
    alive["run_options"]["retries"] = 5.into();
    let checks = json!({
        "startup": [first],
        "liveness": [alive],
        "readiness": [check("keeps", "protocol", &at_socket)],
        "checks": [check("no-mail", "protocol", &silent)],
    });
    let number = port.to_string();
    let words = ["--port", &number, "--dir", &folder, "--save", "", "--unixsocket", &socket];
    let redis = worker("redis", "/usr/bin/redis-server", &words).grace(Duration::from_millis(100));
    let mut fleet =
        FleetBuilder::new(&sandbox).worker(redis.managed("health", checks)).start().unwrap();
    let healthy = |view: &WorkerView| is(view, true, "healthy");
    let first = fleet.wait_until("redis", "healthy", SOON, healthy).unwrap();
    told(&fleet, ("redis", "no-mail"), "failing", "no answer within");
    let process = sandbox.process(first.pid().unwrap()).unwrap().unwrap();
    process.signal(Signal::STOP).unwrap();
    let other = |view: &WorkerView| healthy(view) && view.pid() != first.pid();
    fleet.wait_until("redis", "another one", SOON, other).unwrap();
    let why = ends(&fleet, "redis");
    assert!(why.contains("check `alive`: no answer within 0.19 s"), "{why}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_worker_is_judged_by_the_lines_of_its_present_run() {
    let sandbox = Sandbox::new().unwrap();
    let (go, stuck) = (sandbox.folder().join("go"), sandbox.folder().join("stuck"));
    let line = format!(
        "until test -e '{go}'; do sleep 0.05; done; echo now ready to accept connections; \
         until test -e '{stuck}'; do sleep 0.05; done; rm '{stuck}'; \
         echo deadlock detected in orders >&2; exec sleep 1000",
        go = go.display(),
        stuck = stuck.display(),
    );
    let mut up = check("up", "log", &json!({"pattern": "ready to accept connections"}));
    up["run_options"]["retries"] = 1000.into();
    let none = json!({"pattern": "deadlock detected", "stream": "stderr", "exists": false, "within": "5m"});
    let mut alive = check("no-deadlock", "log", &none);
    alive["run_options"] = often(3);
    let checks = json!({"startup": [up], "liveness": [alive]});
    let collected = json!({"enabled": true, "capture_stdout": true, "capture_stderr": true});
    let slow = worker("slow", "/bin/sh", &["-c", &line]).managed("health", checks);
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(slow.entry("log_collection", collected))
        .start()
        .unwrap();
    told(&fleet, ("slow", "up"), "unknown", "no line matches `ready to accept connections`");
    let early = fleet.wait_for("slow", "running", SOON).unwrap();
    assert!(!early.is_ready(), "{early:?}");
    put(&go, "");
    let healthy = |view: &WorkerView| is(view, true, "healthy");
    let first = fleet.wait_until("slow", "healthy", SOON, healthy).unwrap();
    put(&stuck, "");
    let other = |view: &WorkerView| healthy(view) && view.pid() != first.pid();
    fleet.wait_until("slow", "another one", SOON, other).unwrap();
    let why = ends(&fleet, "slow");
    assert!(why.contains("check `no-deadlock`: it wrote"), "{why}");
    assert!(why.contains("deadlock detected in orders"), "{why}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_composite_of_servers_and_a_file_follows_each_of_its_parts() {
    let sandbox = Sandbox::new().unwrap();
    let closed = sandbox.folder().join("closed");
    let mut fleet = FleetBuilder::new(&sandbox);
    let mut parts = vec![check("closed", "file", &json!({"path": closed}))];
    for name in ["db-1", "db-2", "db-3"] {
        let port = free_port().unwrap();
        parts.push(check(name, "tcp", &json!({"address": "127.0.0.1", "port": port})));
        fleet = fleet.worker(dummy(name, &["--tcp-port", &port.to_string()]));
    }
    let serves =
        json!({"all": [{"at_least": 2, "of": ["db-1", "db-2", "db-3"]}, {"not": "closed"}]});
    parts.push(check("some", "composite", &json!({"any": ["db-1", "db-2"]})));
    let checks = json!({"checks": parts, "readiness": [check("can-serve", "composite", &serves)]});
    let front = worker("front", "/bin/sleep", &["1000"]).managed("health", checks);
    let mut fleet = fleet.worker(front).start().unwrap();
    let ready = |view: &WorkerView| is(view, true, "healthy");
    let unready = |view: &WorkerView| is(view, false, "degraded");
    let first = fleet.wait_until("front", "ready", SOON, ready).unwrap();
    fleet.tell(&["stop", "db-1"]).unwrap();
    told(&fleet, ("front", "db-1"), "failing", "refused");
    fleet.wait_until("front", "ready with two", SOON, ready).unwrap();
    told(&fleet, ("front", "some"), "passing", "");
    fleet.tell(&["stop", "db-2"]).unwrap();
    fleet.wait_until("front", "not ready with one", SOON, unready).unwrap();
    explained(&fleet, "front", "`db-2` is failing, `db-3` is passing");
    told(&fleet, ("front", "some"), "failing", "");
    fleet.tell(&["start", "db-1"]).unwrap();
    fleet.wait_until("front", "ready with two again", SOON, ready).unwrap();
    put(&closed, "");
    fleet.wait_until("front", "not ready when closed", SOON, unready).unwrap();
    explained(&fleet, "front", "`closed` is passing");
    fs::remove_file(&closed).unwrap();
    let last = fleet.wait_until("front", "ready when open", SOON, ready).unwrap();
    assert_eq!((last.pid(), last.restarts()), (first.pid(), 0));
    fleet.stop(SOON).unwrap();
}

/// A check of performance that is judged from few looks.
fn performance(name: &str, section: &Value) -> Value {
    let mut check = check(name, "performance", section);
    check["performance"]["samples"] = 2.into();
    check
}

#[test]
fn what_a_process_uses_is_judged_over_a_window_of_its_present_run() {
    let sandbox = Sandbox::new().unwrap();
    let large = performance("large", &json!({"measure": "memory", "at_most": "48MiB"}));
    let cpu = json!({"measure": "cpu", "at_most": "1%", "window": "3s"});
    let busy = json!({"dependencies": [performance("busy", &cpu)]});
    let leaks = dummy("leaks", &["--memory-growth-rate", "32"]);
    let spins = dummy("spins", &["--cpu-percent", "100"]);
    let rests = worker("rests", "/bin/sleep", &["1000"]);
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(leaks.managed("health", json!({"liveness": [large]})))
        .worker(spins.managed("health", busy.clone()))
        .worker(rests.managed("health", busy))
        .start()
        .unwrap();
    let again = |view: &WorkerView| view.restarts() >= 1 && is(view, true, "healthy");
    fleet.wait_until("leaks", "another one, small", SOON, again).unwrap();
    let why = ends(&fleet, "leaks");
    assert!(why.contains("check `large`: the greatest of the value is"), "{why}");
    fleet.wait_until("spins", "degraded", SOON, |view| is(view, true, "degraded")).unwrap();
    told(&fleet, ("spins", "busy"), "failing", "and may be at most 0.010");
    fleet.wait_until("rests", "healthy", SOON, |view| is(view, true, "healthy")).unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_service_that_turns_slow_or_idle_is_told_by_its_latency_and_its_throughput() {
    let sandbox = Sandbox::new().unwrap();
    let file = |name: &str| sandbox.folder().join(name);
    let (slow, halt, count) = (file("slow"), file("halt"), file("count"));
    let script = format!("if test -e '{}'; then sleep 0.6; fi", slow.display());
    let latency = json!({"check": {"type": "script", "script": {"inline": script}},
        "statistic": "p50", "at_most": "500ms", "window": "2500ms"});
    let rate = json!({"measure": "value", "check": {"type": "file", "file": {"path": count}},
        "value": {"text": "requests_total (\\d+)"}, "statistic": "rate", "at_least": "0.1",
        "window": "2s"});
    let mut latency = performance("latency", &latency);
    latency["run_options"] = json!({"interval": "900ms", "timeout": "890ms", "retries": 1});
    let checks = json!({"dependencies": [performance("throughput", &rate), latency]});
    let line = format!(
        "i=0; until test -e '{halt}'; do i=$((i + 1)); echo requests_total $i > '{count}.new'; \
         mv '{count}.new' '{count}'; sleep 0.1; done; exec sleep 1000",
        halt = halt.display(),
        count = count.display(),
    );
    let shop = worker("shop", "/bin/sh", &["-c", &line]).managed("health", checks);
    let mut fleet = FleetBuilder::new(&sandbox).worker(shop).start().unwrap();
    let healthy = |view: &WorkerView| is(view, true, "healthy");
    let first = fleet.wait_until("shop", "healthy", SOON, healthy).unwrap();
    put(&slow, "");
    told(&fleet, ("shop", "latency"), "failing", "percentile 50 of the latency is 0.");
    fs::remove_file(&slow).unwrap();
    fleet.wait_until("shop", "fast again", SOON, healthy).unwrap();
    put(&halt, "");
    told(&fleet, ("shop", "throughput"), "failing", "the rate of the value is 0.000");
    let degraded = |view: &WorkerView| is(view, true, "degraded");
    let last = fleet.wait_until("shop", "degraded", SOON, degraded).unwrap();
    assert_eq!((last.pid(), last.restarts()), (first.pid(), 0));
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_worker_whose_service_is_gone_is_degraded_and_restarted_only_where_that_is_asked_for() {
    let sandbox = Sandbox::new().unwrap();
    let port = free_port().unwrap();
    let needs = |restart: bool| {
        let tcp = json!({"address": "127.0.0.1", "port": port});
        let mut service = check("service", "tcp", &tcp);
        service["restart"] = restart.into();
        json!({"dependencies": [service]})
    };
    let sleeper =
        |id, restart| worker(id, "/bin/sleep", &["1000"]).managed("health", needs(restart));
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(dummy("service", &["--tcp-port", &port.to_string()]))
        .worker(sleeper("patient", false))
        .worker(sleeper("strict", true))
        .start()
        .unwrap();
    let healthy = |view: &WorkerView| is(view, true, "healthy");
    let first = fleet.wait_until("patient", "healthy", SOON, healthy).unwrap();
    let before = fleet.wait_until("strict", "healthy", SOON, healthy).unwrap();
    fleet.tell(&["stop", "service"]).unwrap();
    let degraded = |view: &WorkerView| is(view, true, "degraded");
    fleet.wait_until("patient", "degraded and ready", SOON, degraded).unwrap();
    told(&fleet, ("patient", "service"), "failing", "refused");
    let again = |view: &WorkerView| view.restarts() > before.restarts();
    fleet.wait_until("strict", "restarted", SOON, again).unwrap();
    fleet.tell(&["start", "service"]).unwrap();
    let after = fleet.wait_until("patient", "healthy again", SOON, healthy).unwrap();
    assert_eq!((after.pid(), after.restarts()), (first.pid(), 0));
    fleet.wait_until("strict", "healthy again", SOON, healthy).unwrap();
    fleet.stop(SOON).unwrap();
}
