//! Restarts: which exits are followed by one, when, and how often.

use std::time::Duration;

use hsu_core::input::{Command, Input, Severity};
use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::restart::{RestartContext, RestartPolicy, StartRate};
use hsu_model::status::WorkerState;
use hsu_model::time::Tick;
use hsu_model::worker::Profile;

use crate::world::keeper::Outcome;
use crate::world::specs::{STEADY, plain, restart, worker};
use crate::world::{Pace, World, settings};

const ZERO: Exit = Exit::Code(0);
const ONE: Exit = Exit::Code(1);
const SEGV: Exit = Exit::Signal { number: 11, core: true };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A worker with this policy and context for exits.
fn world_of(policy: RestartPolicy, context: RestartContext) -> World {
    let mut restart = restart(policy);
    restart.default = context;
    World::of(worker("web", restart))
}

/// The rests and limits that were decided so far.
fn scheduled(world: &World) -> Vec<(Duration, u32)> {
    let scheduled = world.facts().filter_map(|kind| {
        let EventKind::RestartScheduled { limit, delay, .. } = kind else { return None };
        Some((*delay, *limit))
    });
    scheduled.collect()
}

/// The rests that were decided so far.
fn rests(world: &World) -> Vec<Duration> {
    scheduled(world).into_iter().map(|(delay, _)| delay).collect()
}

#[test]
fn each_policy_follows_each_exit_as_it_says() {
    use RestartPolicy::{Always, Never, OnFailure, UnlessStopped};
    use WorkerState::{BackingOff, Failed, Stopped};
    for (policy, exit, state) in [
        (Never, ZERO, Stopped),
        (Never, ONE, Failed),
        (Never, SEGV, Failed),
        (OnFailure, ZERO, Stopped),
        (OnFailure, ONE, BackingOff),
        (OnFailure, SEGV, BackingOff),
        (Always, ZERO, BackingOff),
        (Always, ONE, BackingOff),
        (Always, SEGV, BackingOff),
        (UnlessStopped, ZERO, BackingOff),
        (UnlessStopped, ONE, BackingOff),
        (UnlessStopped, SEGV, BackingOff),
    ] {
        let mut world = world_of(policy, STEADY);
        world.exit("web", exit);
        assert_eq!(world.state("web"), state, "{policy:?} after {exit}");
        assert_eq!(world.status("web").last_exit.map(|last| last.exit), Some(exit));
        world.advance(seconds(5));
        assert_eq!(world.starts(), if state == BackingOff { 2 } else { 1 }, "{policy:?}, {exit}");
    }
}

#[test]
fn an_unwanted_exit_is_not_restarted_whatever_the_policy() {
    for policy in [RestartPolicy::OnFailure, RestartPolicy::Always, RestartPolicy::UnlessStopped] {
        let mut world = world_of(policy, STEADY);
        world.ask("web", Command::Stop { force: false });
        world.advance(seconds(1000));
        assert_eq!((world.state("web"), world.starts()), (WorkerState::Stopped, 1), "{policy:?}");
    }
}

#[test]
fn a_delay_of_zero_restarts_at_the_same_instant() {
    let context = RestartContext { retry_delay: Duration::ZERO, ..STEADY };
    let mut world = world_of(RestartPolicy::Always, context);
    let before = world.now;
    world.exit("web", ONE);
    assert_eq!((world.state("web"), world.starts()), (WorkerState::Running, 2));
    assert_eq!((world.now, world.status("web").restarts), (before, 1));
}

#[test]
fn a_rest_lasts_exactly_as_long_as_it_says() {
    let mut world = world_of(RestartPolicy::Always, STEADY);
    world.exit("web", ONE);
    let due = world.now.after(seconds(5));
    assert_eq!(world.status("web").next_attempt, Some(due));
    world.advance(seconds(5) - Duration::from_nanos(1));
    assert_eq!(world.state("web"), WorkerState::BackingOff);
    world.advance(Duration::from_nanos(1));
    assert_eq!(world.state("web"), WorkerState::Running);
}

#[test]
fn rests_grow_up_to_the_cap_and_stay_there() {
    let context =
        RestartContext { max_retries: 0, backoff_rate: 2.0, max_delay: seconds(30), ..STEADY };
    let mut world = world_of(RestartPolicy::Always, context);
    for _ in 0..6 {
        world.exit("web", ONE);
        world.advance(seconds(30));
    }
    assert_eq!(rests(&world), [5, 10, 20, 30, 30, 30].map(seconds));
}

#[test]
fn jitter_shortens_a_rest_by_its_share_at_most() {
    for (entropy, millis) in [(0, 5000), (u64::MAX / 2, 4500), (u64::MAX, 4000)] {
        let mut world = world_of(RestartPolicy::Always, RestartContext { jitter: 0.2, ..STEADY });
        world.entropy = entropy;
        world.exit("web", ONE);
        let rest = rests(&world)[0].as_secs_f64() * 1000.0;
        assert!((rest - f64::from(millis)).abs() < 0.01, "{rest} for {entropy:x}");
    }
}

#[test]
fn workers_that_are_lost_together_do_not_rest_for_the_same_time() {
    let mut settings = settings();
    settings.start_rate = StartRate { per_second: f64::INFINITY, burst: 1 };
    let context = RestartContext { jitter: 1.0, ..STEADY };
    let spec = |name| {
        let mut restart = restart(RestartPolicy::Always);
        restart.default = context;
        worker(name, restart)
    };
    let mut world = World::new(settings, vec![spec("a"), spec("b"), spec("c")], Pace::Prompt);
    world.keeper.forget_everything();
    world.crash(crate::world::Loss::Orders);
    let rests = rests(&world);
    assert_eq!(rests.len(), 3);
    assert!(rests[0] != rests[1] && rests[1] != rests[2], "{rests:?}");
}

#[test]
fn profile_and_severity_multiply_retries_and_rests() {
    for (profile, severity, rest, limit) in [
        (Profile::Default, Severity::Critical, seconds(5), 3),
        (Profile::Default, Severity::Warning, Duration::from_millis(2500), 1),
        (Profile::Default, Severity::Emergency, seconds(10), 6),
        (Profile::Batch, Severity::Critical, seconds(15), 9),
        (Profile::Batch, Severity::Emergency, seconds(30), 18),
    ] {
        let mut restart = restart(RestartPolicy::Always);
        restart.severity_multipliers = [("warning".into(), 0.5), ("emergency".into(), 2.0)].into();
        restart.profile_multipliers = [("batch".into(), 3.0)].into();
        let mut spec = worker("web", restart);
        spec.profile = profile;
        let mut world = World::of(spec);
        let run = world.live_run("web").expect("it runs");
        world.step(Input::HealthFailed { run, severity });
        world.settle();
        assert_eq!(scheduled(&world), [(rest, limit)], "{profile:?} {severity:?}");
    }
}

#[test]
fn grace_holds_back_findings_and_never_a_crash() {
    let mut restart = restart(RestartPolicy::Always);
    restart.startup_grace = seconds(120);
    let mut world = World::of(worker("web", restart));
    let run = world.live_run("web").expect("it runs");
    world.advance(seconds(119));
    let finding = Input::HealthFailed { run, severity: Severity::Critical };
    assert_eq!(world.step(finding.clone()), []);
    assert_eq!(world.step(Input::ResourceViolation { run, severity: Severity::Emergency }), []);
    world.advance(seconds(1));
    world.step(finding);
    assert_eq!(world.state("web"), WorkerState::Stopping);
    world.settle();
    world.advance(seconds(5));
    world.exit("web", ONE);
    assert_eq!(world.state("web"), WorkerState::BackingOff, "a crash in the grace counts");
    assert_eq!(world.status("web").attempts, 2);
}

#[test]
fn attempts_are_counted_and_forgotten_after_a_run_that_lasts() {
    let mut world = world_of(RestartPolicy::Always, STEADY);
    for attempts in 1..=3 {
        world.exit("web", ONE);
        assert_eq!(world.status("web").attempts, attempts);
        world.advance(seconds(5));
    }
    world.advance(seconds(59));
    assert_eq!(world.status("web").attempts, 3);
    world.advance(seconds(1));
    assert_eq!(world.status("web").attempts, 0, "forgotten while it runs, not at its next exit");
    world.exit("web", ONE);
    assert_eq!((world.status("web").attempts, world.status("web").restarts), (1, 3));
}

#[test]
fn a_spawn_that_fails_for_want_of_something_is_tried_again_and_another_is_not() {
    let mut world = world_of(RestartPolicy::Always, STEADY);
    world.exit("web", ONE);
    world.next_spawn(Outcome::Fails { transient: true });
    world.advance(seconds(5));
    assert_eq!(world.state("web"), WorkerState::BackingOff);
    world.advance(seconds(5));
    assert_eq!(world.state("web"), WorkerState::Running);
    world.exit("web", ONE);
    world.next_spawn(Outcome::Fails { transient: false });
    world.advance(seconds(1000));
    assert_eq!((world.state("web"), world.starts()), (WorkerState::Failed, 2));
    assert!(world.status("web").reason.contains("could not be started"));
    world.ask("web", Command::Start);
    assert_eq!(world.state("web"), WorkerState::Running);
}

#[test]
fn a_spawn_that_fails_at_once_never_spins_even_with_a_delay_of_zero() {
    let context = RestartContext { retry_delay: Duration::ZERO, ..STEADY };
    let mut world = world_of(RestartPolicy::Always, context);
    for _ in 0..4 {
        world.next_spawn(Outcome::Fails { transient: true });
    }
    world.exit("web", ONE);
    let failures = |world: &World| {
        world.facts().filter(|kind| matches!(kind, EventKind::SpawnFailed { .. })).count()
    };
    assert_eq!(failures(&world), 1);
    world.advance(Duration::from_millis(1000));
    assert_eq!(failures(&world), 3);
}

#[test]
fn the_start_rate_delays_restarts_in_the_order_of_their_exits() {
    let context = RestartContext { retry_delay: Duration::ZERO, ..STEADY };
    let names = ["a", "b", "c", "d", "e"];
    let spec = |name| {
        let mut restart = restart(RestartPolicy::Always);
        restart.default = context;
        worker(name, restart)
    };
    let mut settings = settings();
    settings.start_rate = StartRate { per_second: 1.0, burst: 2 };
    let mut world = World::new(settings, names.map(spec).to_vec(), Pace::Prompt);
    assert_eq!(world.starts(), 5, "first starts wait for nobody");
    let begin = world.now;
    for name in ["d", "b", "e", "a", "c"] {
        world.exit(name, ONE);
    }
    world.advance(seconds(10));
    let turns: Vec<_> = world.keeper.started[5..]
        .iter()
        .map(|(at, id, _)| (at.since(begin).as_secs(), id.to_string()))
        .collect();
    let expected = [(0, "d"), (0, "b"), (1, "e"), (2, "a"), (3, "c")];
    assert_eq!(turns, expected.map(|(at, name)| (at, name.to_owned())));
}

#[test]
fn rests_that_end_together_keep_the_start_rate() {
    let names = ["a", "b", "c"];
    let spec = |name| worker(name, restart(RestartPolicy::Always));
    let mut settings = settings();
    settings.start_rate = StartRate { per_second: 1.0, burst: 1 };
    let mut world = World::new(settings, names.map(spec).to_vec(), Pace::Prompt);
    let begin = world.now;
    for name in names {
        world.exit(name, ONE);
    }
    world.advance(seconds(10));
    let turns: Vec<_> =
        world.keeper.started[3..].iter().map(|(at, ..)| at.since(begin).as_secs()).collect();
    assert_eq!(turns, [5, 6, 7]);
}

#[test]
fn an_operators_start_does_not_wait_for_the_start_rate() {
    let mut settings = settings();
    settings.start_rate = StartRate { per_second: 0.01, burst: 1 };
    let context = RestartContext { retry_delay: Duration::ZERO, ..STEADY };
    let mut restart = restart(RestartPolicy::Always);
    restart.default = context;
    let mut world = World::new(settings, vec![worker("web", restart)], Pace::Prompt);
    world.exit("web", ONE);
    world.exit("web", ONE);
    assert_eq!(world.state("web"), WorkerState::BackingOff);
    assert!(world.status("web").reason.contains("start rate"));
    world.ask("web", Command::Start);
    assert_eq!(world.state("web"), WorkerState::Running);
}

#[test]
fn an_exit_that_is_told_twice_is_accounted_once() {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    world.exit("web", ONE);
    let wall = hsu_model::time::WallTime(0);
    let worker = crate::world::id("web");
    let again = world.step(Input::Exited { worker, run, exit: ONE, at: Tick(9), wall });
    assert_eq!(again, [hsu_core::effect::Effect::Acknowledge { run }]);
    assert_eq!(world.status("web").attempts, 1);
}
