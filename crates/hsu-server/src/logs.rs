//! Bodies that grow: lines and events that are followed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use hsu_api::{EventView, Problem};
use hsu_logs::query::Line;
use hsu_model::id::WorkerId;
use hsu_model::logs::Stream;
use hsu_model::time::WallTime;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

use crate::answers::{Answers, line_view};

/// Records that wait for a slow reader; beyond it the reader is let go.
const WAITING: usize = 1024;
/// How often a followed spool is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Events that are read at once.
const EVENTS: usize = 500;

/// Which lines are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) worker: WorkerId,
    pub(crate) streams: Vec<Stream>,
    pub(crate) tail: usize,
    pub(crate) since: Option<WallTime>,
    pub(crate) follow: bool,
}

type Record = Result<Bytes, Infallible>;

fn record(value: &impl serde::Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// Lines as records, one JSON object each.
///
/// # Errors
/// The reason, when the spools cannot be read.
pub(crate) fn lines(answers: &Answers, wanted: Wanted) -> Result<Body, String> {
    let spools = answers.control.spools();
    let (worker, streams) = (&wanted.worker, &wanted.streams);
    if !wanted.follow {
        let lines = spools.tail(worker, streams, wanted.tail, wanted.since);
        let lines = lines.map_err(|error| error.to_string())?;
        let bytes: Vec<u8> = lines.iter().flat_map(|line| record(&line_view(line))).collect();
        return Ok(Body::from(bytes));
    }
    let followed = spools.follow(worker, streams, wanted.tail, wanted.since);
    let (first, mut follower) = followed.map_err(|error| error.to_string())?;
    let (sender, receiver) = channel::<Record>(WAITING);
    tokio::spawn(async move {
        let mut batch = first;
        loop {
            if !send_lines(&sender, &batch).await {
                return;
            }
            batch = match follower.next_batch() {
                Ok(batch) => batch,
                Err(_) => return,
            };
            if batch.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = sender.closed() => return,
                }
            }
        }
    });
    Ok(Body::from_stream(ReceiverStream::new(receiver)))
}

async fn send_lines(sender: &Sender<Record>, lines: &[Line]) -> bool {
    for line in lines {
        if sender.send(Ok(record(&line_view(line)))).await.is_err() {
            return false;
        }
    }
    true
}

/// Events as records, from after a number on.
pub(crate) fn follow_events(
    answers: Arc<Answers>,
    mut after: u64,
    worker: Option<WorkerId>,
) -> Body {
    let (sender, receiver) = channel::<Record>(WAITING);
    tokio::spawn(async move {
        let mut changes = answers.control.changes();
        loop {
            let events = answers.control.events(after, worker.as_ref(), EVENTS);
            let events = match events {
                Ok(events) => events,
                Err(error) => {
                    let text = error.to_string();
                    let problem = Problem::new(503, "journal", "journal unavailable", text);
                    drop(sender.send(Ok(record(&problem))).await);
                    return;
                }
            };
            for event in &events {
                after = event.sequence;
                if sender.send(Ok(record(&EventView::from(event)))).await.is_err() {
                    return;
                }
            }
            if events.is_empty() {
                // The journal is written a moment after the change.
                tokio::select! {
                    _ = changes.changed() => tokio::time::sleep(LOOK_EVERY).await,
                    () = sender.closed() => return,
                }
            }
        }
    });
    Body::from_stream(ReceiverStream::new(receiver))
}
