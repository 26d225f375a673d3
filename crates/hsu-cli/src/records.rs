//! Records: output and events, as the master sends them, one JSON object a line.

use std::io::{self, IsTerminal as _, Write, stderr, stdout};
use std::sync::Once;
use std::time::Duration;

use hsu_api::{Description, EventList, LineView, Problem};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::arguments::{Events, Logs, Output};
use crate::client::{Answer, Client, parse};
use crate::exit::{Exit, Failure};
use crate::ordering::{path, segment};
use crate::screen::escaped;
use crate::showing::{json, print_event};

/// How long the master may look for old lines and events.
pub(crate) const LOOK: Duration = Duration::from_secs(60);
/// Stands for the rest of a line.
const MORE: &[u8] = b" [...]";
/// Events that are shown when nobody says how many.
const SOME_EVENTS: usize = 100;

/// Shows what happened.
pub(crate) fn events(client: &Client, wanted: &Events) -> Result<Exit, Failure> {
    let limit = wanted.limit.unwrap_or(SOME_EVENTS);
    let query = match wanted.after {
        Some(after) => format!("after={after}&limit={limit}"),
        None => format!("last={limit}"),
    };
    let list = list(client, &query, wanted.worker.as_deref())?;
    let mut text = Vec::new();
    match wanted.output {
        Output::Json => writeln!(text, "{}", json(&list)?)?,
        Output::Text => list.events.iter().try_for_each(|event| print_event(&mut text, event))?,
    }
    write(&text)?;
    Ok(Exit::Success)
}

/// Asks for events that there are.
pub(crate) fn list(
    client: &Client,
    query: &str,
    worker: Option<&str>,
) -> Result<EventList, Failure> {
    let query = format!("/v1/events?{query}{}", about(worker));
    parse(&client.bytes("GET", &query, "", Some(LOOK))?)
}

/// The part of a query that leaves out other workers.
pub(crate) fn about(worker: Option<&str>) -> String {
    worker.map_or_else(String::new, |worker| format!("&worker={}", segment(worker)))
}

/// Shows the output of a worker.
pub(crate) fn logs(client: &Client, wanted: &Logs) -> Result<Exit, Failure> {
    let screen = Screen::of(wanted);
    let query = path(&wanted.worker, &format!("/logs?follow=false{}", narrowed(wanted)));
    let answer = client.ask("GET", &query, "", Some(LOOK))?;
    let mut is_empty = true;
    each::<LineView>(client, answer, |out, bytes, line| {
        is_empty = false;
        screen.show(out, bytes, line)
    })?;
    if is_empty {
        tell_when_off(client, &wanted.worker);
    }
    Ok(Exit::Success)
}

/// The part of a query that says which lines are wanted.
pub(crate) fn narrowed(wanted: &Logs) -> String {
    let mut query = String::new();
    for (name, value) in [("since", &wanted.since), ("stream", &wanted.stream)] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    if let Some(tail) = wanted.tail {
        query.push_str(&format!("&tail={tail}"));
    }
    query
}

/// Says why there is nothing, when the reason is that nothing is collected.
pub(crate) fn tell_when_off(client: &Client, worker: &str) {
    let description: Result<Description, _> = client.get(&path(worker, ""));
    let Ok(Description { collected: Some(collected), .. }) = description else {
        return;
    };
    if collected.is_empty() {
        let text = "hint: the output of this worker is not collected; give it `log_collection`, or start \
                    hsu-master with --enable-log\n";
        // Nobody is left to hear that standard error is closed.
        drop(stderr().write_all(text.as_bytes()));
    }
}

/// Says once that lines are longer than what is shown of them.
fn tell_of_more() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        let text = "hint: of a line longer than 64 KiB only the beginning is shown; a file output \
                    with format `plain` has all of it\n";
        // Nobody is left to hear that standard error is closed.
        drop(stderr().write_all(text.as_bytes()));
    });
}

/// How lines are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    output: Output,
    is_raw: bool,
    timestamps: bool,
}

impl Screen {
    pub(crate) fn of(wanted: &Logs) -> Self {
        Self {
            output: wanted.output,
            is_raw: wanted.raw || !stdout().is_terminal(),
            timestamps: wanted.timestamps,
        }
    }

    pub(crate) fn show(self, out: &mut Vec<u8>, bytes: &[u8], line: &LineView) -> io::Result<()> {
        if self.output == Output::Json {
            out.write_all(bytes)?;
            return out.write_all(b"\n");
        }
        if self.timestamps {
            let head = format!("{} {}", line.time, line.stream);
            write!(out, "{} ", escaped(head.as_bytes()))?;
        }
        let text = line.bytes.as_deref().unwrap_or(line.line.as_bytes());
        if self.is_raw {
            out.write_all(text)?;
        } else {
            out.write_all(escaped(text).as_bytes())?;
            out.write_all(if line.shortened { MORE } else { b"" })?;
        }
        if line.shortened {
            tell_of_more();
        }
        out.write_all(b"\n")
    }
}

/// Hands every record of a growing answer to `show`, and writes what it made of those that came
/// together.
pub(crate) fn each<T: DeserializeOwned>(
    client: &Client,
    mut answer: Answer,
    mut show: impl FnMut(&mut Vec<u8>, &[u8], &T) -> io::Result<()>,
) -> Result<(), Failure> {
    let (mut buffer, mut text) = (Vec::new(), Vec::new());
    loop {
        let more = client.read(&mut answer, &mut buffer)?;
        let end = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = buffer.drain(..end).collect();
        for record in whole.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()) {
            match parse::<T>(record) {
                Ok(value) => show(&mut text, record, &value)?,
                Err(failure) => {
                    write(&text)?;
                    return Err(last(record).unwrap_or(failure));
                }
            }
        }
        write(&text)?;
        text.clear();
        if !more {
            return Ok(());
        }
    }
}

/// Writes what is there by now, also when the end of its last line is not.
pub(crate) fn write(text: &[u8]) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text)?;
    out.flush()
}

/// What a last record says about why there are no more: a problem, or an object that holds one.
fn last(record: &[u8]) -> Option<Failure> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Last {
        Bare(Problem),
        Held { problem: Problem },
    }
    let (Last::Bare(problem) | Last::Held { problem }) = serde_json::from_slice(record).ok()?;
    Some(Failure::Problem(Box::new(problem)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_record_is_a_problem_in_either_shape() {
        let problem = serde_json::json!(Problem::new(503, "slow-reader", "let go", "too slow"));
        let held = serde_json::json!({"problem": problem});
        for record in [problem, held] {
            let failure = last(record.to_string().as_bytes()).unwrap();
            assert_eq!(failure.to_string(), "too slow");
        }
        assert!(last(b"{\"else\": 1}").is_none());
    }
}
