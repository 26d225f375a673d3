//! The hands of [`crate::masters`]: processes of masters are started, watched and ended, and
//! what they say is heard, as that room decides.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use hsu_model::exit::Exit;
use hsu_model::time::Tick;

use super::{Keeper, Token};
use crate::kernel;
use crate::masters::{Action, Blow, Loss, Which};
use crate::protocol::{Program, Role, ToKeeper};
use crate::spawn::{Launch, Output};

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

/// A process that is, or shall become, the master.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    handle: OwnedFd,
}

impl Process {
    fn has_ended(&self) -> bool {
        kernel::has_ended(self.handle.as_fd())
    }

    /// How it was lost; it has ended and, when it is ours, is not reaped yet.
    fn loss(&self) -> Loss {
        let handle = self.handle.as_fd();
        let waited = kernel::wait(kernel::Which::This(handle), kernel::Reap::No).ok().flatten();
        let exit = waited.map(|waited| waited.exit).or_else(|| kernel::exit_of_gone(handle));
        match exit {
            Some(Exit::Code(_)) => Loss::ByItself,
            Some(Exit::Signal { number, .. }) if FAULTS.contains(&number) => Loss::ByItself,
            _ => Loss::Killed,
        }
    }
}

/// The processes of masters.
#[derive(Debug, Default)]
pub(super) struct Processes {
    serving: Option<Process>,
    candidate: Option<Process>,
}

impl Processes {
    fn of(&mut self, which: Which) -> &mut Option<Process> {
        match which {
            Which::Serving => &mut self.serving,
            Which::Candidate => &mut self.candidate,
        }
    }
}

impl Keeper {
    /// A master says hello.
    pub(super) fn welcome_master(&mut self, place: usize, relaunch: Program) {
        let Some(connection) = self.connections.get(place) else {
            return;
        };
        let (pid, handle) = (connection.pid, connection.take_process());
        while let Some(earlier) = self.connections.find_other(Role::Master, place) {
            self.hang_up(earlier);
        }
        let now = kernel::now().tick;
        self.masters.welcome(now, relaunch);
        // One that has ended lets go of its PID, and this may be the next one's.
        let serving = self.processes.serving.take();
        let known = serving.filter(|process| process.pid == pid && !process.has_ended());
        if known.is_some() {
            self.processes.serving = known;
        } else if let Some(handle) = handle {
            self.watch_master(Which::Serving, Process { pid, handle });
        } else {
            // It said hello and was lost.
            let actions = self.masters.ended(now, Which::Serving, Loss::Killed);
            self.carry_out(actions);
        }
    }

    /// A master says hello that shall take over.
    pub(super) fn welcome_candidate(&mut self, place: usize, relaunch: Program) {
        let pid = self.connections.get(place).map_or(0, |connection| connection.pid);
        if self.processes.candidate.as_ref().is_none_or(|candidate| candidate.pid != pid) {
            return self.hang_up(place);
        }
        let action = self.masters.welcome_candidate(relaunch);
        self.carry_out(action);
    }

    fn watch_master(&mut self, which: Which, process: Process) {
        // Refused only without memory; the ping finds the loss then.
        let _ = self.epoll.add(process.handle.as_fd(), Token::Master(which).number());
        *self.processes.of(which) = Some(process);
    }

    /// A master, or one that shall become it, says what shall be done.
    pub(super) fn on_order(&mut self, role: Role, message: ToKeeper) {
        if !self.masters.obeys(role) {
            return;
        }
        let now = kernel::now().tick;
        match message {
            ToKeeper::Spawn(request) => self.queue_start(request),
            ToKeeper::Signal { run, signal, scope } => self.signal(run, signal, scope),
            ToKeeper::Acknowledge { run } => self.table.forget(run),
            ToKeeper::Follow { run, process, handle } => self.follow(role, run, process, handle),
            ToKeeper::Inventory => self.tell_inventory(role),
            ToKeeper::Keep { worker, keep, descriptor } => self.keep(worker, keep, descriptor),
            ToKeeper::Discard { worker, label } => self.discard(&worker, label.as_deref()),
            ToKeeper::Pong if role == Role::Master => self.masters.on_pong(now),
            ToKeeper::Upgrade { program } => {
                let action = self.masters.upgrade(program);
                self.carry_out([action]);
            }
            ToKeeper::Yielded if role == Role::Master => self.carry_out([self.masters.proceed()]),
            ToKeeper::Ready if role == Role::Candidate => {
                let actions = self.masters.hand_over(now);
                self.carry_out(actions);
            }
            ToKeeper::Goodbye { mode } if role == Role::Master => {
                let actions = self.masters.on_goodbye(now, mode);
                self.carry_out(actions);
            }
            // Said by somebody who has no say in it.
            ToKeeper::Pong | ToKeeper::Yielded | ToKeeper::Ready | ToKeeper::Goodbye { .. } => {}
            // Said once per connection, or by the pump only.
            ToKeeper::Hello { .. } | ToKeeper::Drained { .. } | ToKeeper::Have { .. } => {}
        }
    }

    /// The process of a master may have ended.
    pub(super) fn see_master_end(&mut self, which: Which) {
        let ended = |process: &&mut Process| process.has_ended();
        let Some(pid) = self.processes.of(which).as_mut().filter(ended).map(|it| it.pid) else {
            return;
        };
        match which {
            Which::Serving => self.hear_last_words(pid),
            Which::Candidate => {
                if let Some(place) = self.connections.find(Role::Candidate) {
                    // It may have become ready before.
                    self.hear(place, usize::MAX);
                }
            }
        }
        // What it said last may have changed who it is.
        let Some(process) = self.processes.of(which).take_if(|process| process.has_ended()) else {
            return;
        };
        self.epoll.remove(process.handle.as_fd());
        if which == Which::Candidate
            && let Some(place) = self.connections.find(Role::Candidate)
        {
            self.hang_up(place);
        }
        let actions = self.masters.ended(kernel::now().tick, which, process.loss());
        self.carry_out(actions);
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

    /// Does what is due for masters.
    pub(super) fn tend_masters(&mut self, now: Tick) {
        let actions = self.masters.tend(now);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: impl IntoIterator<Item = Action>) {
        for action in actions {
            match action {
                Action::Tell(role, message) => drop(self.connections.tell(role, message)),
                Action::Start(which, program, variable) => {
                    let started = self.start_program(&program, variable);
                    let came_of_it = started.map(|process| self.watch_master(which, process));
                    let action = self.masters.started(kernel::now().tick, which, came_of_it);
                    self.carry_out(action);
                }
                Action::End(which, blow) => {
                    let signal = match blow {
                        Blow::Abort => libc::SIGABRT,
                        Blow::Kill => libc::SIGKILL,
                    };
                    if let Some(process) = self.processes.of(which) {
                        let _ = kernel::pidfd_signal(process.handle.as_fd(), signal, false);
                    }
                }
                Action::Promote => self.promote(),
                Action::Inventory => self.tell_inventory(Role::Master),
                Action::ForgetEnded => self.table.forget_ended(),
            }
        }
    }

    /// The candidate is the one that serves.
    fn promote(&mut self) {
        self.flush();
        // Whatever the old one said and we have not heard is void.
        while let Some(old) = self.connections.find(Role::Master) {
            self.hang_up(old);
        }
        let place = self.connections.find(Role::Candidate);
        if let Some(connection) = place.and_then(|place| self.connections.get(place)) {
            connection.role = Some(Role::Master);
        }
        let candidate = self.processes.candidate.take();
        for process in [&candidate, &self.processes.serving].into_iter().flatten() {
            self.epoll.remove(process.handle.as_fd());
        }
        self.processes.serving = None;
        if let Some(candidate) = candidate {
            self.watch_master(Which::Serving, candidate);
        }
    }

    /// Starts a program that is no worker, with one more variable; an error says why not.
    fn start_program(
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
