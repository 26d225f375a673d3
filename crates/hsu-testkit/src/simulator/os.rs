//! The simulated kernel: processes, PIDs that come back at once, signals, zombies.
//!
//! A hold on a process is its PID and start time, as a pidfd is: it never reaches another
//! process. What the kernel does by itself (orphans get another parent, PID 1 reaps) happens
//! at once; everything else is for somebody to do, in the order that the schedule chooses.

use hsu_model::exit::Exit;
use hsu_model::id::RunId;

/// Ends whoever does not ignore it.
pub(crate) const SIGTERM: i32 = 15;
/// Ends whoever the kernel does not hold.
pub(crate) const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;
/// The lowest PID of this host.
const FIRST: u32 = 2;
/// PIDs that a host has left once it is healed: more than its workers need.
const ROOM: u32 = 16;
/// Whoever reaps what nobody else waits for.
pub(crate) const INIT: u32 = 1;

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The master.
    Master,
    /// The keeper.
    Keeper,
    /// The first process of a run.
    Worker(RunId),
    /// A process that a run started, in a session of its own.
    Descendant(RunId),
    /// Nobody of ours.
    Stranger,
    /// A process of somebody else that a worker may be.
    Foreign,
}

/// What a process makes of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Ends when it is told to.
    Obedient,
    /// Ends by a kill only.
    Stubborn,
    /// The kernel holds it: not even a kill ends it.
    Stuck,
}

/// A hold on a process: it reaches this one or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) pid: u32,
    pub(crate) start: u64,
}

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) hold: Hold,
    pub(crate) parent: u32,
    pub(crate) what: What,
    /// The worker that it belongs to.
    pub(crate) worker: usize,
    pub(crate) temper: Temper,
    pub(crate) frozen: bool,
    told_to_end: bool,
    killed: bool,
    /// Set before it executes the program: the place that it has to claim.
    pub(crate) birth: Option<Birth>,
    pub(crate) zombie: Option<Exit>,
    /// What it runs.
    pub(crate) program: u64,
    /// Whether it has said what it must say of itself.
    pub(crate) has_spoken: bool,
}

/// A child that does not run the program yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) place: usize,
    pub(crate) claim: hsu_keeper::table::slot::Claim,
    /// Whether the program can be executed.
    pub(crate) can_execute: bool,
}

impl Process {
    /// Whether it runs, or could.
    pub(crate) fn is_alive(&self) -> bool {
        self.zombie.is_none()
    }

    /// The run that it belongs to.
    pub(crate) fn run(&self) -> Option<RunId> {
        match self.what {
            What::Worker(run) | What::Descendant(run) => Some(run),
            What::Master | What::Keeper | What::Stranger | What::Foreign => None,
        }
    }
}

/// Every process of the host, and the ends of those that are gone.
#[derive(Debug)]
pub(crate) struct Os {
    pub(crate) processes: Vec<Process>,
    /// How the first process of each run ended, as the kernel saw it.
    pub(crate) ends: Vec<(Hold, RunId, Exit)>,
    next: u32,
    range: u32,
    /// Whether a PID that becomes free is the next one that is given.
    at_once: bool,
    starts: u64,
    /// The process that orphans are given to.
    pub(crate) subreaper: Option<u32>,
    /// Signals that hit nobody of ours.
    pub(crate) strangers_hit: u32,
    /// PIDs that were given out again, so far.
    pub(crate) reused: u32,
}

impl Os {
    pub(crate) fn new(range: u32, at_once: bool) -> Self {
        Self {
            processes: Vec::with_capacity(16),
            ends: Vec::new(),
            next: FIRST,
            range,
            at_once,
            starts: 100,
            subreaper: None,
            strangers_hit: 0,
            reused: 0,
        }
    }

    pub(crate) fn find(&self, hold: Hold) -> Option<&Process> {
        self.processes.iter().find(|process| process.hold == hold)
    }

    pub(crate) fn find_mut(&mut self, hold: Hold) -> Option<&mut Process> {
        self.processes.iter_mut().find(|process| process.hold == hold)
    }

    /// A hold on whoever has this PID now.
    pub(crate) fn open(&self, pid: u32) -> Option<Hold> {
        self.processes.iter().map(|process| process.hold).find(|hold| hold.pid == pid)
    }

    /// Makes a process; none when no PID is free.
    pub(crate) fn fork(&mut self, parent: u32, what: What, worker: usize) -> Option<Hold> {
        let is_taken = |pid: u32| self.processes.iter().any(|process| process.hold.pid == pid);
        let mut pids = (0..self.range).map(|step| FIRST + (self.next - FIRST + step) % self.range);
        let is_role = matches!(what, What::Master | What::Keeper);
        // Roles try again until they get one; here they have some set aside.
        let aside = (FIRST + self.range..).find(|pid| !is_taken(*pid)).filter(|_| is_role);
        let pid = pids.find(|pid| !is_taken(*pid)).or(aside)?;
        self.reused += u32::from(pid < self.next);
        if !self.at_once {
            self.next = FIRST + (pid + 1 - FIRST) % self.range;
        }
        self.starts += 1;
        let hold = Hold { pid, start: self.starts };
        self.processes.push(Process {
            hold,
            parent,
            what,
            worker,
            temper: Temper::Obedient,
            frozen: false,
            told_to_end: false,
            killed: false,
            birth: None,
            zombie: None,
            program: 0,
            has_spoken: false,
        });
        Some(hold)
    }

    /// Sends a signal through a hold; whether somebody was there to get it.
    pub(crate) fn signal(&mut self, hold: Hold, signal: i32) -> bool {
        let Some(process) = self.find_mut(hold) else {
            return false;
        };
        if matches!(process.what, What::Stranger | What::Foreign) {
            self.strangers_hit += 1;
            return true;
        }
        self.deliver(hold, signal);
        true
    }

    /// The same to a process of somebody else that is held.
    pub(crate) fn signal_foreign(&mut self, hold: Hold, signal: i32) {
        match self.find(hold).map(|process| process.what) {
            Some(What::Foreign) => self.deliver(hold, signal),
            Some(_) => self.strangers_hit += 1,
            None => {}
        }
    }

    fn deliver(&mut self, hold: Hold, signal: i32) {
        let Some(process) = self.find_mut(hold) else { return };
        match signal {
            SIGSTOP => process.frozen = true,
            SIGCONT => process.frozen = false,
            SIGTERM => process.told_to_end = true,
            SIGKILL => process.killed = true,
            _ => {}
        }
        self.act(hold);
    }

    /// Lets a process do what the signals that wait for it want.
    pub(crate) fn act(&mut self, hold: Hold) {
        let Some(process) = self.find(hold).filter(|process| process.is_alive()) else {
            return;
        };
        if process.killed && process.temper != Temper::Stuck {
            self.end(hold, Exit::Signal { number: SIGKILL, core: false });
        } else if process.told_to_end
            && !process.frozen
            && process.birth.is_none()
            && process.temper == Temper::Obedient
        {
            self.end(hold, Exit::Signal { number: SIGTERM, core: false });
        }
    }

    /// A process ends: a zombie until its parent has asked how.
    pub(crate) fn end(&mut self, hold: Hold, exit: Exit) {
        let Some(process) = self.find_mut(hold).filter(|process| process.is_alive()) else {
            return;
        };
        process.zombie = Some(exit);
        process.frozen = false;
        let parent = process.parent;
        if let (What::Worker(run), None) = (process.what, process.birth) {
            self.ends.push((hold, run, exit));
        } else if process.what == What::Foreign {
            self.ends.push((hold, RunId(0), exit));
        }
        if self.subreaper == Some(hold.pid) {
            self.subreaper = None;
        }
        let heir = self.subreaper.unwrap_or(INIT);
        for child in self.processes.iter_mut().filter(|child| child.parent == hold.pid) {
            child.parent = heir;
        }
        let is_asked_for = |of: &Process| match of.what {
            // Workers ask how what they have started ended.
            What::Worker(_) | What::Descendant(_) => false,
            What::Master | What::Keeper | What::Stranger | What::Foreign => true,
        };
        let has_parent =
            self.processes.iter().any(|p| p.hold.pid == parent && p.is_alive() && is_asked_for(p));
        if parent == INIT || !has_parent {
            self.reap(hold);
        }
        // PID 1 takes what it was given.
        self.processes.retain(|process| process.is_alive() || process.parent != INIT);
    }

    /// Another process counts as the first one of a run.
    pub(crate) fn succeed(&mut self, run: RunId, hold: Hold) {
        for process in &mut self.processes {
            if process.hold == hold {
                process.what = What::Worker(run);
                self.ends.extend(process.zombie.map(|exit| (hold, run, exit)));
            } else if process.what == What::Worker(run) {
                process.what = What::Descendant(run);
            }
        }
    }

    /// A zombie is gone, and its PID is free.
    pub(crate) fn reap(&mut self, hold: Hold) {
        self.processes.retain(|process| process.hold != hold || process.is_alive());
    }

    /// How a process ended, for whoever holds it after it was reaped.
    pub(crate) fn exit_of_gone(&self, hold: Hold) -> Option<Exit> {
        let is_there = self.find(hold).is_some();
        let end = self.ends.iter().find(|(of, _, _)| *of == hold);
        end.filter(|_| !is_there).map(|(_, _, exit)| *exit)
    }

    /// How the first process of a run ended.
    pub(crate) fn end_of(&self, run: RunId) -> Option<Exit> {
        self.ends.iter().rev().find(|(_, of, _)| *of == run).map(|(_, _, exit)| *exit)
    }

    /// The living first process of a worker, if it has one that runs its program.
    pub(crate) fn live(&self, worker: usize) -> impl Iterator<Item = (RunId, &Process)> + '_ {
        self.processes.iter().filter_map(move |process| match process.what {
            What::Worker(run)
                if process.worker == worker && process.is_alive() && process.birth.is_none() =>
            {
                Some((run, process))
            }
            _ => None,
        })
    }

    /// Kills what belongs to a run, or to all runs of its worker; what is left, and the
    /// other runs whose first process was hit.
    pub(crate) fn kill_tree(
        &mut self,
        worker: usize,
        run: RunId,
        whole: bool,
        first_only: bool,
    ) -> (Vec<u32>, Vec<RunId>) {
        let victims: Vec<_> = self
            .processes
            .iter()
            .filter(|process| process.is_alive() && process.birth.is_none())
            .filter(|process| process.run().is_some_and(|of| of == run || whole))
            .filter(|process| process.worker == worker)
            .filter(|process| !first_only || matches!(process.what, What::Worker(_)))
            .map(|process| (process.hold, process.what))
            .collect();
        let (mut left, mut others) = (Vec::new(), Vec::new());
        for (hold, what) in victims {
            match what {
                What::Worker(other) if other != run => others.push(other),
                _ => {}
            }
            self.signal(hold, SIGKILL);
            if self.find(hold).is_some_and(Process::is_alive) {
                left.push(hold.pid);
            }
        }
        (left, others)
    }

    /// Nothing is held, ignored or frozen any more, and there are PIDs again. Strangers that
    /// filled the table of processes have ended, as a fork bomb does in the end; what runs have
    /// left and processes of somebody else may stay for ever, and there is room beside them, as
    /// whoever looks after a host raises `kernel.pid_max`.
    pub(crate) fn heal(&mut self) {
        let all: Vec<_> = self.processes.iter().map(|process| process.hold).collect();
        self.range += ROOM;
        for hold in all {
            if let Some(process) = self.find_mut(hold) {
                process.frozen = false;
                process.temper = Temper::Obedient;
                match process.what {
                    What::Stranger => self.end(hold, Exit::Code(0)),
                    _ => self.act(hold),
                }
            }
        }
    }

    /// The host starts anew: nothing runs.
    pub(crate) fn reboot(&mut self) {
        self.processes.clear();
        self.ends.clear();
        self.subreaper = None;
        self.next = FIRST;
    }
}
