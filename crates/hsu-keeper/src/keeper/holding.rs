//! Holding: processes, their ends, and what of them is told.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use hsu_model::exit::{Exit, UnknownExit};

use super::{Hold, Keeper, Kin, Token};
use crate::descriptor::Descriptor;
use crate::inventory::Held;
use crate::kernel::{self, Reap, Which};
use crate::protocol::{FromKeeper, Role, SignalScope, Stage};
use hsu_model::id::RunId;

/// How long the parent of a stranger may take to reap it, before its status is unknown.
const REAPED_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked at meanwhile: a kernel before 6.9 does not wake us for it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Keeper {
    /// Takes over everything that an earlier keeper held.
    pub(super) fn adopt_all(&mut self) {
        for (place, slot) in self.inventory.slots().iter().enumerate() {
            match slot.held() {
                Held::Free => {}
                // It could not be executed, which the earlier keeper was about to tell.
                Held::Ended if slot.failure().is_some() => slot.free(),
                Held::Ended => drop(self.places.insert(slot.run(), place)),
                Held::Spawning | Held::Live => self.adopt(place),
            }
        }
    }

    fn adopt(&mut self, place: usize) {
        let Some(slot) = self.inventory.slots().get(place) else {
            return;
        };
        if slot.held() == Held::Spawning && slot.withdraw() {
            // It never ran and never will; the master asks for it again.
            return slot.free();
        }
        let (run, pid, noted) = (slot.run(), slot.process().pid, slot.process().started_at);
        // The handle first, then the comparison: what it holds cannot change any more.
        let handle = if pid > 1 { kernel::pidfd_open(pid).ok() } else { None };
        let started_at = kernel::started_at(pid).filter(|found| match noted {
            // The earlier keeper was killed before it had noted the start.
            0 => slot.claim().is_of(*found),
            noted => noted == *found,
        });
        let Some((handle, started_at)) = handle.zip(started_at) else {
            if slot.failure().is_some() {
                return slot.free();
            }
            self.places.insert(run, place);
            return slot.end(Exit::Unknown(UnknownExit::KeeperLost));
        };
        slot.occupy(started_at);
        self.places.insert(run, place);
        // Without this its end is seen when the master signals it, or asks.
        let _ = self.epoll.add_process(handle.as_fd(), Token::Slot(place).number());
        if let Some(hold) = self.holds.get_mut(place) {
            *hold = Some(Hold { handle, kin: Kin::Stranger, overdue: None });
        }
    }

    /// The process of a slot has ended.
    pub(super) fn see_end(&mut self, place: usize) {
        let Some(mut hold) = self.holds.get_mut(place).and_then(Option::take) else {
            return;
        };
        let exit = match hold.kin {
            Kin::Child => self.end_of_child(place, &hold),
            Kin::Stranger => self.end_of_stranger(&mut hold),
        };
        match exit {
            Some(exit) => self.note_end(place, &hold, exit),
            // A token of an earlier process of this slot, or a status that is not told yet.
            None => {
                if let Some(place) = self.holds.get_mut(place) {
                    *place = Some(hold);
                }
            }
        }
    }

    fn end_of_child(&self, place: usize, hold: &Hold) -> Option<Exit> {
        match kernel::wait(Which::This(hold.handle.as_fd()), Reap::No) {
            Ok(waited) => {
                let exit = waited?.exit;
                if let Some(slot) = self.inventory.slots().get(place) {
                    // While the zombie stands, its group cannot be anybody else's.
                    let _ = kernel::signal_group(slot.process().pid, libc::SIGKILL);
                }
                Some(exit)
            }
            Err(_) => Some(told_by(hold)),
        }
    }

    /// The kernel tells the status of a stranger once its own parent has reaped it.
    fn end_of_stranger(&mut self, hold: &mut Hold) -> Option<Exit> {
        let handle = hold.handle.as_fd();
        if !kernel::has_ended(handle) {
            return None;
        }
        // A hold keeps the number from being another group's.
        let _ = kernel::pidfd_signal(handle, libc::SIGKILL, true);
        let now = Instant::now();
        let overdue = *hold.overdue.get_or_insert(now + REAPED_WITHIN);
        if !kernel::is_reaped(handle) && now < overdue {
            let look = overdue.min(now + LOOK_AGAIN);
            self.strangers_due = Some(self.strangers_due.map_or(look, |due| due.min(look)));
            return None;
        }
        Some(told_by(hold))
    }

    /// Looks again at strangers that have ended and were not reaped.
    pub(super) fn tend_strangers(&mut self, now: Instant) {
        if self.strangers_due.is_none_or(|due| due > now) {
            return;
        }
        self.strangers_due = None;
        for place in 0..self.holds.len() {
            let hold = self.holds.get(place).and_then(Option::as_ref);
            if hold.is_some_and(|hold| hold.overdue.is_some()) {
                self.see_end(place);
            }
        }
    }

    fn note_end(&mut self, place: usize, hold: &Hold, exit: Exit) {
        let Some(slot) = self.inventory.slots().get(place) else {
            return;
        };
        // Recorded before it is reaped: a keeper that dies in between forgets nothing.
        slot.end(exit);
        if hold.kin == Kin::Child {
            let _ = kernel::wait(Which::This(hold.handle.as_fd()), Reap::Yes);
        }
        self.epoll.remove(hold.handle.as_fd());
        let Some(errno) = slot.failure() else {
            return self.tell_end(place);
        };
        // Its keeper was killed before the program could be executed, and it could not.
        let run = slot.run();
        slot.free();
        self.places.remove(&run);
        let failed = FromKeeper::SpawnFailed { run, stage: Stage::Execute, errno };
        self.connections.tell(Role::Master, failed);
    }

    pub(super) fn tell_end(&mut self, place: usize) {
        let Some(slot) = self.inventory.slots().get(place) else {
            return;
        };
        let Some(worker) = slot.worker() else {
            self.places.remove(&slot.run());
            return slot.free();
        };
        let (at, wall) = slot.ended();
        let message = FromKeeper::Exited { run: slot.run(), worker, exit: slot.exit(), at, wall };
        self.connections.tell(Role::Master, message);
    }

    /// Reaps orphans that became our children; workers are reaped by [`Keeper::see_end`].
    pub(super) fn reap_strangers(&mut self) {
        while let Ok(Some(waited)) = kernel::wait(Which::Any, Reap::No) {
            let place = self
                .inventory
                .slots()
                .iter()
                .position(|slot| slot.held() == Held::Live && slot.process().pid == waited.pid);
            let is_held =
                place.and_then(|place| self.holds.get(place)).is_some_and(Option::is_some);
            match place {
                Some(place) if is_held => self.see_end(place),
                // An unknown child may be one that is just being started.
                _ if self.workshop.under_way > 0 => return,
                _ => {
                    if let Ok(handle) = kernel::pidfd_open(waited.pid) {
                        let _ = kernel::wait(Which::This(handle.as_fd()), Reap::Yes);
                    }
                }
            }
        }
    }

    /// The master has accounted for an exit.
    pub(super) fn forget(&mut self, run: RunId) {
        let Some(place) = self.places.get(&run).copied() else {
            return;
        };
        if let Some(slot) = self.inventory.slots().get(place)
            && slot.held() == Held::Ended
        {
            slot.free();
            self.places.remove(&run);
        }
    }

    /// Sends a signal to a run that lives.
    pub(super) fn signal(&mut self, run: RunId, signal: i32, scope: SignalScope) {
        let Some(place) = self.places.get(&run).copied() else {
            return;
        };
        let Some(hold) = self.holds.get(place).and_then(Option::as_ref) else {
            return;
        };
        let group = scope == SignalScope::Group;
        let sent = kernel::pidfd_signal(hold.handle.as_fd(), signal, group);
        let is_old_kernel = sent.is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL));
        if group
            && is_old_kernel
            && hold.kin == Kin::Child
            && let Some(slot) = self.inventory.slots().get(place)
        {
            // Not reaped yet, so the group is still its own.
            let _ = kernel::signal_group(slot.process().pid, signal);
        }
    }

    /// Tells the master everything that is held, oldest run first.
    pub(super) fn tell_inventory(&mut self, role: Role) {
        let all: Vec<_> = self.places.iter().map(|(run, place)| (*run, *place)).collect();
        for (run, place) in all {
            let Some(slot) = self.inventory.slots().get(place) else {
                continue;
            };
            match slot.held() {
                Held::Ended => {
                    let Some(worker) = slot.worker() else {
                        continue;
                    };
                    let (at, wall) = slot.ended();
                    let exit = slot.exit();
                    self.connections.tell(role, FromKeeper::Exited { run, worker, exit, at, wall });
                }
                Held::Live => {
                    let Some(worker) = slot.worker() else {
                        continue;
                    };
                    let hold = self.holds.get(place).and_then(Option::as_ref);
                    let handle = hold.and_then(|hold| hold.handle.try_clone().ok());
                    let message = FromKeeper::Held {
                        run,
                        worker,
                        process: slot.process(),
                        started: slot.started(),
                        handle: handle.map(Descriptor::new),
                    };
                    self.connections.tell(role, message);
                }
                Held::Spawning | Held::Free => {
                    if let Some(worker) = slot.worker() {
                        self.connections.tell(role, FromKeeper::Pending { run, worker });
                    }
                }
            }
        }
        self.connections.tell(role, FromKeeper::InventoryEnd);
    }
}

/// What the kernel tells of a process that somebody else has reaped.
fn told_by(hold: &Hold) -> Exit {
    let told = kernel::exit_of_gone(hold.handle.as_fd());
    told.unwrap_or(Exit::Unknown(UnknownExit::KeeperLost))
}
