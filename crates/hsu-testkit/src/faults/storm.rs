//! Storm: every worker fails at once, as often as it may, and is then given up.
//!
//! The start rate bounds how many automatic restarts there are in any stretch of
//! time; what was given up is said by state, event and `why`, and survives a
//! killed master. A worker that fails by itself meanwhile still gets its turn.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::watch::Watch;
use super::{ANSWER_LIMIT, Form};
use crate::chaos::{RECOVERY_LIMIT, Report, STOP_LIMIT, answers};
use crate::error::TestError;
use crate::fleet::{Fleet, FleetBuilder, Role, Worker};
use crate::patience::eventually;
use crate::sandbox::Sandbox;

/// Restarts that each worker has before it is given up.
const RETRIES: u32 = 3;
/// How far the rate may be exceeded, in percent.
const TOLERANCE: f64 = 5.0;
/// A loop that gets no CPU for so long, in seconds, then starts what was due meanwhile.
const LATE: f64 = 0.5;

pub(super) fn run(form: Form, _seed: u64) -> Result<Report, TestError> {
    let (workers, rate, burst) = form.pick((150, 50, 20), (1000, 50, 200));
    let sandbox = Sandbox::new()?;
    let (gate, pipe) = (sandbox.folder().join("gate"), sandbox.folder().join("pipe"));
    sandbox.run_shell(&format!("mkfifo '{}'", pipe.display()))?;
    // Before the gate is open each waits for a line of its own, and costs nothing.
    let (open, wait) = (gate.display(), pipe.display());
    let script = format!("[ -e '{open}' ] || read line < '{wait}'; exit 1");
    let mut builder = FleetBuilder::new(&sandbox)
        .master("start_rate", json!({"per_second": rate, "burst": burst}));
    for number in 0..workers {
        builder = builder.worker(
            Worker::new(&format!("fails-{number}"), "/bin/sh")
                .arguments(["-c".to_owned(), script.clone()])
                .retries(RETRIES, Duration::ZERO),
        );
    }
    let steady = Worker::new("steady", "/bin/sleep").arguments(["100000".to_owned()]);
    let mut fleet = builder.worker(steady).start()?;
    let long = Duration::from_secs(60) + RECOVERY_LIMIT;
    wait_for_all(&fleet, "running", workers + 1, long)?;
    let mut watch = Watch::default();
    let spell = Watch::begin(&fleet);
    let _held = open_gate(&gate, &pipe, workers).map_err(TestError::io("open the gate"))?;
    let begin = Instant::now();
    let due = Duration::from_secs(u64::from(workers * RETRIES / rate));
    while begin.elapsed() < due / 2 {
        watch.ask(&fleet, "in a storm");
        std::thread::sleep(Duration::from_millis(100));
    }
    // One that dies in the middle of it is not last in the queue for long.
    let before = fleet.wait_for("steady", "running", RECOVERY_LIMIT)?.pid();
    for process in before.iter().filter_map(|pid| sandbox.process(*pid).ok().flatten()) {
        process.signal(rustix::process::Signal::KILL)?;
    }
    let killed = Instant::now();
    fleet.wait_until("steady", "running again", due + long, |view| {
        view.pid().is_some() && view.pid() != before
    })?;
    let steady_after = killed.elapsed();
    wait_for_all(&fleet, "tripped", workers, due + long)?;
    let storm = begin.elapsed();
    watch.end(&spell, "in a storm");
    let mut findings = std::mem::take(&mut watch.findings);
    let events = restarts(&fleet)?;
    let most = judge(&events, f64::from(rate), f64::from(burst), &mut findings);
    for id in ["fails-0", "fails-1"] {
        let why = fleet.tell(&["why", id])?;
        if !why.contains("breaker") && !why.contains("given up") {
            findings.push(format!("why does not say that {id} was given up: {why}"));
        }
    }
    fleet.kill(Role::Master)?;
    answers(&fleet)?;
    wait_for_all(&fleet, "tripped", workers, RECOVERY_LIMIT)?;
    fleet.stop(STOP_LIMIT)?;
    let count = events.len();
    let expected = usize::try_from(workers * RETRIES).unwrap_or(usize::MAX) + 1;
    if count != expected {
        findings.push(format!("{count} restarts instead of {expected}"));
    }
    let totals = format!(
        "{workers} workers failed {RETRIES} times more in {storm:.1?}, {count} restarts, at most \
         {most:.1} over the rate of {rate}/s; one that was killed meanwhile was back after \
         {steady_after:.1?}; {watch}"
    );
    Ok(Report { totals, findings })
}

/// Lets everybody through; whoever comes later still finds lines while the pipe is held.
fn open_gate(gate: &Path, pipe: &Path, workers: u32) -> std::io::Result<File> {
    std::fs::write(gate, "")?;
    // Opened for both, so that it waits for nobody.
    let mut held = File::options().read(true).write(true).open(pipe)?;
    let lines = usize::try_from(workers).unwrap_or(usize::MAX).saturating_mul(2);
    held.write_all("\n".repeat(lines).as_bytes())?;
    Ok(held)
}

fn wait_for_all(
    fleet: &Fleet<'_>,
    state: &str,
    count: u32,
    within: Duration,
) -> Result<(), TestError> {
    eventually(&format!("{count} workers are {state}"), within + ANSWER_LIMIT, || {
        let list = fleet.list().map_err(|error| error.to_string())?;
        let are = list.iter().filter(|view| view.state() == state).count();
        if are >= usize::try_from(count).unwrap_or(usize::MAX) {
            Ok(())
        } else {
            Err(format!("{are} are"))
        }
    })
}

/// The times of all automatic starts, in seconds, in order: each worker's first is none.
fn restarts(fleet: &Fleet<'_>) -> Result<Vec<f64>, TestError> {
    let answer = fleet.ask(&["events", "--limit", "100000"])?;
    let mut runs: BTreeMap<String, u32> = BTreeMap::new();
    let mut times = Vec::new();
    for event in answer.get("events").and_then(Value::as_array).into_iter().flatten() {
        if event["kind"] != "spawned" {
            continue;
        }
        let worker = event["worker"].as_str().unwrap_or_default().to_owned();
        let starts = runs.entry(worker).or_default();
        *starts += 1;
        if *starts > 1 {
            times.push(seconds(event["at"].as_str().unwrap_or_default()));
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Seconds of the hour of an RFC 3339 time; storms are shorter than one.
fn seconds(at: &str) -> f64 {
    let clock = at.split('T').nth(1).unwrap_or_default().trim_end_matches('Z');
    clock
        .split(':')
        .skip(1)
        .filter_map(|part| part.parse::<f64>().ok())
        .fold(0.0, |sum, part| sum * 60.0 + part)
}

/// The most starts beyond the rate in any stretch; more than the burst is a finding.
fn judge(times: &[f64], rate: f64, burst: f64, findings: &mut Vec<String>) -> f64 {
    // A bucket that drains at the rate: its level is what any stretch that ends here
    // has had too much of.
    let (mut level, mut last, mut most) = (0.0_f64, times.first().copied().unwrap_or(0.0), 0.0_f64);
    for at in times {
        level = (level - (at - last) * rate * (1.0 + TOLERANCE / 100.0)).max(0.0) + 1.0;
        last = *at;
        most = most.max(level);
    }
    if most > burst * (1.0 + TOLERANCE / 100.0) + rate * LATE {
        findings.push(format!("{most:.1} restarts at once, and the burst is {burst}"));
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_the_rate_are_no_finding_and_more_is() {
        let mut findings = Vec::new();
        let fair: Vec<f64> =
            (0..20).map(|_| 1.0).chain((1..100).map(|n| 1.0 + f64::from(n) / 50.0)).collect();
        judge(&fair, 50.0, 20.0, &mut findings);
        assert_eq!(findings, Vec::<String>::new());
        judge(&[1.0; 60], 50.0, 20.0, &mut findings);
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn times_of_events_are_compared_within_an_hour() {
        assert!((seconds("2026-11-28T15:01:02.500Z") - 62.5).abs() < 1e-9);
    }
}
