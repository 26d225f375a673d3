//! Records: output and events, which may go on for as long as somebody looks.

use std::io::{self, BufWriter, IsTerminal as _, Write, stdout};
use std::time::Duration;

use hsu_api::{EventList, EventView, LineView, Problem};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::arguments::{Events, Logs, Output};
use crate::client::{Client, parse};
use crate::exit::{Exit, Failure};
use crate::ordering::{path, segment};
use crate::screen::escaped;
use crate::showing::{json, print_event};

/// How long the master may look for old lines and events.
const LOOK: Duration = Duration::from_secs(60);

/// Shows what happened, and with `-f` what happens.
pub(crate) fn events(client: &Client, wanted: &Events) -> Result<Exit, Failure> {
    let mut query = format!("/v1/events?limit={}&follow={}", wanted.limit, wanted.follow);
    if let Some(after) = wanted.after {
        query.push_str(&format!("&after={after}"));
    }
    if let Some(worker) = &wanted.worker {
        query.push_str(&format!("&worker={}", segment(worker)));
    }
    if wanted.follow {
        return records::<EventView>(client, &query, None, |out, bytes, event| {
            match wanted.output {
                Output::Json => out.write_all(bytes).and_then(|()| writeln!(out)),
                Output::Text => print_event(out, event),
            }
        });
    }
    let list: EventList = parse(&client.bytes("GET", &query, "", Some(LOOK))?)?;
    let mut out = BufWriter::new(stdout().lock());
    match wanted.output {
        Output::Json => writeln!(out, "{}", json(&list)?)?,
        Output::Text => list.events.iter().try_for_each(|event| print_event(&mut out, event))?,
    }
    out.flush()?;
    Ok(Exit::Success)
}

/// Shows the output of a worker.
pub(crate) fn logs(client: &Client, wanted: &Logs) -> Result<Exit, Failure> {
    let mut query = format!("/logs?follow={}", wanted.follow);
    for (name, value) in [("since", &wanted.since), ("stream", &wanted.stream)] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    if let Some(tail) = wanted.tail {
        query.push_str(&format!("&tail={tail}"));
    }
    let is_raw = wanted.raw || !stdout().is_terminal();
    let patience = (!wanted.follow).then_some(LOOK);
    let query = path(&wanted.worker, &query);
    records::<LineView>(client, &query, patience, |out, bytes, line| {
        if wanted.output == Output::Json {
            out.write_all(bytes)?;
            return writeln!(out);
        }
        if wanted.timestamps {
            let head = format!("{} {}", line.time, line.stream);
            write!(out, "{} ", escaped(head.as_bytes()))?;
        }
        let text = line.bytes.as_deref().unwrap_or(line.line.as_bytes());
        if is_raw {
            out.write_all(text)?;
        } else {
            out.write_all(escaped(text).as_bytes())?;
        }
        out.write_all(b"\n")
    })
}

/// Hands every record of a growing answer to `show`, as it comes.
fn records<T: DeserializeOwned>(
    client: &Client,
    query: &str,
    patience: Option<Duration>,
    show: impl Fn(&mut dyn Write, &[u8], &T) -> io::Result<()>,
) -> Result<Exit, Failure> {
    let mut answer = client.ask("GET", query, "", patience)?;
    let mut out = BufWriter::new(stdout().lock());
    let mut buffer = Vec::new();
    loop {
        let more = client.read(&mut answer, &mut buffer)?;
        let end = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = buffer.drain(..end).collect();
        for record in whole.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()) {
            match parse::<T>(record) {
                Ok(value) => show(&mut out, record, &value)?,
                Err(failure) => {
                    out.flush()?;
                    return Err(last(record).unwrap_or(failure));
                }
            }
        }
        out.flush()?;
        if !more {
            return Ok(Exit::Success);
        }
    }
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
