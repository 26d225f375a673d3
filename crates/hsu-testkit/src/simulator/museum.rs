//! The museum: bugs that others had, built into the simulated system, one at a time.
//!
//! Each is a small lie of the shell around the real rooms: an order that is dropped, a record
//! that is read wrongly, a check that is left out. The simulator must find every one of them;
//! a change of the simulator after which one is not found any more has made it blind.
// Source of the rule: etcd, tests/robustness/README.md, "track record".

use std::sync::Arc;

use hsu_core::breaker::Breaker;
use hsu_core::effect::Effect;
use hsu_core::fleet::Fleet;
use hsu_core::input::{Input, ShutdownMode};
use hsu_core::record::WorkerRecord;
use hsu_model::event::{Actor, EventKind};
use hsu_model::health::Duty;
use hsu_model::limits::Limits;
use hsu_model::notify::{Bond, Named, Said};
use hsu_model::status::{Desired, WorkerState};
use hsu_model::time::Tick;
use hsu_model::usage::Usage;
use hsu_model::worker::{Managed, Unit, WorkerSpec};

mod exhibits;

pub use exhibits::{Bug, Exhibit};

impl Bug {
    /// The record that a careless master reads.
    pub(crate) fn spoil_record(self, record: Option<&WorkerRecord>) -> Option<WorkerRecord> {
        let mut record = record?.clone();
        match self {
            Self::RestoresNoAttempts => record.attempts = 0,
            Self::RestoresNoBreaker => {
                record.breaker = Breaker::Closed;
                if record.state == WorkerState::Tripped {
                    record.state = WorkerState::Registered;
                }
            }
            Self::RestoresNoAccounts => record.accounted = None,
            Self::RestoresNoStop => record.desired = Desired::Running,
            Self::RestoresNoDisable => record.enabled = None,
            Self::RestoresNoRest => record.next_attempt = Some(Tick(0)),
            _ => return None,
        }
        Some(record)
    }

    /// The spec that a careless master obeys.
    pub(crate) fn spoil_spec(self, spec: &Arc<WorkerSpec>) -> Option<Arc<WorkerSpec>> {
        let mut spoiled = WorkerSpec::clone(spec);
        let Unit::Managed(managed) = &mut spoiled.unit else {
            return None;
        };
        let restart = &mut managed.restart;
        match self {
            Self::NeverGivesUp => restart.default.max_retries = 0,
            Self::NeverRests => restart.default.retry_delay = std::time::Duration::ZERO,
            Self::RestsWithoutCap => restart.default.max_delay = std::time::Duration::MAX,
            Self::NeverTriesAgain => restart.breaker.half_open_after = None,
            Self::KillsAtOnce => managed.stop.graceful_timeout = std::time::Duration::ZERO,
            Self::BarksTooEarly if !managed.notify.watchdog.is_zero() => {
                managed.notify.watchdog /= 10;
            }
            Self::ForgetsHysteresis => change_limits(managed, |limits| limits.hysteresis = 0),
            Self::ActsOnSpikes => change_limits(managed, |limits| {
                for rule in &mut limits.rules {
                    rule.spike_tolerance = std::time::Duration::ZERO;
                }
            }),
            Self::ForgetsFlapping => {
                spoiled.health.checks.iter_mut().for_each(|check| check.rhythm.flapping = None);
            }
            Self::ProbesTheStarting | Self::ActsOnTheFirstFailure => {
                if self == Self::ProbesTheStarting {
                    restart.startup_grace = std::time::Duration::ZERO;
                }
                for check in &mut spoiled.health.checks {
                    match self {
                        Self::ProbesTheStarting if check.serves(Duty::Startup) => {
                            check.duties = vec![Duty::Liveness];
                        }
                        Self::ActsOnTheFirstFailure => check.rhythm.failure_threshold = 1,
                        _ => {}
                    }
                }
            }
            Self::RestartsTheFinished => {
                restart.policy = hsu_model::restart::RestartPolicy::Always;
            }
            _ => return None,
        }
        Some(Arc::new(spoiled))
    }

    /// What a careless shell makes of an input.
    pub(crate) fn spoil_input(self, input: &Input, fleet: &Fleet) -> Option<Input> {
        let present = || fleet.glances().find_map(|(_, glance)| glance.run);
        Some(match (self, input) {
            (Self::BelievesOldChecks, Input::HealthFailed { severity, .. }) => {
                Input::HealthFailed { run: present()?, severity: *severity }
            }
            (Self::BelievesOldLimits, Input::ResourceViolation { severity, .. }) => {
                Input::ResourceViolation { run: present()?, severity: *severity }
            }
            (Self::BelievesAnyName, Input::Told { run, said: Said::MainProcess(named) }) => {
                let named = Named { bond: Some(Bond::Mark), ..*named };
                Input::Told { run: *run, said: Said::MainProcess(named) }
            }
            (Self::AssumesIntervals, Input::Used { run, usage: Some(usage) }) => {
                // All looks are taken for ten seconds apart, whenever they were.
                let at = Tick(usage.at.0.next_multiple_of(10_000_000_000));
                Input::Used { run: *run, usage: Some(Usage { at, ..usage.clone() }) }
            }
            (Self::StopsTheKept, Input::Shutdown { actor, .. }) => {
                Input::Shutdown { mode: ShutdownMode::StopWorkers, actor: actor.clone() }
            }
            _ => return None,
        })
    }

    /// What a careless shell makes of effects.
    pub(crate) fn spoil_effects(self, input: &Input, effects: &mut Vec<Effect>, from: usize) {
        let is_wake = *input == Input::Wake;
        match self {
            Self::NeverKills | Self::StopsOnce if is_wake => {
                drop_from(effects, from, |effect| matches!(effect, Effect::KillTree { .. }))
            }
            Self::AnswersStopsAtOnce => answer_at_once(input, effects, from),
            Self::LeavesTheSuperseded => drop_from(effects, from, |effect| {
                use hsu_core::answer::{Answer, Refusal};
                matches!(
                    effect,
                    Effect::Reply { answer: Answer::Refused(Refusal::Superseded { .. }), .. }
                )
            }),
            Self::ActsUntold => drop_from(effects, from, |effect| {
                matches!(effect, Effect::Event { kind: EventKind::Commanded { .. }, .. })
            }),
            Self::TellsTheRefused => tell_the_refused(input, effects, from),
            Self::EndsTooSoon if matches!(input, Input::Shutdown { .. }) => {
                effects.push(Effect::AllStopped);
            }
            Self::ForgetsToPersist if matches!(input, Input::Exited { .. }) => {
                drop_from(effects, from, |effect| matches!(effect, Effect::Persist { .. }));
            }
            Self::StopsOnce if matches!(input, Input::Adopted { .. }) => {
                drop_from(effects, from, |effect| matches!(effect, Effect::Signal { .. }));
            }
            Self::OverlapsChecks => {
                let asked = effects[from..].iter().find(|e| matches!(e, Effect::Check { .. }));
                if let Some(Effect::Check { worker, run, check, sequence }) = asked.cloned() {
                    let sequence = sequence + 1;
                    effects.push(Effect::Check { worker, run, check, sequence });
                }
            }
            Self::ActsTwice if matches!(input, Input::Used { .. }) => {
                let is_action = |effect: &&Effect| {
                    matches!(effect, Effect::Event { kind: EventKind::LimitAction { .. }, .. })
                };
                let action = effects[from..].iter().find(is_action).cloned();
                effects.extend(action);
            }
            Self::RestartsTwice if matches!(input, Input::Exited { .. }) => {
                let again = effects[from..].iter().find(|e| matches!(e, Effect::Spawn { .. }));
                if let Some(Effect::Spawn { worker, run }) = again.cloned() {
                    let run = hsu_model::id::RunId(run.0 + 1_000);
                    effects.push(Effect::Spawn { worker, run });
                }
            }
            _ => {}
        }
    }
}

fn change_limits(managed: &mut Managed, change: impl FnOnce(&mut Limits)) {
    if let Some(limits) = &mut managed.limits {
        change(Arc::make_mut(limits));
    }
}

fn drop_from(effects: &mut Vec<Effect>, from: usize, is_dropped: impl Fn(&Effect) -> bool) {
    let mut place = 0;
    effects.retain(|effect| {
        place += 1;
        place <= from || !is_dropped(effect)
    });
}

fn answer_at_once(input: &Input, effects: &mut Vec<Effect>, from: usize) {
    use hsu_core::answer::Answer;
    let Input::Command { ticket, command, .. } = input else {
        return;
    };
    let is_answered = effects[from..]
        .iter()
        .any(|e| matches!(e, Effect::Reply { ticket: of, .. } if of == ticket));
    if matches!(command, hsu_core::input::Command::Stop { .. }) && !is_answered {
        let answer = Answer::Done { state: WorkerState::Stopped, message: "stopped".to_owned() };
        effects.push(Effect::Reply { ticket: *ticket, answer });
    }
}

fn tell_the_refused(input: &Input, effects: &mut Vec<Effect>, from: usize) {
    let Input::Command { worker, command, .. } = input else {
        return;
    };
    if effects.len() == from + 1 {
        let kind = EventKind::Commanded { verb: command.verb().to_owned() };
        let worker = Some(worker.clone());
        effects.push(Effect::Event { worker, actor: Actor::Operator { uid: 0 }, kind });
    }
}
