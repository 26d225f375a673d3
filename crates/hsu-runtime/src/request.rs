//! Requests: what other threads ask of the loop.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use hsu_core::answer::Answer;
use hsu_core::input::{Command, ShutdownMode};
use hsu_discovery::Told;
use hsu_model::event::Actor;
use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};
use hsu_sys::reactor::Waker;
use tokio::sync::oneshot;

use crate::control::Unreplaced;
use crate::listening::Word;
use crate::mass_stop::MassStop;

/// Requests that may wait for the loop. More than this means that the loop
/// hangs, and whoever asks is told so at once.
const WAITING: usize = 4096;

/// Something asked of the loop.
#[derive(Debug)]
pub(crate) enum Request {
    /// A command for a worker.
    Command {
        /// Who asks.
        actor: Actor,
        /// Of which worker.
        worker: WorkerId,
        /// What.
        command: Command,
        /// Where the answer goes.
        reply: oneshot::Sender<Answer>,
    },
    /// End the master.
    Shutdown {
        /// Who asks.
        actor: Actor,
        /// What becomes of the workers.
        mode: ShutdownMode,
        /// Kill at once what does not stop.
        force: bool,
    },
    /// An output takes nothing any more, or does again, or lost something.
    Output {
        /// Of this worker; none is an output of the master.
        worker: Option<WorkerId>,
        /// What happened.
        news: OutputNews,
    },
    /// What a search for the process of a worker came to.
    Sighted(Told),
    /// A process that is watched has ended.
    Gone {
        /// Its run.
        run: RunId,
        /// How.
        exit: Exit,
    },
    /// Whoever starts the process of a worker has done what it was asked for, or not.
    Serviced {
        /// The worker.
        worker: WorkerId,
        /// Why not.
        error: Option<String>,
    },
    /// Somebody speaks who is listened to.
    Heard(Box<Word>),
    /// Replace the master by another executable.
    Upgrade {
        /// Who asks.
        actor: Actor,
        /// The other executable; without it the path of this one, read again.
        executable: Option<PathBuf>,
        /// Whether many workers may leave the configuration.
        mass_stop: MassStop,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), Unreplaced>>,
    },
}

/// What became of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputNews {
    /// It takes nothing at present.
    Stuck {
        /// A stream of the worker, or a file or console of the master.
        output: String,
        /// Why.
        reason: String,
    },
    /// It takes lines again.
    Flows {
        /// Which.
        output: String,
    },
    /// So many bytes were dropped.
    Dropped {
        /// How many.
        bytes: u64,
    },
}

/// The sending end, for any thread.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    sender: SyncSender<Request>,
    waker: Waker,
}

/// The loop takes no more requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// Too many wait already.
    Busy,
    /// The loop has ended.
    Ended,
}

impl Requests {
    /// A pair of ends.
    pub(crate) fn channel(waker: Waker) -> (Self, Receiver<Request>) {
        let (sender, receiver) = sync_channel(WAITING);
        (Self { sender, waker }, receiver)
    }

    /// Hands a request to the loop and wakes it; never blocks.
    pub(crate) fn send(&self, request: Request) -> Result<(), Undelivered> {
        let sent = self.sender.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => Undelivered::Busy,
            TrySendError::Disconnected(_) => Undelivered::Ended,
        });
        self.waker.wake();
        sent
    }

    /// Hands over what nobody tells again: waits while the loop has too much to do, and
    /// gives up once it has ended.
    pub(crate) fn insist(&self, request: Request) {
        drop(self.sender.send(request));
        self.waker.wake();
    }

    /// Wakes the loop without a request.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }
}
