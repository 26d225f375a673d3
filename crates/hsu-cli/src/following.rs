//! Following: output and events as they come, from one master to the next.
//!
//! Events are numbered across masters, so following goes on after the last number.
//! Lines have no number: following goes on with the lines of each stream that
//! arrived when its last one did, and leaves out as many as were seen of those. A
//! line is lost or repeated only when one stream was silent until then and shares
//! its millisecond with the other one.

use std::sync::mpsc;

use hsu_api::{EventView, LineView};

use crate::arguments::{Events, Logs, Output};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::handover::Handover;
use crate::ordering::{path, segment};
use crate::records::{LOOK, Screen, about, each, list, narrowed, tell_when_off, write};
use crate::showing::print_event;

/// Before every line.
const BEGINNING: &str = "1970-01-01T00:00:00.000Z";

/// Shows what happens, and before it the last `--limit` of what happened.
pub(crate) fn events(client: &Client, wanted: &Events) -> Result<Exit, Failure> {
    let mut handover = Handover::default();
    let mut after = begin(client, wanted, &mut handover)?;
    loop {
        let query = format!("/v1/events?follow=true&after={after}{}", about(worker(wanted)));
        let followed = client.ask("GET", &query, "", None).and_then(|answer| {
            handover.over();
            each::<EventView>(client, answer, |out, _, event| {
                after = event.sequence;
                show(out, wanted.output, event)
            })
        });
        // A stream that is followed has no end of its own.
        let failure = followed.err().unwrap_or(Failure::Ended);
        if !handover.goes_on(&failure) {
            return Err(failure);
        }
    }
}

/// The number after which following begins, which is known before the first event comes: a
/// master may be lost before it.
fn begin(client: &Client, wanted: &Events, handover: &mut Handover) -> Result<u64, Failure> {
    if let Some(after) = wanted.after {
        if wanted.limit.is_some() {
            let text = "with -f, --after and --limit both say where to begin: give one of them";
            return Err(Failure::Input(text.to_owned()));
        }
        return Ok(after);
    }
    let newest = handover.ask(|| list(client, "last=1", None))?;
    let newest = newest.events.last().map_or(0, |event| event.sequence);
    let limit = wanted.limit.unwrap_or(0);
    let query = format!("last={limit}");
    let past = handover.ask(|| list(client, &query, worker(wanted)))?.events;
    let mut text = Vec::new();
    past.iter().try_for_each(|event| show(&mut text, wanted.output, event))?;
    write(&text)?;
    Ok(past.last().map_or(newest, |event| newest.max(event.sequence)))
}

fn worker(wanted: &Events) -> Option<&str> {
    wanted.worker.as_deref()
}

fn show(out: &mut Vec<u8>, output: Output, event: &EventView) -> std::io::Result<()> {
    match output {
        Output::Json => {
            serde_json::to_writer(&mut *out, event)?;
            out.push(b'\n');
            Ok(())
        }
        Output::Text => print_event(out, event),
    }
}

/// Shows the output of a worker, and what comes.
pub(crate) fn logs(client: &Client, wanted: &Logs) -> Result<Exit, Failure> {
    let mut places = match wanted.stream.as_deref() {
        Some(stream) => vec![Place::new(stream)],
        None => vec![Place::new("stdout"), Place::new("stderr")],
    };
    let at = |rest: &str| path(&wanted.worker, rest);
    let mut handover = Handover::default();
    let newest = handover.ask(|| client.bytes("GET", &at("/logs?tail=1"), "", Some(LOOK)))?;
    if newest.is_empty() {
        tell_when_off(client, &wanted.worker);
    }
    let screen = Screen::of(wanted);
    let query = at(&format!("/logs?follow=true{}", narrowed(wanted)));
    // Where nothing was left out and nothing was seen there was nothing.
    let is_whole = wanted.tail.is_none() && wanted.since.is_none();
    let now = hsu_api::rfc3339(hsu_sys::clock::now().wall);
    let begun = if is_whole { BEGINNING.to_owned() } else { now };
    let mut first = None;
    let answer = handover.ask(|| client.ask("GET", &query, "", None))?;
    let followed = each::<LineView>(client, answer, |out, bytes, line| {
        first.get_or_insert_with(|| line.time.clone());
        places.iter_mut().for_each(|place| place.note(line));
        screen.show(out, bytes, line)
    });
    let failure = followed.err().unwrap_or(Failure::Ended);
    if !failure.is_farewell() {
        return Err(failure);
    }
    // A stream that was silent goes on where the other one began: it had nothing before.
    let (sender, failures) = mpsc::channel();
    for mut place in places {
        place.time = place.time.or_else(|| first.clone()).or_else(|| Some(begun.clone()));
        let (client, worker) = (client.clone(), wanted.worker.clone());
        let sender = sender.clone();
        std::thread::spawn(move || {
            // Whoever waited has ended, and the process with it.
            drop(sender.send(place.follow(&client, &worker, screen)));
        });
    }
    drop(sender);
    Err(failures.recv().unwrap_or(failure))
}

/// How far one stream was read.
#[derive(Debug)]
struct Place {
    stream: String,
    /// When its last line arrived.
    time: Option<String>,
    /// Lines seen that arrived then.
    seen: usize,
}

impl Place {
    fn new(stream: &str) -> Self {
        Self { stream: stream.to_owned(), time: None, seen: 0 }
    }

    fn note(&mut self, line: &LineView) {
        if line.stream != self.stream {
            return;
        }
        if self.time.as_ref() == Some(&line.time) {
            self.seen += 1;
        } else {
            self.time = Some(line.time.clone());
            self.seen = 1;
        }
    }

    /// Goes on with one stream at the next master, and the one after it.
    fn follow(mut self, client: &Client, worker: &str, screen: Screen) -> Failure {
        let mut handover = Handover::default();
        let mut failure = Failure::Ended;
        while handover.goes_on(&failure) {
            let since = self.time.as_deref().unwrap_or(BEGINNING);
            let rest = format!("/logs?follow=true&stream={}&since={}", self.stream, segment(since));
            let mut known = Known { time: self.time.clone(), left: self.seen };
            let followed = client.ask("GET", &path(worker, &rest), "", None).and_then(|answer| {
                handover.over();
                each::<LineView>(client, answer, |out, bytes, line| {
                    if known.holds(line) {
                        return Ok(());
                    }
                    self.note(line);
                    screen.show(out, bytes, line)
                })
            });
            failure = followed.err().unwrap_or(Failure::Ended);
        }
        failure
    }
}

/// Lines that were seen already, at the beginning of an answer.
struct Known {
    time: Option<String>,
    left: usize,
}

impl Known {
    fn holds(&mut self, line: &LineView) -> bool {
        let is_known = self.left > 0 && self.time.as_ref() == Some(&line.time);
        self.left = if is_known { self.left - 1 } else { 0 };
        is_known
    }
}
