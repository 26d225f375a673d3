//! Masters: the one that serves, and what becomes of its loss.
//!
//! A master that goes without a goodbye is started again as it was; one whose
//! loop stands still is ended first. How another takes over while this one lives
//! is in [`super::upgrade`].

use std::collections::VecDeque;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use hsu_model::exit::Exit;

use super::upgrade::Upgrade;
use super::{DRAIN_LIMIT, Keeper, Token};
use crate::kernel;
use crate::protocol::{FromKeeper, GoodbyeMode, Program, Role, ToKeeper};
use crate::spawn::{Launch, Output};

/// How often the master is asked whether its loop lives: one that hangs is replaced
/// within 40 s, on a busy host too.
const PING_EVERY: Duration = Duration::from_secs(25);
/// How long it may take to answer.
const PONG_WITHIN: Duration = Duration::from_secs(3);
/// How long it may take to write its core file.
const CORE_WITHIN: Duration = Duration::from_secs(5);
/// A lost master is started again at once, as long as no more than this many were lost lately.
const QUICK_STARTS: usize = 100;
/// What "lately" is.
const LATELY: Duration = Duration::from_secs(10);
/// The rest after a master that could not be started, or that ended by itself: another one
/// finds what it has found, such as a mistake in its configuration.
const FIRST_REST: Duration = Duration::from_millis(100);
/// The longest rest between two starts of a master.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What the keeper knows of masters.
#[derive(Debug, Default)]
pub(super) struct Masters {
    pub(super) serving: Option<Process>,
    /// How to start the serving one again; none after its goodbye.
    pub(super) relaunch: Option<Program>,
    pub(super) upgrade: Option<Upgrade>,
    /// When the next start is due, after a loss.
    start_at: Option<Instant>,
    rest: Duration,
    /// When masters were lost lately.
    lost_at: VecDeque<Instant>,
    /// Since when the serving one is there.
    since: Option<Instant>,
    watch: Watch,
    /// Whether the one that was lost last was killed because it hung.
    hung: bool,
}

/// A process that is, or shall become, the master.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) handle: OwnedFd,
}

/// Which of the two masters that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that serves.
    Serving,
    /// The one that shall take over.
    Candidate,
}

/// How a master was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// By somebody, or nobody knows.
    Killed,
    /// It ended with an exit code and without a goodbye, or by a fault of its own.
    ByItself,
}

/// The signals that a program draws upon itself by a fault.
const FAULTS: [i32; 7] = [
    libc::SIGABRT,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
];

impl Loss {
    /// Of a process that has ended and, when it is ours, is not reaped yet.
    pub(super) fn of(process: &Process) -> Self {
        let handle = process.handle.as_fd();
        let waited = kernel::wait(kernel::Which::This(handle), kernel::Reap::No).ok().flatten();
        let exit = waited.map(|waited| waited.exit).or_else(|| kernel::exit_of_gone(handle));
        match exit {
            Some(Exit::Code(_)) => Self::ByItself,
            Some(Exit::Signal { number, .. }) if FAULTS.contains(&number) => Self::ByItself,
            _ => Self::Killed,
        }
    }
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

impl Watch {
    fn begin() -> Self {
        Self::Ping(Instant::now() + PING_EVERY)
    }
}

impl Masters {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let watch = match self.watch {
            Watch::Nobody => None,
            Watch::Ping(at) | Watch::Pong(at) | Watch::Core(at) => Some(at),
        };
        let ready_by = self.upgrade.as_ref().and_then(|upgrade| upgrade.ready_by);
        [watch, self.start_at, ready_by].into_iter().flatten().min()
    }

    /// Somebody serves: nobody has to be started.
    pub(super) fn serve(&mut self, process: Process) {
        self.serving = Some(process);
        self.since.get_or_insert_with(Instant::now);
        self.start_at = None;
        self.watch = Watch::begin();
        self.hung = false;
    }
}

impl Keeper {
    /// A master says hello. Which of two is the true one is settled before they
    /// come here, by the lock of the state; so the newest is.
    pub(super) fn welcome_master(&mut self, place: usize, relaunch: Program) {
        let Some(connection) = self.connections.get(place) else {
            return;
        };
        let (pid, handle) = (connection.pid, connection.take_process());
        while let Some(earlier) = self.connections.find_other(Role::Master, place) {
            self.hang_up(earlier);
        }
        self.ending = None;
        self.masters.relaunch = Some(relaunch);
        // One that has ended lets go of its PID, and this may be the next one's.
        let is_known =
            |process: &Process| process.pid == pid && !kernel::has_ended(process.handle.as_fd());
        let known = self.masters.serving.take().filter(is_known);
        if let Some(process) = known {
            return self.masters.serve(process);
        }
        let Some(handle) = handle else {
            // It said hello and was lost.
            return self.lose_master(Loss::Killed);
        };
        self.masters.serve(Process { pid, handle });
        self.watch_process(Which::Serving);
    }

    pub(super) fn watch_process(&self, which: Which) {
        let process = match which {
            Which::Serving => self.masters.serving.as_ref(),
            Which::Candidate => self.masters.upgrade.as_ref().map(|upgrade| &upgrade.candidate),
        };
        if let Some(process) = process {
            // Refused only without memory; the ping finds the loss then.
            let _ = self.epoll.add(process.handle.as_fd(), Token::Master(which).number());
        }
    }

    /// A master, or one that shall become it, says what shall be done.
    pub(super) fn on_order(&mut self, place: usize, role: Role, message: ToKeeper) {
        match message {
            ToKeeper::Spawn(request) => self.queue_start(request),
            ToKeeper::Signal { run, signal, scope } => self.signal(run, signal, scope),
            ToKeeper::Acknowledge { run } => self.table.forget(run),
            ToKeeper::Follow { run, process, handle } => self.follow(role, run, process, handle),
            ToKeeper::Inventory => self.tell_inventory(role),
            ToKeeper::Keep { worker, keep, descriptor } => self.keep(worker, keep, descriptor),
            ToKeeper::Discard { worker, label } => self.discard(&worker, label.as_deref()),
            ToKeeper::Pong => self.on_pong(role),
            ToKeeper::Upgrade { program } => self.start_candidate(&program),
            ToKeeper::Yielded if role == Role::Master => self.proceed(),
            ToKeeper::Ready if role == Role::Candidate => self.hand_over(place),
            ToKeeper::Goodbye { mode } if role == Role::Master => self.on_goodbye(mode),
            // Said by somebody who has no say in it.
            ToKeeper::Yielded | ToKeeper::Ready | ToKeeper::Goodbye { .. } => {}
            // Said once per connection, or by the pump only.
            ToKeeper::Hello { .. } | ToKeeper::Drained { .. } | ToKeeper::Have { .. } => {}
        }
    }

    fn on_pong(&mut self, role: Role) {
        if role == Role::Master && matches!(self.masters.watch, Watch::Ping(_) | Watch::Pong(_)) {
            self.masters.watch = Watch::begin();
        }
    }

    fn on_goodbye(&mut self, mode: GoodbyeMode) {
        self.masters.relaunch = None;
        self.masters.start_at = None;
        self.masters.watch = Watch::Nobody;
        self.end_candidate();
        if mode == GoodbyeMode::Stop {
            self.ending = Some(Instant::now() + DRAIN_LIMIT);
            self.table.forget_ended();
        }
    }

    /// The process of a master may have ended.
    pub(super) fn see_master_end(&mut self, which: Which) {
        match which {
            Which::Candidate => self.see_candidate_end(),
            Which::Serving => {
                let has_ended = |process: &mut Process| kernel::has_ended(process.handle.as_fd());
                let Some(process) = self.masters.serving.take_if(has_ended) else { return };
                self.epoll.remove(process.handle.as_fd());
                let loss = Loss::of(&process);
                self.masters.watch = Watch::Nobody;
                self.hear_last_words(process.pid);
                if self.masters.serving.is_some() {
                    // It said hello again at the very end; the new hold tells that it has ended.
                    return;
                }
                if self.masters.upgrade.is_some() {
                    // What it held is free by its death.
                    return self.proceed();
                }
                self.lose_master(loss);
            }
        }
    }

    /// What a master that has ended said counts, whichever connection it said it by,
    /// and though it still waits at the door: a goodbye may be among it.
    fn hear_last_words(&mut self, pid: u32) {
        while self.accept() {}
        for place in self.connections.places_of(pid) {
            self.hear(place, usize::MAX);
        }
        if let Some(place) = self.connections.find_process(pid) {
            self.hang_up(place);
        }
    }

    /// Nobody serves: the last one that did is started again.
    pub(super) fn lose_master(&mut self, loss: Loss) {
        self.masters.watch = Watch::Nobody;
        let since = self.masters.since.take();
        if self.masters.relaunch.is_none() {
            return;
        }
        let now = Instant::now();
        let lost_at = &mut self.masters.lost_at;
        lost_at.retain(|lost| now - *lost < LATELY);
        lost_at.push_back(now);
        if loss == Loss::ByItself {
            if since.is_some_and(|since| now - since >= LATELY) {
                self.masters.rest = Duration::ZERO;
            }
            return self.rest(now, FIRST_REST);
        }
        if lost_at.len() > QUICK_STARTS {
            return self.rest(now, Duration::from_millis(10));
        }
        self.masters.rest = Duration::ZERO;
        self.masters.start_at = Some(now);
    }

    /// The next master is started after twice the last rest.
    fn rest(&mut self, now: Instant, least: Duration) {
        self.masters.rest = (self.masters.rest * 2).clamp(least, LONGEST_REST);
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
                self.masters.hung = true;
                self.signal_master(libc::SIGABRT);
                self.masters.watch = Watch::Core(now + CORE_WITHIN);
            }
            Watch::Core(at) if at <= now => {
                self.signal_master(libc::SIGKILL);
                self.masters.watch = Watch::Nobody;
            }
            Watch::Nobody | Watch::Ping(_) | Watch::Pong(_) | Watch::Core(_) => {}
        }
        self.tend_upgrade(now);
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
        let how = if self.masters.hung { crate::HUNG } else { crate::KILLED };
        match self.start_program(&program, (crate::RELAUNCHED_VARIABLE, how)) {
            Ok(process) => {
                // One that never says hello is ended like one that stands still.
                self.masters.serve(process);
                self.watch_process(Which::Serving);
            }
            Err(_) => self.rest(now, FIRST_REST),
        }
    }

    /// Starts a program that is no worker, with one more variable; an error says why not.
    pub(super) fn start_program(
        &mut self,
        program: &Program,
        (variable, value): (&str, &str),
    ) -> Result<Process, String> {
        let mut program = program.clone();
        let ours = [crate::RELAUNCHED_VARIABLE, crate::CANDIDATE_VARIABLE];
        program.env.retain(|pair| {
            let is = |name: &str| pair.as_bytes().starts_with(name.as_bytes());
            !ours.into_iter().any(is)
        });
        program.env.extend(CString::new(format!("{variable}={value}")));
        let judged = self.workshop.judged_master(&program);
        let judged = judged.map_err(|_| "the policy of this host does not allow it")?;
        let program = judged.unwrap_or(program);
        self.keep_door();
        let started = self.workshop.start_now(&Launch {
            program: &program,
            identity: None,
            umask: None,
            nice: None,
            rlimits: &[],
            entrances: &[],
            stdout: Output::Ours,
            stderr: Output::Ours,
            cgroup: None,
            passed: &[],
            ready: None,
            slot: None,
        });
        let started = started.map_err(|failed| {
            let error = io::Error::from_raw_os_error(failed.errno);
            format!("{} could not be started: {error}", program.executable.to_string_lossy())
        })?;
        Ok(Process { pid: started.pid, handle: started.handle })
    }
}
