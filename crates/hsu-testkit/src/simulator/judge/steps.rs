//! What must hold after each step of the fleet: the effects follow from the state before.

use hsu_core::answer::{Answer, Refusal};
use hsu_core::breaker::Breaker;
use hsu_core::effect::Effect;
use hsu_core::fleet::Grip;
use hsu_core::input::{Input, ShutdownMode, Ticket};
use hsu_model::event::EventKind;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::restart::RestartPolicy;
use hsu_model::status::WorkerState;
use hsu_model::time::Tick;

use super::Judge;
use crate::simulator::nature::{restart_of, stop_of};

impl Judge {
    /// I2: a signal names a run that was started and is not known to be over.
    pub(super) fn i2_signal(&mut self, now: Tick, run: RunId, _: i32, input: &Input) {
        let fate = self.fate_of(run);
        if fate.is_over {
            self.object("I2", || format!("a signal to {run}, which is over"));
        }
        let is_command = matches!(input, Input::Command { .. });
        if !is_command || fate.asked_to_end.is_none() {
            self.fate(run).asked_to_end.get_or_insert(now);
        }
    }

    /// I3: an exit that was accounted is only acknowledged again, and nothing follows from it.
    pub(super) fn i3_told_once(&mut self, input: &Input, effects: &[Effect]) {
        let Input::Exited { worker, run, .. } = input else {
            return;
        };
        if self.is_watched(self.index(worker)) {
            // The keeper does not know it.
            return;
        }
        let before = self.before[self.index(worker)];
        let is_accounted = before
            .is_some_and(|before| before.accounted.is_some_and(|accounted| *run <= accounted));
        let is_only_acknowledged = matches!(effects, [Effect::Acknowledge { .. }]);
        if is_accounted && !is_only_acknowledged {
            self.object("I3", || format!("{run} was accounted, and its exit has effects again"));
        }
        let acknowledges = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Acknowledge { run: of } if of == run));
        if acknowledges.count() != 1 {
            self.object("I3", || format!("the exit of {run} is not acknowledged once"));
        }
    }

    /// I5: after a stop that was answered, nothing but a start begins a run.
    pub(super) fn i5_no_resurrection(&mut self, effects: &[Effect]) {
        for effect in effects {
            let Effect::Spawn { worker, run } = effect else { continue };
            let place = self.index(worker);
            self.wishes[place].is_forced = false;
            if self.wishes[place].is_stopped {
                self.object("I5", || format!("{run} of {worker} begins after its stop was done"));
            }
        }
    }

    /// I6: a deadline that is not due has no effect.
    pub(super) fn i6_stale_wake(&mut self, now: Tick, input: &Input, effects: &[Effect]) {
        let is_due = self.due.is_some_and(|due| due <= now);
        if *input == Input::Wake && !is_due && !effects.is_empty() {
            self.object("I6", || format!("nothing is due, and this follows: {effects:?}"));
        }
    }

    /// I7: attempts and rests follow the policy; automatic starts keep to the start rate.
    pub(super) fn i7_rests_and_attempts(&mut self, now: Tick, input: &Input, effects: &[Effect]) {
        let is_command = matches!(input, Input::Command { .. });
        for effect in effects {
            match effect {
                Effect::Spawn { worker, run } if !is_command => {
                    let place = self.index(worker);
                    let Some(before) = self.before[place] else { continue };
                    let is_early = before.next_attempt.is_some_and(|due| due > now);
                    if before.state == WorkerState::BackingOff && is_early {
                        self.object("I7", || format!("{run} begins before its rest is over"));
                    }
                    let rests = matches!(before.state, WorkerState::BackingOff);
                    if rests {
                        self.i7_rate(now, *run);
                    }
                }
                Effect::Event {
                    worker: Some(worker),
                    kind: EventKind::RestartScheduled { attempt, limit, delay },
                    ..
                } => self.i7_rest(worker, input, (*attempt, *limit, *delay)),
                _ => {}
            }
        }
        self.i7_not_forgotten(input);
    }

    /// In any window no more starts than the burst and what the rate adds.
    fn i7_rate(&mut self, now: Tick, run: RunId) {
        self.starts.push(now);
        if !self.rate.per_second.is_finite() {
            return;
        }
        let count = self.starts.len();
        for (place, begin) in self.starts.iter().enumerate() {
            let in_window = count - place;
            let seconds = now.since(*begin).as_secs_f64();
            let allowed = f64::from(self.rate.burst) + self.rate.per_second * seconds;
            // Those that were begun late had their turn earlier.
            if in_window as f64 > allowed + 2.0 + self.ids.len() as f64 {
                return self.object("I7", || format!("{run} is one too many in {seconds} s"));
            }
        }
    }

    fn i7_rest(
        &mut self,
        worker: &WorkerId,
        input: &Input,
        (attempt, limit, delay): (u32, u32, std::time::Duration),
    ) {
        let place = self.index(worker);
        let Some(spec) = self.specs[place].clone() else { return };
        let Some(restart) = restart_of(&spec) else { return };
        // All contexts of simulated workers are alike, and factors are 1.
        let context = &restart.default;
        let mut full = context.retry_delay.as_secs_f64();
        for _ in 1..attempt {
            full = (full * context.backoff_rate).min(context.max_delay.as_secs_f64());
        }
        let (least, most) = (full * (1.0 - context.jitter) - 1e-6, full + 1e-6);
        let seconds = delay.as_secs_f64();
        if seconds < least || seconds > most {
            self.object("I7", || format!("attempt {attempt} of {worker} rests {seconds} s"));
        }
        if limit != context.max_retries || limit != 0 && attempt > limit {
            self.object("I7", || format!("attempt {attempt} of {limit} of {worker}"));
        }
        if let Input::Exited { exit, .. } = input {
            let is_final = match restart.policy {
                RestartPolicy::Never => true,
                RestartPolicy::OnFailure => exit.is_success() && !restart.on_clean_exit,
                RestartPolicy::Always | RestartPolicy::UnlessStopped => false,
            };
            let is_blamed = self.charts[place].account.has_ended;
            if is_final && !is_blamed {
                self.object("I7", || format!("{worker} is started again after {exit}"));
            }
        }
        let before = self.before[place].map_or(0, |before| before.attempts);
        let lasted_long = match input {
            Input::Exited { run, at, .. } => self.lasted(*run, *at, restart.reset_after),
            _ => true,
        };
        if attempt != before + 1 && !(attempt == 1 && lasted_long) {
            self.object("I7", || format!("attempt {attempt} of {worker} follows {before}"));
        }
    }

    /// Whether a run may have lasted so long, as far as the judge has seen it begin.
    fn lasted(&self, run: RunId, at: Tick, span: std::time::Duration) -> bool {
        let begun = self.fate_of(run).ordered_at;
        begun.is_none_or(|begun| at.since(begun) >= span)
    }

    /// Failures are not forgotten by failing again.
    fn i7_not_forgotten(&mut self, input: &Input) {
        let Input::SpawnFailed { transient: true, .. } = input else {
            return;
        };
        for (before, after) in self.before.iter().zip(&self.after) {
            let Some(after) = after else { continue };
            let resting = after.state == WorkerState::BackingOff;
            if resting && before.is_some_and(|before| before.attempts > after.attempts) {
                return self.object("I7", || "a start that failed forgets failures".to_owned());
            }
        }
    }

    /// I8: an open breaker begins no run by itself, a half-open one begins one, and it goes
    /// from closed to open, from open to half-open or closed, and from half-open to either.
    pub(super) fn i8_breaker(&mut self, now: Tick, input: &Input, effects: &[Effect]) {
        let is_command = matches!(input, Input::Command { .. });
        for effect in effects {
            let Effect::Spawn { worker, run } = effect else { continue };
            let Some(before) = self.before[self.index(worker)] else { continue };
            let Breaker::Open { trial_at } = before.breaker else { continue };
            if !is_command && trial_at.is_none_or(|due| due > now) {
                self.object("I8", || format!("{run} begins although the breaker is open"));
            }
        }
        for (before, after) in self.before.iter().zip(&self.after) {
            let (Some(before), Some(after)) = (before, after) else { continue };
            if before.breaker == Breaker::Closed && after.breaker == Breaker::HalfOpen {
                return self.object("I8", || "a closed breaker half-opens".to_owned());
            }
        }
    }

    /// I9: nothing is killed before its grace is over, unless that was asked for.
    pub(super) fn i9_grace(&mut self, now: Tick, worker: &WorkerId, run: RunId) {
        let place = self.index(worker);
        let Some(before) = self.before[place] else { return };
        let lives = before.run == Some(run) && before.process.is_some();
        let fate = self.fate_of(run);
        let is_forced = self.wishes[place].is_forced || self.ending.is_some();
        let Some(spec) = self.specs[place].clone() else { return };
        if !lives || fate.is_over || is_forced {
            return;
        }
        let grace = stop_of(&spec).graceful_timeout;
        if fate.asked_to_end.is_none_or(|asked| now < asked.after(grace)) {
            self.object("I9", || format!("{run} of {worker} is killed before its grace is over"));
        }
    }

    /// I10, as far as there is an order: nothing begins before everything that an earlier
    /// master left is known. An order between workers does not exist yet.
    pub(super) fn i10_order(&mut self, effects: &[Effect]) {
        let begins = effects.iter().any(|effect| matches!(effect, Effect::Spawn { .. }));
        if begins && !self.was_settled && !self.settles {
            self.object("I10", || "a run begins before the inventory is known".to_owned());
        }
    }

    /// I17, I18: a finding about a run that is over, that is ending or that has just begun
    /// changes nothing.
    pub(super) fn i17_i18_stale_findings(&mut self, now: Tick, input: &Input, effects: &[Effect]) {
        let (invariant, run) = match input {
            Input::HealthFailed { run, .. } => ("I17", *run),
            Input::ResourceViolation { run, .. } => ("I18", *run),
            _ => return,
        };
        let runs = |before: &hsu_core::fleet::Glance| {
            before.run == Some(run) && before.state == WorkerState::Running
        };
        let watched = self.sights.iter().flat_map(|(_, sight)| &sight.runs);
        let is_watched =
            watched.into_iter().any(|(of, _, grip)| *of == run && *grip != Grip::Asked);
        let is_present = is_watched || self.before.iter().flatten().any(runs);
        if (!is_present || self.ending.is_some()) && !effects.is_empty() {
            self.object(invariant, || format!("{run} does not run, and {now:?}: {effects:?}"));
        }
    }

    /// I24, as far as there is a trail: every command that changes something is told exactly
    /// once, before its deeds. The chained audit trail does not exist yet.
    pub(super) fn i24_decisions(&mut self, input: &Input, effects: &[Effect]) {
        let Input::Command { ticket, command, .. } = input else {
            return;
        };
        let refused = refuses(*ticket, effects);
        let told = |effect: &Effect| {
            matches!(effect, Effect::Event { kind: EventKind::Commanded { .. }, .. })
        };
        let count = effects.iter().filter(|effect| told(effect)).count();
        if count != usize::from(!refused) {
            self.object("I24", || format!("{command:?} is told {count} times"));
        }
        let own = |effect: &Effect| match effect {
            Effect::Reply { ticket: of, .. } => of == ticket,
            Effect::Spawn { .. } | Effect::Signal { .. } | Effect::KillTree { .. } => true,
            _ => false,
        };
        let deed = effects.iter().position(own);
        let fact = effects.iter().position(told);
        if !refused && deed.is_some_and(|deed| fact.is_none_or(|fact| fact > deed)) {
            self.object("I24", || format!("{command:?} is done before it is told"));
        }
    }

    /// I25: a command that is refused has no effect but its answer.
    pub(super) fn i25_refused(&mut self, input: &Input, effects: &[Effect]) {
        let Input::Command { ticket, command, .. } = input else {
            return;
        };
        if refuses(*ticket, effects) && effects.len() != 1 {
            self.object("I25", || format!("{command:?} is refused, and {effects:?}"));
        }
    }

    /// I28: while the master ends nothing begins, what is kept is not touched, and the end is
    /// told once.
    pub(super) fn i28_end(&mut self, input: &Input, effects: &[Effect]) {
        let is_command = matches!(input, Input::Command { .. });
        for effect in effects {
            match effect {
                Effect::Spawn { worker, .. } if self.ending.is_some() => {
                    self.object("I28", || format!("{worker} begins while the master ends"));
                }
                Effect::Signal { run, .. } if self.ending == Some(ShutdownMode::KeepWorkers) => {
                    let is_kept = |before: &hsu_core::fleet::Glance| {
                        before.run == Some(*run)
                            && before.state == WorkerState::Running
                            && before.enabled
                            && before.desired == hsu_model::status::Desired::Running
                    };
                    if self.before.iter().flatten().any(is_kept) && !is_command {
                        self.object("I28", || format!("a signal to {run}, which is kept"));
                    }
                }
                Effect::AllStopped if std::mem::replace(&mut self.all_stopped, true) => {
                    self.object("I28", || "the end is told twice".to_owned());
                }
                _ => {}
            }
        }
    }

    /// L7: a world at rest does nothing but look.
    pub(super) fn l7_only_looks(&mut self, now: Tick, effects: &[Effect]) {
        if self.quiet_from.is_none_or(|from| now < from) {
            return;
        }
        let acts = |effect: &&Effect| {
            matches!(
                effect,
                Effect::Spawn { .. }
                    | Effect::Signal { .. }
                    | Effect::KillTree { .. }
                    | Effect::Attach { .. }
                    | Effect::Service { .. }
            )
        };
        if let Some(effect) = effects.iter().find(acts) {
            self.object("L7", || format!("all is at rest, and this is done: {effect:?}"));
        }
    }

    /// L5: what was given up stays given up until somebody acts.
    pub(super) fn l5_failures_stay(&mut self, input: &Input) {
        let acts = match input {
            Input::Command { .. } | Input::Shutdown { .. } | Input::ForceShutdown => true,
            // A run that nobody knew of is news.
            Input::Exited { .. }
            | Input::Adopted { .. }
            | Input::Pending { .. }
            | Input::Settled { .. } => true,
            Input::Wake
            | Input::Sighted { .. }
            | Input::Attached { .. }
            | Input::AttachFailed { .. }
            | Input::Serviced { .. }
            | Input::Told { .. }
            | Input::Followed { .. }
            | Input::Checked { .. }
            | Input::Used { .. }
            | Input::HeldBack { .. }
            | Input::LimitFailed { .. }
            | Input::Spawned { .. }
            | Input::SpawnFailed { .. }
            | Input::Survivors { .. }
            | Input::HealthFailed { .. }
            | Input::ResourceViolation { .. } => false,
        };
        if acts {
            return;
        }
        for (before, after) in self.before.iter().zip(&self.after) {
            let (Some(before), Some(after)) = (*before, *after) else { continue };
            let has_trial = matches!(before.breaker, Breaker::Open { trial_at: Some(_) });
            let was_given_up = before.state == WorkerState::Failed
                || before.state == WorkerState::Tripped && !has_trial;
            if was_given_up && after.state != before.state {
                let state = before.state;
                return self.object("L5", || format!("a worker leaves {state:?} by itself"));
            }
        }
    }
}

/// Whether a command is refused, and nothing was tried.
fn refuses(ticket: Ticket, effects: &[Effect]) -> bool {
    effects.iter().any(|effect| match effect {
        Effect::Reply { ticket: of, answer: Answer::Refused(refusal) } => {
            let is_tried = matches!(refusal, Refusal::Failed { .. }) && effects.len() > 1;
            *of == ticket && !is_tried
        }
        _ => false,
    })
}
