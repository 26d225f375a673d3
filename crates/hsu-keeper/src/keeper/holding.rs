//! Holding: processes, their ends, and what of them is told.

use std::os::fd::AsFd as _;

use hsu_model::exit::{Exit, UnknownExit};

use super::{Hold, Keeper, Kin, Token};
use crate::descriptor::Descriptor;
use crate::inventory::Held;
use crate::kernel::{self, Reap, Which};
use crate::protocol::{FromKeeper, Role, SignalScope};
use hsu_model::id::RunId;

impl Keeper {
    /// Takes over everything that an earlier keeper held.
    pub(super) fn adopt_all(&mut self) {
        for (place, slot) in self.inventory.slots().iter().enumerate() {
            match slot.held() {
                Held::Free => {}
                Held::Ended => drop(self.places.insert(slot.run(), place)),
                Held::Spawning | Held::Live => self.adopt(place),
            }
        }
    }

    fn adopt(&mut self, place: usize) {
        let Some(slot) = self.inventory.slots().get(place) else {
            return;
        };
        // A child that was just being started writes its PID within a moment.
        for _ in 0..50 {
            if slot.process().pid != 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let (run, process) = (slot.run(), slot.process());
        let handle = (process.pid > 1).then(|| kernel::pidfd_open(process.pid).ok()).flatten();
        let is_same = || match kernel::stat(process.pid) {
            Some((started_at, _)) if process.started_at != 0 => started_at == process.started_at,
            // The earlier keeper was killed before it had noted the start.
            Some(_) => becomes_run(process.pid, run),
            None => false,
        };
        // The handle first, then the comparison: what it holds cannot change any more.
        let Some(handle) = handle.filter(|_| is_same()) else {
            if slot.held() == Held::Spawning && process.pid == 0 {
                // It never ran; the master asks for it again.
                return slot.free();
            }
            self.places.insert(run, place);
            return slot.end(Exit::Unknown(UnknownExit::KeeperLost));
        };
        if process.started_at == 0 {
            slot.occupy(kernel::stat(process.pid).map_or(0, |(started_at, _)| started_at));
        } else {
            slot.occupy(process.started_at);
        }
        self.places.insert(run, place);
        if self.epoll.add(handle.as_fd(), Token::Slot(place).number()).is_ok()
            && let Some(hold) = self.holds.get_mut(place)
        {
            *hold = Some(Hold { handle, kin: Kin::Stranger });
        }
    }

    /// The process of a slot has ended.
    pub(super) fn see_end(&mut self, place: usize) {
        let Some(slot) = self.inventory.slots().get(place) else {
            return;
        };
        let Some(hold) = self.holds.get_mut(place).and_then(Option::take) else {
            return;
        };
        let exit = match hold.kin {
            Kin::Child => {
                let which = Which::This(hold.handle.as_fd());
                match kernel::wait(which, Reap::No) {
                    Ok(Some(waited)) => {
                        // While the zombie stands, its group cannot be anybody else's.
                        let _ = kernel::signal_group(slot.process().pid, libc::SIGKILL);
                        waited.exit
                    }
                    // Not over after all: a thread of it ended.
                    Ok(None) => {
                        if let Some(place) = self.holds.get_mut(place) {
                            *place = Some(hold);
                        }
                        return;
                    }
                    Err(_) => exit_of_stranger(&hold),
                }
            }
            Kin::Stranger => {
                let _ = kernel::pidfd_signal(hold.handle.as_fd(), libc::SIGKILL, true);
                exit_of_stranger(&hold)
            }
        };
        // Recorded before it is reaped: a keeper that dies in between forgets nothing.
        slot.end(exit);
        if hold.kin == Kin::Child {
            let _ = kernel::wait(Which::This(hold.handle.as_fd()), Reap::Yes);
        }
        self.epoll.remove(hold.handle.as_fd());
        self.tell_end(place);
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
                    self.connections.tell(role, FromKeeper::Pending { run });
                }
            }
        }
        self.connections.tell(role, FromKeeper::InventoryEnd);
    }
}

fn exit_of_stranger(hold: &Hold) -> Exit {
    // Its new parent reaps it in a moment; the kernel tells the status only then.
    for _ in 0..200 {
        if let Some(exit) = kernel::exit_of_gone(hold.handle.as_fd()) {
            return exit;
        }
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
    Exit::Unknown(UnknownExit::KeeperLost)
}

/// Whether a process is this run, or becomes it: a child that has not executed
/// its program yet still looks like the keeper that made it.
fn becomes_run(pid: u32, run: RunId) -> bool {
    let own = std::fs::read_link("/proc/self/exe").ok();
    let program = format!("/proc/{pid}/exe");
    for _ in 0..100 {
        if carries_run(pid, run) {
            return true;
        }
        if std::fs::read_link(&program).ok() != own {
            return carries_run(pid, run);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    false
}

/// Whether the environment of a process names this run.
fn carries_run(pid: u32, run: RunId) -> bool {
    let wanted = format!("{}={run}", crate::RUN_VARIABLE);
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes()))
}
