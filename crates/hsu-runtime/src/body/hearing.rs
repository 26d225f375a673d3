//! What the keeper tells, made into inputs.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;

use hsu_core::input::Input;
use hsu_core::parting::End;
use hsu_keeper::{Descriptor, FromKeeper, Link, Stage, ToKeeper};
use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::time::{Now, Tick, WallTime};
use hsu_model::worker::Unit;
use hsu_sys::process::ProcessHandle;
use tracing::warn;

use super::holding::SIGKILL;
use super::{Body, Live};
use crate::chores::Chore;
use crate::refusal::explain;

/// How long after its start a process is put into its cgroup, when it was not born there:
/// one that crashes at once costs no search, and a burst of starts is not slowed down.
const CONTAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

impl Body {
    /// Takes what the keeper has sent; starts another one when it is gone.
    pub(super) fn hear_keeper(&mut self, now: Now) {
        let heard = self.holding.hear();
        for message in heard.messages {
            self.on_message(now, message);
        }
        if heard.is_lost && self.ending.is_none() {
            self.lose_keeper(now);
        }
    }

    fn lose_keeper(&mut self, now: Now) {
        warn!("the keeper was lost");
        self.roll.lose();
        self.lose_upgrade();
        if self.ending.is_none() {
            self.tell_lost(now, "keeper", "");
            self.holding.lose(now);
        }
    }

    pub(crate) fn tell_lost(&mut self, now: Now, role: &str, reason: &str) {
        let kind = EventKind::RoleLost { role: role.to_owned(), reason: reason.to_owned() };
        self.record(now, None, Actor::Master, kind);
    }

    /// Kills a keeper that hangs. The end of the link tells that it is gone.
    pub(super) fn end_keeper(&self) {
        warn!("the keeper hangs: killing it, and another one takes over");
        // Nobody else holds the other end, so that the PID is still its own.
        let process =
            self.holding.link().map_or_else(|| Err(ErrorKind::NotConnected.into()), Link::peer);
        let key = process.and_then(hsu_sys::process::identify);
        let killed = key.and_then(ProcessHandle::open).and_then(|keeper| keeper.signal(SIGKILL));
        if let Err(error) = killed {
            warn!(%error, "the keeper that hangs cannot be killed");
        }
    }

    fn on_message(&mut self, now: Now, message: FromKeeper) {
        if self.replacement.given_way && message.is_of_the_fleet() {
            // The books are the candidate's, and so is whatever happens; if they
            // become ours again, the inventory tells it once more.
            return;
        }
        match message {
            FromKeeper::Welcome { keeper, .. } => {
                self.trees_keeper.store(keeper, Ordering::Relaxed);
                self.discovery.set_keeper(keeper);
            }
            FromKeeper::Spawned { run, process, handle, is_enclosed } => {
                self.roll.answer(run);
                if let Some(worker) = self.fleet.worker_of(run).cloned() {
                    self.hold(run, worker, process, handle);
                    if !self.clearing.born(run, is_enclosed) {
                        self.contain_at.push_back((contain_after(now.tick), run));
                    }
                }
                self.step(now, Input::Spawned { run, process });
            }
            FromKeeper::SpawnFailed { run, stage, errno } => {
                self.roll.answer(run);
                self.clearing.not_born(run);
                self.on_refused(now, run, stage, errno);
            }
            FromKeeper::Exited { run, worker, process, exit, at, wall } => {
                self.roll.name(run);
                self.on_end(now, End { worker, run, process, exit, at, wall });
            }
            FromKeeper::Followed { run, process, is_held } => {
                self.on_followed(now, run, process, is_held);
            }
            FromKeeper::Held { run, worker, process, started, handle } => {
                self.roll.name(run);
                self.on_held(now, worker, run, process, started, handle);
            }
            FromKeeper::Pending { run, worker } => self.on_pending(now, run, worker),
            FromKeeper::Kept { worker, keep, descriptor } => self.on_kept(worker, keep, descriptor),
            FromKeeper::NotKept { worker, label } => self.on_not_kept(&worker, &label),
            FromKeeper::Ready { run, pipe } => self.on_ready_pipe(run, pipe),
            FromKeeper::InventoryEnd => self.on_inventory_end(now),
            FromKeeper::Ping => self.holding.queue(ToKeeper::Pong),
            FromKeeper::PumpLost => {
                warn!("the pump was lost, and the keeper starts another");
                self.tell_lost(now, "pump", "");
            }
            FromKeeper::Yield => self.give_way(now),
            FromKeeper::Resume => self.take_back(),
            FromKeeper::Fenced => self.be_replaced(),
            FromKeeper::UpgradeFailed { reason } => self.upgrade_failed(reason),
            // Proceed is awaited before the loop begins; the others are the pump's.
            FromKeeper::Proceed | FromKeeper::Stream { .. } | FromKeeper::Finish => {}
        }
    }

    fn on_refused(&mut self, now: Now, run: RunId, stage: Stage, errno: i32) {
        let asked = self.fleet.worker_of(run).and_then(|worker| {
            let Unit::Managed(managed) = &self.fleet.spec(worker)?.unit else { return None };
            self.launcher.request(worker, run, managed, &self.notify_path(worker), None).ok()
        });
        let error = explain(asked.as_ref(), stage, errno);
        // What else was refused does not change by waiting.
        let transient = stage == Stage::Resources;
        self.step(now, Input::SpawnFailed { run, error, transient });
    }

    fn hold(
        &mut self,
        run: RunId,
        worker: WorkerId,
        process: ProcessKey,
        handle: Option<Descriptor>,
    ) {
        let handle = handle.map(|handle| ProcessHandle::from_owned(handle.into_inner()));
        self.live.insert(run, Live { worker, process, handle });
    }

    pub(super) fn on_exited(&mut self, now: Now, end: End) {
        let End { worker, run, exit, at, wall, .. } = end;
        let live = self.live.remove(&run);
        let own = || live?.handle?.exit_status();
        // What the keeper could not see, our own hold may still tell.
        let exit = match exit {
            Exit::Unknown(_) => own().unwrap_or(exit),
            Exit::Code(_) | Exit::Signal { .. } => exit,
        };
        self.before_exit(now, &worker, run, exit);
        self.step(now, Input::Exited { worker, run, exit, at, wall });
    }

    fn on_held(
        &mut self,
        now: Now,
        worker: WorkerId,
        run: RunId,
        process: ProcessKey,
        started: (Tick, WallTime),
        handle: Option<Descriptor>,
    ) {
        if self.is_followed(run, process) {
            // The answer was lost with the keeper that held it first.
            return self.on_followed(now, run, process, true);
        }
        if !self.live.contains_key(&run) {
            self.hold(run, worker.clone(), process, handle);
            self.take_over(now, &worker, run);
        }
        // An answer that was lost with its keeper would have told where it was born.
        self.clearing.born(run, false);
        self.adopted += 1;
        self.step(now, Input::Adopted { worker, run, process, started });
    }

    /// Takes up what an earlier master did for a process that it held.
    pub(super) fn take_over(&mut self, now: Now, worker: &WorkerId, run: RunId) {
        self.take_up_limits(worker, run);
        self.contain_at.push_back((contain_after(now.tick), run));
    }

    /// A spawn is under way that may be an earlier master's: its answer is awaited.
    fn on_pending(&mut self, now: Now, run: RunId, worker: WorkerId) {
        self.roll.name_pending(run);
        self.step(now, Input::Pending { worker, run });
    }

    /// Everything that is held is known: what is missing is gone.
    fn on_inventory_end(&mut self, now: Now) {
        self.restock();
        self.ask_again(now);
        let missing = self.roll.complete(self.live.keys());
        for run in missing.ended {
            let Some(live) = self.live.get(&run) else {
                continue;
            };
            // Our own hold may still tell; it is asked there.
            let exit = Exit::Unknown(UnknownExit::KeeperLost);
            let (worker, process) = (live.worker.clone(), live.process);
            let (at, wall) = (now.tick, now.wall);
            self.on_exited(now, End { worker, run, process, exit, at, wall });
        }
        for run in missing.never_began {
            let error = "the keeper was lost before it could start the process".to_owned();
            self.clearing.not_born(run);
            self.step(now, Input::SpawnFailed { run, error, transient: true });
        }
        // A worker that may go on as another process is not missing before that is known.
        self.succession.settles_later = !self.settled && !self.parting.is_empty();
        if !self.succession.settles_later {
            self.finish_inventory(now);
        }
    }

    pub(super) fn finish_inventory(&mut self, now: Now) {
        self.step(now, Input::Settled { unknown: self.unknown });
        self.settle_boot(now);
    }

    /// Puts processes that have lived for a while where they can be killed as one.
    pub(super) fn contain_due(&mut self, now: Now) {
        while let Some((due, run)) = self.contain_at.front().copied() {
            if due > now.tick {
                return;
            }
            self.contain_at.pop_front();
            if let Some(live) = self.live.get(&run) {
                let (worker, process) = (live.worker.clone(), live.process);
                self.chores.add(Chore::Contain { worker, run, process });
            }
        }
    }
}

/// The first full quarter of a second of the clock after [`CONTAIN_AFTER`]: those of
/// one quarter are looked for together, which costs as much as looking for one.
fn contain_after(started: Tick) -> Tick {
    const QUARTER: u64 = 250_000_000;
    Tick(started.after(CONTAIN_AFTER).0.next_multiple_of(QUARTER))
}
