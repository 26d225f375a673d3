//! The past: how workers were, what changed, and what an exported journal tells.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write, stdout};
use std::path::Path;

use hsu_api::{
    CausedView, Causes, DiffView, HistoryView, JOURNAL_FORM, JournalLine, MomentView, Past,
    PastList,
};
use hsu_model::time::WallTime;
use serde::Serialize;
use serde_json::Value;

use crate::arguments::{Diff, History, Output, Replay};
use crate::client::{Client, parse};
use crate::exit::{Exit, Failure};
use crate::ordering::{path, segment};
use crate::records::LOOK;
use crate::screen::escaped;
use crate::showing::{json, print_list};

/// Events that a replay shows before its last moment.
const SHOWN: usize = 20;

fn ask<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<T, Failure> {
    parse(&client.bytes("GET", path, "", Some(LOOK))?)
}

/// Shows the fleet as it was.
pub(crate) fn list(
    client: &Client,
    at: &str,
    workers: &[String],
    output: Output,
) -> Result<Exit, Failure> {
    let mut past: PastList = ask(client, &format!("/v1/workers?at={}", segment(at)))?;
    if let Some(unknown) =
        workers.iter().find(|id| past.workers.iter().all(|worker| worker.id != **id))
    {
        let detail = format!("no worker was named {unknown:?} at {}", past.moment.at);
        let problem = hsu_api::Problem::new(404, "unknown-worker", "no such worker", detail);
        return Err(Failure::Problem(Box::new(problem)));
    }
    past.workers.retain(|worker| workers.is_empty() || workers.contains(&worker.id));
    let mut text = Vec::new();
    match output {
        Output::Json => writeln!(text, "{}", json(&past)?)?,
        Output::Text => print_past(&mut text, &past)?,
    }
    stdout().lock().write_all(&text)?;
    Ok(Exit::Success)
}

fn print_past(out: &mut impl Write, past: &PastList) -> Result<(), Failure> {
    writeln!(out, "As of {}, after event {}:", past.moment.at, past.moment.sequence)?;
    print_list(out, &past.workers)?;
    if !past.inexact.is_empty() {
        let names = past.inexact.join(", ");
        writeln!(out, "In the middle of a change: {}", escaped(names.as_bytes()))?;
    }
    Ok(())
}

/// Shows what happened to one worker.
pub(crate) fn history(client: &Client, wanted: &History) -> Result<Exit, Failure> {
    let mut query = format!("/history?limit={}", wanted.limit);
    if let Some(since) = &wanted.since {
        query.push_str(&format!("&since={}", segment(since)));
    }
    let history: HistoryView = ask(client, &path(&wanted.worker, &query))?;
    let mut text = Vec::new();
    match wanted.output {
        Output::Json => writeln!(text, "{}", json(&history)?)?,
        Output::Text => {
            history.events.iter().try_for_each(|event| print_event(&mut text, event, ""))?;
            if let Some(begins) = &history.begins {
                let (sequence, at) = (begins.sequence, &begins.at);
                writeln!(text, "The journal begins with event {sequence} at {at}.")?;
            }
        }
    }
    stdout().lock().write_all(&text)?;
    Ok(Exit::Success)
}

/// Shows what changed between two moments.
pub(crate) fn diff(client: &Client, wanted: &Diff) -> Result<Exit, Failure> {
    let mut query = format!("/v1/diff?from={}", segment(&wanted.from));
    if let Some(to) = &wanted.to {
        query.push_str(&format!("&to={}", segment(to)));
    }
    let diff: DiffView = ask(client, &query)?;
    let mut text = Vec::new();
    match wanted.output {
        Output::Json => writeln!(text, "{}", json(&diff)?)?,
        Output::Text => print_diff(&mut text, &diff)?,
    }
    stdout().lock().write_all(&text)?;
    Ok(Exit::Success)
}

fn print_diff(out: &mut impl Write, diff: &DiffView) -> Result<(), Failure> {
    let (from, to) = (&diff.from, &diff.to);
    writeln!(
        out,
        "From {} (event {}) to {} (event {}):",
        from.at, from.sequence, to.at, to.sequence
    )?;
    for event in &diff.master {
        let text = format!("{} #{} {}: {}", event.at, event.sequence, event.actor, event.text);
        writeln!(out, "{}", escaped(text.as_bytes()))?;
    }
    for worker in &diff.workers {
        writeln!(out, "{}", escaped(worker.id.as_bytes()))?;
        for change in &worker.changes {
            let text =
                format!("{}: {} -> {}", change.field, word(&change.before), word(&change.after));
            writeln!(out, "    {}", escaped(text.as_bytes()))?;
        }
        if worker.omitted > 0 {
            writeln!(out, "    ({} earlier events are left out)", worker.omitted)?;
        }
        worker.events.iter().try_for_each(|event| print_event(&mut *out, event, "    "))?;
    }
    if diff.workers.is_empty() && diff.master.is_empty() {
        writeln!(out, "Nothing happened.")?;
    }
    Ok(())
}

/// A value of a field, short.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields
            .get("text")
            .and_then(Value::as_str)
            .map_or_else(|| value.to_string(), str::to_owned),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}

fn print_event(out: &mut impl Write, found: &CausedView, indent: &str) -> Result<(), Failure> {
    let event = &found.event;
    let cause = found.cause.map_or_else(String::new, |cause| format!(" (because of #{cause})"));
    let text = format!("{} #{} {}: {}{cause}", event.at, event.sequence, event.actor, event.text);
    writeln!(out, "{indent}{}", escaped(text.as_bytes()))?;
    Ok(())
}

/// Writes the whole journal into a file.
pub(crate) fn export(client: &Client, file: &Path) -> Result<Exit, Failure> {
    let mut answer = client.ask("GET", "/v1/journal", "", Some(LOOK))?;
    let unwritten = |source| Failure::File { path: file.to_owned(), source };
    let mut out = File::create(file).map_err(unwritten)?;
    let mut bytes = Vec::new();
    let mut tail = Vec::new();
    loop {
        let more = client.read(&mut answer, &mut bytes)?;
        out.write_all(&bytes).map_err(unwritten)?;
        tail.extend_from_slice(&bytes);
        let last = tail.iter().rev().skip(1).position(|byte| *byte == b'\n');
        let keep = last.map_or(0, |last| tail.len() - 1 - last);
        tail.drain(..keep);
        bytes.clear();
        if !more {
            break;
        }
    }
    out.sync_all().map_err(unwritten)?;
    match serde_json::from_slice(&tail) {
        // A journal that cannot be read to its end says so in its last line.
        Ok(problem) => Err(Failure::Problem(Box::new(problem))),
        Err(_) => Ok(Exit::Success),
    }
}

/// What a replay ends with.
#[derive(Debug, Serialize)]
struct Replayed {
    #[serde(flatten)]
    past: PastList,
    /// The latest events, oldest first.
    events: Vec<CausedView>,
}

/// Plays an exported journal.
pub(crate) fn replay(wanted: &Replay) -> Result<Exit, Failure> {
    let name = escaped(wanted.file.as_os_str().as_encoded_bytes());
    let wrong = |line: usize, what: String| Failure::Input(format!("{name}:{line}: {what}"));
    let file = File::open(&wanted.file)
        .map_err(|error| Failure::Input(format!("cannot read {name}: {error}")))?;
    let mut player = Player::default();
    let mut is_journal = false;
    for (place, text) in BufReader::new(file).lines().enumerate() {
        let (place, text) = (place + 1, text.map_err(|error| wrong(place + 1, error.to_string()))?);
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| wrong(place, format!("it is no line of a journal: {error}")))?;
        // What a later version tells besides is passed over.
        let Ok(line) = serde_json::from_value::<JournalLine>(value) else {
            if place == 1 {
                return Err(wrong(1, "it is no journal of `events --export`".to_owned()));
            }
            continue;
        };
        if let JournalLine::Journal(head) = &line {
            is_journal = true;
            if head.form > JOURNAL_FORM {
                let hint = format!("replay it with version {} of hsu-master-cli", head.version);
                return Err(wrong(place, format!("its form is {}: {hint}", head.form)));
            }
        }
        if !is_journal {
            return Err(wrong(1, "it is no journal of `events --export`".to_owned()));
        }
        if !player.take(line, wanted.until) {
            break;
        }
    }
    let replayed =
        player.end(wanted.until).map_err(|what| Failure::Input(format!("{name}: {what}")))?;
    let mut text = Vec::new();
    match wanted.output {
        Output::Json => writeln!(text, "{}", json(&replayed)?)?,
        Output::Text => {
            replayed.events.iter().try_for_each(|found| {
                let of = found.event.worker.as_deref().unwrap_or("the master");
                print_event(&mut text, found, &format!("{} ", escaped(of.as_bytes())))
            })?;
            print_past(&mut text, &replayed.past)?;
        }
    }
    stdout().lock().write_all(&text)?;
    Ok(Exit::Success)
}

/// Plays lines in their order.
#[derive(Debug, Default)]
struct Player {
    past: Past,
    causes: Causes,
    events: Vec<CausedView>,
    /// When each worker was what it is.
    since: BTreeMap<String, String>,
    first: Option<u64>,
    last: Option<u64>,
    moment: Option<MomentView>,
}

impl Player {
    /// Takes one line; whether more are wanted.
    fn take(&mut self, line: JournalLine, until: Option<u64>) -> bool {
        match line {
            JournalLine::Journal(head) => (self.first, self.last) = (head.first, head.last),
            JournalLine::Event(event) => {
                if until.is_some_and(|until| event.sequence > until) {
                    return false;
                }
                self.past.fold(&event);
                if let ("spawned" | "adopted", Some(worker)) = (event.kind.as_str(), &event.worker)
                {
                    self.since.insert(worker.clone(), event.at.clone());
                }
                self.moment = Some(MomentView { sequence: event.sequence, at: event.at.clone() });
                let cause = self.causes.of(&event);
                self.events.push(CausedView { cause, event });
                if self.events.len() > 2 * SHOWN {
                    self.events.drain(..SHOWN);
                }
            }
            JournalLine::Status(status) => {
                if until.is_none_or(|until| status.sequence <= until) {
                    self.since.insert(status.id.clone(), status.at);
                    self.past.set(&status.id, status.status);
                }
            }
        }
        true
    }

    fn end(mut self, until: Option<u64>) -> Result<Replayed, String> {
        if let Some((last, until)) = self.last.zip(until).filter(|(last, until)| until > last) {
            return Err(format!("event {until} is later than it: it ends with event {last}"));
        }
        let Some(moment) = self.moment else {
            return Err(match self.first.zip(until) {
                Some((first, until)) => {
                    format!("event {until} is older than it: it begins with event {first}")
                }
                None => "it holds no event".to_owned(),
            });
        };
        self.events.drain(..self.events.len().saturating_sub(SHOWN));
        let (mut workers, inexact) = self.past.into_workers();
        let time = |text: &str| hsu_api::parse_time(text, WallTime(0));
        for worker in &mut workers {
            let since = self.since.get(&worker.id).and_then(|at| time(at));
            if let Some((since, asked)) = since.zip(time(&moment.at)) {
                worker.pass(hsu_api::seconds_between(since, asked));
            }
        }
        Ok(Replayed { past: PastList { moment, workers, inexact }, events: self.events })
    }
}

#[cfg(test)]
mod tests {
    use hsu_api::JournalHead;

    use super::*;

    #[test]
    fn a_replay_until_an_event_that_the_journal_does_not_hold_says_where_it_ends() {
        let mut player = Player::default();
        let (first, last) = (Some(1), Some(23));
        let head = JournalHead { form: JOURNAL_FORM, version: String::new(), first, last };
        player.take(JournalLine::Journal(head), Some(9999));
        let refused = player.end(Some(9999)).unwrap_err();
        assert_eq!(refused, "event 9999 is later than it: it ends with event 23");
    }
}
