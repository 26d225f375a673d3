//! The past: the fleet as it was, what changed between two moments, and the whole journal.

use axum::body::{Body, Bytes};
use hsu_api::{
    CausedView, Causes, DiffView, EventView, HistoryView, JOURNAL_FORM, JournalHead, JournalLine,
    MomentView, Past, PastList, Problem, StatusView, WorkerDiff, WorkerView, differences,
};
use hsu_model::event::{Event, EventKind};
use hsu_model::id::WorkerId;
use hsu_model::time::WallTime;
use hsu_runtime::control::ControlError;
use hsu_store::{Moment, Reader, StoreError};
use std::collections::BTreeMap;
use std::convert::Infallible;
use tokio::sync::mpsc::channel;
use tokio_stream::wrappers::ReceiverStream;

use crate::problems::{bad, unavailable, unknown};

/// Events of one worker that are folded at most.
const MOST_FOLDED: usize = 10_000;
/// Events before a difference in which causes are looked for.
const CONTEXT: u64 = 2_000;
/// Events that one difference is made of at most.
const MOST_COMPARED: usize = 200_000;
/// Events that are read and sent at once.
const CHUNK: usize = 500;
/// Chunks that wait for a reader.
const WAITING: usize = 4;
/// A time is written to the millisecond, and an event may be later within it.
const MILLISECOND: i64 = 1_000_000;

type Found<T> = Result<T, Box<Problem>>;

fn unread(error: &StoreError) -> Box<Problem> {
    unavailable(&ControlError::Journal(error.to_string())).into()
}

/// A moment that the journal holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    sequence: u64,
    /// What was asked for, which may be later than the event.
    wall: WallTime,
}

impl Point {
    fn view(self) -> MomentView {
        MomentView { sequence: self.sequence, at: hsu_api::rfc3339(self.wall) }
    }
}

/// Finds a moment: the number of an event, a time, or a span before now.
pub(crate) fn find(past: &Reader, text: &str, now: WallTime) -> Found<Point> {
    let extent = past.extent().map_err(|error| unread(&error))?;
    let Some((first, last)) = extent else {
        return Err(gone("the journal is empty").into());
    };
    if let Ok(sequence) = text.parse::<u64>() {
        if sequence > last {
            let detail = format!("event {sequence} has not happened; the latest is {last}");
            return Err(not_yet(detail).into());
        }
        // Numbers may jump: the latest event up to it is the moment.
        let event = event_before(past, sequence)?.filter(|_| sequence >= first);
        let event = event.ok_or_else(|| too_old(past, first))?;
        return Ok(Point { sequence, wall: event.at });
    }
    let asked = hsu_api::parse_time(text, now).ok_or_else(|| {
        bad("no such moment", format!("{text:?} is neither a number, a time nor a span"))
            .hint("the number of an event, a span such as 10m or 2h, or an RFC 3339 time")
    })?;
    if asked > now {
        return Err(not_yet(format!("{text} is in the future")).into());
    }
    let inclusive = if asked.0 % MILLISECOND == 0 { asked.0 + MILLISECOND - 1 } else { asked.0 };
    let event = past.event_at(WallTime(inclusive)).map_err(|error| unread(&error))?;
    let event = event.ok_or_else(|| too_old(past, first))?;
    Ok(Point { sequence: event.sequence, wall: asked.max(event.at) })
}

/// The moment before the first event of all, while the journal still holds that.
fn beginning(past: &Reader) -> Option<Point> {
    let events = past.events(0, None, 1).ok()?;
    let first = events.first().filter(|event| event.sequence == 1)?;
    Some(Point { sequence: 0, wall: first.at })
}

/// The latest event up to a number.
fn event_before(past: &Reader, sequence: u64) -> Found<Option<Event>> {
    let exact = past.events(sequence.saturating_sub(1), None, 1).map_err(|error| unread(&error))?;
    if let Some(event) = exact.into_iter().find(|event| event.sequence == sequence) {
        return Ok(Some(event));
    }
    past.latest_until(sequence, None).map_err(|error| unread(&error))
}

fn not_yet(detail: String) -> Problem {
    Problem::new(404, "not-yet", "not yet", detail)
}

fn gone(detail: impl Into<String>) -> Problem {
    Problem::new(410, "gone", "older than the journal", detail)
        .hint("ask for a later moment; `hsu-master-cli events --export FILE` keeps what is there")
}

fn too_old(past: &Reader, first: u64) -> Box<Problem> {
    let event = past.events(first.saturating_sub(1), None, 1).unwrap_or_default();
    let at = event
        .first()
        .map_or_else(String::new, |event| format!(" at {}", hsu_api::rfc3339(event.at)));
    gone(format!("the journal begins with event {first}{at}")).into()
}

/// A worker as it was written, at another time.
fn view(moment: &Moment, until: WallTime) -> Option<WorkerView> {
    let status = moment.status.as_ref()?;
    let mut view = WorkerView::new(status, moment.at);
    view.pass(hsu_api::seconds_between(moment.at.wall, until));
    Some(view)
}

/// The fleet after an event.
fn fleet(past: &Reader, point: Point) -> Found<Past> {
    let unread = |error: StoreError| unread(&error);
    let moments = past.statuses_at(point.sequence, None).map_err(unread)?;
    let began = |event: &Event| matches!(event.kind, EventKind::MasterStarted { .. });
    let life = past.latest_until(point.sequence, Some(&began)).map_err(unread)?;
    let life = life.map_or(0, |event| event.sequence);
    let mut played = Past::default();
    for moment in moments {
        let id = moment.worker.as_str();
        if moment.sequence < life {
            // Each master writes at its start what its workers are. It had none of this name.
            let latest = past.statuses_at(u64::MAX, Some(&moment.worker)).map_err(unread)?;
            if latest.iter().all(|latest| latest.sequence < life) {
                continue;
            }
        }
        played.set(id, view(&moment, point.wall));
        let later = past.events(moment.sequence, Some(&moment.worker), MOST_FOLDED);
        let later = later.map_err(unread)?;
        for event in later.iter().take_while(|event| event.sequence <= point.sequence) {
            played.fold(&EventView::from(event));
        }
    }
    Ok(played)
}

/// The fleet as it was.
pub(crate) fn list(past: &Reader, at: &str, now: WallTime) -> Found<PastList> {
    let point = find(past, at, now)?;
    let (workers, inexact) = fleet(past, point)?.into_workers();
    Ok(PastList { moment: point.view(), workers, inexact })
}

/// What happened to one worker.
pub(crate) fn history(
    past: &Reader,
    id: &str,
    since: Option<&str>,
    limit: usize,
    now: WallTime,
) -> Found<HistoryView> {
    let worker = WorkerId::new(id).map_err(|_| unknown(id))?;
    let events = past.last_events(Some(&worker), usize::MAX).map_err(|error| unread(&error))?;
    if events.is_empty() {
        return Err(unknown(id).into());
    }
    let after = match since {
        None => 0,
        // Whatever is older than the journal leaves nothing out.
        Some(since) => match find(past, since, now) {
            Ok(point) => point.sequence,
            Err(problem) if problem.status == 410 => 0,
            Err(problem) => return Err(problem),
        },
    };
    let mut events = with_causes(past, &events)?;
    events.retain(|found| found.event.sequence > after);
    events.drain(..events.len().saturating_sub(limit));
    let first = past.events(0, None, 1).map_err(|error| unread(&error))?;
    let begins = first
        .first()
        .map(|event| MomentView { sequence: event.sequence, at: hsu_api::rfc3339(event.at) });
    Ok(HistoryView { worker: id.to_owned(), begins, events })
}

/// Events of one worker, each with what led to it; that may be an event about the master.
fn with_causes(past: &Reader, events: &[Event]) -> Found<Vec<CausedView>> {
    let master = past.events_about_master().map_err(|error| unread(&error))?;
    let mut master = master.iter().peekable();
    let mut causes = Causes::default();
    let found = events.iter().map(|event| {
        while let Some(earlier) = master.next_if(|other| other.sequence < event.sequence) {
            caused(&mut causes, earlier);
        }
        caused(&mut causes, event)
    });
    Ok(found.collect())
}

fn caused(causes: &mut Causes, event: &Event) -> CausedView {
    let event = EventView::from(event);
    CausedView { cause: causes.of(&event), event }
}

/// What changed between two moments, and why.
pub(crate) fn diff(past: &Reader, from: &str, to: &str, now: WallTime) -> Found<DiffView> {
    let from = match find(past, from, now) {
        // Nothing is missing of a journal that has its first event.
        Err(problem) if problem.status == 410 => beginning(past).ok_or(problem)?,
        found => found?,
    };
    let to = find(past, to, now)?;
    if from.sequence > to.sequence {
        let detail = "`from` is later than `to`";
        return Err(bad("the wrong way round", detail).hint("exchange them").into());
    }
    let (before, after) = (fleet(past, from)?, fleet(past, to)?);
    let begin = from.sequence.saturating_sub(CONTEXT);
    let events = past.events(begin, None, MOST_COMPARED).map_err(|error| unread(&error))?;
    let (mut causes, mut master) = (Causes::default(), Vec::new());
    let mut by_worker: BTreeMap<String, Vec<CausedView>> = BTreeMap::new();
    for event in events.iter().take_while(|event| event.sequence <= to.sequence) {
        let found = caused(&mut causes, event);
        if event.sequence <= from.sequence {
            continue;
        }
        match &event.worker {
            Some(worker) => by_worker.entry(worker.as_str().to_owned()).or_default().push(found),
            None => master.push(found.event),
        }
    }
    let workers = by_worker.into_iter().map(|(id, mut events)| {
        let omitted = events.len().saturating_sub(WorkerDiff::MOST);
        events.drain(..omitted);
        let changes = differences(before.worker(&id), after.worker(&id));
        WorkerDiff { id, changes, events, omitted }
    });
    Ok(DiffView { from: from.view(), to: to.view(), workers: workers.collect(), master })
}

/// The whole journal, a line for each event and each status.
pub(crate) fn journal(past: Reader) -> Body {
    let (sender, receiver) = channel::<Result<Bytes, Infallible>>(WAITING);
    std::thread::spawn(move || {
        // A journal that cannot be read ends early, and its last line is a problem.
        if let Err(problem) = export(&past, |bytes| sender.blocking_send(Ok(bytes)).is_ok()) {
            let mut bytes = serde_json::to_vec(&*problem).unwrap_or_default();
            bytes.push(b'\n');
            drop(sender.blocking_send(Ok(bytes.into())));
        }
    });
    Body::from_stream(ReceiverStream::new(receiver))
}

fn line(bytes: &mut Vec<u8>, line: &JournalLine) {
    serde_json::to_writer(&mut *bytes, line).unwrap_or_default();
    bytes.push(b'\n');
}

fn status_line(moment: &Moment) -> JournalLine {
    JournalLine::Status(Box::new(StatusView {
        sequence: moment.sequence,
        at: hsu_api::rfc3339(moment.at.wall),
        id: moment.worker.as_str().to_owned(),
        status: view(moment, moment.at.wall),
    }))
}

/// Sends the journal in pieces, until `send` says that nobody listens.
fn export(past: &Reader, send: impl Fn(Bytes) -> bool) -> Found<()> {
    let unread = |error: StoreError| unread(&error);
    let extent = past.extent().map_err(unread)?;
    let (first, last) = extent.unzip();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut bytes = Vec::new();
    line(
        &mut bytes,
        &JournalLine::Journal(JournalHead { form: JOURNAL_FORM, version, first, last }),
    );
    let mut after = first.unwrap_or(1).saturating_sub(1);
    for moment in past.statuses_at(after, None).map_err(unread)? {
        line(&mut bytes, &status_line(&moment));
    }
    while send(std::mem::take(&mut bytes).into()) {
        let events = past.events(after, None, CHUNK).map_err(unread)?;
        let Some(end) = events.last().map(|event| event.sequence) else { break };
        let moments = past.statuses(after, end).map_err(unread)?;
        let mut moments = moments.iter().peekable();
        for event in &events {
            line(&mut bytes, &JournalLine::Event(EventView::from(event)));
            while let Some(moment) = moments.next_if(|moment| moment.sequence <= event.sequence) {
                line(&mut bytes, &status_line(moment));
            }
        }
        after = end;
    }
    Ok(())
}
