//! Stop: the end of many workers, a tenth of which does not listen (R29).
//!
//! Nobody is killed before its grace is over, whoever listens is not killed at
//! all, and everything is over within the longest grace and a second, or the time
//! after which the stop of everything is forced.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Form;
use crate::chaos::{Report, STOP_LIMIT};
use crate::error::TestError;
use crate::fleet::{FleetBuilder, Worker};
use crate::patience::eventually;
use crate::sandbox::Sandbox;

/// The grace of a worker.
const GRACE: Duration = Duration::from_secs(3);
/// Clocks of shells and of the test are compared.
const BLUR: Duration = Duration::from_millis(50);

pub(super) fn run(form: Form, _seed: u64) -> Result<Report, TestError> {
    let count = form.pick(100, 1000);
    let sandbox = Sandbox::new()?;
    let notes = sandbox.folder().join("notes");
    fs::create_dir_all(&notes).map_err(TestError::io("make a folder"))?;
    let mut builder = FleetBuilder::new(&sandbox);
    for number in 0..count {
        builder = builder.worker(worker(number, &notes.display().to_string()));
    }
    let mut fleet = builder.start()?;
    let within = STOP_LIMIT + Duration::from_millis(u64::from(count) * 100);
    eventually("all workers listen", within, || {
        let ready = fs::read_dir(&notes).map_or(0, Iterator::count);
        if ready >= usize::try_from(count).unwrap_or(0) { Ok(()) } else { Err(ready.to_string()) }
    })?;
    // The journal of the end is read by the next master, which starts nothing.
    let begin = Instant::now();
    fleet.stop(within)?;
    let took = begin.elapsed();
    let config = fs::read_to_string(fleet.config()).map_err(TestError::io("read a file"))?;
    let mut document: Value = serde_json::from_str(&config).unwrap_or_default();
    for worker in document["workers"].as_array_mut().into_iter().flatten() {
        worker["enabled"] = false.into();
    }
    fs::write(fleet.config(), document.to_string()).map_err(TestError::io("write a file"))?;
    fleet.launch()?;
    let answer = fleet.ask(&["events", "--limit", "1000000"])?;
    let mut findings = Vec::new();
    let (mut ended, mut killed) = (0_u32, 0_u32);
    let mut asked: BTreeMap<String, f64> = BTreeMap::new();
    for event in answer["events"].as_array().into_iter().flatten() {
        let worker = event["worker"].as_str().unwrap_or_default().to_owned();
        let at = millis(event["at"].as_str().unwrap_or_default());
        match event["kind"].as_str() {
            Some("signalled") => drop(asked.insert(worker, at)),
            Some("exited") => {
                ended += 1;
                if event["exit"]["signal"] == 9 {
                    killed += 1;
                    let waited = at - asked.get(&worker).copied().unwrap_or(at);
                    if waited + millis_of(BLUR) < millis_of(GRACE) {
                        findings.push(format!("{worker} was killed after {waited} ms"));
                    }
                    if !is_deaf_name(&worker) {
                        findings.push(format!("{worker} was killed, and it listens"));
                    }
                }
            }
            _ => {}
        }
    }
    if ended != count {
        findings.push(format!("{ended} of {count} exits are known"));
    }
    if asked.len() != usize::try_from(count).unwrap_or(0) {
        findings.push(format!("{} of {count} workers were asked to end", asked.len()));
    }
    fleet.stop(STOP_LIMIT)?;
    let totals = format!(
        "{count} workers, {killed} of them did not listen, all ended after {took:.1?}; the grace \
         is {GRACE:?}; findings {}",
        findings.len()
    );
    Ok(Report { totals, findings })
}

fn is_deaf(number: u32) -> bool {
    number.is_multiple_of(10)
}

fn is_deaf_name(id: &str) -> bool {
    id.trim_start_matches("w-").parse().is_ok_and(is_deaf)
}

fn worker(number: u32, notes: &str) -> Worker {
    let id = format!("w-{number}");
    let on_term = if is_deaf(number) { "" } else { "exit 0" };
    let script = format!(
        "trap '{on_term}' TERM; echo > '{notes}/{id}'; while :; do sleep 1000 & wait $!; done"
    );
    Worker::new(&id, "/bin/sh").arguments(["-c".to_owned(), script]).grace(GRACE)
}

/// Milliseconds of the day of an RFC 3339 time.
fn millis(at: &str) -> f64 {
    let clock = at.split('T').nth(1).unwrap_or_default().trim_end_matches('Z');
    let parts = clock.split(':').filter_map(|part| part.parse::<f64>().ok());
    parts.fold(0.0, |sum, part| sum * 60.0 + part) * 1000.0
}

fn millis_of(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
