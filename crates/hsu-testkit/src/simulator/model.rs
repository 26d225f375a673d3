//! The reference model: the life of one worker as a table, slow and plain, in lock-step.
//!
//! For each step it says from the input and from what was known of each worker which states it may
//! be now, what is wanted of it, whether the command had to be refused, and whether a start had
//! to be asked for; the fleet is asked whether that is so. Where the start rate or an earlier
//! command decides, the table names every state that is right. It knows nothing of how the
//! core is made: it sees what an operator sees.

use hsu_core::breaker::Breaker;
use hsu_core::effect::Effect;
use hsu_core::fleet::Glance;
use hsu_core::input::{Command, Input, ShutdownMode};
use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::restart::{Restart, RestartPolicy};
use hsu_model::status::{Desired, WorkerState as S};
use hsu_model::time::Tick;
use hsu_model::worker::WorkerSpec;

use super::nature::restart_of;

/// Some states, any of which is right: a bit for each.
type Any = u16;

fn any(states: &[S]) -> Any {
    states.iter().fold(0, |all, state| all | 1 << *state as u16)
}

/// What may follow one step for one worker.
struct Next {
    states: Any,
    desired: Desired,
    enabled: bool,
    /// Whether the worker may be forgotten.
    may_go: bool,
}

/// What a master does at present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) settled: bool,
    pub(crate) ending: Option<ShutdownMode>,
}

/// One step, as one worker sees it.
pub(crate) struct Seen<'a> {
    pub(crate) now: Tick,
    pub(crate) id: &'a WorkerId,
    pub(crate) spec: Option<&'a WorkerSpec>,
    pub(crate) before: Glance,
    /// Whether its run was to be ended for a limit.
    pub(crate) is_blamed: bool,
    pub(crate) after: Option<Glance>,
    pub(crate) input: &'a Input,
    pub(crate) effects: &'a [Effect],
}

impl Model {
    /// What is wrong with a step for a worker.
    pub(crate) fn judge(&self, seen: &Seen<'_>) -> Option<String> {
        let next = self.next(seen);
        let (id, before, input) = (seen.id, &seen.before, seen.input);
        let Some(after) = seen.after else {
            // One that was removed, and found running again, is ended and forgotten.
            let forgets = |of: &Effect| matches!(of, Effect::Forget { worker, .. } if worker == id);
            let is_right = next.may_go || !before.enabled && seen.effects.iter().any(forgets);
            return (!is_right).then(|| format!("{id}: {before:?}, {input:?}, and it is gone"));
        };
        let spawns = |of: &&Effect| matches!(of, Effect::Spawn { worker, .. } if worker == id);
        let is_news = after.state == S::Starting && after.latest != before.latest;
        let begins = is_news && !matches!(input, Input::Pending { .. });
        let is_right = next.states & any(&[after.state]) != 0
            && next.desired == after.desired
            && next.enabled == after.enabled
            && seen.effects.iter().filter(spawns).count() == usize::from(begins);
        (!is_right).then(|| {
            let may = S::ALL.into_iter().filter(|state| next.states & any(&[*state]) != 0);
            let may: Vec<_> = may.collect();
            format!("{id}: {before:?}, {input:?}, may be {may:?}, is {after:?}")
        })
    }

    /// What a start comes to: nothing begins before everything is known, nor at the end.
    fn begun(&self) -> S {
        if self.settled && self.ending.is_none() { S::Starting } else { S::Registered }
    }

    /// What another attempt comes to, when the policy or the start rate decide.
    fn tried(&self) -> Any {
        any(&[self.begun(), S::BackingOff, S::Tripped])
    }

    fn next(&self, seen: &Seen<'_>) -> Next {
        let Seen { now, id, spec, before, input, .. } = *seen;
        let (desired, enabled) = (before.desired, before.enabled);
        let mut next = Next { states: any(&[before.state]), desired, enabled, may_go: false };
        let departed = spec.and_then(restart_of).is_none();
        let stops = self.ending == Some(ShutdownMode::StopWorkers);
        let wanted = desired == Desired::Running && enabled && !stops;
        let known = |run: RunId| before.accounted.is_some_and(|accounted| run <= accounted);
        let starting = |run: RunId| {
            before.state == S::Starting && before.run == Some(run) && !before.unsettled
        };
        let open = before.unsettled || rests(before.state);
        match input {
            Input::Command { worker, command, .. }
                if worker == id && !self.refuses(before, departed, *command) =>
            {
                self.obey(&mut next, before, *command);
            }
            Input::Spawned { run, .. } if starting(*run) => {
                next.states = any(&[if wanted { S::Running } else { S::Stopping }]);
            }
            Input::SpawnFailed { run, transient, .. } if starting(*run) => {
                let again = if *transient { S::BackingOff } else { S::Failed };
                next.states = any(&[if wanted { again } else { S::Stopped }]);
            }
            Input::Exited { worker, run, exit, .. } if worker == id && !known(*run) => {
                next.states = self.ended(seen, *run, *exit, wanted);
            }
            Input::Adopted { worker, run, .. }
            | Input::Followed { worker, run, error: None, .. }
                if worker == id && !known(*run) && takes_up(input, before, *run) =>
            {
                let goes_on = if wanted { S::Running } else { S::Stopping };
                next.states = any(&[S::Stopping, goes_on]);
            }
            Input::Pending { worker, run } if worker == id && !known(*run) && open => {
                next.states = any(&[S::Starting]);
            }
            Input::Survivors { worker, .. } if worker == id && before.state == S::Stopping => {
                next.states |= any(&[S::Stopped]) | if wanted { self.tried() } else { 0 };
            }
            Input::Settled { .. } => next.states = self.settled_as(seen, wanted),
            Input::Wake if self.ending.is_none() && is_due(before, now) => {
                next.states = any(&[self.begun(), S::BackingOff]);
            }
            // Whether it must be, is judged by I17 and I18.
            Input::HealthFailed { .. }
            | Input::ResourceViolation { .. }
            | Input::Checked { .. }
            | Input::Told { .. }
            | Input::Used { .. }
            | Input::Wake
                if before.state == S::Running && self.ending.is_none() && !before.unsettled =>
            {
                next.states |= any(&[S::Stopping]);
            }
            Input::Shutdown { mode: ShutdownMode::StopWorkers, .. } if !before.unsettled => {
                next.states = any(&[match before.state {
                    S::Running => S::Stopping,
                    S::BackingOff => S::Stopped,
                    other => other,
                }]);
            }
            _ => {}
        }
        // What is not configured any more goes when nothing of it is left.
        next.may_go |= departed && spec.is_none_or(|spec| !spec.enabled);
        next
    }

    /// Whether a command cannot even be begun.
    fn refuses(&self, before: Glance, departed: bool, command: Command) -> bool {
        let starts = matches!(command, Command::Start | Command::Restart { .. });
        let stops = matches!(command, Command::Stop { .. } | Command::Disable);
        let keeps = self.ending == Some(ShutdownMode::KeepWorkers);
        let at_the_end = starts && self.ending.is_some() || stops && keeps;
        let by_state = match command {
            Command::Start | Command::Restart { force: true } => !before.enabled,
            Command::Restart { force: false } => !before.enabled || before.state == S::Tripped,
            Command::Enable => departed,
            Command::Signal(number) => !(1..=64).contains(&number) || before.process.is_none(),
            Command::Remove => !self.settled || before.run.is_some(),
            Command::Stop { .. } | Command::Disable | Command::ResetBreaker => false,
        };
        at_the_end || by_state
    }

    fn obey(&self, next: &mut Next, before: Glance, command: Command) {
        match command {
            Command::Start | Command::Restart { .. } => next.desired = Desired::Running,
            Command::Stop { .. } => next.desired = Desired::Stopped,
            Command::Disable => (next.desired, next.enabled) = (Desired::Stopped, false),
            Command::Enable if !next.enabled => {
                (next.desired, next.enabled) = (Desired::Stopped, true);
            }
            Command::Remove => next.may_go = true,
            Command::Enable | Command::Signal(_) | Command::ResetBreaker => {}
        }
        let runs = before.state == S::Running && !before.unsettled;
        let wanted = next.desired == Desired::Running && next.enabled && self.ending.is_none();
        let state = match (command, before.state) {
            (Command::Start | Command::Restart { .. }, state)
                if rests(state) && !before.unsettled =>
            {
                self.begun()
            }
            (Command::Restart { .. } | Command::Stop { .. } | Command::Disable, _) if runs => {
                S::Stopping
            }
            (Command::Stop { .. } | Command::Disable, S::BackingOff | S::Tripped | S::Failed) => {
                S::Stopped
            }
            (Command::ResetBreaker, S::Tripped | S::BackingOff) if wanted => self.begun(),
            (Command::ResetBreaker, S::Tripped) => S::Stopped,
            (_, state) => state,
        };
        next.states = any(&[state]);
    }

    /// Where the end of a run leads that is not accounted yet.
    fn ended(&self, seen: &Seen<'_>, run: RunId, exit: Exit, wanted: bool) -> Any {
        let before = seen.before;
        let is_current = before.run == Some(run);
        let is_later = before.latest.is_none_or(|latest| run > latest);
        let unchanged = any(&[before.state]);
        let is_news = is_later && (rests(before.state) || before.unsettled);
        let ends = before.state == S::Stopping && !before.unsettled;
        if is_current && ends || !is_current && !is_news {
            return unchanged;
        }
        if !wanted {
            let ends = if is_current { S::Stopping } else { S::Stopped };
            return if is_current && before.unsettled { unchanged } else { any(&[ends]) };
        }
        let Some(restart) = seen.spec.and_then(restart_of) else { return unchanged };
        // What the kernel has killed or refused may have ended it, and its limit decides.
        let limited = seen.is_blamed && is_current;
        let decided = self.decided(seen, exit, restart, is_current);
        if limited { decided | any(&[S::Stopping]) | self.tried() } else { decided }
    }

    /// What the policy makes of the exit of a run.
    fn decided(&self, seen: &Seen<'_>, exit: Exit, restart: &Restart, is_current: bool) -> Any {
        let before = seen.before;
        let again = match restart.policy {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => !exit.is_success() || restart.on_clean_exit,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        };
        if !again {
            return any(&[if exit.is_success() { S::Stopped } else { S::Failed }]);
        }
        let lasted = seen.effects.iter().find_map(|effect| match effect {
            Effect::Event { kind: EventKind::Exited { lasted, .. }, .. } => Some(*lasted),
            _ => None,
        });
        let Some(lasted) = lasted.filter(|_| is_current) else { return self.tried() };
        let forgets = lasted >= restart.reset_after;
        let attempts = if forgets { 0 } else { before.attempts };
        let limit = restart.default.max_retries;
        let is_trial = before.breaker == Breaker::HalfOpen && !forgets;
        if limit != 0 && attempts >= limit || is_trial {
            return any(&[S::Tripped]);
        }
        let at_once = restart.default.retry_delay.is_zero();
        any(&[S::BackingOff, if at_once { self.begun() } else { S::BackingOff }])
    }

    /// Where a worker is once everything that an earlier master left is known.
    fn settled_as(&self, seen: &Seen<'_>, wanted: bool) -> Any {
        let before = seen.before;
        let accounted = before.run.is_some_and(|run| before.accounted >= Some(run));
        match before.state {
            // One that is wanted when the master ends is begun by the next one.
            S::Starting if before.unsettled && !accounted => {
                any(&[if wanted { self.begun() } else { S::Stopped }, S::Registered])
            }
            _ if before.unsettled && (accounted || !wanted) => any(&[S::Stopping]),
            _ if before.unsettled => {
                let restart = seen.spec.and_then(restart_of);
                let ends = restart.is_some_and(|restart| restart.policy == RestartPolicy::Never);
                if ends { any(&[S::Failed]) } else { self.tried() }
            }
            S::Registered if wanted => any(&[self.begun()]),
            // What rests when the master ends goes on resting for the next one.
            S::BackingOff | S::Tripped
                if !(before.desired == Desired::Running && before.enabled) =>
            {
                any(&[S::Stopped])
            }
            other => any(&[other]),
        }
    }
}

/// Whether what is told of a run is news of one that may go on.
fn takes_up(input: &Input, before: Glance, run: RunId) -> bool {
    let is_current = before.run == Some(run);
    match input {
        Input::Followed { .. } => before.unsettled && is_current,
        _ => before.unsettled || rests(before.state) || before.state == S::Starting && is_current,
    }
}

/// Whether a rest or the trial of a breaker is due.
fn is_due(before: Glance, now: Tick) -> bool {
    match (before.state, before.breaker) {
        (S::BackingOff, _) => before.next_attempt.is_some_and(|due| due <= now),
        (S::Tripped, Breaker::Open { trial_at }) => trial_at.is_some_and(|due| due <= now),
        _ => false,
    }
}

/// Whether a worker in this state has no run.
fn rests(state: S) -> bool {
    matches!(state, S::Registered | S::Stopped | S::BackingOff | S::Tripped | S::Failed)
}
