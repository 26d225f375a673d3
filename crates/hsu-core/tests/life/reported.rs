//! What workers say of themselves, and what follows from words and from silence.

use std::time::Duration;

use hsu_core::input::{Command, Input, ShutdownMode};
use hsu_model::event::EventKind;
use hsu_model::id::RunId;
use hsu_model::notify::{Bond, Named, Notify, NotifyAccess, Said};
use hsu_model::process::ProcessKey;
use hsu_model::restart::{Restart, RestartPolicy};
use hsu_model::status::{ToldPhase, WorkerState};
use hsu_model::worker::{Unit, WorkerSpec};

use crate::world::specs::{GRACE, restart, worker};
use crate::world::{Loss, World, keeper::Temper};

/// A worker that is listened to, and restarted after failures.
fn talker(policy: RestartPolicy, change: impl FnOnce(&mut Notify)) -> WorkerSpec {
    // What it says of itself is no matter of the grace after a start.
    let restart = Restart { startup_grace: seconds(600), ..restart(policy) };
    let mut spec = worker("a", restart);
    if let Unit::Managed(managed) = &mut spec.unit {
        managed.notify.access = NotifyAccess::Main;
        change(&mut managed.notify);
    }
    spec
}

/// A worker that must say within 30 s that it is ready.
fn must_be_ready() -> World {
    World::of(talker(RestartPolicy::OnFailure, |notify| {
        (notify.ready, notify.startup_timeout) = (true, seconds(30));
    }))
}

/// A worker that must say every 10 s that it lives.
fn must_live() -> World {
    World::of(talker(RestartPolicy::OnFailure, |notify| notify.watchdog = seconds(10)))
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn say(world: &mut World, said: Said) -> Vec<hsu_core::effect::Effect> {
    let run = world.live_run("a").expect("it runs");
    let effects = world.step(Input::Told { run, said });
    world.settle();
    effects
}

/// Lets it be `last` seconds, less a moment, and says whether it runs; then that moment.
fn lasts(world: &mut World, last: Duration) -> (WorkerState, WorkerState) {
    world.advance(last - Duration::from_nanos(1));
    let before = world.state("a");
    world.advance(Duration::from_nanos(1));
    (before, world.state("a"))
}

const GIVEN_UP: (WorkerState, WorkerState) = (WorkerState::Running, WorkerState::BackingOff);
const GOES_ON: (WorkerState, WorkerState) = (WorkerState::Running, WorkerState::Running);

fn phase(world: &World) -> Option<ToldPhase> {
    world.status("a").told.map(|told| told.phase)
}

fn stopped_because(world: &World) -> Vec<String> {
    let stopping = |fact: &EventKind| {
        if let EventKind::StateChanged { to: WorkerState::Stopping, reason, .. } = fact {
            Some(reason.clone())
        } else {
            None
        }
    };
    world.facts().filter_map(stopping).collect()
}

#[test]
fn a_worker_that_must_say_that_it_is_ready_is_ready_from_that_word_on() {
    let mut world = must_be_ready();
    assert_eq!((phase(&world), world.status("a").ready), (Some(ToldPhase::Starting), false));
    let run = world.live_run("a").expect("it runs");
    say(&mut world, Said::Ready);
    assert_eq!((phase(&world), world.status("a").ready), (Some(ToldPhase::Ready), true));
    let is_it = |fact: &&EventKind| matches!(fact, EventKind::Told { run: of, phase: ToldPhase::Ready } if *of == run);
    assert_eq!(world.facts().filter(is_it).count(), 1);
    assert_eq!(world.store.records[&crate::world::id("a")].ready_run, Some(run));
    assert_eq!(say(&mut world, Said::Ready), [], "it was said already");
    assert_eq!(lasts(&mut world, seconds(1000)), GOES_ON, "its time does not count any more");
}

#[test]
fn a_worker_that_does_not_say_in_time_that_it_is_ready_is_restarted() {
    let mut world = must_be_ready();
    assert_eq!(lasts(&mut world, seconds(30)), GIVEN_UP);
    assert_eq!(stopped_because(&world), ["it did not say in time that it is ready"]);
    assert_eq!(world.status("a").attempts, 1);
    world.advance(seconds(5));
    assert_eq!((world.state("a"), world.starts()), (WorkerState::Running, 2));
    assert_eq!(lasts(&mut world, seconds(30)), GIVEN_UP, "and so is the next run");
}

#[test]
fn a_worker_may_take_for_ever_where_no_time_is_set() {
    let mut world = World::of(talker(RestartPolicy::OnFailure, |notify| notify.ready = true));
    assert_eq!(lasts(&mut world, seconds(10_000)), GOES_ON);
    assert!(!world.status("a").ready);
}

#[test]
fn a_worker_that_need_not_say_it_is_ready_at_once_and_gets_no_time() {
    let mut world =
        World::of(talker(RestartPolicy::OnFailure, |notify| notify.startup_timeout = seconds(30)));
    assert_eq!((phase(&world), world.status("a").ready), (Some(ToldPhase::Ready), true));
    assert_eq!(lasts(&mut world, seconds(100)), GOES_ON);
}

#[test]
fn who_needs_longer_gets_it_from_now_on_and_never_less_than_before() {
    let mut world = must_be_ready();
    world.advance(seconds(20));
    say(&mut world, Said::NeedsLonger(seconds(30)));
    say(&mut world, Said::NeedsLonger(seconds(1)));
    assert_eq!(lasts(&mut world, seconds(30)), GIVEN_UP);
    // Who is ready already has no time that could be longer.
    let mut world = must_be_ready();
    say(&mut world, Said::Ready);
    say(&mut world, Said::NeedsLonger(seconds(1)));
    assert_eq!(lasts(&mut world, seconds(100)), GOES_ON);
}

#[test]
fn a_worker_that_falls_silent_is_restarted_and_each_word_of_life_gives_it_time() {
    let mut world = must_live();
    assert!(world.status("a").ready);
    for _ in 0..3 {
        world.advance(seconds(9));
        say(&mut world, Said::Alive);
    }
    assert_eq!(lasts(&mut world, seconds(10)), GIVEN_UP);
    assert_eq!(stopped_because(&world), ["it did not say in time that it lives"]);
}

#[test]
fn a_worker_may_change_how_often_it_says_that_it_lives_or_end_that() {
    let mut world = must_live();
    world.advance(seconds(5));
    say(&mut world, Said::AliveEvery(seconds(20)));
    world.advance(seconds(15));
    say(&mut world, Said::Alive);
    assert_eq!(lasts(&mut world, seconds(20)), GIVEN_UP);
    let mut world = must_live();
    say(&mut world, Said::AliveEvery(Duration::ZERO));
    say(&mut world, Said::Alive);
    assert_eq!(lasts(&mut world, seconds(1000)), GOES_ON);
}

#[test]
fn of_two_times_the_first_counts() {
    for (alive, reason) in [(10, "lives"), (60, "is ready")] {
        let mut world = World::of(talker(RestartPolicy::OnFailure, |notify| {
            (notify.ready, notify.startup_timeout) = (true, seconds(30));
            notify.watchdog = seconds(alive);
        }));
        assert_eq!(lasts(&mut world, seconds(alive.min(30))), GIVEN_UP);
        assert_eq!(stopped_because(&world), [format!("it did not say in time that it {reason}")]);
    }
}

#[test]
fn a_worker_that_reloads_does_its_job_and_one_that_says_it_ends_does_not() {
    let mut world = must_be_ready();
    say(&mut world, Said::Ready);
    for (said, told, ready) in [
        (Said::Reloading, ToldPhase::Reloading, true),
        (Said::Ready, ToldPhase::Ready, true),
        (Said::Stopping, ToldPhase::Stopping, false),
    ] {
        say(&mut world, said);
        assert_eq!((phase(&world), world.status("a").ready), (Some(told), ready));
    }
    assert_eq!(world.state("a"), WorkerState::Running);
}

#[test]
fn of_what_a_worker_says_it_does_the_beginning_is_kept() {
    let mut world = must_live();
    let text = |world: &World| world.status("a").told.map(|told| told.text);
    assert_eq!(text(&world).as_deref(), Some(""));
    say(&mut world, Said::Status("loads".to_owned()));
    assert_eq!(text(&world).as_deref(), Some("loads"));
    say(&mut world, Said::Status("ä".repeat(300)));
    assert_eq!(text(&world), Some("ä".repeat(256)));
    // With the process its words are gone, and the next one begins with none.
    world.command("a", Command::Stop { force: false });
    assert_eq!(world.status("a").told, None);
    world.command("a", Command::Start);
    assert_eq!(text(&world).as_deref(), Some(""));
}

#[test]
fn a_worker_that_says_that_it_is_beyond_recovery_is_restarted() {
    let mut world = must_be_ready();
    say(&mut world, Said::Broken);
    assert_eq!(world.state("a"), WorkerState::BackingOff);
    assert_eq!(stopped_because(&world), ["it said that it is beyond recovery"]);
}

#[test]
fn a_worker_that_is_never_restarted_is_stopped_and_stays_so() {
    let mut world = World::of(talker(RestartPolicy::Never, |notify| notify.watchdog = seconds(10)));
    world.advance(seconds(10));
    assert_eq!(world.state("a"), WorkerState::Stopped);
    world.advance(seconds(1000));
    assert_eq!((world.state("a"), world.starts()), (WorkerState::Stopped, 1));
}

#[test]
fn words_of_another_run_and_of_a_worker_nobody_listens_to_change_nothing() {
    let words = || {
        let process = ProcessKey { pid: 777, started_at: 5 };
        [
            Said::Ready,
            Said::Reloading,
            Said::Stopping,
            Said::Status("x".to_owned()),
            Said::Alive,
            Said::Broken,
            Said::AliveEvery(seconds(1)),
            Said::NeedsLonger(seconds(1)),
            Said::MainProcess(Named {
                pid: process.pid,
                process: Some(process),
                bond: Some(Bond::Cgroup),
            }),
        ]
    };
    let mut world = must_be_ready();
    world.command("a", Command::Restart { force: false });
    assert_eq!(world.live_run("a"), Some(RunId(2)));
    let before = world.status("a");
    for said in words() {
        assert_eq!(world.step(Input::Told { run: RunId(1), said }), []);
        assert_eq!(world.status("a"), before);
    }
    let mut deaf = World::of(talker(RestartPolicy::Always, |notify| {
        notify.access = NotifyAccess::None;
        (notify.ready, notify.watchdog) = (true, seconds(10));
    }));
    let before = deaf.status("a");
    assert_eq!((before.ready, before.told.as_ref()), (true, None));
    // What it says of its processes is judged where it is heard.
    let all = words();
    let (_, of_itself) = all.split_last().expect("there are words");
    for said in of_itself.iter().cloned() {
        assert_eq!(say(&mut deaf, said), []);
        assert_eq!(deaf.status("a"), before);
    }
    assert_eq!(lasts(&mut deaf, seconds(1000)), GOES_ON);
}

/// A worker that is being stopped, 10 s before it is killed, and listens to nobody.
fn stubborn() -> (World, RunId) {
    let mut world = must_be_ready();
    let run = world.live_run("a").expect("it runs");
    world.keeper.retemper(run, Temper::Stubborn);
    world.command("a", Command::Stop { force: false });
    assert_eq!(world.state("a"), WorkerState::Stopping);
    (world, run)
}

const KILLED: (WorkerState, WorkerState) = (WorkerState::Stopping, WorkerState::Stopped);

#[test]
fn a_worker_that_ends_gets_the_longer_time_that_it_asks_for() {
    let (mut world, run) = stubborn();
    world.advance(seconds(5));
    say(&mut world, Said::NeedsLonger(seconds(30)));
    say(&mut world, Said::NeedsLonger(seconds(1)));
    // Neither another run nor another word counts.
    let other = RunId(run.0 + 1);
    world.step(Input::Told { run: other, said: Said::NeedsLonger(seconds(900)) });
    say(&mut world, Said::Ready);
    say(&mut world, Said::Broken);
    assert_eq!(lasts(&mut world, seconds(30)), KILLED);
    let (mut world, _) = stubborn();
    assert_eq!(lasts(&mut world, GRACE), KILLED);
}

#[test]
fn a_worker_that_was_killed_gets_no_longer_time() {
    let mut world = must_be_ready();
    let run = world.live_run("a").expect("it runs");
    world.keeper.retemper(run, Temper::Stuck);
    world.command("a", Command::Stop { force: true });
    let before = world.fleet.next_deadline();
    assert_eq!(say(&mut world, Said::NeedsLonger(seconds(900))), []);
    assert_eq!(world.fleet.next_deadline(), before);
}

#[test]
fn the_next_master_knows_who_was_ready_and_waits_for_the_others() {
    let mut world = must_be_ready();
    say(&mut world, Said::Ready);
    world.crash(Loss::Nothing);
    assert_eq!((phase(&world), world.status("a").ready), (Some(ToldPhase::Ready), true));
    let mut world = must_be_ready();
    world.advance(seconds(20));
    world.crash(Loss::Nothing);
    assert_eq!((phase(&world), world.status("a").ready), (Some(ToldPhase::Starting), false));
    assert_eq!(lasts(&mut world, seconds(30)), GIVEN_UP, "it is given its time again");
    assert_eq!(world.starts(), 1);
}

#[test]
fn a_master_that_leaves_restarts_nobody_for_silence() {
    let mut world = must_live();
    world.shut_down(ShutdownMode::KeepWorkers);
    say(&mut world, Said::Broken);
    world.now = world.now.after(seconds(100));
    world.step(Input::Wake);
    assert_eq!(world.state("a"), WorkerState::Running);
}
