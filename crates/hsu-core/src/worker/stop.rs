//! Stopping: asked, then killed, then reported.

use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::event::EventKind;
use hsu_model::execution::Stop;
use hsu_model::id::RunId;
use hsu_model::status::Desired;

use super::{Context, Ladder, Running, State, Stopping, Then, Worker};
use crate::effect::{Effect, Scope};
use crate::reason::Reason;

/// How long a killed process may take to be gone before that is reported.
const UNKILLABLE_AFTER: Duration = Duration::from_secs(30);
/// Wakes a stopped process, so that it sees the signal that it shall end by.
const SIGCONT: i32 = 18;

impl Worker {
    /// Asks the running process to end.
    pub(crate) fn begin_stop(&mut self, context: &mut Context<'_>, then: Then, reason: Reason) {
        let State::Running(running) = &self.state else {
            return;
        };
        let Running { run, process, started, .. } = running.clone();
        let Stop { signal, graceful_timeout } = self.stop_settings();
        let kill_at = context.now.tick.after(graceful_timeout);
        let ladder = Ladder::Asked { kill_at };
        let stopping = Stopping { run, process, started, ladder, then };
        self.enter(context, State::Stopping(stopping), reason);
        for signal in [signal, SIGCONT] {
            context.out.push(Effect::Signal { run, signal, scope: Scope::Tree });
        }
        self.tell(context, EventKind::Signalled { run, signal });
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
        let run = stopping.run;
        self.tell(context, EventKind::Killed { run });
        context.out.push(Effect::KillTree { worker: self.id().clone(), run, whole: true });
    }

    /// A stop's deadline is due.
    pub(crate) fn climb(&mut self, context: &mut Context<'_>) {
        let State::Stopping(stopping) = &mut self.state else {
            return;
        };
        match stopping.ladder {
            Ladder::Asked { .. } => self.kill_now(context),
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
        let cleared = match &self.state {
            State::Clearing { run: ours, then, exit } if *ours == run => Some((*then, *exit)),
            // The kill of a process that still runs: its exit decides.
            State::Stopping(_) => None,
            // Leftovers of an earlier run were looked for while another run goes on.
            State::Clearing { .. }
            | State::Registered
            | State::Starting { .. }
            | State::Running(_)
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. } => None,
        };
        if !pids.is_empty() {
            let count = u32::try_from(pids.len()).unwrap_or(u32::MAX);
            self.tell(context, EventKind::Survived { run, count });
            self.survivors = pids;
        }
        let Some((then, exit)) = cleared else { return };
        match then {
            Then::Stay => {
                self.enter(context, State::Stopped, Reason::Ended(exit));
                let answer = self.done("stopped");
                self.resolve(context, answer);
            }
            Then::StartAgain if self.desired == Desired::Running && !context.ending => {
                self.counts_as_restart = true;
                self.begin_start(context, Reason::Operator("restart"));
            }
            Then::StartAgain => self.enter(context, State::Stopped, Reason::Ended(exit)),
            Then::Decide(cause) => {
                self.state = State::Stopped;
                self.decide(context, exit, cause);
            }
        }
    }
}
