//! Orders: what changes something.

use std::io::{Write as _, stdout};
use std::path::Path;
use std::time::Duration;

use hsu_api::{
    CommandAnswer, CommandRequest, MessageView, ShutdownMode, ShutdownRequest, UpgradeRequest,
    WorkerList, WorkerView,
};
use serde::Serialize;

use crate::arguments::{Output, Which};
use crate::client::{Client, PATIENCE, parse};
use crate::exit::{Exit, Failure};
use crate::screen::escaped;

/// Commands under way at the same time; the master serves more connections than this.
const AT_ONCE: usize = 32;
/// Room for the master's own patience beside ours.
const SLACK: Duration = Duration::from_secs(5);

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Input(error.to_string()))
}

/// A text as one segment of a path, or one value of a query.
pub(crate) fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// A worker's path. Whatever is no id stays one segment and is unknown to the master.
pub(crate) fn path(worker: &str, rest: &str) -> String {
    match worker {
        // An empty name would be another path.
        "" => format!("/v1/workers/%20{rest}"),
        worker => format!("/v1/workers/{}{rest}", segment(worker)),
    }
}

/// Does the same to several workers at once; the first failure decides the exit code, none stops
/// the others.
pub(crate) fn command(
    client: &Client,
    which: &Which,
    verb: &str,
    force: bool,
) -> Result<Exit, Failure> {
    let workers = if which.all {
        let list: WorkerList = client.get("/v1/workers")?;
        list.workers.into_iter().map(|worker| worker.id).collect()
    } else {
        which.workers.clone()
    };
    let body = json(&CommandRequest { force, ..CommandRequest::default() })?;
    let patience = Some(Duration::from_secs_f64(which.timeout));
    let ask = |worker: &String| match verb {
        "remove" => client.bytes("DELETE", &path(worker, ""), "", patience),
        verb => client.bytes("POST", &path(worker, &format!("/{verb}")), &body, patience),
    };
    let mut first = None;
    for some in workers.chunks(AT_ONCE) {
        let answers: Vec<_> = match some {
            [worker] => vec![ask(worker)],
            some => std::thread::scope(|scope| {
                let threads: Vec<_> =
                    some.iter().map(|worker| scope.spawn(|| ask(worker))).collect();
                let crashed = |_| Err(Failure::Answer("its thread has crashed".to_owned()));
                threads.into_iter().map(|thread| thread.join().unwrap_or_else(crashed)).collect()
            }),
        };
        for (worker, answer) in some.iter().zip(answers) {
            match answer.and_then(|bytes| report(&bytes)) {
                Ok(()) => {}
                Err(failure) if workers.len() == 1 => return Err(failure),
                // Nobody reads what else there is to say.
                Err(failure @ Failure::Output(_)) => return Err(failure),
                Err(failure) => {
                    let text = format!("{worker}: {failure}");
                    writeln!(std::io::stderr(), "error: {}", escaped(text.as_bytes()))?;
                    if let Some(hint) = failure.hint() {
                        writeln!(std::io::stderr(), "hint: {}", escaped(hint.as_bytes()))?;
                    }
                    first = first.or_else(|| Some(failure.exit()));
                }
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
    let body =
        json(&CommandRequest { signal: Some(signal.to_owned()), ..CommandRequest::default() })?;
    report(&client.bytes("POST", &path(worker, "/signal"), &body, Some(PATIENCE))?)?;
    Ok(Exit::Success)
}

/// Waits until a worker is in a state.
pub(crate) fn wait(
    client: &Client,
    worker: &str,
    state: &str,
    timeout: f64,
    output: Output,
) -> Result<Exit, Failure> {
    let limit = Duration::try_from_secs_f64(timeout)
        .map_err(|_| Failure::Input(format!("{timeout} is no time to wait")))?;
    let query = format!("/wait?for={}&timeout={timeout}", segment(state));
    let bytes =
        client.bytes("GET", &path(worker, &query), "", Some(limit.saturating_add(SLACK)))?;
    let view: WorkerView = parse(&bytes)?;
    let mut out = stdout().lock();
    match output {
        Output::Json => writeln!(out, "{}", crate::showing::json(&view)?)?,
        Output::Text => writeln!(out, "{} is {}", view.id, view.state)?,
    }
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
    let mode = if keep_workers { ShutdownMode::KeepWorkers } else { ShutdownMode::StopWorkers };
    let body = json(&ShutdownRequest { mode, force })?;
    print_message(&client.bytes("POST", "/v1/master/shutdown", &body, Some(PATIENCE))?)
}

fn print_message(bytes: &[u8]) -> Result<Exit, Failure> {
    let answer: MessageView = parse(bytes)?;
    writeln!(stdout().lock(), "{}", escaped(answer.message.as_bytes()))?;
    Ok(Exit::Success)
}
