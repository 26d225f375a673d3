//! Bodies that grow: lines and events that are followed, one JSON object a line.
//!
//! The spool and the journal hold what a slow reader has not taken yet; here
//! wait [`WAITING`] records and no more. A reader that takes nothing for
//! [`STUCK_AFTER`] gets a last record that says so, a problem, and is let go.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use hsu_api::{EventView, Problem};
use hsu_logs::LogError;
use hsu_logs::query::{Follower, Line};
use hsu_model::id::WorkerId;
use hsu_model::logs::Stream;
use hsu_model::time::WallTime;
use tokio::sync::mpsc::{OwnedPermit, Sender, channel};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_stream::wrappers::ReceiverStream;

use crate::answers::{Answers, line_view};
use crate::problems;

/// Records that wait for a reader; a burst of output within one look fits.
const WAITING: usize = 1024;
/// How long a reader may take nothing at all.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// How often a followed spool is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the journal is looked at although no worker has changed.
const EVENTS_EVERY: Duration = Duration::from_secs(1);
/// Events that are read at once.
const EVENTS: usize = 500;

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
            for line in &batch {
                let reader = outlet.send(record(&line_view(line))).await;
                if reader != Reader::Listens {
                    return outlet.close_after(reader);
                }
            }
            batch = match follower.next_batch() {
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
            let events = match answers.control.events(after, worker.as_ref(), EVENTS) {
                Ok(events) => events,
                Err(error) => return outlet.close(&problems::unavailable(&error)),
            };
            for event in &events {
                after = event.sequence;
                let reader = outlet.send(record(&EventView::from(event))).await;
                if reader != Reader::Listens {
                    return outlet.close_after(reader);
                }
            }
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
