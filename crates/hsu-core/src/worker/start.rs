//! Starting: a spawn is asked for, answered, or found to have happened.

use alloc::string::String;
use alloc::string::ToString as _;

use hsu_model::event::{Actor, EventKind};
use hsu_model::id::RunId;
use hsu_model::process::ProcessKey;
use hsu_model::restart::RestartContext;
use hsu_model::status::WorkerState;
use hsu_model::time::{Tick, WallTime};

use super::{Admitted, Context, Pending, Phase, Running, State, Then, Worker};
use crate::breaker::Breaker;
use crate::effect::Effect;
use crate::input::Command;
use crate::reason::Reason;

/// The rest after a spawn that failed for want of something that comes back.
const SCARCITY_REST: core::time::Duration = core::time::Duration::from_millis(500);

impl Worker {
    /// Asks for a process, now.
    pub(crate) fn begin_start(&mut self, context: &mut Context<'_>, reason: Reason) {
        debug_assert!(
            self.run().is_none_or(|run| self.accounted.is_some_and(|accounted| run <= accounted)),
            "I1: at most one run that is not over"
        );
        match context.phase {
            Phase::Serving => {}
            // It may run already, and is started when everything is known; or the
            // next master starts it.
            Phase::Settling | Phase::Leaving | Phase::Stopping | Phase::Killing => {
                return self.enter(context, State::Registered, reason);
            }
        }
        // The fleet counts on when it sees the run of this step.
        let run = RunId(*context.next_run);
        self.latest_run = Some(run);
        self.started_as = self.fingerprint();
        self.survivors.clear();
        self.enter(context, State::Starting { run }, reason);
        context.out.push(Effect::Spawn { worker: self.id().clone(), run });
    }

    /// Starts what shall run, is allowed to, and has not been started yet.
    pub(crate) fn reconcile(&mut self, context: &mut Context<'_>) {
        if self.is_wanted() && self.state == State::Registered {
            self.begin_start(context, Reason::Wanted);
        }
    }

    /// The keeper has started the process.
    pub(crate) fn on_spawned(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        process: ProcessKey,
    ) {
        match &self.state {
            State::Starting { run: asked } if *asked == run => {}
            // The process is already over, or belongs to an earlier run: its
            // exit is on its way and accounts for it.
            State::Starting { .. }
            | State::Registered
            | State::Running(_)
            | State::Stopping(_)
            | State::Clearing { .. }
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. } => return,
        }
        self.count_start();
        let started = (context.now.tick, context.now.wall);
        self.tell(context, EventKind::Spawned { run, pid: process.pid });
        self.enter_running(context, run, process, started, Reason::Started);
        if self.is_wanted() && !context.phase.stops_workers() {
            let restarts = |pending: Pending| matches!(pending.command, Command::Restart { .. });
            let word = if self.pending.is_some_and(restarts) { "restarted" } else { "started" };
            let answer = self.done(word);
            self.resolve(context, answer);
        } else {
            // Stopped while it was being started.
            self.begin_stop(context, Then::Stay, Reason::Unwanted);
            self.hurry(context);
        }
    }

    /// A start that was decided has happened, whether this master has seen it or only what
    /// became of it.
    pub(super) fn count_start(&mut self) {
        if core::mem::take(&mut self.counts_as_restart) {
            self.restarts += 1;
        }
    }

    /// Kills at once what shall not get the time to end by itself.
    fn hurry(&mut self, context: &mut Context<'_>) {
        let forced = self.pending.is_some_and(|pending| pending.command.is_forced());
        if forced || context.phase == Phase::Killing {
            self.kill_now(context);
        }
    }

    pub(super) fn enter_running(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        process: ProcessKey,
        started: (Tick, WallTime),
        reason: Reason,
    ) {
        // Only a worker with something to forget is worth a timer.
        let has_past = self.attempts > 0 || self.breaker != Breaker::Closed;
        let stable_at =
            self.restart().filter(|_| has_past).map(|restart| started.0.after(restart.reset_after));
        let running = Running { run, process, started, stable_at };
        self.begin_listening(run, context.now.tick);
        let (now, entropy) = (context.now.tick, context.entropy);
        self.monitor.begin(&self.spec.health, run, started.0, now, entropy);
        self.enter(context, State::Running(running), reason);
    }

    /// The process could not be started.
    pub(crate) fn on_spawn_failed(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        error: String,
        transient: bool,
    ) {
        let is_ours = matches!(&self.state, State::Starting { run: asked } if *asked == run);
        if !is_ours {
            // A stale report: the run it names is already over.
            return;
        }
        self.accounted = Some(run);
        self.tell(context, EventKind::SpawnFailed { run, error: error.clone() });
        let reason = Reason::NotStarted(error.to_string());
        if !self.is_wanted() || context.phase.stops_workers() {
            let by_shutdown = self.is_wanted();
            let reason = if by_shutdown { Reason::Shutdown } else { reason };
            self.forget_failures(context);
            self.enter(context, State::Stopped, reason);
            let answer = self.done("stopped before it had started");
            self.resolve(context, answer);
        } else if transient {
            let due = context.now.tick.after(self.scarcity_rest());
            self.enter(context, State::BackingOff { due, admitted: Admitted::No }, reason);
            self.resolve(context, Self::failed(error));
        } else {
            // What is missing does not come by itself: an operator's start tries again.
            self.forget_failures(context);
            self.enter(context, State::Failed, reason);
            self.resolve(context, Self::failed(error));
        }
    }

    fn scarcity_rest(&self) -> core::time::Duration {
        let declared = self
            .restart()
            .map_or(RestartContext::DEFAULT.retry_delay, |restart| restart.default.retry_delay);
        declared.max(SCARCITY_REST)
    }

    /// The process of an earlier life was found alive.
    pub(crate) fn on_adopted(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        process: ProcessKey,
        started: (Tick, WallTime),
    ) {
        if self.accounted.is_some_and(|accounted| run <= accounted) {
            // A stale report: the run it names is already over.
            return;
        }
        let was = match &self.state {
            State::Unsettled { was, .. } => *was,
            State::Starting { run: asked } if *asked == run => WorkerState::Starting,
            State::Registered
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed => WorkerState::Running,
            // It is known already: the keeper was replaced, not the master.
            State::Starting { .. }
            | State::Running(_)
            | State::Stopping(_)
            | State::Clearing { .. } => return,
        };
        self.see_latest(run);
        self.count_start();
        self.try_on(context);
        self.tell(context, EventKind::Adopted { run, pid: process.pid });
        self.enter_running(context, run, process, started, Reason::Adopted);
        let restarts =
            self.pending.is_some_and(|pending| matches!(pending.command, Command::Restart { .. }));
        if !self.is_wanted() || context.phase.stops_workers() {
            self.begin_stop(context, Then::Stay, self.why_unwanted());
            self.hurry(context);
        } else if restarts || was == WorkerState::Stopping {
            self.begin_stop(context, Then::StartAgain, Reason::Operator("restart"));
            self.hurry(context);
        } else {
            let answer = self.done("started");
            self.resolve(context, answer);
        }
    }

    /// An earlier life asked for this run, and the keeper has not answered yet.
    pub(crate) fn on_pending(&mut self, context: &mut Context<'_>, run: RunId) {
        if self.accounted.is_some_and(|accounted| run <= accounted) {
            return;
        }
        match &self.state {
            State::Unsettled { .. }
            | State::Registered
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed => {}
            // It is known already: the keeper was replaced, not the master.
            State::Starting { .. }
            | State::Running(_)
            | State::Stopping(_)
            | State::Clearing { .. } => return,
        }
        self.see_latest(run);
        self.try_on(context);
        self.enter(context, State::Starting { run }, Reason::Wanted);
    }

    /// A run of an earlier life: as what it was started is known only of the recorded one.
    fn see_latest(&mut self, run: RunId) {
        if self.latest_run.replace(run) != Some(run) {
            self.started_as = None;
        }
    }

    /// A run that an earlier life began although the breaker is open was its trial.
    fn try_on(&mut self, context: &mut Context<'_>) {
        if matches!(self.breaker, Breaker::Open { .. }) {
            self.set_breaker(context, Breaker::HalfOpen);
        }
    }

    /// Every process of the earlier life is known: what is missing is gone.
    pub(crate) fn settle(
        &mut self,
        context: &mut Context<'_>,
        unknown: hsu_model::exit::UnknownExit,
    ) {
        let missing = match &self.state {
            State::Unsettled { run, was, .. } => Some((*run, *was)),
            State::Registered
            | State::Starting { .. }
            | State::Running(_)
            | State::Stopping(_)
            | State::Clearing { .. }
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed => None,
        };
        match missing {
            // Its exit is accounted; only what it left behind is not known to be gone.
            Some((run, _)) if self.accounted.is_some_and(|accounted| run <= accounted) => {
                let last = self.last_exit.map(|last| last.exit);
                let exit = last.unwrap_or(hsu_model::exit::Exit::Unknown(unknown));
                let then = if self.is_wanted() { Then::StartAgain } else { Then::Stay };
                self.clear(context, run, then, exit, 0);
            }
            // It was never spawned, so nothing failed: it is simply started.
            Some((_, WorkerState::Starting)) => {
                self.state = State::Registered;
                if !self.is_wanted() {
                    self.forget_failures(context);
                    self.enter(context, State::Stopped, Reason::Unwanted);
                    let answer = self.done("stopped before it had started");
                    self.resolve(context, answer);
                }
            }
            Some((run, _)) => {
                let exit = hsu_model::exit::Exit::Unknown(unknown);
                let (tick, wall) = (context.now.tick, context.now.wall);
                self.on_exited(context, run, exit, tick, wall);
                // Nobody wants it, and no later run will turn up any more.
                if matches!(self.state, State::Unsettled { .. }) {
                    self.clear(context, run, Then::Stay, exit, 0);
                }
            }
            None => self.settle_at_rest(context),
        }
        // The master that was lost may not have come to it.
        if let Some(run) = self.uncleared.take() {
            context.out.push(Effect::KillTree { worker: self.id().clone(), run, whole: false });
        }
        let actor = core::mem::replace(&mut context.actor, Actor::Configuration);
        self.reconcile(context);
        context.actor = actor;
    }

    /// A worker without a process goes on resting only while it shall run.
    fn settle_at_rest(&mut self, context: &mut Context<'_>) {
        let rests = matches!(self.state, State::BackingOff { .. } | State::Tripped);
        if rests && !self.is_wanted() {
            self.forget_failures(context);
            self.enter(context, State::Stopped, Reason::Unwanted);
        } else if self.state == State::Tripped
            && self.breaker == (Breaker::Open { trial_at: None })
            && let Some(rest) = self.restart().and_then(|restart| restart.breaker.half_open_after)
        {
            // It was opened when there was no trial, or the last master has put it off.
            self.breaker = Breaker::Open { trial_at: Some(context.now.tick.after(rest)) };
            self.persist(context);
        }
    }
}
