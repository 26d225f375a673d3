//! Orders: what is asked for several workers at once.

use std::collections::BTreeSet;
use std::io::{Write as _, stdout};
use std::time::{Duration, Instant};

use hsu_api::{CommandAnswer, CommandRequest, WorkerList, WorkerView};
use serde::Serialize;

use crate::arguments::{Output, Wait, Which};
use crate::client::{Client, PATIENCE, parse};
use crate::exit::{Exit, Failure};
use crate::handover::Handover;
use crate::screen::escaped;
use crate::socket::REST;
use crate::timing::named;

/// Commands under way at the same time; the master serves more connections than this.
const AT_ONCE: usize = 32;
/// Room for the master's own patience beside ours.
const SLACK: Duration = Duration::from_secs(5);

/// A value as one line.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
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

/// Does the same to several workers at once.
pub(crate) fn command(
    client: &Client,
    which: &Which,
    verb: &str,
    force: bool,
) -> Result<Exit, Failure> {
    let workers = if which.all {
        let list: WorkerList = client.get("/v1/workers")?;
        let starts = matches!(verb, "start" | "restart");
        // Who says "all" does not mean those that somebody else does not allow to run.
        let meant = list.workers.into_iter().filter(|worker| worker.enabled || !starts);
        meant.map(|worker| worker.id).collect()
    } else {
        let mut names = which.workers.clone();
        // A second order would meet the first one under way.
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    };
    let wait = which.timeout.is_zero().then_some(false);
    let body = json(&CommandRequest { force, wait, ..CommandRequest::default() })?;
    let order = Order { verb, body, timeout: which.timeout };
    each(&workers, which.output, |worker| order.give(client, worker), print_answer)
}

/// Sends a signal to a worker.
pub(crate) fn signal(
    client: &Client,
    worker: &str,
    signal: &str,
    output: Output,
) -> Result<Exit, Failure> {
    let request = CommandRequest { signal: Some(signal.to_owned()), ..CommandRequest::default() };
    let order = Order { verb: "signal", body: json(&request)?, timeout: PATIENCE };
    let workers = [worker.to_owned()];
    each(&workers, output, |worker| order.give(client, worker), print_answer)
}

/// Waits until workers are in a state, for as long as it is wanted since `begun`.
pub(crate) fn wait(client: &Client, wanted: &Wait, begun: Instant) -> Result<Exit, Failure> {
    let ask = |worker: &String| -> Result<WorkerView, Failure> {
        let mut handover = Handover::default();
        loop {
            let rest = wanted.timeout.saturating_sub(begun.elapsed());
            // A first look has the whole time, so that a refusal names what was asked for.
            let rest = if rest + SLACK > wanted.timeout { wanted.timeout } else { rest };
            let (state, seconds) = (segment(&wanted.state), rest.as_secs_f64());
            let query = format!("/wait?for={state}&timeout={seconds}");
            let patience = Some(rest.saturating_add(SLACK));
            match client.bytes("GET", &path(worker, &query), "", patience) {
                Ok(bytes) => return parse(&bytes),
                Err(failure) if handover.goes_on(&failure) => {}
                // Another master may be started while it is waited for.
                Err(Failure::Unreachable { .. }) if begun.elapsed() < wanted.timeout => {
                    std::thread::sleep(REST);
                }
                Err(failure) => return Err(failure),
            }
        }
    };
    let reached = |view: &WorkerView| match wanted.state.as_str() {
        "ready" => format!("{} is ready", view.id),
        _ => format!("{} is {}", view.id, view.state),
    };
    each(&wanted.workers, wanted.output, ask, reached)
}

fn print_answer(answer: &CommandAnswer) -> String {
    format!("{}: {} ({})", answer.worker, answer.message, answer.state)
}

/// What one worker shall do.
struct Order<'a> {
    verb: &'a str,
    body: String,
    timeout: Duration,
}

impl Order<'_> {
    /// Asks the master, or the one after it when it is being replaced.
    fn give(&self, client: &Client, worker: &str) -> Result<CommandAnswer, Failure> {
        let asked = Instant::now();
        let mut handover = Handover::default();
        loop {
            let failure = match self.ask(client, worker) {
                Ok(bytes) => return parse(&bytes),
                Err(failure @ Failure::Silent { .. }) => {
                    return Err(self.late(client, worker, failure));
                }
                Err(failure) => failure,
            };
            // A signal that was sent already would be one too many.
            let is_unsure = self.verb == "signal" && matches!(failure, Failure::Ended);
            if is_unsure || !handover.goes_on(&failure) {
                return Err(failure);
            }
            // A second restart would be one too many.
            if self.verb == "restart"
                && let Some(answer) = restarted_since(client, worker, asked)
            {
                return Ok(answer);
            }
        }
    }

    fn ask(&self, client: &Client, worker: &str) -> Result<Vec<u8>, Failure> {
        let patience = Some(if self.timeout.is_zero() { PATIENCE } else { self.timeout });
        if self.verb == "remove" {
            return client.bytes("DELETE", &path(worker, ""), "", patience);
        }
        client.bytes("POST", &path(worker, &format!("/{}", self.verb)), &self.body, patience)
    }

    /// A worker that is slow is not a master that hangs.
    fn late(&self, client: &Client, worker: &str, silent: Failure) -> Failure {
        match client.get::<WorkerView>(&path(worker, "")) {
            Ok(view) => Failure::Late {
                worker: worker.to_owned(),
                state: view.state,
                verb: self.verb.to_owned(),
                timeout: named(self.timeout),
            },
            Err(_) => silent,
        }
    }
}

/// The answer that was lost, when the process that runs is younger than the question.
fn restarted_since(client: &Client, worker: &str, asked: Instant) -> Option<CommandAnswer> {
    let view: WorkerView = client.get(&path(worker, "")).ok()?;
    let uptime = view.uptime_seconds?;
    (view.state == "running" && uptime < asked.elapsed().as_secs_f64()).then(|| CommandAnswer {
        worker: view.id,
        state: view.state,
        message: "restarted; the master was replaced meanwhile".to_owned(),
    })
}

/// Asks for each worker, some at once, and prints the answers in the order of the workers; the
/// first failure decides the exit code, none stops the others.
fn each<T: Serialize + Send>(
    workers: &[String],
    output: Output,
    ask: impl Fn(&String) -> Result<T, Failure> + Sync,
    text: impl Fn(&T) -> String,
) -> Result<Exit, Failure> {
    let mut first = None;
    for some in workers.chunks(AT_ONCE) {
        for (worker, answer) in some.iter().zip(at_once(some, &ask)) {
            let line = match (&answer, output) {
                (Ok(answer), Output::Text) => Some(escaped(text(answer).as_bytes())),
                (Ok(answer), Output::Json) => Some(json(answer)?),
                (Err(failure), Output::Json) => Some(json(&failure.problem().about(worker))?),
                (Err(_), Output::Text) => None,
            };
            if let Some(line) = line {
                writeln!(stdout().lock(), "{line}")?;
            }
            match answer {
                Ok(_) => {}
                Err(failure) if workers.len() == 1 => return Err(failure),
                Err(failure) => {
                    complain(worker, &failure);
                    first = first.or_else(|| Some(failure.exit()));
                }
            }
        }
    }
    Ok(first.unwrap_or(Exit::Success))
}

fn complain(worker: &str, failure: &Failure) {
    let text = format!("{worker}: {failure}");
    let mut text = format!("error: {}\n", escaped(text.as_bytes()));
    if let Some(hint) = failure.hint() {
        text.push_str(&format!("hint: {}\n", escaped(hint.as_bytes())));
    }
    // Nobody is left to hear that standard error is closed.
    drop(std::io::stderr().write_all(text.as_bytes()));
}

fn at_once<T: Send>(
    workers: &[String],
    ask: &(impl Fn(&String) -> Result<T, Failure> + Sync),
) -> Vec<Result<T, Failure>> {
    if let [worker] = workers {
        return vec![ask(worker)];
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            workers.iter().map(|worker| scope.spawn(move || ask(worker))).collect();
        let crashed = |_| Err(Failure::Answer("its thread has crashed".to_owned()));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(crashed)).collect()
    })
}
