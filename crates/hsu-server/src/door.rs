//! The door: who is let in, and who has to leave when the house is full.
//!
//! So many connections may be open at a time. When all places are taken, the one
//! that has asked nothing for the longest time goes, so that a crowd of silent or
//! slow clients never keeps out one that asks. Followed streams do not go: there
//! are fewer of them than places. When no descriptor is free, some that were kept
//! for that are given back. A socket that somebody deleted is bound again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hsu_runtime::control::Control;
use hsu_sys::descriptors::Spares;
use hsu_sys::files::private_folder;
use hsu_sys::local::{AsyncListener, AsyncStream, LocalListener};
use hsu_sys::presence::Presence;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use crate::{answers, authorize, routes};

/// Connections at the same time; more wait.
const CONNECTIONS: usize = 256;
/// Streams that are followed at the same time; the rest of the connections is for questions.
const STREAMS: usize = 128;
/// Answers that read the output of workers at the same time; other files are read beside them.
const TAILS: usize = 2;
/// The longest head of a request.
const LONGEST_HEAD: usize = 16 << 10;
/// How long a reader that was too slow may take for its last record.
const LAST_RECORD: Duration = Duration::from_secs(10);
/// How long a client may take to send its request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long the first answer waits for the processes of an earlier life to be known.
const OPEN_WITHIN: Duration = Duration::from_secs(2);
/// The rest after the kernel refused a connection.
const REFUSED_REST: Duration = Duration::from_millis(50);
/// Descriptors that are kept for the day when there are no others: half of them let
/// one client in, whose answer may need a few files.
const SPARES: usize = 8;
/// How often it is looked for a socket that may be gone. It is bound again when it was
/// missing twice: another master that takes over leaves no gap as long as that.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The door and everybody inside.
#[derive(Debug)]
pub(crate) struct Door {
    path: PathBuf,
    room: Arc<Semaphore>,
    inside: Arc<Inside>,
}

/// Those that may have to leave, the one that rests for the longest time first.
#[derive(Debug, Default)]
struct Inside(Mutex<Resting>);

#[derive(Debug, Default)]
struct Resting {
    next: u64,
    places: BTreeMap<u64, Arc<Notify>>,
}

impl Inside {
    fn lock(&self) -> MutexGuard<'_, Resting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the one that rests for the longest time to leave; whether there was one.
    fn send_one_away(&self) -> bool {
        let longest = self.lock().places.pop_first();
        longest.inspect(|(_, leave)| leave.notify_one()).is_some()
    }
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    inside: Arc<Inside>,
    /// Since when it rests; none while it is being answered.
    since: Mutex<Option<u64>>,
    leave: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(inside: &Arc<Inside>, permit: OwnedSemaphorePermit) -> Arc<Self> {
        let leave = Arc::new(Notify::new());
        let place =
            Self { inside: Arc::clone(inside), since: Mutex::default(), leave, _permit: permit };
        place.rests();
        Arc::new(place)
    }

    /// The place of a connection that is the only one.
    pub(crate) fn alone() -> Option<Arc<Self>> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().ok()?;
        Some(Self::take(&Arc::default(), permit))
    }

    /// It has asked something, and stays until that is answered.
    pub(crate) fn asks(&self) {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(since) = since {
            self.inside.lock().places.remove(&since);
        }
    }

    /// It is answered, or has asked nothing yet.
    pub(crate) fn rests(&self) {
        self.asks();
        let mut resting = self.inside.lock();
        resting.next += 1;
        let since = resting.next;
        resting.places.insert(since, Arc::clone(&self.leave));
        drop(resting);
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(since);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.asks();
    }
}

impl Door {
    pub(crate) fn new(path: PathBuf) -> Self {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        Self { path, room, inside: Arc::default() }
    }

    /// Waits until nobody is inside.
    pub(crate) async fn emptied(&self) {
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        drop(self.room.acquire_many(all).await);
    }

    /// Lets clients in until the listener itself is broken.
    pub(crate) async fn keep(
        &self,
        listener: LocalListener,
        control: Arc<dyn Control>,
    ) -> io::Error {
        let mut regained = control.regained();
        let mut listener = match listener.into_async() {
            Ok(listener) => listener,
            Err(error) => return error,
        };
        let mut spares = Spares::take(SPARES);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut presence = Presence::of(&self.path, LOOK_EVERY);
        let (mut doubted, mut missed) = (false, false);
        // Clients wait in the backlog meanwhile; a keeper that hangs does not hide the master.
        drop(tokio::time::timeout(OPEN_WITHIN, control.opened().wait_for(|opened| *opened)).await);
        let answers = Arc::new(answers::Answers::new(control));
        let streams = Arc::new(Semaphore::new(STREAMS));
        let tails = Arc::new(Semaphore::new(TAILS));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Ok(()) = regained.changed() => {
                    bind_anew(&self.path, &mut listener);
                    presence = Presence::of(&self.path, LOOK_EVERY);
                    continue;
                }
                () = presence.may_be_gone(), if !doubted => {
                    doubted = true;
                    looks.reset_immediately();
                    continue;
                }
                _ = looks.tick(), if doubted => {
                    let was_missing = std::mem::replace(&mut missed, is_gone(&self.path));
                    if was_missing && missed && bind_anew(&self.path, &mut listener) {
                        info!(path = %self.path.display(), "the socket was deleted, and is there again");
                        missed = false;
                    }
                    doubted = missed;
                    presence = Presence::of(&self.path, LOOK_EVERY);
                    continue;
                }
            };
            match accepted {
                Ok((stream, uid)) => {
                    let Ok(permit) = self.place().await else {
                        return io::Error::other("nobody closes the room");
                    };
                    spares.refill();
                    let face = routes::Face {
                        answers: Arc::clone(&answers),
                        actor: authorize(uid),
                        streams: Arc::clone(&streams),
                        tails: Arc::clone(&tails),
                        stuck: Arc::new(Notify::new()),
                        place: Place::take(&self.inside, permit),
                    };
                    tokio::spawn(converse(stream, face));
                }
                // Out of descriptors, mostly: who rests gives one back, or we do.
                Err(_) => {
                    if !self.inside.send_one_away() && !spares.give_back() {
                        tokio::time::sleep(REFUSED_REST).await;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// A place for the next client. When there is none, somebody who rests goes.
    async fn place(&self) -> Result<OwnedSemaphorePermit, tokio::sync::AcquireError> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Ok(permit);
        }
        self.inside.send_one_away();
        Arc::clone(&self.room).acquire_owned().await
    }
}

fn is_gone(path: &Path) -> bool {
    let found = std::fs::symlink_metadata(path);
    found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Whether another listener was bound in the place of this one.
fn bind_anew(path: &Path, listener: &mut AsyncListener) -> bool {
    // The folder may have gone with the socket.
    let folder = path.parent().map_or(Ok(()), private_folder);
    let bound = folder.and_then(|()| LocalListener::bind(path));
    match bound.and_then(LocalListener::into_async) {
        Ok(bound) => {
            *listener = bound;
            true
        }
        Err(error) => {
            warn!(%error, "the socket cannot be bound anew");
            false
        }
    }
}

/// Answers the requests of one connection, until it ends, its reader is stuck or it has to leave.
async fn converse(stream: AsyncStream, face: routes::Face) {
    let (stuck, leave) = (Arc::clone(&face.stuck), Arc::clone(&face.place.leave));
    let service = TowerToHyperService::new(routes::router(face));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let given_up = async {
        stuck.notified().await;
        tokio::time::sleep(LAST_RECORD).await;
    };
    tokio::select! {
        // A client that goes away is none of our business.
        _ = connection => {}
        () = given_up => {}
        () = leave.notified() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(count: usize) -> (Arc<Inside>, Vec<Arc<Place>>) {
        let (inside, room) = (Arc::new(Inside::default()), Arc::new(Semaphore::new(count)));
        let take = |_| {
            let permit = Arc::clone(&room).try_acquire_owned().expect("room for all");
            Place::take(&inside, permit)
        };
        let all = (0..count).map(take).collect();
        (inside, all)
    }

    /// Whether it was asked to leave.
    fn leaves(place: &Place) -> bool {
        use std::future::Future as _;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(place.leave.notified()).poll(&mut context).is_ready()
    }

    #[test]
    fn who_asked_nothing_for_the_longest_time_leaves_first() {
        let (inside, places) = places(3);
        places[0].asks();
        places[0].rests();
        assert!(inside.send_one_away());
        assert_eq!([0, 1, 2].map(|place: usize| leaves(&places[place])), [false, true, false]);
    }

    #[test]
    fn nobody_leaves_while_being_answered_or_after_having_gone() {
        let (inside, mut places) = places(2);
        places[0].asks();
        drop(places.pop());
        assert!(!inside.send_one_away());
        places[0].rests();
        assert!(inside.send_one_away());
    }
}
