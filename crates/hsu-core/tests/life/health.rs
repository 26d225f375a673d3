//! Health in the life of a worker: what failed checks lead to, and what they do not.

use std::sync::Arc;
use std::time::Duration;

use hsu_core::input::{Command, Input};
use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::health::probe::Probe;
use hsu_model::health::{Check, Condition, Duty, Finding, Health, Rhythm, Source};
use hsu_model::restart::{Restart, RestartPolicy};
use hsu_model::severity::Severity;
use hsu_model::status::WorkerState;
use hsu_model::worker::WorkerSpec;

use crate::world::World;
use crate::world::specs::{GRACE, restart, worker};

/// A worker that is looked at every 10 s and restarted after two failures.
fn checked(restart: Restart) -> WorkerSpec {
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
    let (name, severity, after) = ("web".into(), Severity::Critical, Vec::new());
    let check = Check { name, duties, source, rhythm, severity, after };
    WorkerSpec { health: Health { checks: vec![check] }, ..worker("a", restart) }
}

fn at_once(policy: RestartPolicy) -> Restart {
    Restart { startup_grace: Duration::ZERO, ..restart(policy) }
}

/// Answers every question that comes within a time.
fn answer_all(world: &mut World, span: Duration, good: bool) -> usize {
    let mut answered = 0;
    for _ in 0..span.as_secs() {
        world.advance(Duration::from_secs(1));
        while let Some((run, check, sequence)) = world.looks.pop_front() {
            let finding = match good {
                true => Finding::Passed { value: None, note: "fine".into() },
                false => Finding::Failed { why: "status 503".into() },
            };
            let took = Duration::from_millis(5);
            world.step(Input::Checked { run, check, sequence, finding, took });
            world.settle();
            answered += 1;
        }
    }
    answered
}

fn condition(world: &World) -> Condition {
    world.status("a").health.expect("it has checks").condition
}

#[test]
fn failed_checks_restart_a_worker_by_the_settings_of_health_failures() {
    let mut policy = at_once(RestartPolicy::OnFailure);
    policy.health_failures.retry_delay = Duration::from_secs(7);
    let mut world = World::of(checked(policy));
    assert!(!world.status("a").ready);
    answer_all(&mut world, Duration::from_secs(11), true);
    assert!(world.status("a").ready);
    assert_eq!(condition(&world), Condition::Healthy);
    answer_all(&mut world, Duration::from_secs(20), false);
    let status = world.status("a");
    assert_eq!((status.state, status.attempts), (WorkerState::BackingOff, 1));
    let is_ours = |fact: &EventKind| matches!(fact, EventKind::RestartScheduled { delay, .. } if delay.as_secs() == 7);
    assert!(world.facts().any(is_ours), "{}", world.story());
    let told = world.facts().any(|fact| {
        matches!(fact, EventKind::StateChanged { to: WorkerState::Stopping, reason, .. }
            if reason == "unhealthy: check `web`: status 503 (2 times in a row)")
    });
    assert!(told, "{}", world.story());
    world.advance(Duration::from_secs(8));
    assert_eq!((world.state("a"), condition(&world)), (WorkerState::Running, Condition::Unknown));
    assert_eq!(world.status("a").restarts, 1);
}

#[test]
fn in_its_grace_a_worker_is_not_restarted_for_failed_checks_and_after_it_is() {
    let policy =
        Restart { startup_grace: Duration::from_secs(60), ..restart(RestartPolicy::Always) };
    let mut world = World::of(checked(policy));
    answer_all(&mut world, Duration::from_secs(59), false);
    assert_eq!((world.state("a"), condition(&world)), (WorkerState::Running, Condition::Unhealthy));
    answer_all(&mut world, Duration::from_secs(2), false);
    assert_eq!(world.state("a"), WorkerState::BackingOff);
}

#[test]
fn the_grace_swallows_no_crash() {
    let policy =
        Restart { startup_grace: Duration::from_secs(600), ..restart(RestartPolicy::Always) };
    let mut world = World::of(checked(policy));
    answer_all(&mut world, Duration::from_secs(5), true);
    world.exit("a", Exit::Code(1));
    assert_eq!(world.state("a"), WorkerState::BackingOff);
}

#[test]
fn a_worker_that_is_never_restarted_is_only_called_unhealthy() {
    let mut world = World::of(checked(at_once(RestartPolicy::Never)));
    answer_all(&mut world, Duration::from_secs(60), false);
    let status = world.status("a");
    assert_eq!((status.state, status.ready), (WorkerState::Running, false));
    assert_eq!(condition(&world), Condition::Unhealthy);
}

#[test]
fn a_run_that_never_becomes_ready_is_not_forgiven_and_the_breaker_opens() {
    let mut policy = at_once(RestartPolicy::Always);
    policy.reset_after = Duration::from_secs(5);
    policy.breaker.half_open_after = None;
    let mut world = World::of(checked(policy));
    answer_all(&mut world, Duration::from_secs(300), false);
    assert_eq!(world.state("a"), WorkerState::Tripped);
    assert_eq!(world.starts(), 4);
}

#[test]
fn a_run_that_is_ready_for_long_enough_is_forgiven() {
    let mut policy = at_once(RestartPolicy::Always);
    policy.reset_after = Duration::from_secs(30);
    let mut world = World::of(checked(policy));
    answer_all(&mut world, Duration::from_secs(11), false);
    assert_eq!(world.status("a").attempts, 1);
    answer_all(&mut world, Duration::from_secs(30), true);
    assert_eq!((world.state("a"), world.status("a").attempts), (WorkerState::Running, 1));
    answer_all(&mut world, Duration::from_secs(40), true);
    assert_eq!(world.status("a").attempts, 0);
}

#[test]
fn a_run_that_becomes_ready_late_is_forgiven_after_another_such_time() {
    let mut policy = restart(RestartPolicy::Always);
    (policy.startup_grace, policy.reset_after) =
        (Duration::from_secs(600), Duration::from_secs(30));
    let mut world = World::of(checked(policy));
    world.exit("a", Exit::Code(1));
    answer_all(&mut world, Duration::from_secs(40), false);
    assert_eq!((world.state("a"), world.status("a").attempts), (WorkerState::Running, 1));
    answer_all(&mut world, Duration::from_secs(30), true);
    assert_eq!((world.starts(), world.status("a").attempts), (2, 0));
}

#[test]
fn nobody_looks_at_a_worker_that_is_stopped_and_an_answer_about_it_changes_nothing() {
    let mut world = World::of(checked(at_once(RestartPolicy::Always)));
    world.advance(Duration::from_secs(1));
    let (run, check, sequence) = world.looks.pop_front().expect("a look");
    world.command("a", Command::Stop { force: false });
    world.advance(GRACE * 2);
    let before = world.status("a");
    let finding = Finding::Failed { why: "gone".into() };
    let took = Duration::from_secs(1);
    let effects = world.step(Input::Checked { run, check, sequence, finding, took });
    assert_eq!((effects, world.status("a")), (vec![], before));
    world.advance(Duration::from_secs(100));
    assert!(world.looks.is_empty());
}

#[test]
fn a_worker_that_was_taken_over_is_looked_at_at_once() {
    let mut world = World::of(checked(at_once(RestartPolicy::Always)));
    answer_all(&mut world, Duration::from_secs(15), true);
    world.looks.clear();
    world.crash(crate::world::Loss::Nothing);
    assert!(!world.status("a").ready);
    assert!(answer_all(&mut world, Duration::from_secs(3), true) >= 1);
    assert!(world.status("a").ready);
    assert_eq!(world.starts(), 1);
}

#[test]
fn a_look_that_is_asked_for_late_is_taken_all_the_same() {
    let mut world = World::of(checked(at_once(RestartPolicy::Always)));
    world.now = world.now.after(Duration::from_secs(3));
    world.step(Input::Wake);
    assert_eq!(world.looks.len(), 1);
}
