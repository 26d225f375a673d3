//! Masters: the one that serves, the one that shall take over, and the one that was lost.

use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::{DRAIN_LIMIT, Keeper, Token};
use crate::inventory::Held;
use crate::kernel;
use crate::protocol::{Capture, FromKeeper, GoodbyeMode, Program, Role, ToKeeper};
use crate::spawn::Launch;

/// How often the master is asked whether its loop lives.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const PONG_WITHIN: Duration = Duration::from_secs(3);
/// How long it may take to write its core file.
const CORE_WITHIN: Duration = Duration::from_secs(5);
/// How long a candidate may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// A lost master is started again at once, as long as no more than this many were lost lately.
const QUICK_STARTS: usize = 100;
/// What "lately" is.
const LATELY: Duration = Duration::from_secs(10);
/// The longest rest between two starts of a master.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What the keeper knows of masters.
#[derive(Debug, Default)]
pub(super) struct Masters {
    serving: Option<Process>,
    candidate: Option<Process>,
    /// How to start the serving one again.
    relaunch: Option<Program>,
    /// When the next start is due, after a loss.
    start_at: Option<Instant>,
    rest: Duration,
    /// When masters were lost lately.
    lost_at: VecDeque<Instant>,
    watch: Watch,
    ready_by: Option<Instant>,
}

#[derive(Debug)]
struct Process {
    pid: u32,
    handle: OwnedFd,
}

/// What is expected of the serving master's loop.
#[derive(Clone, Copy, Debug, Default)]
enum Watch {
    #[default]
    Nobody,
    Ping(Instant),
    Pong(Instant),
    Core(Instant),
}

const SERVING: usize = 0;
const CANDIDATE: usize = 1;

impl Masters {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let watch = match self.watch {
            Watch::Nobody => None,
            Watch::Ping(at) | Watch::Pong(at) | Watch::Core(at) => Some(at),
        };
        [watch, self.start_at, self.ready_by].into_iter().flatten().min()
    }
}

fn open(pid: u32) -> Option<Process> {
    let handle = kernel::pidfd_open(pid).ok()?;
    Some(Process { pid, handle })
}

impl Keeper {
    pub(super) fn welcome_master(&mut self, place: usize, relaunch: Program) {
        let Some(pid) = self.connections.get(place).map(|connection| connection.pid) else {
            return;
        };
        self.masters.relaunch = Some(relaunch);
        self.masters.start_at = None;
        self.masters.watch = Watch::Ping(Instant::now() + PING_EVERY);
        if self.masters.serving.as_ref().is_some_and(|process| process.pid == pid) {
            return;
        }
        self.masters.serving = open(pid);
        self.watch_process(SERVING);
    }

    fn watch_process(&self, which: usize) {
        let process =
            if which == SERVING { &self.masters.serving } else { &self.masters.candidate };
        if let Some(process) = process {
            // Without this the loss of its connection is noticed all the same.
            let _ = self.epoll.add(process.handle.as_fd(), Token::Master(which).number());
        }
    }

    pub(super) fn welcome_candidate(&mut self, place: usize, relaunch: Program) {
        let pid = self.connections.get(place).map_or(0, |connection| connection.pid);
        let expected = self.masters.candidate.as_ref().is_some_and(|process| process.pid == pid);
        if !expected {
            return self.hang_up(place);
        }
        self.masters.relaunch = Some(relaunch);
        self.connections.tell(Role::Master, FromKeeper::Yield);
    }

    /// A master says what shall be done.
    pub(super) fn on_order(&mut self, place: usize, message: ToKeeper) {
        match message {
            ToKeeper::Spawn(request) => self.queue_start(request),
            ToKeeper::Signal { run, signal, scope } => self.signal(run, signal, scope),
            ToKeeper::Acknowledge { run } => self.forget(run),
            ToKeeper::Inventory => {
                let role = self.connections.get(place).and_then(|connection| connection.role);
                self.tell_inventory(role.unwrap_or(Role::Master));
            }
            ToKeeper::Pong => self.masters.watch = Watch::Ping(Instant::now() + PING_EVERY),
            ToKeeper::Upgrade { program } => self.start_candidate(&program),
            ToKeeper::Yielded => drop(self.connections.tell(Role::Candidate, FromKeeper::Proceed)),
            ToKeeper::Ready => self.hand_over(),
            ToKeeper::Goodbye { mode } => self.on_goodbye(mode),
            // Said once per connection, or by the pump only.
            ToKeeper::Hello { .. } | ToKeeper::Drained { .. } | ToKeeper::Have { .. } => {}
        }
    }

    fn on_goodbye(&mut self, mode: GoodbyeMode) {
        self.masters.relaunch = None;
        self.masters.start_at = None;
        self.masters.watch = Watch::Nobody;
        if mode == GoodbyeMode::Stop {
            self.ending = Some(Instant::now() + DRAIN_LIMIT);
            let ended: Vec<_> = self
                .places
                .iter()
                .filter(|(_, place)| {
                    let slot = self.inventory.slots().get(**place);
                    slot.is_some_and(|slot| slot.held() == Held::Ended)
                })
                .map(|(run, _)| *run)
                .collect();
            for run in ended {
                self.forget(run);
            }
        }
    }

    /// The process of a master has ended.
    pub(super) fn see_master_end(&mut self, which: usize) {
        let slot =
            if which == SERVING { &mut self.masters.serving } else { &mut self.masters.candidate };
        let Some(process) = slot.take() else { return };
        self.epoll.remove(process.handle.as_fd());
        // A child of ours is reaped with the strangers.
        if which == CANDIDATE {
            return self.give_up_candidate("it ended before it was ready");
        }
        if let Some(place) = self.connections.find(Role::Master) {
            self.hear(place);
            let is_same = self.connections.get(place).is_some_and(|c| c.pid == process.pid);
            if is_same {
                self.hang_up(place);
            }
        }
        self.masters.watch = Watch::Nobody;
        if self.masters.relaunch.is_none() {
            return;
        }
        let now = Instant::now();
        let lost_at = &mut self.masters.lost_at;
        lost_at.retain(|lost| now - *lost < LATELY);
        lost_at.push_back(now);
        self.masters.rest = if lost_at.len() <= QUICK_STARTS {
            Duration::ZERO
        } else {
            (self.masters.rest * 2).clamp(Duration::from_millis(10), LONGEST_REST)
        };
        self.masters.start_at = Some(now + self.masters.rest);
    }

    /// Does what is due for masters.
    pub(super) fn tend_masters(&mut self, now: Instant) {
        if self.masters.start_at.is_some_and(|due| due <= now) {
            self.masters.start_at = None;
            self.start_master(now);
        }
        match self.masters.watch {
            Watch::Ping(at) if at <= now => {
                self.connections.tell(Role::Master, FromKeeper::Ping);
                self.masters.watch = Watch::Pong(now + PONG_WITHIN);
            }
            Watch::Pong(at) if at <= now => {
                self.signal_master(libc::SIGABRT);
                self.masters.watch = Watch::Core(now + CORE_WITHIN);
            }
            Watch::Core(at) if at <= now => {
                self.signal_master(libc::SIGKILL);
                self.masters.watch = Watch::Nobody;
            }
            Watch::Nobody | Watch::Ping(_) | Watch::Pong(_) | Watch::Core(_) => {}
        }
        if self.masters.ready_by.is_some_and(|due| due <= now) {
            if let Some(candidate) = &self.masters.candidate {
                let _ = kernel::pidfd_signal(candidate.handle.as_fd(), libc::SIGKILL, false);
            }
            self.give_up_candidate("it was not ready in time");
        }
    }

    fn signal_master(&self, signal: i32) {
        if let Some(master) = &self.masters.serving {
            let _ = kernel::pidfd_signal(master.handle.as_fd(), signal, false);
        }
    }

    fn start_master(&mut self, now: Instant) {
        let Some(program) = self.masters.relaunch.clone() else {
            return;
        };
        match self.start_program(&program, crate::RELAUNCHED_VARIABLE) {
            Some(process) => {
                self.masters.serving = Some(process);
                self.watch_process(SERVING);
            }
            None => {
                self.masters.rest =
                    (self.masters.rest * 2).clamp(Duration::from_millis(100), LONGEST_REST);
                self.masters.start_at = Some(now + self.masters.rest);
            }
        }
    }

    fn start_candidate(&mut self, program: &Program) {
        if self.masters.candidate.is_some() {
            let reason = "another upgrade is under way".to_owned();
            self.connections.tell(Role::Master, FromKeeper::UpgradeFailed { reason });
            return;
        }
        self.masters.candidate = self.start_program(program, crate::CANDIDATE_VARIABLE);
        if self.masters.candidate.is_none() {
            return self.give_up_candidate("it could not be started");
        }
        self.masters.ready_by = Some(Instant::now() + READY_WITHIN);
        self.watch_process(CANDIDATE);
    }

    /// Starts a program that is no worker, with one more variable.
    fn start_program(&mut self, program: &Program, variable: &str) -> Option<Process> {
        let mut program = program.clone();
        let ours = [crate::RELAUNCHED_VARIABLE, crate::CANDIDATE_VARIABLE];
        program.env.retain(|pair| {
            let is = |name: &str| pair.as_bytes().starts_with(name.as_bytes());
            !ours.into_iter().any(is)
        });
        program.env.extend(CString::new(format!("{variable}=1")));
        let started = self.workshop.start_now(&Launch {
            program: &program,
            identity: None,
            umask: None,
            nice: None,
            rlimits: &[],
            capture: Capture::default(),
            own_output: true,
            slot: None,
        });
        let started = started.ok()?;
        Some(Process { pid: started.pid, handle: started.handle })
    }

    fn give_up_candidate(&mut self, reason: &str) {
        self.masters.ready_by = None;
        if let Some(candidate) = self.masters.candidate.take() {
            self.epoll.remove(candidate.handle.as_fd());
        }
        if let Some(place) = self.connections.find(Role::Candidate) {
            self.hang_up(place);
        }
        self.connections.tell(Role::Master, FromKeeper::Resume);
        let reason = reason.to_owned();
        self.connections.tell(Role::Master, FromKeeper::UpgradeFailed { reason });
    }

    /// The candidate serves from now on; the old master is told to end.
    fn hand_over(&mut self) {
        self.masters.ready_by = None;
        let Some(candidate) = self.masters.candidate.take() else {
            return;
        };
        self.epoll.remove(candidate.handle.as_fd());
        if let Some(old) = self.masters.serving.take() {
            self.epoll.remove(old.handle.as_fd());
        }
        self.connections.tell(Role::Master, FromKeeper::Fenced);
        self.flush();
        if let Some(place) = self.connections.find(Role::Master) {
            self.hang_up(place);
        }
        if let Some(place) = self.connections.find(Role::Candidate)
            && let Some(connection) = self.connections.get(place)
        {
            connection.role = Some(Role::Master);
        }
        self.masters.serving = Some(candidate);
        self.watch_process(SERVING);
        // What happened while nobody served was told to the old master only.
        self.tell_inventory(Role::Master);
        self.masters.watch = Watch::Ping(Instant::now() + PING_EVERY);
    }
}
