//! The breaker: opens, tries, closes, and always says so.

use std::time::Duration;

use hsu_core::answer::{Answer, Refusal};
use hsu_core::input::{Command, ShutdownMode};
use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::restart::{Breaker, RestartContext, RestartPolicy, StartRate};
use hsu_model::status::{BreakerState, WorkerState};
use hsu_model::worker::WorkerSpec;

use crate::world::specs::{STEADY, restart, worker};
use crate::world::{Loss, Pace, World, settings};

const ONE: Exit = Exit::Code(1);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn fragile(name: &str, policy: RestartPolicy, trial: Option<u64>) -> WorkerSpec {
    let mut restart = restart(policy);
    restart.default = RestartContext { max_retries: 1, retry_delay: Duration::ZERO, ..STEADY };
    restart.breaker = Breaker { half_open_after: trial.map(seconds) };
    worker(name, restart)
}

/// A world whose worker `web` has just tripped.
fn tripped(policy: RestartPolicy, trial: Option<u64>) -> World {
    let mut world = World::of(fragile("web", policy, trial));
    world.exit("web", ONE);
    world.exit("web", ONE);
    assert_eq!(seen(&world), (WorkerState::Tripped, BreakerState::Open));
    world
}

fn seen(world: &World) -> (WorkerState, BreakerState) {
    let status = world.status("web");
    (status.state, status.breaker)
}

#[test]
fn an_open_breaker_without_a_trial_starts_nothing_by_itself() {
    let mut world = tripped(RestartPolicy::Always, None);
    assert_eq!(world.status("web").next_attempt, None);
    world.advance(seconds(1_000_000));
    assert_eq!((world.starts(), seen(&world).0), (2, WorkerState::Tripped));
    assert!(world.status("web").reason.contains("gave up"));
}

#[test]
fn a_trial_that_lasts_closes_the_breaker() {
    let mut world = tripped(RestartPolicy::Always, Some(300));
    assert_eq!(world.status("web").next_attempt, Some(world.now.after(seconds(300))));
    world.advance(seconds(299));
    assert_eq!(world.starts(), 2);
    world.advance(seconds(1));
    assert_eq!(seen(&world), (WorkerState::Running, BreakerState::HalfOpen));
    world.advance(seconds(60));
    assert_eq!(seen(&world), (WorkerState::Running, BreakerState::Closed));
    let path: Vec<_> = world
        .facts()
        .filter_map(|kind| if let EventKind::Breaker { to } = kind { Some(*to) } else { None })
        .collect();
    assert_eq!(path, [BreakerState::Open, BreakerState::HalfOpen, BreakerState::Closed]);
}

#[test]
fn a_trial_that_fails_opens_the_breaker_for_as_long_again() {
    let mut world = tripped(RestartPolicy::Always, Some(300));
    for starts in 2..6 {
        world.advance(seconds(299));
        assert_eq!(world.starts(), starts);
        world.advance(seconds(1));
        assert_eq!(world.starts(), starts + 1);
        world.exit("web", ONE);
        assert_eq!(seen(&world), (WorkerState::Tripped, BreakerState::Open));
    }
}

#[test]
fn each_way_out_of_a_tripped_worker_ends_where_it_says() {
    use BreakerState::{Closed, Open};
    use WorkerState::{Running, Stopped, Tripped};
    for (command, expected) in [
        (Command::Start, (Running, Closed)),
        (Command::ResetBreaker, (Running, Closed)),
        (Command::Restart { force: true }, (Running, Closed)),
        (Command::Restart { force: false }, (Tripped, Open)),
        (Command::Stop { force: false }, (Stopped, Closed)),
        (Command::Disable, (Stopped, Closed)),
        (Command::Enable, (Tripped, Open)),
    ] {
        let mut world = tripped(RestartPolicy::Always, Some(300));
        let answer = world.ask("web", command);
        assert_eq!(seen(&world), expected, "{command:?}");
        let refused = matches!(answer, Some(Answer::Refused(Refusal::Conflict { .. })));
        assert_eq!(refused, command == Command::Restart { force: false }, "{answer:?}");
        assert_eq!(world.status("web").attempts, u32::from(expected.0 == Tripped), "{command:?}");
    }
}

#[test]
fn an_open_breaker_and_its_trial_survive_the_master() {
    let mut world = tripped(RestartPolicy::Always, Some(300));
    world.advance(seconds(100));
    world.crash(Loss::Orders);
    assert_eq!(seen(&world), (WorkerState::Tripped, BreakerState::Open));
    world.advance(seconds(199));
    assert_eq!(world.starts(), 2);
    world.advance(seconds(1));
    assert_eq!(seen(&world), (WorkerState::Running, BreakerState::HalfOpen));
}

#[test]
fn a_breaker_that_was_opened_without_a_trial_gets_the_one_that_is_configured_since() {
    let mut world = tripped(RestartPolicy::Always, None);
    world.configure(vec![fragile("web", RestartPolicy::Always, Some(300))]);
    world.crash(Loss::Orders);
    assert_eq!(seen(&world), (WorkerState::Tripped, BreakerState::Open));
    world.advance(seconds(299));
    assert_eq!(world.starts(), 2);
    world.advance(seconds(1));
    assert_eq!(seen(&world), (WorkerState::Running, BreakerState::HalfOpen));
}

#[test]
fn a_trial_that_a_lost_master_began_is_adopted_as_a_trial() {
    let mut world = World::new(
        settings(),
        vec![fragile("web", RestartPolicy::Always, Some(300))],
        Pace::Prompt,
    );
    world.exit("web", ONE);
    world.exit("web", ONE);
    let durable = world.store.records.clone();
    world.advance(seconds(300));
    world.store.records = durable;
    world.crash(Loss::Nothing);
    assert_eq!(seen(&world), (WorkerState::Running, BreakerState::HalfOpen));
    world.exit("web", ONE);
    assert_eq!(seen(&world), (WorkerState::Tripped, BreakerState::Open));
}

#[test]
fn a_trial_that_ends_for_good_leaves_no_breaker_half_open() {
    let mut world = tripped(RestartPolicy::OnFailure, Some(300));
    world.advance(seconds(300));
    world.exit("web", Exit::Code(0));
    assert_eq!(seen(&world), (WorkerState::Stopped, BreakerState::Closed));
    let mut world = tripped(RestartPolicy::Always, Some(300));
    world.advance(seconds(300));
    world.ask("web", Command::Stop { force: false });
    assert_eq!(seen(&world), (WorkerState::Stopped, BreakerState::Closed));
}

#[test]
fn trials_that_are_due_together_keep_the_start_rate() {
    let mut settings = settings();
    settings.start_rate = StartRate { per_second: 1.0, burst: 1 };
    let names = ["a", "b", "c"];
    let specs = names.map(|name| fragile(name, RestartPolicy::Always, Some(300)));
    let mut world = World::new(settings, specs.to_vec(), Pace::Prompt);
    world.advance(seconds(10));
    for name in names {
        world.exit(name, ONE);
    }
    world.advance(seconds(10));
    for name in names {
        world.exit(name, ONE);
    }
    let begin = world.now;
    world.advance(seconds(400));
    let trials = &world.keeper.started[6..];
    let at: Vec<_> = trials.iter().map(|(at, _, _)| at.since(begin).as_secs()).collect();
    assert_eq!(at, [300, 301, 302]);
}

#[test]
fn a_trial_that_is_due_while_the_master_ends_is_left_to_the_next_one() {
    let spec = fragile("web", RestartPolicy::Always, Some(5));
    let slow = worker("slow", restart(RestartPolicy::Always));
    let mut world = World::new(settings(), vec![spec, slow], Pace::Prompt);
    world.exit("web", ONE);
    world.exit("web", ONE);
    let slow = world.live_run("slow").expect("it runs");
    world.keeper.harden(slow);
    world.shut_down(ShutdownMode::StopWorkers);
    world.advance(seconds(9));
    assert_eq!(seen(&world), (WorkerState::Tripped, BreakerState::Open));
    world.advance(seconds(1));
    assert_eq!(world.keeper.all_stopped, 1);
}
