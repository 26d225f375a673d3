//! Health of one worker: when it is looked at, and what follows from what was seen.

use hsu_model::health::HealthStatus;
use hsu_model::restart::RestartPolicy;
use hsu_model::time::Tick;

use super::{Context, State, Worker};
use crate::health::Answer;
use crate::reason::Reason;
use crate::restart::Cause;

impl Worker {
    /// When the next look at the run that goes on is due.
    pub(super) fn next_look(&self) -> Option<Tick> {
        match &self.state {
            State::Running(running) => self.monitor.deadline(running.run),
            // Nothing is there to be looked at, or it is about to be gone.
            State::Registered
            | State::Starting { .. }
            | State::Stopping(_)
            | State::Clearing { .. }
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. } => None,
        }
    }

    /// Asks for the looks that are due.
    pub(super) fn look(&mut self, context: &mut Context<'_>) {
        if let State::Running(running) = &self.state {
            self.monitor.look(&self.spec.id, running.run, context);
        }
    }

    /// A look was taken.
    pub(crate) fn on_checked(&mut self, context: &mut Context<'_>, answer: Answer) {
        let State::Running(running) = &self.state else {
            // A stale answer: the process it is about is being stopped, or gone.
            return;
        };
        let run = running.run;
        let (now, entropy) = (context.now, context.entropy);
        let Some(change) = self.monitor.take(&self.spec.health, answer, now, entropy) else {
            return;
        };
        for event in change.events(&self.spec.health, run, self.is_ready()) {
            self.tell(context, event);
        }
        // One policy holds for every cause of restarts.
        let may_restart = self.restart().is_some_and(|r| r.policy != RestartPolicy::Never);
        if let Some((severity, why)) = change.restart.filter(|_| may_restart) {
            self.restart_for(context, run, Cause::Health(severity), Reason::Unhealthy(why));
        }
    }

    /// Whether the present run does its job, as far as it says itself and its checks tell.
    pub(super) fn is_ready(&self) -> bool {
        self.has_said_ready() && self.monitor.is_ready()
    }

    /// The present run does not do its job: whether it is stable is asked again later.
    pub(super) fn await_stability(&mut self, context: &Context<'_>) {
        let span = self.restart().map_or(core::time::Duration::ZERO, |r| r.reset_after);
        if let State::Running(running) = &mut self.state {
            running.stable_at = (!span.is_zero()).then(|| context.now.tick.after(span));
        }
    }

    pub(super) fn health_status(&self) -> Option<HealthStatus> {
        let run = match &self.state {
            State::Running(running) => Some(running.run),
            State::Registered
            | State::Starting { .. }
            | State::Stopping(_)
            | State::Clearing { .. }
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. } => None,
        };
        self.monitor.status(&self.spec.health, run)
    }
}
