//! Bodies that grow: lines and events that are followed, one JSON object a line.
//!
//! The spool and the journal hold what a slow reader has not taken yet; here
//! wait [`WAITING`] parcels and no more. A reader that takes nothing for
//! [`STUCK_AFTER`] gets a last record that says so, a problem, and is let go.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use hsu_api::{EventView, Problem};
use hsu_logs::LogError;
use hsu_logs::query::{Follower, Line};
use hsu_model::event::Event;
use hsu_model::id::WorkerId;
use hsu_model::logs::Stream;
use hsu_model::time::WallTime;
use hsu_runtime::control::ControlError;
use tokio::sync::mpsc::{OwnedPermit, Sender, channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_stream::wrappers::ReceiverStream;

use crate::answers::{Answers, line_view};
use crate::problems;

/// Parcels that wait for a reader. The rest waits in the spool or the journal, so a
/// crowd of readers that take nothing costs little memory.
const WAITING: usize = 4;
/// Records are sent in parcels of about so many bytes: fewer wake-ups and system calls.
const PARCEL: usize = 16 << 10;
/// How long a reader may take nothing at all.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// How often a followed spool is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the journal is looked at although no worker has changed.
const EVENTS_EVERY: Duration = Duration::from_secs(1);
/// Events that are read at once.
const EVENTS: usize = 100;
/// Events of a list that are read at once.
const EVENTS_AT_ONCE: usize = 500;

/// Which lines are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) worker: WorkerId,
    pub(crate) streams: Vec<Stream>,
    pub(crate) tail: usize,
    pub(crate) since: Option<WallTime>,
}

type Record = Result<Bytes, Infallible>;

fn record(value: &impl serde::Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// What one followed stream holds while it lasts.
pub(crate) struct Hold {
    /// Its place among all streams.
    pub(crate) place: OwnedSemaphorePermit,
    /// Ends the connection of a stuck reader.
    pub(crate) stuck: Arc<Notify>,
    /// Who may read spools and the journal at the same time.
    pub(crate) turns: Arc<Semaphore>,
}

impl Hold {
    /// Reads on a thread that may wait for the disk; none when the master is ending.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = self.turns.acquire().await.ok()?;
        tokio::task::spawn_blocking(look).await.ok()
    }
}

/// The sending end of a body, with room kept for a last record.
struct Outlet {
    sender: Sender<Record>,
    last: OwnedPermit<Record>,
    hold: Hold,
}

/// Whether the reader is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Listens,
    Left,
    Stuck,
}

impl Outlet {
    fn open(hold: Hold) -> Option<(Self, Body)> {
        let (sender, receiver) = channel::<Record>(WAITING + 1);
        let last = sender.clone().try_reserve_owned().ok()?;
        Some((Self { sender, last, hold }, Body::from_stream(ReceiverStream::new(receiver))))
    }

    /// Sends records in as few parcels as they fit in.
    async fn send_all<T>(&self, records: &[T], show: impl Fn(&T) -> Bytes) -> Reader {
        let mut parcel = Vec::new();
        for (number, one) in records.iter().enumerate() {
            parcel.extend_from_slice(&show(one));
            if parcel.len() < PARCEL && number + 1 < records.len() {
                continue;
            }
            let reader = self.send(std::mem::take(&mut parcel).into()).await;
            if reader != Reader::Listens {
                return reader;
            }
        }
        Reader::Listens
    }

    async fn send(&self, bytes: Bytes) -> Reader {
        match tokio::time::timeout(STUCK_AFTER, self.sender.send(Ok(bytes))).await {
            Ok(Ok(())) => Reader::Listens,
            Ok(Err(_)) => Reader::Left,
            Err(_) => Reader::Stuck,
        }
    }

    /// Says why the body ends here.
    fn close(self, problem: &Problem) {
        drop(self.last.send(Ok(record(problem))));
        drop(self.hold.place);
    }

    fn close_after(self, reader: Reader) {
        if reader == Reader::Stuck {
            self.hold.stuck.notify_one();
            let detail = format!("nothing was read for {} s", STUCK_AFTER.as_secs());
            let problem = Problem::new(503, "slow-reader", "let go", detail);
            self.close(&problem.hint("follow again, and read faster"));
        }
    }
}

/// The lines there are, as one body.
///
/// # Errors
/// The spools', when they cannot be read.
pub(crate) fn lines(answers: &Answers, wanted: &Wanted) -> Result<Vec<u8>, LogError> {
    let spools = answers.control.spools();
    let lines = spools.tail(&wanted.worker, &wanted.streams, wanted.tail, wanted.since)?;
    Ok(lines.iter().flat_map(|line| record(&line_view(line))).collect())
}

/// Where following begins: the lines there are, and the place after them.
///
/// # Errors
/// The spools', when they cannot be read.
pub(crate) fn begin(answers: &Answers, wanted: &Wanted) -> Result<(Vec<Line>, Follower), LogError> {
    let spools = answers.control.spools();
    spools.follow(&wanted.worker, &wanted.streams, wanted.tail, wanted.since)
}

/// Lines as records, from `first` on.
pub(crate) fn follow_lines(first: Vec<Line>, mut follower: Follower, hold: Hold) -> Option<Body> {
    let (outlet, body) = Outlet::open(hold)?;
    tokio::spawn(async move {
        let mut batch = first;
        loop {
            let reader = outlet.send_all(&batch, |line| record(&line_view(line))).await;
            if reader != Reader::Listens {
                return outlet.close_after(reader);
            }
            let look = move || (follower.next_batch(), follower);
            let Some((looked, back)) = outlet.hold.read(look).await else {
                return;
            };
            follower = back;
            batch = match looked {
                Ok(batch) => batch,
                Err(error) => {
                    let problem = Problem::new(500, "logs", "no more lines", error.to_string());
                    return outlet.close(&problem);
                }
            };
            if batch.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = outlet.sender.closed() => return,
                }
            }
        }
    });
    Some(body)
}

/// An [`hsu_api::EventList`], written piece by piece as it is read.
pub(crate) struct EventPieces {
    after: u64,
    limit: usize,
    worker: Option<WorkerId>,
    state: Pieces,
}

/// How far a list has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    Unbegun,
    Begun,
    Over,
}

impl EventPieces {
    pub(crate) fn new(after: u64, limit: usize, worker: Option<WorkerId>) -> Self {
        Self { after, limit, worker, state: Pieces::Unbegun }
    }

    /// Whether the last piece was the last.
    pub(crate) fn is_over(&self) -> bool {
        self.state == Pieces::Over
    }

    /// What comes next; none when all is written.
    ///
    /// # Errors
    /// The journal's, when it cannot be read.
    pub(crate) fn next(&mut self, answers: &Answers) -> Result<Option<Vec<u8>>, ControlError> {
        if self.is_over() {
            return Ok(None);
        }
        let wanted = self.limit.min(EVENTS_AT_ONCE);
        let events = answers.control.events(self.after, self.worker.as_ref(), wanted)?;
        let mut piece = Vec::new();
        if self.state == Pieces::Unbegun {
            piece.extend_from_slice(b"{\"events\":[");
        }
        for (number, event) in events.iter().enumerate() {
            if self.state == Pieces::Begun || number > 0 {
                piece.push(b',');
            }
            serde_json::to_writer(&mut piece, &EventView::from(event)).unwrap_or_default();
        }
        self.after = events.last().map_or(self.after, |event| event.sequence);
        self.limit -= events.len().min(self.limit);
        self.state = Pieces::Begun;
        // Events that cannot be read are left out, so that fewer are no sign of the end.
        if events.is_empty() || self.limit == 0 {
            piece.extend_from_slice(b"]}");
            self.state = Pieces::Over;
        }
        Ok(Some(piece))
    }
}

/// A list of events of which the first piece is written: a long one is never in memory as
/// a whole. When the journal cannot be read any more, or nothing is taken for too long, the
/// connection ends in the middle of the answer, so that nobody takes a part for all.
pub(crate) fn list_events(
    answers: Arc<Answers>,
    first: Vec<u8>,
    mut list: EventPieces,
    stuck: Arc<Notify>,
) -> Option<Body> {
    let (sender, receiver) = channel::<Result<Bytes, std::io::Error>>(2);
    let last = sender.clone().try_reserve_owned().ok()?;
    tokio::spawn(async move {
        let mut piece = Some(first);
        let broken = loop {
            let Some(bytes) = piece else { return };
            match tokio::time::timeout(STUCK_AFTER, sender.send(Ok(bytes.into()))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    stuck.notify_one();
                    break "nothing was read for too long".to_owned();
                }
            }
            let from = Arc::clone(&answers);
            let look = move || (list.next(&from), list);
            match tokio::task::spawn_blocking(look).await {
                Ok((Ok(next), back)) => (piece, list) = (next, back),
                Ok((Err(error), _)) => break error.to_string(),
                Err(error) => break error.to_string(),
            }
        };
        drop(last.send(Err(std::io::Error::other(broken))));
    });
    Some(Body::from_stream(ReceiverStream::new(receiver)))
}

/// Events as records, from after a number on.
pub(crate) fn follow_events(
    answers: Arc<Answers>,
    mut after: u64,
    worker: Option<WorkerId>,
    hold: Hold,
) -> Option<Body> {
    let (outlet, body) = Outlet::open(hold)?;
    tokio::spawn(async move {
        let mut changes = answers.control.changes();
        loop {
            let (control, of) = (Arc::clone(&answers.control), worker.clone());
            let look = move || control.events(after, of.as_ref(), EVENTS);
            let Some(looked) = outlet.hold.read(look).await else {
                return;
            };
            let events = match looked {
                Ok(events) => events,
                Err(error) => return outlet.close(&problems::unavailable(&error)),
            };
            let show = |event: &Event| record(&EventView::from(event));
            let reader = outlet.send_all(&events, show).await;
            if reader != Reader::Listens {
                return outlet.close_after(reader);
            }
            after = events.last().map_or(after, |event| event.sequence);
            if events.is_empty() {
                tokio::select! {
                    // The journal is written a moment after the change.
                    _ = changes.changed() => tokio::time::sleep(LOOK_EVERY).await,
                    () = tokio::time::sleep(EVENTS_EVERY) => {}
                    () = outlet.sender.closed() => return,
                }
            }
        }
    });
    Some(body)
}
