//! Holding: processes, their ends, and what of them is told.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::process::ProcessKey;

use super::{Hold, Keeper, Kin, Token};
use crate::descriptor::Descriptor;
use crate::kernel::{self, Reap, Which};
use crate::protocol::{FromKeeper, Role, SignalScope};
use hsu_model::id::RunId;

/// How long the parent of a stranger may take to reap it, before its status is unknown.
const REAPED_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked at meanwhile: a kernel before 6.9 does not wake us for it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Keeper {
    /// Takes over everything that an earlier keeper held.
    pub(super) fn adopt_all(&mut self) {
        let alive = self
            .table
            .adopt(kernel::now(), |pid| kernel::pidfd_open(pid).ok().zip(kernel::started_at(pid)));
        for (place, handle) in alive {
            // Without this its end is seen when the master signals it, or asks.
            let _ = self.epoll.add_process(handle.as_fd(), Token::Slot(place).number());
            if let Some(hold) = self.holds.get_mut(place) {
                *hold = Some(Hold { handle, kin: Kin::Stranger, overdue: None });
            }
        }
    }

    /// The process of a slot has ended.
    pub(super) fn see_end(&mut self, place: usize) {
        let Some(mut hold) = self.holds.get_mut(place).and_then(Option::take) else {
            return;
        };
        let exit = match hold.kin {
            Kin::Child => self.end_of_child(place, &hold),
            Kin::Stranger => self.end_of_stranger(place, &mut hold),
            Kin::Named => self.end_of_named(place, &mut hold),
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
                if let Some(slot) = self.table.slot(place) {
                    // While the zombie stands, its group cannot be anybody else's.
                    let _ = kernel::signal_group(slot.process().pid, libc::SIGKILL);
                }
                Some(exit)
            }
            Err(_) => Some(told_by(hold)),
        }
    }

    /// We are its parent by now, or somebody else is.
    fn end_of_named(&mut self, place: usize, hold: &mut Hold) -> Option<Exit> {
        match kernel::wait(Which::This(hold.handle.as_fd()), Reap::No) {
            Ok(Some(_)) => {
                hold.kin = Kin::Child;
                self.end_of_child(place, hold)
            }
            Ok(None) => None,
            Err(_) => self.end_of_stranger(place, hold),
        }
    }

    /// The kernel tells the status of a stranger by its zombie, or once its own parent has
    /// reaped it.
    fn end_of_stranger(&mut self, place: usize, hold: &mut Hold) -> Option<Exit> {
        let handle = hold.handle.as_fd();
        if !kernel::has_ended(handle) {
            return None;
        }
        // A hold keeps the number from being another group's.
        let _ = kernel::pidfd_signal(handle, libc::SIGKILL, true);
        let process = self.table.slot(place)?.process();
        if let Some(exit) = kernel::exit_of_zombie(process.pid, process.started_at) {
            return Some(exit);
        }
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
        let Some(slot) = self.table.slot(place) else {
            return;
        };
        // Recorded before it is reaped: a keeper that dies in between forgets nothing.
        slot.end(exit, kernel::now());
        if hold.kin == Kin::Child {
            let _ = kernel::wait(Which::This(hold.handle.as_fd()), Reap::Yes);
        }
        self.epoll.remove(hold.handle.as_fd());
        if let Some(told) = self.table.tell_end(place) {
            if let FromKeeper::Exited { run, .. } = &told {
                self.ready.remove(run);
            }
            self.connections.tell(Role::Master, told);
        }
    }

    /// Reaps orphans that became our children; workers are reaped by [`Keeper::see_end`].
    pub(super) fn reap_strangers(&mut self) {
        while let Ok(Some(waited)) = kernel::wait(Which::Any, Reap::No) {
            let place = self.table.place_of_process(waited.pid);
            let is_held =
                place.and_then(|place| self.holds.get(place)).is_some_and(Option::is_some);
            match place {
                Some(place) if is_held => self.see_end(place),
                // An unknown child may be one that is just being started.
                _ if self.workshop.under_way > 0 => return,
                // Without a hold, for which there may be no descriptor.
                _ if kernel::wait(Which::Zombie(waited.pid), Reap::Yes).is_err() => return,
                _ => {}
            }
        }
    }

    /// Sends a signal to a run that lives.
    pub(super) fn signal(&mut self, run: RunId, signal: i32, scope: SignalScope) {
        let Some(place) = self.table.place(run) else {
            return;
        };
        let Some(hold) = self.holds.get(place).and_then(Option::as_ref) else {
            return;
        };
        let group = scope == SignalScope::Group;
        let sent = kernel::pidfd_signal(hold.handle.as_fd(), signal, group);
        let is_old_kernel = sent.is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL));
        if !group || !is_old_kernel {
            return;
        }
        match (hold.kin, self.table.slot(place)) {
            (Kin::Child, Some(slot)) => {
                // Not reaped yet, so the group is still its own.
                let _ = kernel::signal_group(slot.process().pid, signal);
            }
            // Whoever leads its group may be gone, and the number another's.
            (Kin::Named, Some(_)) => {
                let _ = kernel::pidfd_signal(hold.handle.as_fd(), signal, false);
            }
            (Kin::Child | Kin::Named | Kin::Stranger, _) => {}
        }
    }

    /// Holds the process that a worker has named in place of the one that is held.
    pub(super) fn follow(
        &mut self,
        role: Role,
        run: RunId,
        process: ProcessKey,
        handle: Option<Descriptor>,
    ) {
        // The hold came first: if it has this start time, it has been this process all along.
        let is_it = kernel::started_at(process.pid).is_none_or(|at| at == process.started_at);
        let place = handle.filter(|_| is_it).and_then(|handle| {
            let place = self.table.follow(run, process)?;
            self.swap(place, handle.into_inner());
            Some(place)
        });
        let is_held = place.is_some();
        self.connections.tell(role, FromKeeper::Followed { run, process, is_held });
        // The one before it may have ended already, and so may this one.
        self.reap_strangers();
        if let Some(place) = place {
            self.see_end(place);
        }
    }

    fn swap(&mut self, place: usize, handle: OwnedFd) {
        let Some(hold) = self.holds.get_mut(place) else { return };
        let before = hold.replace(Hold { handle, kin: Kin::Named, overdue: None });
        if let Some(before) = before {
            self.epoll.remove(before.handle.as_fd());
        }
        if let Some(hold) = hold {
            // Without this its end is seen when it is reaped.
            let _ = self.epoll.add_process(hold.handle.as_fd(), Token::Slot(place).number());
        }
    }

    /// Tells the master everything that is held, oldest run first.
    pub(super) fn tell_inventory(&mut self, role: Role) {
        for (place, mut message) in self.table.inventory() {
            if let FromKeeper::Held { handle, .. } = &mut message {
                let hold = self.holds.get(place).and_then(Option::as_ref);
                let copy = hold.and_then(|hold| hold.handle.try_clone().ok());
                *handle = copy.map(Descriptor::new);
            }
            self.connections.tell(role, message);
        }
        let ready: Vec<_> =
            self.ready.iter().map(|(run, pipe)| (*run, pipe.try_clone().ok())).collect();
        for (run, pipe) in ready {
            let pipe = pipe.map(Descriptor::new);
            self.connections.tell(role, FromKeeper::Ready { run, pipe });
        }
        self.tell_shelf(role);
        self.connections.tell(role, FromKeeper::InventoryEnd);
    }
}

/// What the kernel tells of a process that somebody else has reaped.
fn told_by(hold: &Hold) -> Exit {
    let unknown = match hold.kin {
        Kin::Child | Kin::Stranger => UnknownExit::KeeperLost,
        Kin::Named => UnknownExit::NotOurChild,
    };
    kernel::exit_of_gone(hold.handle.as_fd()).unwrap_or(Exit::Unknown(unknown))
}
