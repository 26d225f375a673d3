//! Stopping: asked, then killed, then reported.

use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::event::EventKind;
use hsu_model::execution::Stop;
use hsu_model::exit::Exit;
use hsu_model::id::RunId;

use super::{Context, Ladder, Phase, Running, State, Stopping, Then, Worker};
use crate::answer::{Answer, Refusal};
use crate::effect::{Effect, Scope};
use crate::reason::Reason;

/// How long a killed process may take to be gone before that is reported.
const UNKILLABLE_AFTER: Duration = Duration::from_secs(30);
/// Wakes a stopped process, so that it sees the signal that it shall end by.
const SIGCONT: i32 = 18;

impl Worker {
    /// Asks the running process to end.
    pub(crate) fn begin_stop(&mut self, context: &mut Context<'_>, then: Then, reason: Reason) {
        let Stop { signal, graceful_timeout } = self.stop_settings();
        let Some(run) = self.enter_stopping(context, then, reason, graceful_timeout) else {
            return;
        };
        for signal in [signal, SIGCONT] {
            context.out.push(Effect::Signal { run, signal, scope: Scope::Tree });
        }
        self.tell(context, EventKind::Signalled { run, signal });
    }

    /// Kills the running process, and everything that belongs to it, without a word.
    pub(crate) fn begin_kill(&mut self, context: &mut Context<'_>, then: Then, reason: Reason) {
        if self.enter_stopping(context, then, reason, Duration::ZERO).is_some() {
            self.kill_now(context);
        }
    }

    fn enter_stopping(
        &mut self,
        context: &mut Context<'_>,
        then: Then,
        reason: Reason,
        grace: Duration,
    ) -> Option<RunId> {
        let State::Running(running) = &self.state else { return None };
        let Running { run, process, started, .. } = running.clone();
        let ladder = Ladder::Asked { kill_at: context.now.tick.after(grace) };
        let stopping = Stopping { run, process, started, ladder, then, kills: 0 };
        self.enter(context, State::Stopping(stopping), reason);
        Some(run)
    }

    /// Kills the process that is being stopped, and everything that belongs to it.
    pub(crate) fn kill_now(&mut self, context: &mut Context<'_>) {
        let State::Stopping(stopping) = &mut self.state else {
            return;
        };
        if !matches!(stopping.ladder, Ladder::Asked { .. }) {
            return;
        }
        stopping.ladder = Ladder::Killed { report_at: context.now.tick.after(UNKILLABLE_AFTER) };
        stopping.kills += 1;
        let run = stopping.run;
        self.tell(context, EventKind::Killed { run });
        context.out.push(Effect::KillTree { worker: self.id().clone(), run, whole: true });
    }

    /// A process that a kill did not end is killed once more for whoever asks again.
    pub(super) fn kill_again(&mut self, context: &mut Context<'_>) {
        if let State::Stopping(stopping) = &mut self.state
            && stopping.ladder == Ladder::Unkillable
        {
            stopping.ladder = Ladder::Asked { kill_at: context.now.tick };
            self.kill_now(context);
        }
    }

    /// Whether it was killed, is still there, and nobody waits for it any more.
    pub(crate) fn is_unkillable(&self) -> bool {
        matches!(&self.state, State::Stopping(stopping) if stopping.ladder == Ladder::Unkillable)
    }

    /// The master is ending.
    pub(crate) fn on_shutdown(&mut self, context: &mut Context<'_>) {
        let stops = context.phase.stops_workers();
        if self.pending.is_some_and(|pending| !stops || pending.command.starts()) {
            self.resolve(context, Answer::Refused(Refusal::ShuttingDown));
        }
        if !stops {
            return;
        }
        self.begin_stop(context, Then::Stay, Reason::Shutdown);
        match &mut self.state {
            State::BackingOff { .. } => {
                self.forget_failures(context);
                self.enter(context, State::Stopped, Reason::Shutdown);
            }
            State::Stopping(stopping) => stopping.then = Then::Stay,
            State::Clearing { then, .. } => *then = Then::Stay,
            // These have no process, or the answer of the keeper goes on from here.
            State::Registered
            | State::Starting { .. }
            | State::Running(_)
            | State::Stopped
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. } => {}
        }
    }

    /// A stop's deadline is due.
    pub(crate) fn climb(&mut self, context: &mut Context<'_>) {
        let State::Stopping(stopping) = &mut self.state else {
            return;
        };
        match stopping.ladder {
            Ladder::Asked { .. } => self.kill_now(context),
            // The kill waits, for the disk as a rule: nothing is known of the process.
            Ladder::Killed { .. } if stopping.kills > 0 && context.phase != Phase::Killing => {
                let report_at = context.now.tick.after(UNKILLABLE_AFTER);
                stopping.ladder = Ladder::Killed { report_at };
            }
            Ladder::Killed { .. } => {
                stopping.ladder = Ladder::Unkillable;
                let (run, pid) = (stopping.run, stopping.process.pid);
                self.survivors = alloc::vec![pid];
                self.reason = Reason::Unkillable;
                self.tell(context, EventKind::Survived { run, count: 1 });
                self.persist(context);
                self.resolve(
                    context,
                    Self::failed(
                        "its process did not end although it was killed; the kernel holds it \
                     (hint: a process in state D waits for a device or a dead network mount)",
                    ),
                );
            }
            Ladder::Unkillable => {}
        }
    }

    /// What is left after a kill is known.
    pub(crate) fn on_survivors(&mut self, context: &mut Context<'_>, run: RunId, pids: Vec<u32>) {
        if !pids.is_empty() {
            let count = u32::try_from(pids.len()).unwrap_or(u32::MAX);
            self.tell(context, EventKind::Survived { run, count });
            self.survivors = pids;
        }
        match &mut self.state {
            State::Clearing { run: ours, then, exit, kills } if *ours == run => {
                *kills = kills.saturating_sub(1);
                if *kills == 0 {
                    let (then, exit) = (*then, *exit);
                    self.on_cleared(context, then, exit);
                }
            }
            // The kill of a process that still runs: its exit decides.
            State::Stopping(stopping) if stopping.run == run => {
                stopping.kills = stopping.kills.saturating_sub(1);
            }
            // Leftovers of an earlier run were looked for while another run goes on.
            State::Stopping(_)
            | State::Clearing { .. }
            | State::Registered
            | State::Starting { .. }
            | State::Running(_)
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. } => {}
        }
    }

    /// Nothing is left of a run, or what is left is named.
    fn on_cleared(&mut self, context: &mut Context<'_>, then: Then, exit: Exit) {
        let wanted = self.is_wanted() && !context.phase.stops_workers();
        match then {
            Then::StartAgain if wanted => {
                self.counts_as_restart = true;
                self.begin_start(context, Reason::Operator("restart"));
            }
            Then::Decide(cause) if wanted => {
                self.state = State::Stopped;
                self.decide(context, exit, cause);
            }
            Then::Stay | Then::StartAgain | Then::Decide(_) => self.rest_in_peace(context, exit),
        }
    }
}
