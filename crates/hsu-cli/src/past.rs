//! The past: how workers were, what changed, and what an exported journal tells.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::ops::RangeInclusive;
use std::path::Path;

use hsu_api::{
    CausedView, Causes, DiffView, EventView, HistoryView, JOURNAL_FORM, JournalLine, MomentView,
    Past, PastList,
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
use crate::timing::Until;

/// Events that a replay shows before its last moment.
const SHOWN: usize = 20;
/// Stands for standard input or output where a file is named.
const STANDARD: &str = "-";

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
            if history.events.is_empty() {
                writeln!(text, "Nothing happened to it since then.")?;
            }
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
    let begin = match from.sequence {
        0 => "the beginning of the journal".to_owned(),
        sequence => format!("event {sequence}"),
    };
    writeln!(out, "From {} ({begin}) to {} (event {}):", from.at, to.at, to.sequence)?;
    for event in &diff.master {
        let text = format!("{} #{} {}: {}", event.at, event.sequence, event.actor, event.text);
        writeln!(out, "{}", escaped(text.as_bytes()))?;
    }
    for worker in &diff.workers {
        writeln!(out, "{}", escaped(worker.id.as_bytes()))?;
        if !worker.changes.is_empty() && worker.changes.iter().all(|one| one.after.is_null()) {
            writeln!(out, "    it is there no more")?;
        } else {
            for change in &worker.changes {
                let (before, after) = (word(&change.before), word(&change.after));
                let text = format!("{}: {before} -> {after}", change.field);
                writeln!(out, "    {}", escaped(text.as_bytes()))?;
            }
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
        Value::Object(fields) => {
            let text = fields.get("text").and_then(Value::as_str);
            let text = text.map_or_else(|| value.to_string(), str::to_owned);
            // Two ends may read the same.
            let run = fields.get("run").and_then(Value::as_u64);
            match run {
                Some(run) => format!("{text} (run {run})"),
                None => text,
            }
        }
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

/// Writes the whole journal into a file, or to standard output.
pub(crate) fn export(client: &Client, file: &Path) -> Result<Exit, Failure> {
    let mut answer = client.ask("GET", "/v1/journal", "", Some(LOOK))?;
    let is_standard = file == Path::new(STANDARD);
    let unwritten = |source| match is_standard {
        true => Failure::Output(source),
        false => Failure::File { path: file.to_owned(), source },
    };
    let made = (!is_standard).then(|| File::create(file)).transpose().map_err(unwritten)?;
    let mut out: Box<dyn Write> = match &made {
        Some(made) => Box::new(made),
        None => Box::new(stdout().lock()),
    };
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
    made.as_ref().map_or(Ok(()), File::sync_all).map_err(unwritten)?;
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
    /// Numbers that the file has no event of, between its first and its last.
    missing: Vec<RangeInclusive<u64>>,
}

/// Plays an exported journal.
pub(crate) fn replay(wanted: &Replay) -> Result<Exit, Failure> {
    let is_standard = wanted.file == Path::new(STANDARD);
    let name = match is_standard {
        true => "standard input".to_owned(),
        false => escaped(wanted.file.as_os_str().as_encoded_bytes()),
    };
    let wrong = |what: String| Failure::Input(format!("{name}{what}"));
    let unread = |error: std::io::Error| Failure::Input(format!("cannot read {name}: {error}"));
    let lines = match is_standard {
        true => read(stdin().lock()),
        false => read(BufReader::new(File::open(&wanted.file).map_err(unread)?)),
    };
    let lines = lines.map_err(|(line, what)| wrong(format!(":{line}: {what}")))?;
    let replayed = play(lines, wanted.until).map_err(|what| wrong(format!(": {what}")))?;
    let mut text = Vec::new();
    match wanted.output {
        Output::Json => writeln!(text, "{}", json(&replayed)?)?,
        Output::Text => print_replayed(&mut text, &replayed)?,
    }
    stdout().lock().write_all(&text)?;
    Ok(Exit::Success)
}

fn print_replayed(out: &mut impl Write, replayed: &Replayed) -> Result<(), Failure> {
    replayed.events.iter().try_for_each(|found| {
        let of = found.event.worker.as_deref().unwrap_or("the master");
        print_event(&mut *out, found, &format!("{} ", escaped(of.as_bytes())))
    })?;
    print_past(out, &replayed.past)?;
    if !replayed.missing.is_empty() {
        let named = |missing: &RangeInclusive<u64>| match missing.start() == missing.end() {
            true => missing.start().to_string(),
            false => format!("{} to {}", missing.start(), missing.end()),
        };
        let missing: Vec<String> = replayed.missing.iter().map(named).collect();
        writeln!(out, "The file has no event {}", missing.join(", "))?;
    }
    Ok(())
}

/// Reads the lines of an exported journal, the first of which says what it is; an error
/// names the line.
fn read(lines: impl BufRead) -> Result<Vec<JournalLine>, (usize, String)> {
    let mut known = Vec::new();
    let mut latest = 0;
    for (place, text) in (1..).zip(lines.lines()) {
        let text = text.map_err(|error| (place, error.to_string()))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| (place, format!("it is no line of a journal: {error}")))?;
        let line = serde_json::from_value::<JournalLine>(value);
        match (&line, place) {
            (Ok(JournalLine::Journal(head)), _) if head.form > JOURNAL_FORM => {
                let hint = format!("replay it with version {} of hsu-master-cli", head.version);
                return Err((place, format!("its form is {}: {hint}", head.form)));
            }
            (Ok(JournalLine::Journal(_)), _) => {}
            (_, 1) => return Err((1, "it is no journal of `events --export`".to_owned())),
            (Ok(JournalLine::Event(event)), _) if event.sequence <= latest => {
                return Err((place, format!("event {} follows event {latest}", event.sequence)));
            }
            (Ok(JournalLine::Event(event)), _) => latest = event.sequence,
            (Ok(JournalLine::Status(_)) | Err(_), _) => {}
        }
        // What a later version tells besides is passed over.
        known.extend(line);
    }
    Ok(known)
}

/// Plays the lines of a journal up to a moment; an error says what it lacks.
fn play(lines: Vec<JournalLine>, until: Option<Until>) -> Result<Replayed, String> {
    let events = lines.iter().filter_map(|line| match line {
        JournalLine::Event(event) => Some(event),
        JournalLine::Journal(_) | JournalLine::Status(_) => None,
    });
    let Some((first, last)) = events.clone().next().zip(events.clone().next_back()) else {
        return Err("it holds no event".to_owned());
    };
    let promised = lines.iter().find_map(|line| match line {
        JournalLine::Journal(head) => head.last,
        JournalLine::Event(_) | JournalLine::Status(_) => None,
    });
    let bounds = format!("it begins with event {} at {}", first.sequence, first.at);
    let until = match until {
        Some(Until::Event(until)) if until > last.sequence => {
            let end = last.sequence;
            return Err(format!("event {until} is later than it: it ends with event {end}"));
        }
        Some(Until::Event(until)) if until < first.sequence => {
            return Err(format!("event {until} is older than it: {bounds}"));
        }
        Some(Until::Event(until)) => until,
        Some(Until::Time(time)) => {
            let is_by_then = |event: &&EventView| {
                hsu_api::parse_time(&event.at, time).is_some_and(|at| at <= time)
            };
            let event = events.clone().rfind(is_by_then);
            event.ok_or_else(|| format!("that is before it: {bounds}"))?.sequence
        }
        None => match promised.filter(|promised| *promised > last.sequence) {
            Some(promised) => {
                let (before, end) = (first.sequence - 1, last.sequence);
                let (there, all) = (end - before, promised - before);
                let hint = format!("hint: `--until {end}` plays what is there");
                return Err(format!("its end is cut off: {there} of {all} events; {hint}"));
            }
            None => last.sequence,
        },
    };
    let mut player = Player::default();
    lines.into_iter().for_each(|line| player.take(line, until));
    player.end().ok_or_else(|| "it holds no event".to_owned())
}

/// Plays lines in their order.
#[derive(Debug, Default)]
struct Player {
    past: Past,
    causes: Causes,
    events: Vec<CausedView>,
    /// When each worker was what it is.
    since: BTreeMap<String, String>,
    missing: Vec<RangeInclusive<u64>>,
    moment: Option<MomentView>,
}

impl Player {
    /// Takes one line, unless it is of a later moment.
    fn take(&mut self, line: JournalLine, until: u64) {
        match line {
            JournalLine::Event(event) if event.sequence <= until => {
                self.past.fold(&event);
                if let ("spawned" | "adopted", Some(worker)) = (event.kind.as_str(), &event.worker)
                {
                    self.since.insert(worker.clone(), event.at.clone());
                }
                let next = self.moment.as_ref().map_or(event.sequence, |last| last.sequence + 1);
                if next < event.sequence {
                    self.missing.push(next..=event.sequence - 1);
                }
                self.moment = Some(MomentView { sequence: event.sequence, at: event.at.clone() });
                let cause = self.causes.of(&event);
                self.events.push(CausedView { cause, event });
                if self.events.len() > 2 * SHOWN {
                    self.events.drain(..SHOWN);
                }
            }
            JournalLine::Status(status) if status.sequence <= until => {
                self.since.insert(status.id.clone(), status.at);
                self.past.set(&status.id, status.status);
            }
            JournalLine::Journal(_) | JournalLine::Event(_) | JournalLine::Status(_) => {}
        }
    }

    /// What it came to; none without an event.
    fn end(mut self) -> Option<Replayed> {
        let moment = self.moment?;
        self.events.drain(..self.events.len().saturating_sub(SHOWN));
        let (mut workers, inexact) = self.past.into_workers();
        let time = |text: &str| hsu_api::parse_time(text, WallTime(0));
        for worker in &mut workers {
            let since = self.since.get(&worker.id).and_then(|at| time(at));
            if let Some((since, asked)) = since.zip(time(&moment.at)) {
                worker.pass(hsu_api::seconds_between(since, asked));
            }
        }
        let past = PastList { moment, workers, inexact };
        Some(Replayed { past, events: self.events, missing: self.missing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64, at: &str) -> String {
        let body = format!(r#""sequence":{sequence},"at":"{at}","worker":null,"actor":"master""#);
        format!(r#"{{"event":{{{body},"kind":"master_started","text":""}}}}"#)
    }

    /// A journal of events that follow each other by an hour, as it was promised to end.
    fn journal(events: &[u64], last: u64) -> String {
        let head = format!(r#"{{"journal":{{"form":1,"version":"1","first":1,"last":{last}}}}}"#);
        let events = events.iter().map(|event_number| {
            event(*event_number, &format!("2026-01-01T{event_number:02}:00:00.000Z"))
        });
        std::iter::once(head).chain(events).collect::<Vec<_>>().join("\n")
    }

    fn played(text: &str, until: Option<Until>) -> Result<Replayed, String> {
        read(text.as_bytes()).map_err(|(_, what)| what).and_then(|lines| play(lines, until))
    }

    #[test]
    fn a_replay_until_a_moment_that_the_journal_does_not_hold_says_where_it_begins_or_ends() {
        let text = journal(&[3, 4, 5], 5);
        let refused = |until| played(&text, Some(until)).unwrap_err();
        let later = "event 9999 is later than it: it ends with event 5";
        assert_eq!(refused(Until::Event(9999)), later);
        assert!(refused(Until::Event(2)).contains("it begins with event 3 at 2026-01-01T03"));
        let time = hsu_api::parse_time("2026-01-01T02:59:59Z", WallTime(0)).unwrap();
        assert!(refused(Until::Time(time)).contains("it begins with event 3 at 2026-01-01T03"));
    }

    #[test]
    fn a_replay_until_a_time_ends_with_the_latest_event_by_then() {
        let text = journal(&[3, 4, 5], 5);
        for (time, expected) in [("04:00:00Z", 4), ("04:59:59Z", 4), ("23:00:00Z", 5)] {
            let time = hsu_api::parse_time(&format!("2026-01-01T{time}"), WallTime(0)).unwrap();
            let replayed = played(&text, Some(Until::Time(time))).unwrap();
            assert_eq!(replayed.past.moment.sequence, expected);
        }
    }

    #[test]
    fn a_journal_of_which_a_part_is_missing_says_which() {
        let replayed = played(&journal(&[1, 2, 4, 7], 7), None).unwrap();
        assert_eq!(replayed.missing, [3..=3, 5..=6]);
        let mut text = Vec::new();
        print_replayed(&mut text, &replayed).unwrap();
        assert!(String::from_utf8_lossy(&text).contains("The file has no event 3, 5 to 6\n"));
        let cut = played(&journal(&[1, 2], 7), None).unwrap_err();
        assert!(cut.starts_with("its end is cut off: 2 of 7 events; hint: `--until 2`"), "{cut}");
        let late = played(&journal(&[3, 4], 7), None).unwrap_err();
        assert!(late.starts_with("its end is cut off: 2 of 5 events; hint: `--until 4`"), "{late}");
        assert!(played(&journal(&[1, 2], 7), Some(Until::Event(2))).is_ok());
        let moved = read(journal(&[1, 3, 2], 3).as_bytes()).unwrap_err();
        assert_eq!(moved, (4, "event 2 follows event 3".to_owned()));
        let other = read(&b"{}"[..]).unwrap_err();
        assert_eq!(other, (1, "it is no journal of `events --export`".to_owned()));
    }
}
