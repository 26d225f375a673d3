//! The reference model of a worker's life: slow, small, and obviously right.
//!
//! A table of what may follow. After each step it says for every worker in which states it may
//! be now, what is wanted of it, whether the command had to be refused, and whether a start had
//! to be asked for; the fleet is asked whether that is so. Where the start rate or an earlier
//! command decides, the table names every state that is right. It knows nothing of how the
//! core is made: it sees what an operator sees.

use std::collections::BTreeMap;

use hsu_core::breaker::Breaker;
use hsu_core::effect::Effect;
use hsu_core::fleet::{Fleet, Glance};
use hsu_core::input::{Command, Input, ShutdownMode};
use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::restart::{Restart, RestartPolicy};
use hsu_model::status::WorkerState as S;
use hsu_model::status::{Desired, WorkerState};
use hsu_model::time::Tick;
use hsu_model::worker::WorkerSpec;

use super::nature::restart_of;

/// One worker, as the model remembers it.
#[derive(Clone, Copy, Debug)]
struct Life {
    glance: Glance,
    wants: bool,
    enabled: bool,
}

/// What may follow one step for one worker.
#[derive(Debug)]
struct Next {
    states: Vec<WorkerState>,
    wants: bool,
    enabled: bool,
    /// Whether the worker may be forgotten.
    may_go: bool,
}

/// Every worker of one master.
#[derive(Debug, Default)]
pub(crate) struct Model {
    lives: BTreeMap<WorkerId, Life>,
    settled: bool,
    ending: Option<ShutdownMode>,
}

fn life(glance: Glance) -> Life {
    Life { glance, wants: glance.desired == Desired::Running, enabled: glance.enabled }
}

impl Model {
    /// A master has read its records.
    pub(crate) fn on_boot(&mut self, fleet: &Fleet) {
        self.lives = fleet.glances().map(|(id, glance)| (id.clone(), life(glance))).collect();
        self.settled = false;
        self.ending = None;
    }

    /// Follows one step; what is wrong with it.
    pub(crate) fn follow<'a>(
        &mut self,
        now: Tick,
        input: &Input,
        effects: &[Effect],
        fleet: &Fleet,
        spec: impl Fn(&WorkerId) -> Option<&'a WorkerSpec>,
    ) -> Option<String> {
        let mut wrong = None;
        match input {
            Input::Settled { .. } => self.settled = true,
            Input::Shutdown { mode, .. } => self.ending = Some(*mode),
            _ => {}
        }
        for (id, before) in &self.lives {
            let next = self.next(now, id, *before, input, effects, spec(id));
            let after = fleet.glance(id);
            if !is_so(id, &next, before, after, effects, input) {
                wrong = Some(format!("{id}: {before:?}, {input:?}, may be {next:?}, is {after:?}"));
            }
        }
        let mut lives: BTreeMap<_, _> =
            fleet.glances().map(|(id, glance)| (id.clone(), life(glance))).collect();
        std::mem::swap(&mut self.lives, &mut lives);
        wrong
    }

    fn stops(&self) -> bool {
        self.ending == Some(ShutdownMode::StopWorkers)
    }

    /// What a start comes to: nothing begins before everything is known, nor at the end.
    fn begun(&self) -> WorkerState {
        if self.settled && self.ending.is_none() { S::Starting } else { S::Registered }
    }

    fn next(
        &self,
        now: Tick,
        id: &WorkerId,
        before: Life,
        input: &Input,
        effects: &[Effect],
        spec: Option<&WorkerSpec>,
    ) -> Next {
        let Life { glance, wants, enabled } = before;
        let mut next = Next { states: vec![glance.state], wants, enabled, may_go: false };
        let restart = spec.and_then(restart_of);
        let (is_departed, wanted) = (restart.is_none(), wants && enabled && !self.stops());
        match input {
            Input::Command { worker, command, .. }
                if worker == id && !self.refuses(glance, enabled, is_departed, *command) =>
            {
                self.obey(&mut next, glance, *command);
            }
            Input::Spawned { run, .. } if is_starting(glance, *run) => {
                next.states = vec![if wanted { S::Running } else { S::Stopping }];
            }
            Input::SpawnFailed { run, transient, .. } if is_starting(glance, *run) => {
                next.states = vec![not_started(wanted, *transient)];
            }
            Input::Exited { worker, run, exit, .. } if worker == id => {
                next.states = self.ended(glance, *run, *exit, wanted, restart, effects);
            }
            Input::Adopted { worker, run, .. } if worker == id && !is_over(glance, *run) => {
                let is_news = glance.unsettled || is_starting(glance, *run) || rests(glance.state);
                if is_news {
                    next.states = vec![S::Stopping];
                    next.states.extend(wanted.then_some(S::Running));
                }
            }
            Input::Pending { worker, run }
                if worker == id
                    && !is_over(glance, *run)
                    && (glance.unsettled || rests(glance.state)) =>
            {
                next.states = vec![S::Starting];
            }
            Input::Survivors { worker, .. } if worker == id && glance.state == S::Stopping => {
                next.states.push(S::Stopped);
                if wanted {
                    next.states.extend([self.begun(), S::BackingOff, S::Tripped]);
                }
            }
            Input::Settled { .. } => next.states = self.settled_as(glance, wanted, restart),
            Input::HealthFailed { run, .. } | Input::ResourceViolation { run, .. }
                if glance.run == Some(*run)
                    && glance.state == S::Running
                    && self.ending.is_none() =>
            {
                next.states.push(S::Stopping);
            }
            Input::Wake if self.ending.is_none() && is_due(glance, now) => {
                next.states = vec![self.begun(), S::BackingOff];
            }
            Input::Shutdown { mode: ShutdownMode::StopWorkers, .. } if !glance.unsettled => {
                next.states = vec![shut_down(glance.state)];
            }
            _ => {}
        }
        // What is not configured any more goes when nothing of it is left.
        next.may_go |= is_departed && spec.is_none_or(|spec| !spec.enabled);
        next
    }

    /// Whether a command cannot even be begun.
    fn refuses(&self, glance: Glance, enabled: bool, departed: bool, command: Command) -> bool {
        let starts = matches!(command, Command::Start | Command::Restart { .. });
        let stops = matches!(command, Command::Stop { .. } | Command::Disable);
        let at_the_end = match self.ending {
            Some(ShutdownMode::KeepWorkers) => starts || stops,
            Some(ShutdownMode::StopWorkers) => starts,
            None => false,
        };
        let by_state = match command {
            Command::Start | Command::Restart { force: true } => !enabled,
            Command::Restart { force: false } => !enabled || glance.state == S::Tripped,
            Command::Enable => departed,
            Command::Signal(number) => !(1..=64).contains(&number) || glance.process.is_none(),
            Command::Remove => !self.settled || glance.run.is_some(),
            Command::Stop { .. } | Command::Disable | Command::ResetBreaker => false,
        };
        at_the_end || by_state
    }

    fn obey(&self, next: &mut Next, glance: Glance, command: Command) {
        let begins = rests(glance.state) && !glance.unsettled;
        match command {
            Command::Start => next.wants = true,
            Command::Restart { .. } => next.wants = true,
            Command::Stop { .. } => next.wants = false,
            Command::Disable => (next.wants, next.enabled) = (false, false),
            Command::Enable => {
                next.wants &= next.enabled;
                next.enabled = true;
            }
            Command::Remove => next.may_go = true,
            Command::Signal(_) | Command::ResetBreaker => {}
        }
        let state = match (command, glance.state) {
            (Command::Start | Command::Restart { .. }, _) if begins => self.begun(),
            (Command::Restart { .. }, S::Running) if !glance.unsettled => S::Stopping,
            (Command::Stop { .. } | Command::Disable, S::Running) if !glance.unsettled => {
                S::Stopping
            }
            (Command::Stop { .. } | Command::Disable, S::BackingOff | S::Tripped | S::Failed) => {
                S::Stopped
            }
            (Command::ResetBreaker, S::Tripped | S::BackingOff)
                if next.wants && next.enabled && self.ending.is_none() =>
            {
                self.begun()
            }
            (Command::ResetBreaker, S::Tripped) => S::Stopped,
            (_, state) => state,
        };
        next.states = vec![state];
    }

    /// Where the end of a run leads.
    fn ended(
        &self,
        glance: Glance,
        run: RunId,
        exit: Exit,
        wanted: bool,
        restart: Option<&Restart>,
        effects: &[Effect],
    ) -> Vec<WorkerState> {
        let is_current = glance.run == Some(run);
        let is_later = glance.latest.is_none_or(|latest| run > latest);
        let at_rest = rests(glance.state) || glance.unsettled;
        if is_over(glance, run) || !(is_current || is_later && at_rest) {
            return vec![glance.state];
        }
        if is_current && glance.state == S::Stopping && !glance.unsettled {
            return vec![S::Stopping];
        }
        if !wanted {
            return vec![match (is_current, glance.unsettled) {
                (true, true) => glance.state,
                (true, false) => S::Stopping,
                (false, _) => S::Stopped,
            }];
        }
        let Some(restart) = restart else { return vec![glance.state] };
        if !is_current {
            return self.decided(glance, exit, restart, None);
        }
        let lasted = effects.iter().find_map(|effect| match effect {
            Effect::Event { kind: EventKind::Exited { lasted, .. }, .. } => Some(*lasted),
            _ => None,
        });
        self.decided(glance, exit, restart, lasted)
    }

    /// What the policy makes of an exit, after a run that lasted so long.
    fn decided(
        &self,
        glance: Glance,
        exit: Exit,
        restart: &Restart,
        lasted: Option<std::time::Duration>,
    ) -> Vec<WorkerState> {
        let again = match restart.policy {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => !exit.is_success() || restart.on_clean_exit,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        };
        if !again {
            return vec![if exit.is_success() { S::Stopped } else { S::Failed }];
        }
        let Some(lasted) = lasted else {
            return vec![self.begun(), S::BackingOff, S::Tripped];
        };
        let forgets = lasted >= restart.reset_after;
        let attempts = if forgets { 0 } else { glance.attempts };
        let limit = restart.default.max_retries;
        let is_trial = glance.breaker == Breaker::HalfOpen && !forgets;
        if limit != 0 && attempts >= limit || is_trial {
            return vec![S::Tripped];
        }
        if restart.default.retry_delay.is_zero() {
            vec![self.begun(), S::BackingOff]
        } else {
            vec![S::BackingOff]
        }
    }

    /// Where a worker is once everything that an earlier master left is known.
    fn settled_as(
        &self,
        glance: Glance,
        wanted: bool,
        restart: Option<&Restart>,
    ) -> Vec<WorkerState> {
        let is_accounted = glance.run.is_some_and(|run| is_over(glance, run));
        if glance.unsettled && !is_accounted && glance.state == S::Starting {
            // One that is wanted when the master ends is begun by the next one.
            let begun = [self.begun(), S::Registered];
            return if wanted { begun.to_vec() } else { vec![S::Stopped, S::Registered] };
        }
        if glance.unsettled && (is_accounted || !wanted) {
            return vec![S::Stopping];
        }
        if glance.unsettled {
            let ends = restart.is_some_and(|restart| restart.policy == RestartPolicy::Never);
            return if ends {
                vec![S::Failed]
            } else {
                vec![self.begun(), S::BackingOff, S::Tripped]
            };
        }
        vec![match glance.state {
            S::Registered if wanted => self.begun(),
            // What rests when the master ends goes on resting for the next one.
            S::BackingOff | S::Tripped if !wanted && self.ending.is_none() => S::Stopped,
            other => other,
        }]
    }
}

/// What a start that failed comes to.
fn not_started(wanted: bool, transient: bool) -> WorkerState {
    match (wanted, transient) {
        (false, _) => S::Stopped,
        (true, true) => S::BackingOff,
        (true, false) => S::Failed,
    }
}

/// What an end that stops the workers makes of one.
fn shut_down(state: WorkerState) -> WorkerState {
    match state {
        S::Running => S::Stopping,
        S::BackingOff => S::Stopped,
        other => other,
    }
}

/// Whether a rest or the trial of a breaker is due.
fn is_due(glance: Glance, now: Tick) -> bool {
    match (glance.state, glance.breaker) {
        (S::BackingOff, _) => glance.next_attempt.is_some_and(|due| due <= now),
        (S::Tripped, Breaker::Open { trial_at }) => trial_at.is_some_and(|due| due <= now),
        _ => false,
    }
}

fn is_starting(glance: Glance, run: RunId) -> bool {
    glance.state == S::Starting && glance.run == Some(run) && !glance.unsettled
}

fn is_over(glance: Glance, run: RunId) -> bool {
    glance.accounted.is_some_and(|accounted| run <= accounted)
}

/// Whether a worker in this state has no run.
fn rests(state: WorkerState) -> bool {
    matches!(state, S::Registered | S::Stopped | S::BackingOff | S::Tripped | S::Failed)
}

/// Whether a worker is as the model says.
fn is_so(
    id: &WorkerId,
    next: &Next,
    before: &Life,
    after: Option<Glance>,
    effects: &[Effect],
    input: &Input,
) -> bool {
    // One that was removed, and found running again, is ended and forgotten.
    let is_forgotten = !before.enabled
        && effects.iter().any(|effect| match effect {
            Effect::Forget { worker } => worker == id,
            _ => false,
        });
    let Some(after) = after else { return next.may_go || is_forgotten };
    let spawns = effects.iter().filter(|effect| match effect {
        Effect::Spawn { worker, .. } => worker == id,
        _ => false,
    });
    let is_news = after.state == S::Starting && after.latest != before.glance.latest;
    let begins = is_news && !matches!(input, Input::Pending { .. });
    next.states.contains(&after.state)
        && next.wants == (after.desired == Desired::Running)
        && next.enabled == after.enabled
        && spawns.count() == usize::from(begins)
}
