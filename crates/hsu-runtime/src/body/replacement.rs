//! Replacement: another master takes over, and no worker notices.
//!
//! The keeper starts the other one, asks us to let go of the state, and tells us
//! to end once the other has taken everything over. If it fails before it has written,
//! we go on. If it has written, what we know is out of date: we begin anew, as the same
//! process and program, and read what is there. If it ended in order, so do we.

use std::path::PathBuf;

use hsu_core::input::ShutdownMode;
use hsu_keeper::ToKeeper;
use hsu_model::event::{Actor, EventKind};
use hsu_model::time::Now;
use hsu_store::{Batch, Bookmark, Life};
use hsu_sys::files::{FileId, file_id_at};
use hsu_sys::lock::MasterLock;
use hsu_sys::reactor::MasterSignal;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Body, Ending};
use crate::chores::Chore;
use crate::control::Unreplaced;
use crate::mass_stop::MassStop;
use crate::request::Request;
use crate::successor::candidate;

/// How long outputs may go on writing before they are left to the candidate, which
/// goes on where they stopped. The candidate waits for us, so it is short.
const FLUSH_WITHIN: std::time::Duration = std::time::Duration::from_millis(500);

/// How far a replacement has come.
#[derive(Debug, Default)]
pub(crate) struct Replacement {
    reply: Option<oneshot::Sender<Result<(), Unreplaced>>>,
    /// The state is not ours: nothing is decided and nothing is written.
    pub(super) given_way: bool,
    /// How the state was when we let go of it; none when that could not be read.
    left: Option<State>,
    /// Wishes to end that came meanwhile.
    pub(super) requests: Vec<Request>,
    pub(super) signals: Vec<MasterSignal>,
}

/// What tells whether somebody else has written the state: where it stands, and which file
/// it is, because one that was broken is replaced.
type State = (Bookmark, FileId);

impl Body {
    /// Asks the keeper to start another master and to hand over to it.
    pub(super) fn upgrade(
        &mut self,
        now: Now,
        actor: Actor,
        (executable, mass_stop): (Option<PathBuf>, MassStop),
        reply: oneshot::Sender<Result<(), Unreplaced>>,
    ) {
        let obstacle = if self.stopping.is_some() {
            Some(Unreplaced::Ending)
        } else {
            self.replacement.reply.is_some().then_some(Unreplaced::UnderWay)
        };
        if let Some(obstacle) = obstacle {
            drop(reply.send(Err(obstacle)));
            return;
        }
        let report = self.upgrade_report();
        // Of an earlier one.
        drop(std::fs::remove_file(&report));
        match candidate(executable.as_deref(), mass_stop, &report) {
            Ok(program) => {
                info!(%actor, "starting another master to take over");
                let kind = EventKind::Commanded { verb: "upgrade".to_owned() };
                self.record(now, None, actor, kind);
                self.replacement.reply = Some(reply);
                hsu_sys::notify::reloading();
                self.holding.queue(ToKeeper::Upgrade { program });
            }
            Err(error) => drop(reply.send(Err(Unreplaced::Failed(error.to_string())))),
        }
    }

    /// Lets go of state and sockets, so that the candidate can take them.
    pub(super) fn give_way(&mut self, now: Now) {
        if self.stopping.is_some() {
            // The other one would not know of it, and start again what we have stopped. The
            // keeper ends it when it has waited for too long, or with our goodbye.
            warn!("the master is ending: its state is not given to another one");
            return;
        }
        self.settle(now);
        // Who takes up the state without this mark tells that we were lost.
        self.store.mark(Life::Left, self.boot);
        if !self.store.flush() {
            self.store.mark(Life::Lasts, self.boot);
            // Written later, it would overwrite what the candidate writes. The keeper ends
            // a candidate that waits in vain.
            warn!("the state is not written: it is not given to another master");
            return;
        }
        self.replacement.left = self.state();
        self.lock = None;
        self.chores.add(Chore::Hurry);
        self.replacement.given_way = true;
        // Log files are followed by one master, and their places are in the state.
        self.following = None;
        if let Some(engine) = self.engine.take() {
            engine.stop(FLUSH_WITHIN);
        }
        self.holding.queue(ToKeeper::Yielded);
    }

    /// The other master serves. What we had begun and not told is told by it alone.
    pub(super) fn be_replaced(&mut self) {
        info!("another master has taken over");
        self.leave(Ending::Replaced);
    }

    /// Ends, and leaves the state as another master wrote it.
    fn leave(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.effects.clear();
        self.inputs.clear();
        self.batch = Batch::default();
        self.gate.clear();
    }

    /// The keeper was lost during an upgrade, and with it whoever would tell its
    /// end. Of the two masters the one that has the state goes on.
    pub(super) fn lose_upgrade(&mut self) {
        self.take_back();
        if self.ending.is_none() && self.replacement.reply.is_some() {
            self.upgrade_failed("the keeper was lost meanwhile".to_owned());
        }
    }

    /// The candidate failed: the state is ours again, unless it was written meanwhile.
    pub(super) fn take_back(&mut self) {
        if !self.replacement.given_way || self.ending.is_some() {
            return;
        }
        match MasterLock::acquire(&self.folder, &self.runtime) {
            Ok(lock) => self.lock = Some(lock),
            Err(error) => {
                warn!(%error, "the state or the sockets belong to another master: ending");
                return self.be_replaced();
            }
        }
        match become_of(self.replacement.left, self.state(), self.asked_to_end()) {
            None => self.go_on(),
            Some(ending) => {
                warn!("another master may have written the state: not going on with what is known");
                self.leave(ending);
            }
        }
    }

    /// The first wish to end that came meanwhile.
    fn asked_to_end(&self) -> Option<ShutdownMode> {
        let ends = [MasterSignal::Terminate, MasterSignal::Interrupt];
        if self.replacement.signals.iter().any(|signal| ends.contains(signal)) {
            return Some(ShutdownMode::StopWorkers);
        }
        for request in &self.replacement.requests {
            if let Request::Shutdown { mode, .. } = request {
                return Some(*mode);
            }
        }
        None
    }

    fn state(&self) -> Option<State> {
        Some((self.store.bookmark().ok()?, file_id_at(self.store.path()).ok()?))
    }

    /// The state is as we left it.
    fn go_on(&mut self) {
        self.replacement.given_way = false;
        self.store.mark(Life::Lasts, self.boot);
        self.board.regain();
        // The other one may have told the pump something else.
        if let Err(error) = self.logs.write(&self.folder.join("spools")) {
            warn!(%error, "the pump works by the plan of the other master");
        }
        self.start_engine();
        self.follow_files_again();
        // What happened meanwhile was not heard.
        self.roll.lose();
        self.roll.doubt();
        self.holding.queue(ToKeeper::Inventory);
    }

    pub(super) fn upgrade_failed(&mut self, mut reason: String) {
        let report = self.upgrade_report();
        if let Ok(text) = std::fs::read_to_string(&report) {
            reason = format!("{reason}: {}", text.trim_end());
            drop(std::fs::remove_file(&report));
        }
        warn!(%reason, "the other master did not take over");
        if self.ending.is_none() {
            hsu_sys::notify::ready();
        }
        if let Some(reply) = self.replacement.reply.take() {
            drop(reply.send(Err(Unreplaced::Failed(reason))));
        }
    }

    /// Where a candidate says why it could not take over.
    fn upgrade_report(&self) -> PathBuf {
        self.folder.join("upgrade-report")
    }

    /// The other master serves: whoever asked for it is told.
    pub(super) fn finish_upgrade(&mut self) {
        if let Some(reply) = self.replacement.reply.take() {
            drop(reply.send(Ok(())));
        }
    }
}

/// How a master ends that has its state again; none when it goes on, because nobody has
/// written meanwhile. Known is how the state was and how it is, unless that could not be read,
/// and what was asked of this master meanwhile.
fn become_of(
    left: Option<State>,
    found: Option<State>,
    asked: Option<ShutdownMode>,
) -> Option<Ending> {
    let (Some((left, old_file)), Some((found, file))) = (left, found) else {
        return Some(Ending::OutOfDate(asked));
    };
    if (left, old_file) == (found, file) {
        return None;
    }
    // Whoever ends in order says so in the journal.
    let is_over = found.last_event > left.last_event;
    Some(match found.life {
        Some(Life::Ended) if is_over => Ending::Stopped,
        // A wish to stop them, too, holds for the workers that it has left.
        Some(Life::Left) if is_over && asked != Some(ShutdownMode::StopWorkers) => {
            Ending::KeptWorkers
        }
        Some(Life::Ended | Life::Left | Life::Lasts) | None => Ending::OutOfDate(asked),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(life: Life, last_event: u64, inode: u64) -> State {
        (Bookmark { life: Some(life), last_event }, FileId { device: 1, inode })
    }

    const STOP: Option<ShutdownMode> = Some(ShutdownMode::StopWorkers);
    const KEEP: Option<ShutdownMode> = Some(ShutdownMode::KeepWorkers);

    #[test]
    fn a_master_goes_on_with_what_it_knows_only_when_nobody_has_written() {
        let left = at(Life::Left, 7, 1);
        for (found, asked, ending) in [
            (at(Life::Left, 7, 1), STOP, None),
            (at(Life::Lasts, 7, 1), None, Some(Ending::OutOfDate(None))),
            (at(Life::Lasts, 9, 1), KEEP, Some(Ending::OutOfDate(KEEP))),
            (at(Life::Left, 7, 2), STOP, Some(Ending::OutOfDate(STOP))),
            (at(Life::Left, 9, 1), None, Some(Ending::KeptWorkers)),
            (at(Life::Left, 9, 1), KEEP, Some(Ending::KeptWorkers)),
            (at(Life::Left, 9, 1), STOP, Some(Ending::OutOfDate(STOP))),
            (at(Life::Ended, 9, 2), KEEP, Some(Ending::Stopped)),
        ] {
            assert_eq!(become_of(Some(left), Some(found), asked), ending, "{found:?}");
        }
        assert_eq!(become_of(Some(left), None, None), Some(Ending::OutOfDate(None)));
        assert_eq!(become_of(None, Some(left), STOP), Some(Ending::OutOfDate(STOP)));
    }
}
