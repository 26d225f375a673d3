//! Words of workers: what they say of themselves, what follows, and what follows of silence.

use std::time::Duration;

use hsu_core::effect::Effect;
use hsu_core::input::{Command, Input};
use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::id::RunId;
use hsu_model::notify::{Bond, Named, Notify, NotifyAccess, NotifyChannel, Said};
use hsu_model::process::ProcessKey;
use hsu_model::restart::RestartPolicy;
use hsu_model::status::{ToldPhase, WorkerState};
use hsu_model::worker::{Unit, WorkerSpec};

use crate::world::specs::{restart, worker};
use crate::world::{Loss, Pace, World, id, settings};

const SECOND: ProcessKey = ProcessKey { pid: 7, started_at: 70 };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A worker that is listened to.
fn speaker(change: impl FnOnce(&mut Notify)) -> WorkerSpec {
    let mut spec = worker("web", restart(RestartPolicy::Always));
    if let Unit::Managed(managed) = &mut spec.unit {
        managed.notify = Notify {
            access: NotifyAccess::All,
            channel: NotifyChannel::Socket,
            ready: true,
            startup_timeout: seconds(90),
            watchdog: Duration::ZERO,
            store: 0,
        };
        change(&mut managed.notify);
    }
    spec
}

fn say(world: &mut World, said: Said) -> Vec<Effect> {
    let run = world.live_run("web").expect("it runs");
    let effects = world.step(Input::Told { run, said });
    world.settle();
    effects
}

fn name(world: &mut World, process: Option<ProcessKey>, bond: Option<Bond>) -> Vec<Effect> {
    say(world, Said::MainProcess(Named { pid: SECOND.pid, process, bond }))
}

fn process(world: &World) -> Option<ProcessKey> {
    world.status("web").process
}

/// The reasons for which a named process was refused.
fn refusals(world: &World) -> Vec<String> {
    let reason = |fact: &EventKind| {
        let EventKind::MainProcessRefused { reason, .. } = fact else { return None };
        Some(reason.clone())
    };
    world.facts().filter_map(reason).collect()
}

#[test]
fn a_worker_is_ready_when_it_says_so_and_for_every_next_master() {
    let mut world = World::of(speaker(|_| {}));
    assert!(!world.status("web").ready);
    say(&mut world, Said::Ready);
    assert!(world.status("web").ready);
    world.crash(Loss::Orders);
    assert!(world.status("web").ready);
    say(&mut world, Said::Stopping);
    assert!(!world.status("web").ready);
    let phases: Vec<_> = world
        .facts()
        .filter_map(
            |fact| if let EventKind::Told { phase, .. } = fact { Some(*phase) } else { None },
        )
        .collect();
    assert_eq!(phases, [ToldPhase::Ready, ToldPhase::Stopping]);
}

#[test]
fn a_worker_that_is_not_ready_in_time_is_restarted_and_may_ask_for_more_time() {
    let mut world = World::of(speaker(|_| {}));
    world.advance(seconds(80));
    say(&mut world, Said::NeedsLonger(seconds(60)));
    world.advance(seconds(59));
    assert_eq!(world.state("web"), WorkerState::Running);
    world.advance(seconds(2));
    assert_eq!(world.state("web"), WorkerState::BackingOff);
}

#[test]
fn a_watchdog_bites_a_silent_worker_and_no_other() {
    let mut world = World::of(speaker(|notify| {
        notify.ready = false;
        notify.watchdog = seconds(10);
    }));
    for _ in 0..5 {
        world.advance(seconds(9));
        say(&mut world, Said::Alive);
    }
    assert_eq!(world.starts(), 1);
    say(&mut world, Said::AliveEvery(seconds(2)));
    world.advance(seconds(3));
    assert_eq!(world.state("web"), WorkerState::BackingOff);
}

#[test]
fn a_worker_goes_on_as_the_process_that_it_names_and_ends_with_it() {
    for bond in [Bond::Cgroup, Bond::Descent, Bond::Mark] {
        let mut world = World::of(speaker(|notify| notify.ready = false));
        let first = process(&world).expect("it runs");
        let effects = name(&mut world, Some(SECOND), Some(bond));
        let run = RunId(1);
        assert_eq!(effects, [Effect::Follow { worker: id("web"), run, process: SECOND }]);
        assert_eq!(process(&world), Some(SECOND), "{first:?}");
        let told = EventKind::MainProcess { run, pid: SECOND.pid };
        assert!(world.facts().any(|fact| *fact == told), "{}", world.story());
        // The keeper tells the next master of it.
        world.crash(Loss::Orders);
        assert_eq!((process(&world), world.starts()), (Some(SECOND), 1));
        world.exit("web", Exit::Code(3));
        assert_eq!(world.state("web"), WorkerState::BackingOff);
    }
}

#[test]
fn whoever_cannot_be_shown_to_be_of_the_worker_is_refused_and_that_is_told_once() {
    let mut world = World::of(speaker(|_| {}));
    let first = process(&world);
    for _ in 0..3 {
        assert!(!name(&mut world, None, None).iter().any(|e| matches!(e, Effect::Follow { .. })));
    }
    for _ in 0..3 {
        name(&mut world, Some(SECOND), None);
    }
    assert_eq!(process(&world), first);
    assert_eq!(
        refusals(&world),
        [
            "no such process runs",
            "it is no process of this worker: neither in its cgroup nor below its process",
        ]
    );
}

#[test]
fn a_worker_that_names_the_process_that_it_is_says_nothing() {
    let mut world = World::of(speaker(|_| {}));
    let same = process(&world);
    assert_eq!(name(&mut world, same, Some(Bond::Descent)), []);
}

#[test]
fn a_process_that_has_ended_before_it_is_held_is_refused_with_the_reason() {
    let mut world = World::new(settings(), vec![speaker(|_| {})], Pace::Prompt);
    let first = process(&world);
    let (run, worker) = (RunId(1), id("web"));
    let error = Some("it has ended".to_owned());
    world.step(Input::Followed { worker, run, process: SECOND, error });
    assert_eq!((process(&world), refusals(&world)), (first, vec!["it has ended".to_owned()]));
}

#[test]
fn a_worker_that_is_being_stopped_names_nobody() {
    let mut world = World::of(speaker(|_| {}));
    let run = world.live_run("web").expect("it runs");
    world.keeper.harden(run);
    world.command("web", Command::Stop { force: false });
    name(&mut world, Some(SECOND), Some(Bond::Cgroup));
    assert_eq!(refusals(&world), ["the worker is being stopped"]);
}

#[test]
fn a_stop_that_overtakes_the_keepers_answer_asks_the_process_that_was_named_too() {
    let mut world = World::of(speaker(|_| {}));
    let run = world.live_run("web").expect("it runs");
    world.keeper.harden(run);
    world.command("web", Command::Stop { force: false });
    let worker = id("web");
    let effects = world.step(Input::Followed { worker, run, process: SECOND, error: None });
    let signals: Vec<_> = effects
        .iter()
        .filter_map(|e| if let Effect::Signal { signal, .. } = e { Some(*signal) } else { None })
        .collect();
    assert_eq!((signals, process(&world)), (vec![15, 18], Some(SECOND)));
}

#[test]
fn a_process_that_is_held_for_a_run_that_is_over_is_killed() {
    let mut world = World::of(speaker(|_| {}));
    world.exit("web", Exit::Code(0));
    let (run, worker) = (RunId(1), id("web"));
    let effects =
        world.step(Input::Followed { worker: worker.clone(), run, process: SECOND, error: None });
    assert_eq!(effects, [Effect::KillTree { worker, run, whole: false }]);
}

#[test]
fn a_process_that_was_named_while_there_was_no_master_is_taken_over() {
    let mut world = World::of(speaker(|_| {}));
    let run = world.live_run("web").expect("it runs");
    world.replace(Loss::Orders, hsu_core::record::Resume::Continue);
    // Its first process has ended, and the next master hears the word before it says
    // that everything is known.
    world.keeper.messages.clear();
    let named = Named { pid: SECOND.pid, process: Some(SECOND), bond: Some(Bond::Mark) };
    let effects = world.step(Input::Told { run, said: Said::MainProcess(named) });
    assert_eq!(effects, [Effect::Follow { worker: id("web"), run, process: SECOND }]);
    world.settle();
    assert_eq!((world.state("web"), process(&world)), (WorkerState::Running, Some(SECOND)));
    assert_eq!(world.starts(), 1);
}
