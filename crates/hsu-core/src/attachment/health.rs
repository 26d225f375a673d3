//! Health of a process of somebody else: looked at and judged as that of our own.
//!
//! Of several processes the oldest one stands for the worker. What follows from a
//! failure is in [`super::mending`].

use hsu_model::health::{Condition, HealthStatus};
use hsu_model::id::RunId;
use hsu_model::time::Tick;

use super::{Hold, Watched};
use crate::health::Answer;
use crate::reason::Reason;
use crate::restart::Cause;
use crate::worker::Context;

impl Watched {
    /// The run whose process is looked at, and when that started.
    fn subject(&self) -> Option<(RunId, Option<Tick>)> {
        let mut held = self.attached.iter().filter(|(_, attached)| attached.hold == Hold::Held);
        let (run, attached) = held.next()?;
        Some((*run, attached.started.map(|(tick, _)| tick)))
    }

    /// What was said of another process counts no more.
    pub(crate) fn follow_subject(&mut self, context: &Context<'_>) {
        let Some((run, started)) = self.subject() else {
            return;
        };
        if self.monitor.run() != Some(run) {
            let now = context.now.tick;
            let started = started.unwrap_or(now);
            self.well_since = None;
            self.monitor.begin(&self.spec.health, run, started, now, context.entropy);
        }
    }

    /// When the next look is due.
    pub(super) fn next_look(&self) -> Option<Tick> {
        // One that shall end, or has, is not looked at.
        self.subject().and_then(|(run, _)| self.monitor.deadline(run))
    }

    /// Asks for the looks that are due.
    pub(super) fn look(&mut self, context: &mut Context<'_>) {
        if let Some((run, _)) = self.subject() {
            self.monitor.look(&self.spec.id, run, context);
        }
    }

    /// A look was taken.
    pub(crate) fn on_checked(&mut self, context: &mut Context<'_>, answer: Answer) {
        let Some((run, _)) = self.subject() else {
            // A stale answer: the process it is about is being stopped, or gone.
            return;
        };
        let (now, entropy) = (context.now, context.entropy);
        let Some(change) = self.monitor.take(&self.spec.health, answer, now, entropy) else {
            return;
        };
        for event in change.events(&self.spec.health, run, self.is_ready()) {
            self.tell(context, event);
        }
        if self.monitor.condition() != Condition::Unhealthy {
            self.refused = None;
        }
        self.note_wellness(context);
        if let Some((severity, why)) = change.restart {
            self.mend(context, run, Cause::Health(severity), Reason::Unhealthy(why));
        }
    }

    /// A process that has done its job for long enough forgets failed attempts.
    fn note_wellness(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick;
        if self.monitor.condition() != Condition::Healthy {
            self.well_since = None;
            return;
        }
        let since = *self.well_since.get_or_insert(now);
        let span = self.unit().map(|unit| unit.restart.reset_after).unwrap_or_default();
        if now.since(since) >= span {
            self.forget_attempts(context);
        }
    }

    /// Whether it does its job, as far as its checks tell.
    pub(super) fn is_ready(&self) -> bool {
        let subject = self.subject().map(|(run, _)| run);
        subject.is_some() && self.monitor.run() == subject && self.monitor.is_ready()
    }

    /// What must hold of what is known of its health at any moment.
    pub(crate) fn is_sound(&self) -> bool {
        self.monitor.is_sound()
    }

    pub(super) fn health_status(&self) -> Option<HealthStatus> {
        self.monitor.status(&self.spec.health, self.subject().map(|(run, _)| run))
    }
}
