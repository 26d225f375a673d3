//! Orders: what changes something.

use std::io::{Write as _, stdout};
use std::path::Path;
use std::time::Duration;

use hsu_api::{
    CommandAnswer, CommandRequest, ShutdownRequest, UpgradeRequest, WorkerList, WorkerView,
};
use serde::Serialize;
use serde_json::Value;

use crate::arguments::Which;
use crate::client::{Client, PATIENCE, parse};
use crate::exit::{Exit, Failure};
use crate::screen::escaped;

/// Room for the master's own patience beside ours.
const SLACK: Duration = Duration::from_secs(5);

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Input(error.to_string()))
}

/// A worker's path. Whatever is no id stays one segment and is unknown to the master.
pub(crate) fn path(worker: &str, rest: &str) -> String {
    let mut segment = String::new();
    for byte in worker.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    if segment.is_empty() {
        // An empty name would be another path.
        segment.push_str("%20");
    }
    format!("/v1/workers/{segment}{rest}")
}

/// Does the same to several workers; the first failure decides the exit code, none stops the others.
pub(crate) fn command(client: &Client, which: &Which, verb: &str) -> Result<Exit, Failure> {
    let workers = if which.all {
        let list: WorkerList = client.get("/v1/workers")?;
        list.workers.into_iter().map(|worker| worker.id).collect()
    } else {
        which.workers.clone()
    };
    let body = json(&CommandRequest { force: which.force, signal: None })?;
    let patience = Some(Duration::from_secs_f64(which.timeout));
    let mut first = None;
    for worker in &workers {
        let answer = match verb {
            "remove" => client.bytes("DELETE", &path(worker, ""), "", patience),
            verb => client.bytes("POST", &path(worker, &format!("/{verb}")), &body, patience),
        };
        match answer.and_then(|bytes| report(&bytes)) {
            Ok(()) => {}
            Err(failure) if workers.len() == 1 => return Err(failure),
            Err(failure) => {
                let text = format!("{worker}: {failure}");
                writeln!(std::io::stderr(), "error: {}", escaped(text.as_bytes()))?;
                first.get_or_insert_with(|| failure.exit());
            }
        }
    }
    Ok(first.unwrap_or(Exit::Success))
}

fn report(bytes: &[u8]) -> Result<(), Failure> {
    let answer: CommandAnswer = parse(bytes)?;
    let text = format!("{}: {} ({})", answer.worker, answer.message, answer.state);
    writeln!(stdout().lock(), "{}", escaped(text.as_bytes()))?;
    Ok(())
}

/// Sends a signal to a worker.
pub(crate) fn signal(client: &Client, worker: &str, signal: &str) -> Result<Exit, Failure> {
    let body = json(&CommandRequest { force: false, signal: Some(signal.to_owned()) })?;
    report(&client.bytes("POST", &path(worker, "/signal"), &body, Some(PATIENCE))?)?;
    Ok(Exit::Success)
}

/// Waits until a worker is in a state.
pub(crate) fn wait(
    client: &Client,
    worker: &str,
    state: &str,
    timeout: f64,
) -> Result<Exit, Failure> {
    let limit = Duration::try_from_secs_f64(timeout)
        .map_err(|_| Failure::Input(format!("{timeout} is no time to wait")))?;
    let is_word = state.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let state = if is_word { state } else { "unknown" };
    let query = format!("/wait?for={state}&timeout={timeout}");
    let bytes = client.bytes("GET", &path(worker, &query), "", Some(limit + SLACK))?;
    let view: WorkerView = parse(&bytes)?;
    writeln!(stdout().lock(), "{} is {}", view.id, view.state)?;
    Ok(Exit::Success)
}

/// Replaces the master.
pub(crate) fn upgrade(client: &Client, executable: Option<&Path>) -> Result<Exit, Failure> {
    let executable = match executable {
        Some(path) => {
            let path = std::path::absolute(path)?;
            Some(
                path.to_str()
                    .map(str::to_owned)
                    .ok_or_else(|| Failure::Input(format!("{} is no UTF-8", path.display())))?,
            )
        }
        None => None,
    };
    let body = json(&UpgradeRequest { executable })?;
    let patience = Some(Duration::from_secs(15));
    print_message(&client.bytes("POST", "/v1/master/upgrade", &body, patience)?)
}

/// Ends the master.
pub(crate) fn shutdown(client: &Client, keep_workers: bool, force: bool) -> Result<Exit, Failure> {
    let body = json(&ShutdownRequest { keep_workers, force })?;
    print_message(&client.bytes("POST", "/v1/master/shutdown", &body, Some(PATIENCE))?)
}

fn print_message(bytes: &[u8]) -> Result<Exit, Failure> {
    let answer: Value = parse(bytes)?;
    writeln!(stdout().lock(), "{}", answer["message"].as_str().unwrap_or("done"))?;
    Ok(Exit::Success)
}
