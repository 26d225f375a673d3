//! Exits: accounted once, then followed by what the policy says.

use core::time::Duration;

use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::id::RunId;
use hsu_model::status::LastExit;
use hsu_model::time::{Tick, WallTime};

use super::{Admitted, Context, State, Then, Worker};
use crate::breaker::Breaker;
use crate::effect::Effect;
use crate::limits::Sentence;
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
        if self.started_run().is_some_and(|started| run > started) {
            // Nobody asks for a run while another one is open: accounting it would make the
            // end of ours look like one that is over.
            context.out.push(Effect::KillTree { worker: self.id().clone(), run, whole: false });
            context.out.push(Effect::Acknowledge { run });
            return;
        }
        let lasted = self.lasted(at);
        self.count_start();
        self.accounted = Some(run);
        self.last_exit = Some(LastExit { run, exit, at: wall, lasted });
        self.tell(context, EventKind::Exited { run, exit, lasted });
        context.out.push(Effect::Acknowledge { run });
        if self.run() == Some(run) {
            self.on_end_of_run(context, run, exit, lasted);
        } else {
            self.on_end_of_unknown_run(context, run, exit);
        }
    }

    /// The run that this master has asked for or adopted, and whose end is not told yet.
    fn started_run(&self) -> Option<RunId> {
        match &self.state {
            State::Starting { run } => Some(*run),
            State::Running(running) => Some(running.run),
            State::Stopping(stopping) => Some(stopping.run),
            // A later run of an earlier life may still turn up.
            State::Unsettled { .. }
            | State::Clearing { .. }
            | State::Registered
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed => None,
        }
    }

    /// A run ended that the record does not know: a master spawned it, and was lost
    /// before that was durable. It counts as any other.
    fn on_end_of_unknown_run(&mut self, context: &mut Context<'_>, run: RunId, exit: Exit) {
        let is_latest = self.latest_run.is_none_or(|latest| run > latest);
        match &self.state {
            State::Registered
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. }
                if is_latest =>
            {
                self.latest_run = Some(run);
                if self.state == State::Tripped {
                    self.set_breaker(context, Breaker::HalfOpen);
                }
                context.out.push(Effect::KillTree { worker: self.id().clone(), run, whole: false });
                self.decide(context, exit, Cause::Exit);
            }
            // A later run is known, and it decides.
            State::Registered
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. }
            | State::Starting { .. }
            | State::Running(_)
            | State::Stopping(_)
            | State::Clearing { .. } => self.persist(context),
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
                let (then, kills) = (stopping.then, stopping.kills);
                self.clear(context, run, then, exit, kills);
            }
            // A later run may still turn up: it is cleared when everything is known.
            State::Unsettled { .. } if !self.is_wanted() || context.phase.stops_workers() => {
                self.persist(context);
            }
            State::Starting { .. } | State::Running(_)
                if !self.is_wanted() || context.phase.stops_workers() =>
            {
                self.clear(context, run, Then::Stay, exit, 0);
            }
            State::Starting { .. } | State::Running(_) | State::Unsettled { .. } => {
                let cause = match self.blamed.take().filter(|(blamed, _)| *blamed == run) {
                    Some((_, Sentence::Stop | Sentence::Kill)) => {
                        return self.clear(context, run, Then::Stay, exit, 0);
                    }
                    Some((_, Sentence::Restart(severity))) => Cause::Resource(severity),
                    None => Cause::Exit,
                };
                // Whatever it left behind must not live beside the next run.
                context.out.push(Effect::KillTree { worker: self.id().clone(), run, whole: false });
                self.forget_failures_after(context, lasted);
                self.decide(context, exit, cause);
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

    /// Kills what an ended run left behind, and waits until all kills are reported: one
    /// that is still under way would hit the next run too.
    pub(super) fn clear(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        then: Then,
        exit: Exit,
        kills: u32,
    ) {
        self.state = State::Clearing { run, then, exit, kills: kills.saturating_add(1) };
        context.out.push(Effect::KillTree { worker: self.id().clone(), run, whole: true });
        self.persist(context);
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
        if !self.is_wanted() || context.phase.stops_workers() {
            return self.rest_in_peace(context, exit);
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
                // Nothing will be restarted, so there is nothing to hold back.
                self.forget_failures(context);
                self.tell(
                    context,
                    EventKind::RestartRefused { reason: alloc::format!("{reason}") },
                );
                self.enter(context, state, reason);
                let answer = if exit.is_success() {
                    self.done(alloc::format!("started, and ended: {exit}"))
                } else {
                    Self::failed(alloc::format!("started, and ended: {exit}"))
                };
                self.resolve(context, answer);
            }
            Verdict::GiveUp => self.trip(context, exit),
            // A failed trial opens the breaker again, whatever the limit says.
            Verdict::Retry { .. } if self.breaker == Breaker::HalfOpen => self.trip(context, exit),
            Verdict::Retry { attempt, limit, delay } => {
                self.attempts = attempt;
                self.counts_as_restart = true;
                self.tell(context, EventKind::RestartScheduled { attempt, limit, delay });
                self.resolve(context, Self::failed(alloc::format!("started, and ended: {exit}")));
                self.rest(context, exit, attempt, delay);
            }
        }
    }

    /// Ended, as it shall be.
    pub(super) fn rest_in_peace(&mut self, context: &mut Context<'_>, exit: Exit) {
        let by_shutdown = self.is_wanted() && context.phase.stops_workers();
        let reason = if by_shutdown { Reason::Shutdown } else { Reason::Ended(exit) };
        self.forget_failures(context);
        self.counts_as_restart = false;
        self.enter(context, State::Stopped, reason);
        let answer = self.done("stopped");
        self.resolve(context, answer);
    }

    fn rest(&mut self, context: &mut Context<'_>, exit: Exit, attempt: u32, delay: Duration) {
        if delay.is_zero() {
            self.start_in_turn(context, Reason::RestartAtOnce(exit));
        } else {
            let due = context.now.tick.after(delay);
            let state = State::BackingOff { due, admitted: Admitted::No };
            self.enter(context, state, Reason::Rest { exit, attempt, delay });
        }
    }

    /// Starts it now, or when the start rate of the whole master gives it its turn.
    fn start_in_turn(&mut self, context: &mut Context<'_>, reason: Reason) {
        let turn = context.limiter.reserve(context.now.tick);
        if turn <= context.now.tick {
            self.begin_start(context, reason);
        } else {
            let state = State::BackingOff { due: turn, admitted: Admitted::Yes };
            self.enter(context, state, Reason::StartRate);
        }
    }

    /// Puts off what is due, for as long as this master may still live.
    fn postpone(&mut self) {
        if let State::BackingOff { due, .. } = &mut self.state {
            *due = Tick(u64::MAX);
        }
        if let Breaker::Open { trial_at } = &mut self.breaker {
            *trial_at = None;
        }
    }

    fn trip(&mut self, context: &mut Context<'_>, exit: Exit) {
        let rest = self.restart().and_then(|restart| restart.breaker.half_open_after);
        let trial_at = rest.map(|rest| context.now.tick.after(rest));
        self.set_breaker(context, Breaker::Open { trial_at });
        let reason = Reason::TooManyFailures { exit, attempts: self.attempts };
        self.tell(context, EventKind::RestartRefused { reason: alloc::format!("{reason}") });
        self.enter(context, State::Tripped, reason);
        self.resolve(context, Self::failed(alloc::format!("started, and ended: {exit}")));
    }

    /// A rest, a stable run, a trial or a stop is due.
    pub(crate) fn on_due(&mut self, context: &mut Context<'_>) {
        self.look(context);
        if self.own_deadline().is_none_or(|due| due > context.now.tick) {
            return;
        }
        let waits = matches!(self.state, State::BackingOff { .. } | State::Tripped);
        if waits && context.phase.is_end() {
            // The next master goes on from the record.
            return self.postpone();
        }
        match &self.state {
            State::BackingOff { admitted: Admitted::Yes, .. } => {
                self.begin_start(context, Reason::RestOver);
            }
            State::BackingOff { admitted: Admitted::No, .. } => {
                self.start_in_turn(context, Reason::RestOver);
            }
            State::Running(running)
                if running.stable_at.is_none_or(|due| due > context.now.tick) =>
            {
                self.notice_silence(context);
            }
            // A run that does not do its job is not forgiven for what came before it.
            State::Running(_) if !self.monitor.is_ready() => self.await_stability(context),
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
                self.start_in_turn(context, Reason::Trial);
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

    /// It exceeded a limit whose policy ends it.
    pub(crate) fn on_sentence(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        sentence: Sentence,
    ) {
        let is_running = self.running_since().is_some_and(|(running, _)| running == run);
        if !is_running || context.phase.is_end() {
            return;
        }
        let reason = Reason::OverLimit;
        match sentence {
            Sentence::Stop => self.begin_stop(context, Then::Stay, reason),
            Sentence::Kill => self.begin_kill(context, Then::Stay, reason),
            Sentence::Restart(severity) => {
                self.begin_stop(context, Then::Decide(Cause::Resource(severity)), reason);
            }
        }
    }

    /// Health checks failed or a limit was exceeded.
    pub(crate) fn on_finding(&mut self, context: &mut Context<'_>, run: RunId, cause: Cause) {
        let reason = match cause {
            Cause::Health(_) => Reason::Unhealthy("its health checks failed".into()),
            Cause::Resource(_) | Cause::Exit => Reason::OverLimit,
        };
        self.restart_for(context, run, cause, reason);
    }

    /// Restarts it for something that was found, unless it has just started.
    pub(super) fn restart_for(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        cause: Cause,
        reason: Reason,
    ) {
        let State::Running(running) = &self.state else {
            return;
        };
        let grace = self.restart().map_or(Duration::ZERO, |restart| restart.startup_grace);
        let in_grace = context.now.tick.since(running.started.0) < grace;
        if running.run != run || in_grace || context.phase.is_end() {
            return;
        }
        self.begin_stop(context, Then::Decide(cause), reason);
    }
}
