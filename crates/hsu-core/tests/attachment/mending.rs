//! Health of a process of somebody else, and what is done when it fails.

use hsu_model::health::probe::Probe;
use hsu_model::health::{Check, Condition, Duty, Finding, Health, Rhythm, Source};
use hsu_model::severity::Severity;
use hsu_model::status::BreakerState;

use super::*;

/// A worker that is looked at every 10 s; two failures in a row make it unhealthy.
fn checked(change: impl FnOnce(&mut Unmanaged)) -> Arc<WorkerSpec> {
    let source = Source::Probed {
        probe: Arc::new(Probe::Process),
        judgement: None,
        shared_for: Duration::ZERO,
    };
    let rhythm = Rhythm {
        initial_delay: Duration::ZERO,
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
        jitter: 0.0,
        failure_threshold: 2,
        success_threshold: 1,
        adaptive: None,
        flapping: None,
    };
    let duties = vec![Duty::Readiness, Duty::Liveness];
    let (severity, after) = (Severity::Critical, Vec::new());
    let check = Check { name: "web".into(), duties, source, rhythm, severity, after };
    let bare = spec("web", change);
    Arc::new(WorkerSpec { health: Health { checks: vec![check] }, ..(*bare).clone() })
}

fn may_restart(unit: &mut Unmanaged) {
    unit.rights.can_restart = true;
    unit.rights.manager = Manager::Systemd("nginx.service".to_owned());
}

/// A worker that is checked, with the process 7 as run 1, which has just started.
fn attached(change: impl FnOnce(&mut Unmanaged)) -> Scene {
    let mut scene = Scene::new(&[checked(change)], &[]);
    scene.settle(UnknownExit::KeeperLost);
    scene.take(7, 1);
    scene
}

impl Scene {
    /// A process is found and held, and has just started.
    fn take(&mut self, pid: u32, run: u64) -> Vec<Effect> {
        self.sighted("web", sight(&[pid]));
        self.step(Input::Attached { run: RunId(run), started: (self.now.tick, self.now.wall) })
    }

    /// Lets time pass, second by second, and answers each look; everything that followed.
    fn look(&mut self, seconds: u64, good: bool) -> Vec<Effect> {
        let mut all = Vec::new();
        for _ in 0..seconds {
            let mut effects = self.wake_after(1);
            while let Some(place) =
                effects.iter().position(|effect| matches!(effect, Effect::Check { .. }))
            {
                let Effect::Check { run, check, sequence, .. } = effects.remove(place) else {
                    panic!("{effects:?}");
                };
                effects.extend(self.answer(run, check, sequence, good));
            }
            all.append(&mut effects);
        }
        all
    }

    fn answer(&mut self, run: RunId, check: usize, sequence: u64, good: bool) -> Vec<Effect> {
        let finding = match good {
            true => Finding::Passed { value: None, note: "fine".into() },
            false => Finding::Failed { why: "status 503".into() },
        };
        let took = Duration::from_millis(5);
        self.step(Input::Checked { run, check, sequence, finding, took })
    }

    fn serviced(&mut self) -> Vec<Effect> {
        self.step(Input::Serviced { worker: id("web"), error: None })
    }

    fn condition(&self) -> Condition {
        self.status().health.unwrap().condition
    }
}

/// How often its manager was asked to restart it.
fn asked(effects: &[Effect]) -> usize {
    let verb = ServiceVerb::Restart;
    effects.iter().filter(|e| **e == Effect::Service { worker: id("web"), verb }).count()
}

#[test]
fn it_is_ready_when_its_checks_pass_and_each_process_is_judged_anew() {
    let mut scene = attached(|_| {});
    assert_eq!((scene.state(), scene.status().ready), (WorkerState::Running, false));
    let effects = scene.look(11, true);
    assert!(scene.status().ready);
    assert_eq!(scene.condition(), Condition::Healthy);
    assert!(told(&effects, |kind| matches!(
        kind,
        EventKind::HealthChanged { run: RunId(1), to: Condition::Healthy, ready: true, .. }
    )));
    scene.exit(1, Exit::Code(0));
    assert_eq!((scene.condition(), scene.status().ready), (Condition::Unknown, false));
    assert_eq!(scene.look(20, true), [], "nothing is there to be looked at");
    scene.take(8, 2);
    assert!(!scene.status().ready, "what was said of another process counts no more");
    scene.look(1, true);
    assert!(scene.status().ready);
}

#[test]
fn an_answer_about_a_process_that_is_gone_changes_nothing() {
    let mut scene = attached(may_restart);
    let effects = scene.wake_after(1);
    let asked = effects.iter().find_map(|effect| {
        let Effect::Check { run, check, sequence, .. } = effect else { return None };
        Some((*run, *check, *sequence))
    });
    let (run, check, sequence) = asked.unwrap();
    scene.exit(1, Exit::Code(0));
    assert_eq!(scene.answer(run, check, sequence, false), []);
    scene.take(8, 2);
    assert_eq!(scene.answer(run, check, sequence, false), []);
    assert_eq!(scene.condition(), Condition::Unknown);
}

#[test]
fn without_the_right_a_failure_is_told_once_and_nothing_is_done() {
    let mut scene = attached(|_| {});
    let refused = |kind: &EventKind| matches!(kind, EventKind::RestartRefused { reason } if reason.contains("can_restart"));
    let count = |effects: &[Effect]| {
        let is_it =
            |effect: &&Effect| matches!(effect, Effect::Event { kind, .. } if refused(kind));
        effects.iter().filter(is_it).count()
    };
    let effects = scene.look(120, false);
    assert_eq!((count(&effects), asked(&effects)), (1, 0));
    assert_eq!((scene.state(), scene.condition()), (WorkerState::Running, Condition::Unhealthy));
    assert!(!scene.status().ready);
    scene.look(10, true);
    assert_eq!(count(&scene.look(60, false)), 1, "another time that it fails");
}

#[test]
fn its_manager_is_asked_after_the_grace_and_the_rest_and_only_while_it_still_fails() {
    let mut scene = attached(|unit| {
        may_restart(unit);
        unit.restart.health_failures.retry_delay = Duration::from_secs(15);
    });
    let effects = scene.look(29, false);
    assert_eq!((asked(&effects), scene.condition()), (0, Condition::Unhealthy), "in its grace");
    let effects = scene.look(4, false);
    let planned = |kind: &EventKind| matches!(kind, EventKind::RestartScheduled { attempt: 1, limit: 2, delay } if delay.as_secs() == 15);
    assert!(told(&effects, planned), "{effects:?}");
    assert!(scene.status().next_attempt.is_some());
    assert_eq!(asked(&effects), 0);
    // It becomes well within the rest.
    assert_eq!(asked(&scene.look(20, true)), 0);
    let mut effects = Vec::new();
    while scene.status().next_attempt.is_none() {
        effects.extend(scene.look(1, false));
    }
    assert_eq!(asked(&effects), 0, "{effects:?}");
    // The second attempt rests twice as long.
    assert_eq!(asked(&scene.look(29, false)), 0);
    assert_eq!(asked(&scene.look(1, false)), 1);
    // One question at a time, whatever the checks say.
    assert_eq!(asked(&scene.look(60, false)), 0);
}

#[test]
fn what_a_restart_does_not_mend_opens_the_breaker_and_a_trial_follows() {
    let mut scene = attached(may_restart);
    let mut attempts = 0;
    for (pid, run) in [(8, 2), (9, 3)] {
        let mut effects = Vec::new();
        while asked(&effects) == 0 {
            effects = scene.look(1, false);
        }
        attempts += 1;
        assert_eq!(scene.status().attempts, attempts);
        scene.exit(run - 1, Exit::Code(0));
        scene.serviced();
        scene.take(pid, run);
    }
    let effects = scene.look(60, false);
    assert_eq!(asked(&effects), 0, "two attempts, and no third");
    assert_eq!(scene.status().breaker, BreakerState::Open);
    assert!(told(&effects, |kind| matches!(kind, EventKind::Breaker { to: BreakerState::Open })));
    let record = scene.record();
    assert_eq!(record.attempts, 2, "the next master knows");
    let effects = scene.look(300, false);
    assert_eq!((asked(&effects), scene.status().breaker), (1, BreakerState::HalfOpen));
    scene.exit(3, Exit::Code(0));
    scene.serviced();
    scene.take(10, 4);
    let effects = scene.look(120, true);
    assert_eq!(scene.status().breaker, BreakerState::Closed);
    assert_eq!(scene.status().attempts, 0, "well for a minute");
    assert!(told(&effects, |kind| matches!(kind, EventKind::Breaker { to: BreakerState::Closed })));
}

#[test]
fn an_operator_forgets_failed_attempts() {
    let mut scene = attached(may_restart);
    while scene.status().attempts == 0 {
        scene.look(1, false);
    }
    scene.ask(Command::ResetBreaker);
    assert_eq!(scene.status().attempts, 0);
}

#[test]
fn a_limit_restarts_it_as_a_check_does() {
    let mut scene = attached(may_restart);
    scene.look(40, true);
    let (run, severity) = (RunId(1), Severity::Critical);
    scene.step(Input::ResourceViolation { run, severity });
    assert_eq!(asked(&scene.look(6, true)), 1);
}

#[test]
fn a_second_restart_is_told_of_the_first_one() {
    let mut scene = attached(may_restart);
    let effects = scene.ask(Command::Restart { force: false });
    assert_eq!((asked(&effects), answer(&effects)), (1, None));
    let words = [
        Command::Restart { force: false },
        Command::Restart { force: true },
        Command::Start,
        Command::Stop { force: false },
    ];
    for command in words {
        let effects = scene.ask(command);
        assert!(refusal(&effects).contains("is being asked"), "{command:?}");
        assert_eq!(asked(&effects), 0);
    }
    scene.exit(1, Exit::Code(0));
    scene.serviced();
    // The manager is done, and its process is not there yet.
    assert!(refusal(&scene.ask(Command::Restart { force: false })).contains("is being asked"));
    let effects = scene.take(8, 2);
    assert!(matches!(answer(&effects), Some(Answer::Done { .. })), "{effects:?}");
    assert_eq!(scene.status().restarts, 1);
    // Another one can follow, and what its manager says twice is said once.
    assert_eq!(asked(&scene.ask(Command::Restart { force: false })), 1);
    let error = Some("no such unit".to_owned());
    let effects = scene.step(Input::Serviced { worker: id("web"), error });
    assert!(refusal(&effects).contains("no such unit"));
    assert_eq!(scene.serviced(), []);
}

#[test]
fn a_restart_that_is_planned_goes_with_the_process_or_with_the_wish() {
    for end in [
        |scene: &mut Scene| drop(scene.exit(1, Exit::Code(0))),
        |scene: &mut Scene| drop(scene.ask(Command::Disable)),
        |scene: &mut Scene| {
            let (mode, actor) = (ShutdownMode::StopWorkers, Actor::Signal(15));
            drop(scene.step(Input::Shutdown { mode, actor }));
        },
    ] {
        let mut scene = attached(may_restart);
        while scene.status().next_attempt.is_none() {
            scene.look(1, false);
        }
        end(&mut scene);
        assert_eq!(asked(&scene.look(60, false)), 0);
    }
}

#[test]
fn a_master_that_ends_does_not_spin_on_a_look_that_is_due() {
    let mut scene = attached(may_restart);
    scene.look(11, true);
    let (mode, actor) = (ShutdownMode::StopWorkers, Actor::Signal(15));
    scene.step(Input::Shutdown { mode, actor });
    scene.wake_after(30);
    assert!(scene.fleet.next_deadline().is_none_or(|due| due > scene.now.tick));
    assert_eq!(asked(&scene.look(60, false)), 0, "nothing follows from looks any more");
}

#[test]
fn of_several_processes_the_oldest_one_is_looked_at() {
    let mut scene = attached(|unit| unit.discovery.matches = Matches::Many);
    scene.sighted("web", sight(&[7, 8]));
    scene.hold(2);
    scene.look(11, true);
    assert!(scene.status().ready);
    scene.exit(1, Exit::Code(0));
    assert_eq!(scene.condition(), Condition::Unknown);
    scene.look(11, true);
    assert_eq!(scene.condition(), Condition::Healthy);
}

#[test]
fn the_next_master_judges_what_it_takes_over_anew() {
    let mut scene = attached(|_| {});
    scene.look(11, true);
    let record = scene.record();
    let mut next = Scene::new(&[checked(|_| {})], &[&record]);
    next.settle(UnknownExit::KeeperLost);
    assert_eq!(next.look(20, true), [], "not held yet");
    next.hold(1);
    assert_eq!((next.state(), next.status().ready), (WorkerState::Running, false));
    next.look(2, true);
    assert!(next.status().ready);
}

#[test]
fn a_start_while_its_process_is_being_ended_waits_for_the_end_and_starts_another() {
    let mut scene = attached(|unit| {
        unit.rights.can_restart = true;
        unit.rights.can_terminate = true;
        unit.rights.manager = Manager::Command(vec!["restart".to_owned()]);
    });
    scene.ask(Command::Stop { force: false });
    let effects = scene.ask(Command::Start);
    assert_eq!(answers_to(&effects, 2), None, "{effects:?}");
    // It is still there, and nobody is asked to start another beside it.
    assert!(!serves(&scene.sighted("web", sight(&[7])), ServiceVerb::Start));
    let effects = scene.exit(1, Exit::Code(0));
    assert!(effects.contains(&Effect::Search { worker: id("web"), wanted: true }));
    assert!(serves(&scene.sighted("web", sight(&[])), ServiceVerb::Start));
    scene.serviced();
    scene.take(8, 2);
    assert_eq!((scene.state(), scene.status().process), (WorkerState::Running, Some(key(8))));
}

#[test]
fn a_start_while_its_process_is_being_ended_does_not_say_that_it_runs() {
    let mut scene = attached(|unit| unit.rights.can_terminate = true);
    scene.ask(Command::Stop { force: false });
    let effects = scene.ask(Command::Start);
    let Some(Answer::Done { state, message }) = answers_to(&effects, 2) else {
        panic!("{effects:?}");
    };
    assert_eq!(*state, WorkerState::Stopping);
    assert_eq!(message, "its process is being ended; starting another is up to somebody else");
}

fn answers_to(effects: &[Effect], number: u64) -> Option<&Answer> {
    effects.iter().find_map(|effect| {
        let Effect::Reply { ticket, answer } = effect else { return None };
        (*ticket == Ticket(number)).then_some(answer)
    })
}

fn serves(effects: &[Effect], wanted: ServiceVerb) -> bool {
    effects.contains(&Effect::Service { worker: id("web"), verb: wanted })
}

#[test]
fn a_restart_that_is_planned_is_forgotten_with_its_process_and_with_no_other() {
    let many = |unit: &mut Unmanaged| {
        may_restart(unit);
        unit.rights.can_terminate = true;
        unit.discovery.matches = Matches::Many;
    };
    let planned = || {
        let mut scene = attached(many);
        scene.sighted("web", sight(&[7, 8]));
        scene.hold(2);
        while scene.status().next_attempt.is_none() {
            scene.look(1, false);
        }
        scene
    };
    let mut scene = planned();
    scene.exit(2, Exit::Code(0));
    assert!(scene.status().next_attempt.is_some(), "it is not about that one");
    scene.exit(1, Exit::Code(0));
    assert_eq!(scene.status().next_attempt, None);
    for command in [Command::Disable, Command::Stop { force: false }] {
        let mut scene = planned();
        scene.ask(command);
        assert_eq!(scene.status().next_attempt, None, "{command:?}");
    }
}

#[test]
fn a_process_that_goes_on_doing_well_writes_nothing() {
    let mut scene = attached(may_restart);
    scene.look(11, true);
    let effects = scene.look(200, true);
    assert!(!effects.contains(&Effect::Persist { workers: vec![id("web")] }), "{effects:?}");
}
