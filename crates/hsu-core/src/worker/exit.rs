//! Exits: accounted once, then followed by what the policy says.

use core::time::Duration;

use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::id::RunId;
use hsu_model::status::{Desired, LastExit};
use hsu_model::time::{Tick, WallTime};

use super::{Admitted, Context, State, Then, Worker};
use crate::breaker::Breaker;
use crate::effect::Effect;

use crate::reason::Reason;
use crate::restart::{Cause, Verdict, decide};

impl Worker {
    /// A process ended. Reported again after a replacement of the master, it changes nothing.
    pub(crate) fn on_exited(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        exit: Exit,
        at: Tick,
        wall: WallTime,
    ) {
        if self.accounted.is_some_and(|accounted| run <= accounted) {
            context.out.push(Effect::Acknowledge { run });
            return;
        }
        let lasted = self.lasted(at);
        self.accounted = Some(run);
        self.last_exit = Some(LastExit { run, exit, at: wall, lasted });
        self.tell(context, EventKind::Exited { run, exit, lasted });
        context.out.push(Effect::Acknowledge { run });
        if self.run() == Some(run) {
            self.on_end_of_run(context, run, exit, lasted);
        } else {
            // A run that was spawned and ended between two masters; a later one
            // is already known, or the worker rests.
            self.persist(context);
        }
    }

    fn on_end_of_run(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        exit: Exit,
        lasted: Duration,
    ) {
        match &self.state {
            State::Stopping(stopping) => {
                let then = stopping.then;
                self.state = State::Clearing { run, then, exit };
                context.out.push(Effect::KillTree { worker: self.id().clone(), run, whole: true });
                self.persist(context);
            }
            State::Starting { .. } | State::Running(_) | State::Unsettled { .. } => {
                // Whatever it left behind must not live beside the next run.
                context.out.push(Effect::KillTree { worker: self.id().clone(), run, whole: false });
                self.forget_failures_after(context, lasted);
                self.decide(context, exit, Cause::Exit);
            }
            // Its exit is accounted already, or it has none.
            State::Clearing { .. }
            | State::Registered
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed => {}
        }
    }

    /// A run that lasted long enough closes the breaker.
    fn forget_failures_after(&mut self, context: &mut Context<'_>, lasted: Duration) {
        if self.restart().is_some_and(|restart| lasted >= restart.reset_after) {
            self.attempts = 0;
            self.set_breaker(context, Breaker::Closed);
        }
    }

    /// What follows an exit, by policy. The worker has no process.
    pub(super) fn decide(&mut self, context: &mut Context<'_>, exit: Exit, cause: Cause) {
        let stopped = self.desired == Desired::Stopped || !self.is_enabled() || context.ending;
        if stopped {
            self.enter(context, State::Stopped, Reason::Ended(exit));
            let answer = self.done("stopped");
            return self.resolve(context, answer);
        }
        let Some(restart) = self.restart() else {
            return;
        };
        let profile = self.spec.profile;
        let verdict = decide(restart, profile, exit, cause, self.attempts, context.entropy);
        match verdict {
            Verdict::Final => {
                let state = if exit.is_success() { State::Stopped } else { State::Failed };
                let reason = Reason::Final(exit);
                self.tell(
                    context,
                    EventKind::RestartRefused { reason: alloc::format!("{reason}") },
                );
                self.enter(context, state, reason);
            }
            Verdict::GiveUp => self.trip(context, exit),
            // A failed trial opens the breaker again, whatever the limit says.
            Verdict::Retry { .. } if self.breaker == Breaker::HalfOpen => self.trip(context, exit),
            Verdict::Retry { attempt, limit, delay } => {
                self.attempts = attempt;
                self.counts_as_restart = true;
                self.tell(context, EventKind::RestartScheduled { attempt, limit, delay });
                self.rest(context, exit, attempt, delay);
            }
        }
    }

    fn rest(&mut self, context: &mut Context<'_>, exit: Exit, attempt: u32, delay: Duration) {
        if delay.is_zero() {
            let turn = context.limiter.reserve(context.now.tick);
            if turn <= context.now.tick {
                self.begin_start(context, Reason::RestartAtOnce(exit));
            } else {
                let state = State::BackingOff { due: turn, admitted: Admitted::Yes };
                self.enter(context, state, Reason::StartRate);
            }
        } else {
            let due = context.now.tick.after(delay);
            let state = State::BackingOff { due, admitted: Admitted::No };
            self.enter(context, state, Reason::Rest { exit, attempt, delay });
        }
    }

    fn trip(&mut self, context: &mut Context<'_>, exit: Exit) {
        let rest = self.restart().and_then(|restart| restart.breaker.half_open_after);
        let trial_at = rest.map(|rest| context.now.tick.after(rest));
        self.set_breaker(context, Breaker::Open { trial_at });
        let reason = Reason::TooManyFailures { exit, attempts: self.attempts };
        self.tell(context, EventKind::RestartRefused { reason: alloc::format!("{reason}") });
        self.enter(context, State::Tripped, reason);
    }

    /// A rest, a stable run, a trial or a stop is due.
    pub(crate) fn on_due(&mut self, context: &mut Context<'_>) {
        match &self.state {
            State::BackingOff { admitted: Admitted::Yes, .. } => {
                self.begin_start(context, Reason::RestOver);
            }
            State::BackingOff { admitted: Admitted::No, .. } => {
                let turn = context.limiter.reserve(context.now.tick);
                if turn <= context.now.tick {
                    self.begin_start(context, Reason::RestOver);
                } else {
                    let state = State::BackingOff { due: turn, admitted: Admitted::Yes };
                    self.enter(context, state, Reason::StartRate);
                }
            }
            State::Running(_) => {
                self.attempts = 0;
                self.set_breaker(context, Breaker::Closed);
                if let State::Running(running) = &mut self.state {
                    running.stable_at = None;
                }
                self.persist(context);
            }
            State::Tripped => {
                self.set_breaker(context, Breaker::HalfOpen);
                self.counts_as_restart = true;
                self.begin_start(context, Reason::Trial);
            }
            State::Stopping(_) => self.climb(context),
            // These set no deadline.
            State::Registered
            | State::Starting { .. }
            | State::Clearing { .. }
            | State::Stopped
            | State::Failed
            | State::Unsettled { .. } => {}
        }
    }

    /// Health checks failed or a limit was exceeded: restart it, unless it has just started.
    pub(crate) fn on_finding(&mut self, context: &mut Context<'_>, run: RunId, cause: Cause) {
        let State::Running(running) = &self.state else {
            return;
        };
        let grace = self.restart().map_or(Duration::ZERO, |restart| restart.startup_grace);
        let in_grace = context.now.tick.since(running.started.0) < grace;
        if running.run != run || in_grace {
            return;
        }
        let reason = match cause {
            Cause::Health(_) => Reason::Unhealthy,
            Cause::Resource(_) | Cause::Exit => Reason::OverLimit,
        };
        self.begin_stop(context, Then::Decide(cause), reason);
    }
}
