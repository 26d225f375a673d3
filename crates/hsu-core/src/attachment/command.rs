//! Commands: what may be done to a process that is not ours, and what is refused.

use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::discovery::{Manager, Rights};
use hsu_model::event::EventKind;
use hsu_model::execution::Stop;
use hsu_model::id::RunId;
use hsu_model::status::{Desired, WorkerState};

use super::mending::Mending;
use super::{Hold, Pending, Watched};
use crate::answer::{Answer, Refusal};
use crate::effect::{Effect, Scope, ServiceVerb};
use crate::input::{Command, Ticket};
use crate::reason::Reason;
use crate::worker::{Context, Ladder};

/// How long a killed process may take to be gone before that is reported.
const UNKILLABLE_AFTER: Duration = Duration::from_secs(30);
const SIGKILL: i32 = 9;
/// Wakes a stopped process, so that it sees the signal that it shall end by.
const SIGCONT: i32 = 18;

pub(super) const MAY_NOT_END: &str =
    "`control.can_terminate` does not allow it; `disable` lets go of its process";
pub(super) const MAY_NOT_RESTART: &str = "`control.can_restart` does not allow it";
pub(super) const NO_MANAGER: &str =
    "nothing says how: name `control.service_manager` and `service_name`, or `restart_command`";
const UNDER_WAY: &str = "its manager is being asked to start, stop or restart it; wait for that";
const DISABLED: &str = "the worker is disabled; `enable` it first";

impl Watched {
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
            self.give_up_mending(None);
            self.resolve(context, Answer::Refused(Refusal::Superseded { by: verb }));
        }
        self.tell(context, EventKind::Commanded { verb: verb.into() });
        let answer = match command {
            Command::Start => self.start_wanted(context),
            Command::Stop { force } => self.stop_wanted(context, force),
            Command::Restart { .. } => {
                self.desired = Desired::Running;
                self.ask_manager(context, ServiceVerb::Restart);
                None
            }
            Command::Signal(signal) => Some(self.signal_wanted(context, signal)),
            Command::Enable => {
                if !self.is_enabled() {
                    // It may be watched: that it shall is another wish.
                    self.desired = Desired::Stopped;
                }
                self.enabled = Some(true);
                Some(self.done("enabled; `start` looks for its process"))
            }
            Command::Disable => {
                self.enabled = Some(false);
                self.desired = Desired::Stopped;
                self.give_up_mending(None);
                self.let_go(context, "the worker was disabled");
                self.reason = Reason::Operator("disable");
                Some(self.done("disabled; its process, if there is one, goes on unwatched"))
            }
            Command::ResetBreaker => {
                self.forget_attempts(context);
                Some(self.done("failed attempts are forgotten"))
            }
            Command::Remove => Some(self.done("removed")),
        };
        self.follow_wish(context);
        self.persist(context);
        match answer {
            Some(answer) => context.out.push(Effect::Reply { ticket, answer }),
            None => {
                let until = self.awaited_until(context, command);
                let before = self.latest_run;
                self.pending = Some(Pending { ticket, command, until, before });
            }
        }
    }

    /// Why a command cannot even be begun.
    fn refusal(&self, command: Command) -> Option<Answer> {
        let rights = self.rights()?;
        let held = self.held().count();
        // A stop that its manager takes its time for may be forced.
        let is_forced = command == Command::Stop { force: true }
            && self.mending == Mending::Asked(ServiceVerb::Stop);
        let is_asked = matches!(self.mending, Mending::Asked(_)) && !is_forced;
        let is_restarted =
            self.pending.is_some_and(|p| matches!(p.command, Command::Restart { .. }));
        match command {
            Command::Start | Command::Stop { .. } | Command::Restart { .. } if is_asked => {
                Some(self.conflict(command.verb(), UNDER_WAY))
            }
            Command::Start | Command::Restart { .. } if is_restarted => {
                Some(self.conflict(command.verb(), UNDER_WAY))
            }
            Command::Start | Command::Restart { .. } if !self.is_enabled() => {
                Some(self.conflict(command.verb(), DISABLED))
            }
            Command::Restart { .. } if !rights.can_restart => {
                Some(self.conflict("restart", MAY_NOT_RESTART))
            }
            Command::Restart { .. } if rights.manager == Manager::Unknown => {
                Some(self.conflict("restart", NO_MANAGER))
            }
            Command::Stop { .. } if held > 0 && !rights.can_terminate => {
                Some(self.conflict("stop", MAY_NOT_END))
            }
            Command::Signal(signal) => self.signal_refusal(rights, signal, held),
            Command::Start
            | Command::Stop { .. }
            | Command::Restart { .. }
            | Command::Remove
            | Command::Enable
            | Command::Disable
            | Command::ResetBreaker => None,
        }
    }

    fn signal_refusal(&self, rights: &Rights, signal: i32, held: usize) -> Option<Answer> {
        match held {
            0 => Some(self.conflict("signal", "only a process that is attached takes a signal")),
            _ if !rights.allowed_signals.contains(&signal) => {
                Some(self.conflict("signal", "`control.allowed_signals` does not name it"))
            }
            1 => None,
            _ => Some(self.conflict("signal", "it has several processes; signal one by its PID")),
        }
    }

    /// None means that the answer comes later.
    fn start_wanted(&mut self, context: &mut Context<'_>) -> Option<Answer> {
        self.desired = Desired::Running;
        if self.attached.values().any(|attached| attached.hold == Hold::Held) {
            return Some(self.done("its process runs and is watched"));
        }
        // One that is being ended is waited for: it may be all that there is.
        let may = self.rights().is_some_and(|rights| rights.can_restart);
        // A search that begins looks at once anyhow.
        if self.searching {
            context.out.push(Effect::Search { worker: self.id().clone(), wanted: true });
        }
        if may && *self.manager() != Manager::Unknown {
            self.mending = Mending::Looking;
            return None;
        }
        let (state, message) = if self.is_attached() {
            (
                WorkerState::Stopping,
                "its process is being ended; starting another is up to somebody else",
            )
        } else {
            (
                WorkerState::Searching,
                "its process is looked for; starting it is up to somebody else",
            )
        };
        Some(Answer::Done { state, message: message.into() })
    }

    fn stop_wanted(&mut self, context: &mut Context<'_>, force: bool) -> Option<Answer> {
        self.desired = Desired::Stopped;
        // What was only asked for is not taken any more.
        let asked: Vec<RunId> = self
            .attached
            .iter()
            .filter(|(_, attached)| matches!(attached.hold, Hold::Asked(_)))
            .map(|(run, _)| *run)
            .collect();
        for run in asked {
            self.release(context, run, "it shall not be watched");
        }
        if !self.is_attached() {
            self.reason = Reason::Operator("stop");
            return Some(self.done("nothing is attached, and nothing is looked for any more"));
        }
        self.reason = Reason::Operator("stop");
        self.end_all(context, force);
        None
    }

    /// Asks whoever manages it, or its processes, to end; or kills them.
    pub(super) fn end_all(&mut self, context: &mut Context<'_>, force: bool) {
        let by_manager = !force && matches!(self.manager(), Manager::Systemd(_));
        if by_manager {
            self.ask_manager(context, ServiceVerb::Stop);
        }
        let signals = if by_manager { Signals::None } else { Signals::Terminate };
        self.begin_end(context, signals);
        if force {
            let is_doomed =
                |hold| matches!(hold, Hold::Ending(Ladder::Asked { .. } | Ladder::Unkillable));
            self.kill(context, is_doomed);
        }
    }

    /// Every process that is held shall end.
    fn begin_end(&mut self, context: &mut Context<'_>, signals: Signals) {
        let grace = self.grace();
        let ladder = Ladder::Asked { kill_at: context.now.tick.after(grace) };
        let mut begun = Vec::new();
        for (run, attached) in &mut self.attached {
            if attached.hold == Hold::Held {
                attached.hold = Hold::Ending(ladder);
                begun.push(*run);
            }
        }
        if signals == Signals::None {
            return;
        }
        for run in begun {
            for signal in [Stop::DEFAULT_SIGNAL, SIGCONT] {
                context.out.push(Effect::Signal { run, signal, scope: Scope::Process });
            }
            self.tell(context, EventKind::Signalled { run, signal: Stop::DEFAULT_SIGNAL });
        }
    }

    /// Kills the processes on which the hold is such a one.
    fn kill(&mut self, context: &mut Context<'_>, is_doomed: impl Fn(Hold) -> bool) {
        let report_at = context.now.tick.after(UNKILLABLE_AFTER);
        let mut killed = Vec::new();
        for (run, attached) in &mut self.attached {
            if is_doomed(attached.hold) {
                attached.hold = Hold::Ending(Ladder::Killed { report_at });
                killed.push(*run);
            }
        }
        for run in killed {
            self.tell(context, EventKind::Killed { run });
            context.out.push(Effect::Signal { run, signal: SIGKILL, scope: Scope::Tree });
        }
    }

    fn signal_wanted(&mut self, context: &mut Context<'_>, signal: i32) -> Answer {
        if let Some((run, _)) = self.held().next() {
            context.out.push(Effect::Signal { run, signal, scope: Scope::Process });
            self.tell(context, EventKind::Signalled { run, signal });
        }
        self.done("signalled")
    }

    /// Lets go of everything.
    fn let_go(&mut self, context: &mut Context<'_>, why: &'static str) {
        for (run, _) in self.runs().collect::<Vec<_>>() {
            self.release(context, run, why);
        }
    }

    /// Until when a process, or its end, is waited for; none while a manager is asked.
    fn awaited_until(
        &self,
        context: &Context<'_>,
        command: Command,
    ) -> Option<hsu_model::time::Tick> {
        let grace = self.grace();
        let long_enough = context.now.tick.after(grace + UNKILLABLE_AFTER);
        let is_looked_for = self.mending == Mending::Looking;
        (is_looked_for || !command.starts()).then_some(long_enough)
    }

    /// The end of a process, or what a command waits for, is due.
    pub(crate) fn on_due(&mut self, context: &mut Context<'_>) {
        self.look(context);
        self.go_on_mending(context);
        let now = context.now.tick;
        if self.next_step().is_none_or(|due| due > now) {
            return;
        }
        for attached in self.attached.values_mut() {
            if let Hold::Ending(Ladder::Killed { report_at }) = attached.hold
                && report_at <= now
            {
                attached.hold = Hold::Ending(Ladder::Unkillable);
                self.reason = Reason::Unkillable;
            }
        }
        // Each has its own time, from when it was asked to end.
        self.kill(
            context,
            |hold| matches!(hold, Hold::Ending(Ladder::Asked { kill_at }) if kill_at <= now),
        );
        let over = self.pending.and_then(|pending| pending.until).is_some_and(|until| until <= now);
        if over {
            let reason = if self.mending == Mending::Looking {
                self.mending = Mending::Idle;
                if self.is_attached() {
                    "its process did not end although it was killed"
                } else {
                    "nobody could look whether it runs already"
                }
            } else if self.pending.is_some_and(|pending| pending.command.starts()) {
                "its manager has done what it was asked for, and no process of it was found"
            } else {
                "its process did not end although it was killed"
            };
            self.resolve(context, Answer::Refused(Refusal::Failed { reason: reason.into() }));
        }
        self.persist(context);
    }

    /// The master is ending: nothing of it ends with it.
    pub(crate) fn on_shutdown(&mut self, context: &mut Context<'_>) {
        self.resolve(context, Answer::Refused(Refusal::ShuttingDown));
        // The hints of the record stay, for the next master to verify.
        self.searching = false;
        context.out.push(Effect::Search { worker: self.id().clone(), wanted: false });
        self.persist(context);
    }
}

/// Whether a process is asked to end by signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signals {
    /// Its manager ends it.
    None,
    /// It is asked to end.
    Terminate,
}
