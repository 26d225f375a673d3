//! Commands: what an operator asks for, and the answer.
//!
//! One command is under way at a time. A later one that wants something else
//! takes its place, and the earlier one is told so.

use hsu_model::event::EventKind;
use hsu_model::id::RunId;
use hsu_model::status::Desired;
use hsu_model::worker::Unit;

use super::{Context, Pending, State, Then, Worker};
use crate::answer::{Answer, Refusal};
use crate::breaker::Breaker;
use crate::effect::{Effect, Scope};
use crate::input::{Command, Ticket};
use crate::reason::Reason;

/// The signals that exist.
const SIGNALS: core::ops::RangeInclusive<i32> = 1..=64;

impl Command {
    /// The verb as an operator types it.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Signal(_) => "signal",
            Self::Remove => "remove",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::ResetBreaker => "reset",
        }
    }
}

impl Command {
    /// Whether it may end with a process that was started.
    pub(crate) fn starts(self) -> bool {
        matches!(self, Self::Start | Self::Restart { .. })
    }

    /// Whether it ends with a worker that does not run.
    pub(crate) fn stops(self) -> bool {
        matches!(self, Self::Stop { .. } | Self::Disable)
    }

    /// Whether it is carried out also when the disk of the state takes nothing: it can only
    /// end something, and whoever fills the disk must be ended before it takes anything.
    #[must_use]
    pub fn outruns_the_disk(self) -> bool {
        matches!(self, Self::Stop { .. } | Self::Signal(_))
    }

    /// Whether it shall not wait for a process to end by itself.
    pub(crate) fn is_forced(self) -> bool {
        matches!(self, Self::Stop { force: true } | Self::Restart { force: true })
    }
}

impl Worker {
    /// Does what an operator asks, answers at once or keeps the ticket until it is done.
    /// `Remove` is the fleet's.
    pub(crate) fn on_command(
        &mut self,
        context: &mut Context<'_>,
        ticket: Ticket,
        command: Command,
    ) {
        let verb = command.verb();
        if let Some(answer) = self.refusal(command) {
            return context.out.push(Effect::Reply { ticket, answer });
        }
        if command.starts() || command.stops() {
            self.supersede(context, command);
        }
        self.tell(context, EventKind::Commanded { verb: verb.into() });
        let answer = match command {
            Command::Start => self.start_wanted(context),
            Command::Stop { force } => {
                self.desired = Desired::Stopped;
                self.stop_wanted(context, force, verb)
            }
            Command::Restart { force } => self.restart_wanted(context, force),
            Command::Signal(number) => Some(self.signal_wanted(context, number)),
            Command::Enable => {
                if !self.is_enabled() {
                    // It may run: that it shall is another wish.
                    self.desired = Desired::Stopped;
                }
                self.enabled = Some(true);
                Some(self.done("enabled; `start` runs it"))
            }
            Command::Disable => {
                self.enabled = Some(false);
                self.desired = Desired::Stopped;
                self.stop_wanted(context, false, verb)
            }
            Command::ResetBreaker => Some(self.reset(context)),
            Command::Remove => Some(self.done("removed")),
        };
        self.persist(context);
        match answer {
            Some(answer) => context.out.push(Effect::Reply { ticket, answer }),
            None => self.pending = Some(Pending { ticket, command }),
        }
    }

    /// A later command takes the place of the one under way. Who disabled the worker has what
    /// they want with the end of its process, whoever sees to it.
    fn supersede(&mut self, context: &mut Context<'_>, by: Command) {
        let disable = |pending: &mut Pending| by.stops() && pending.command == Command::Disable;
        if let Some(disable) = self.pending.take_if(disable) {
            return self.disabling.push(disable.ticket);
        }
        self.resolve(context, Answer::Refused(Refusal::Superseded { by: by.verb() }));
    }

    /// Why a command cannot even be begun; what is under way goes on undisturbed.
    fn refusal(&self, command: Command) -> Option<Answer> {
        if matches!(self.spec.unit, Unit::Departed(_))
            && (command.starts() || command == Command::Enable)
        {
            let hint = "the configuration does not name it any more";
            return Some(self.conflict(command.verb(), hint));
        }
        if command.starts() && !self.is_enabled() {
            return Some(
                self.conflict(command.verb(), "the worker is disabled; `enable` it first"),
            );
        }
        if command == (Command::Restart { force: false }) && self.state == State::Tripped {
            return Some(self.conflict(
                "restart",
                "its breaker is open; `reset` closes it, `restart --force` ignores it",
            ));
        }
        match command {
            Command::Signal(number) if !SIGNALS.contains(&number) => {
                Some(Self::failed("a signal is a number from 1 to 64 or a name such as HUP"))
            }
            Command::Signal(_) if self.signalled_run().is_none() => {
                Some(self.conflict("signal", "only a process that runs takes a signal"))
            }
            Command::Signal(_)
            | Command::Start
            | Command::Stop { .. }
            | Command::Restart { .. }
            | Command::Remove
            | Command::Enable
            | Command::Disable
            | Command::ResetBreaker => None,
        }
    }

    fn conflict(&self, operation: &'static str, hint: &'static str) -> Answer {
        Answer::Refused(Refusal::Conflict { state: self.visible(), operation, hint })
    }

    /// None means that the answer comes later.
    fn start_wanted(&mut self, context: &mut Context<'_>) -> Option<Answer> {
        self.desired = Desired::Running;
        self.forget_failures(context);
        match &mut self.state {
            State::Running(_) => Some(self.done("it runs already")),
            State::Starting { .. } | State::Unsettled { .. } => None,
            State::Stopping(stopping) => {
                stopping.then = Then::StartAgain;
                self.kill_again(context);
                None
            }
            State::Clearing { then, .. } => {
                *then = Then::StartAgain;
                None
            }
            State::Registered
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed => {
                self.begin_start(context, Reason::Operator("start"));
                None
            }
        }
    }

    fn stop_wanted(
        &mut self,
        context: &mut Context<'_>,
        force: bool,
        verb: &'static str,
    ) -> Option<Answer> {
        match &mut self.state {
            State::Stopped => Some(self.done("it does not run")),
            State::Registered => {
                // A start may have been waiting for the keeper's inventory.
                self.forget_failures(context);
                Some(self.done("it does not run"))
            }
            State::BackingOff { .. } | State::Tripped | State::Failed => {
                self.forget_failures(context);
                self.counts_as_restart = false;
                self.enter(context, State::Stopped, Reason::Operator(verb));
                Some(self.done("stopped"))
            }
            // The answer to the spawn, or the inventory, continues from here.
            State::Starting { .. } | State::Unsettled { .. } => None,
            State::Running(_) => {
                self.begin_stop(context, Then::Stay, Reason::Operator(verb));
                if force {
                    self.kill_now(context);
                }
                None
            }
            State::Stopping(stopping) => {
                stopping.then = Then::Stay;
                if force {
                    self.kill_now(context);
                }
                self.kill_again(context);
                None
            }
            State::Clearing { then, .. } => {
                *then = Then::Stay;
                None
            }
        }
    }

    fn restart_wanted(&mut self, context: &mut Context<'_>, force: bool) -> Option<Answer> {
        match &mut self.state {
            State::Running(_) => {
                self.desired = Desired::Running;
                self.forget_failures(context);
                self.begin_stop(context, Then::StartAgain, Reason::Operator("restart"));
                if force {
                    self.kill_now(context);
                }
                None
            }
            State::Stopping(_)
            | State::Registered
            | State::Starting { .. }
            | State::Clearing { .. }
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. } => {
                let answer = self.start_wanted(context);
                if force {
                    self.kill_now(context);
                }
                answer
            }
        }
    }

    fn signal_wanted(&mut self, context: &mut Context<'_>, signal: i32) -> Answer {
        if let Some(run) = self.signalled_run() {
            context.out.push(Effect::Signal { run, signal, scope: Scope::Process });
            self.tell(context, EventKind::Signalled { run, signal });
        }
        self.done("signalled")
    }

    /// The run whose process takes a signal.
    fn signalled_run(&self) -> Option<RunId> {
        self.process().and_then(|_| self.run())
    }

    fn reset(&mut self, context: &mut Context<'_>) -> Answer {
        self.forget_failures(context);
        let waits = matches!(self.state, State::Tripped | State::BackingOff { .. });
        if waits && self.is_wanted() && !context.phase.is_end() {
            self.counts_as_restart = true;
            self.begin_start(context, Reason::Operator("reset"));
        } else if self.state == State::Tripped {
            let reason =
                if context.phase.is_end() { Reason::Shutdown } else { Reason::Operator("reset") };
            self.enter(context, State::Stopped, reason);
        }
        self.done("its breaker is closed and its failures are forgotten")
    }

    pub(super) fn forget_failures(&mut self, context: &mut Context<'_>) {
        self.attempts = 0;
        self.set_breaker(context, Breaker::Closed);
    }
}
