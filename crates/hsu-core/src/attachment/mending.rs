//! Mending: a process that does not do its job is restarted by whoever starts it.
//!
//! It is not ours to start, so nothing of it rests between two runs: the rest that the
//! policy wants comes before its manager is asked, and what has become well by then is
//! left alone. Retries, delays and breaker are those of a worker of our own.

use alloc::format;
use alloc::string::String;

use hsu_model::discovery::Manager;
use hsu_model::event::EventKind;
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::health::Condition;
use hsu_model::id::RunId;
use hsu_model::time::Tick;

use super::command::{MAY_NOT_RESTART, NO_MANAGER};
use super::{Hold, Watched};
use crate::answer::{Answer, Refusal};
use crate::breaker::Breaker;
use crate::effect::{Effect, ServiceVerb};
use crate::reason::Reason;
use crate::restart::{Cause, Verdict, decide};
use crate::worker::Context;

/// How far a restart has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mending {
    /// None is under way.
    #[default]
    Idle,
    /// Its manager is asked at this time, when this run still needs it.
    Planned { run: RunId, cause: Cause, at: Tick },
    /// A start is wanted: whether it runs already is looked at first.
    Looking,
    /// Its manager was asked, and has not answered.
    Asked(ServiceVerb),
}

/// What a look before a start has come to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen<'a> {
    /// No process of it.
    Nothing,
    /// A process that fits and is not taken, and why.
    Untaken(&'a str),
}

impl Watched {
    /// Health checks failed or a limit was exceeded, as somebody else judges.
    pub(crate) fn on_finding(&mut self, context: &mut Context<'_>, run: RunId, cause: Cause) {
        let reason = match cause {
            Cause::Health(_) => Reason::Unhealthy("its health checks failed".into()),
            Cause::Resource(_) | Cause::Exit => Reason::OverLimit,
        };
        self.mend(context, run, cause, reason);
    }

    /// Has it restarted for something that was found, where that is allowed.
    pub(super) fn mend(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        cause: Cause,
        reason: Reason,
    ) {
        let is_free = self.pending.is_none() && self.mending == Mending::Idle;
        let held = self.attached.get(&run).filter(|attached| attached.hold == Hold::Held);
        let Some(attached) = held.filter(|_| is_free && !context.phase.is_end()) else {
            return;
        };
        let now = context.now.tick;
        let started = attached.started.map_or(now, |(tick, _)| tick);
        if let Some(why) = self.hindrance() {
            return self.refuse(context, run, &format!("{reason}, and it is not restarted: {why}"));
        }
        let Some(unit) = self.unit() else { return };
        if now.since(started) < unit.restart.startup_grace {
            return;
        }
        // A cause that is no exit is never final, so how it ended does not count.
        let exit = Exit::Unknown(UnknownExit::Unwatched);
        let verdict =
            decide(&unit.restart, self.spec.profile, exit, cause, self.attempts, context.entropy);
        let trial_at = unit.restart.breaker.half_open_after.map(|rest| now.after(rest));
        match (self.breaker, verdict) {
            (Breaker::Open { trial_at: Some(at) }, _) if at <= now => {
                self.set_breaker(context, Breaker::HalfOpen);
                self.reason = Reason::Trial;
                self.mending = Mending::Planned { run, cause, at: now };
            }
            (Breaker::Open { .. }, _) => {}
            (Breaker::Closed, Verdict::Retry { attempt, limit, delay }) => {
                self.attempts = attempt;
                self.reason = reason;
                let at = context.limiter.reserve(now).max(now.after(delay));
                self.tell(context, EventKind::RestartScheduled { attempt, limit, delay });
                self.mending = Mending::Planned { run, cause, at };
            }
            (Breaker::HalfOpen, _) | (Breaker::Closed, Verdict::GiveUp | Verdict::Final) => {
                self.refuse(context, run, &format!("{reason}, after too many attempts in a row"));
                self.set_breaker(context, Breaker::Open { trial_at });
            }
        }
        self.persist(context);
    }

    /// Why nothing can restart it.
    fn hindrance(&self) -> Option<&'static str> {
        match self.rights() {
            Some(rights) if !rights.can_restart => Some(MAY_NOT_RESTART),
            Some(rights) if rights.manager == Manager::Unknown => Some(NO_MANAGER),
            Some(_) => None,
            None => Some(MAY_NOT_RESTART),
        }
    }

    /// Says once for each time that it fails why it is not restarted.
    fn refuse(&mut self, context: &mut Context<'_>, run: RunId, reason: &str) {
        if self.refused.replace(run) != Some(run) {
            self.tell(context, EventKind::RestartRefused { reason: reason.into() });
        }
    }

    /// When its manager is to be asked.
    pub(super) fn mending_due(&self) -> Option<Tick> {
        match self.mending {
            Mending::Planned { at, .. } => Some(at),
            Mending::Idle | Mending::Looking | Mending::Asked(_) => None,
        }
    }

    /// Asks its manager, when that is due and still needed.
    pub(super) fn go_on_mending(&mut self, context: &mut Context<'_>) {
        let Mending::Planned { run, cause, at } = self.mending else {
            return;
        };
        if at > context.now.tick {
            return;
        }
        self.mending = Mending::Idle;
        let is_held = self.attached.get(&run).is_some_and(|attached| attached.hold == Hold::Held);
        let is_well = self.monitor.run() == Some(run)
            && matches!(self.monitor.condition(), Condition::Healthy | Condition::Degraded);
        let is_needed = match cause {
            Cause::Health(_) => !is_well,
            Cause::Resource(_) | Cause::Exit => true,
        };
        if is_held && is_needed && !context.phase.is_end() {
            self.ask_manager(context, ServiceVerb::Restart);
            self.persist(context);
        }
    }

    /// The process that was to be restarted is gone, or nobody wants that any more.
    pub(super) fn give_up_mending(&mut self, of: Option<RunId>) {
        let is_over = match self.mending {
            Mending::Planned { run, .. } => of.is_none_or(|gone| gone == run),
            Mending::Looking => of.is_none(),
            Mending::Idle | Mending::Asked(_) => false,
        };
        if is_over {
            self.mending = Mending::Idle;
        }
    }

    /// A start is wanted, and this is what was seen: its manager is asked when nothing is there.
    pub(super) fn go_on_starting(&mut self, context: &mut Context<'_>, seen: Seen<'_>) {
        if self.mending != Mending::Looking || !self.attached.is_empty() {
            return;
        }
        match seen {
            Seen::Nothing => {
                self.ask_manager(context, ServiceVerb::Start);
                if let Some(pending) = &mut self.pending {
                    pending.until = None;
                }
            }
            Seen::Untaken(why) => {
                self.mending = Mending::Idle;
                let reason = format!("it is not started beside what is there: {why}");
                self.resolve(context, Answer::Refused(Refusal::Failed { reason }));
            }
        }
    }

    pub(super) fn ask_manager(&mut self, context: &mut Context<'_>, verb: ServiceVerb) {
        self.mending = Mending::Asked(verb);
        context.out.push(Effect::Service { worker: self.id().clone(), verb });
    }

    /// The manager has done what it was asked for, or not.
    pub(crate) fn on_serviced(&mut self, context: &mut Context<'_>, error: Option<String>) {
        let Mending::Asked(verb) = self.mending else {
            // A stale report: a manager is asked for one thing at a time.
            return;
        };
        if verb == ServiceVerb::Restart && error.is_none() {
            self.restarts += 1;
            self.persist(context);
        }
        self.mending = Mending::Idle;
        if let Some(error) = error {
            self.tell(context, EventKind::RestartRefused { reason: error.clone() });
            // What the manager does not stop is asked to end by a signal when its time is over.
            if self.pending.is_some_and(|pending| pending.command.starts()) {
                self.reason = Reason::Sought(error.clone());
                self.resolve(context, Answer::Refused(Refusal::Failed { reason: error }));
            }
            return;
        }
        if self.searching {
            context.out.push(Effect::Search { worker: self.id().clone(), wanted: true });
        }
        let until = context.now.tick.after(self.grace());
        if let Some(pending) = &mut self.pending
            && pending.until.is_none()
        {
            pending.until = Some(until);
            // It may have been found before its manager said so.
            if pending.before < self.latest_run && self.is_attached() {
                self.settle_reason();
                let answer = self.done("its process runs");
                self.resolve(context, answer);
            }
        }
    }

    /// An operator, or a time without failures, forgets the attempts.
    pub(super) fn forget_attempts(&mut self, context: &mut Context<'_>) {
        if self.attempts == 0 && self.breaker == Breaker::Closed {
            return;
        }
        self.attempts = 0;
        self.set_breaker(context, Breaker::Closed);
        self.persist(context);
    }

    fn set_breaker(&mut self, context: &mut Context<'_>, breaker: Breaker) {
        let changed = self.breaker.state() != breaker.state();
        self.breaker = breaker;
        if changed {
            self.tell(context, EventKind::Breaker { to: breaker.state() });
        }
    }
}
