//! Stopping: asked, woken, killed, reported; one worker, many, and all.

use std::time::Duration;

use hsu_core::answer::{Answer, Refusal};
use hsu_core::effect::{Effect, Scope};
use hsu_core::input::{Command, Input, ShutdownMode};
use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::status::WorkerState;

use crate::world::keeper::{Outcome, Temper};
use crate::world::specs::{GRACE, plain};
use crate::world::{Pace, World, settings};

const STOP: Command = Command::Stop { force: false };
const KILL: Command = Command::Stop { force: true };
const TERM: Exit = Exit::Signal { number: 15, core: false };
const KILLED: Exit = Exit::Signal { number: 9, core: false };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A world whose worker `web` has a process of this temper.
fn world_of(temper: Temper) -> World {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    world.keeper.retemper(run, temper);
    world
}

fn last_exit(world: &World, name: &str) -> Option<Exit> {
    world.status(name).last_exit.map(|last| last.exit)
}

fn is_done(answer: Option<&Answer>) -> bool {
    matches!(answer, Some(Answer::Done { state: WorkerState::Stopped, .. }))
}

#[test]
fn an_obedient_worker_ends_by_the_signal_and_what_it_left_is_killed() {
    let mut world = world_of(Temper::Messy);
    let answer = world.ask("web", STOP);
    assert!(is_done(answer.as_ref()), "{answer:?}");
    assert_eq!(last_exit(&world, "web"), Some(TERM));
    assert!(world.keeper.leftovers.is_empty());
}

#[test]
fn a_stop_signals_the_whole_group_and_wakes_it() {
    let mut world = World::new(settings(), vec![plain("web")], Pace::Patient);
    world.rush();
    let run = world.live_run("web").expect("it runs");
    world.command("web", STOP);
    let (_, _, effects) = world.transcript.last().expect("a step");
    let signals: Vec<_> =
        effects.iter().filter(|effect| matches!(effect, Effect::Signal { .. })).collect();
    let signal = |signal| Effect::Signal { run, signal, scope: Scope::Tree };
    assert_eq!(signals, [&signal(15), &signal(18)]);
}

#[test]
fn a_stopped_process_is_woken_so_that_it_ends_without_a_kill() {
    let mut world = World::of(plain("web"));
    world.ask("web", Command::Signal(19));
    let answer = world.ask("web", STOP);
    assert!(is_done(answer.as_ref()), "{answer:?}");
    assert_eq!(last_exit(&world, "web"), Some(TERM));
}

#[test]
fn a_stubborn_worker_is_killed_when_its_grace_is_over_and_not_before() {
    let mut world = world_of(Temper::Stubborn);
    let ticket = world.command("web", STOP);
    world.advance(GRACE - Duration::from_nanos(1));
    assert_eq!((world.state("web"), world.answer(ticket)), (WorkerState::Stopping, None));
    world.advance(Duration::from_nanos(1));
    assert!(is_done(world.answer(ticket).as_ref()));
    assert_eq!(last_exit(&world, "web"), Some(KILLED));
}

#[test]
fn a_forced_stop_kills_at_once_also_one_that_is_under_way() {
    let mut world = world_of(Temper::Stubborn);
    assert!(is_done(world.ask("web", KILL).as_ref()));
    let mut world = world_of(Temper::Stubborn);
    let first = world.command("web", STOP);
    assert!(is_done(world.ask("web", KILL).as_ref()));
    let superseded = Answer::Refused(Refusal::Superseded { by: "stop" });
    assert_eq!(world.answer(first), Some(superseded));
}

#[test]
fn a_forced_stop_during_the_start_kills_as_soon_as_there_is_a_process() {
    let mut world = World::new(settings(), vec![plain("web")], Pace::Patient);
    world.keeper.holds_spawns = true;
    world.next_spawn(Outcome::Process(Temper::Stubborn));
    world.rush();
    let ticket = world.command("web", KILL);
    world.keeper.holds_spawns = false;
    world.rush();
    assert!(is_done(world.answer(ticket).as_ref()), "{}", world.story());
    assert_eq!(last_exit(&world, "web"), Some(KILLED));
}

#[test]
fn a_process_that_no_kill_ends_is_named_and_answered_for() {
    let mut world = world_of(Temper::Stuck);
    let ticket = world.command("web", STOP);
    world.advance(GRACE + seconds(30));
    let status = world.status("web");
    assert_eq!((status.state, status.survivors.len()), (WorkerState::Stopping, 1));
    let answer = world.answer(ticket);
    assert!(matches!(answer, Some(Answer::Refused(Refusal::Failed { .. }))), "{answer:?}");
}

#[test]
fn a_kill_that_waits_is_not_one_that_did_not_help() {
    let mut world = world_of(Temper::Stubborn);
    world.keeper.holds_kills = true;
    let ticket = world.command("web", KILL);
    world.advance(seconds(70));
    let status = world.status("web");
    assert_eq!((status.state, status.survivors), (WorkerState::Stopping, vec![]));
    assert_eq!(world.answer(ticket), None);
    world.keeper.holds_kills = false;
    world.settle();
    assert!(is_done(world.answer(ticket).as_ref()), "{}", world.story());
}

#[test]
fn a_kill_that_waits_does_not_hold_up_a_forced_end() {
    let mut world = world_of(Temper::Stubborn);
    world.keeper.holds_kills = true;
    world.command("web", KILL);
    world.shut_down(ShutdownMode::StopWorkers);
    world.step(Input::ForceShutdown);
    assert_eq!(world.keeper.all_stopped, 0);
    world.advance(seconds(60));
    assert_eq!(world.keeper.all_stopped, 1, "{}", world.story());
}

#[test]
fn asking_again_for_an_unkillable_worker_kills_again_and_is_answered() {
    for command in [STOP, KILL, Command::Restart { force: false }, Command::Start] {
        let mut world = world_of(Temper::Stuck);
        world.command("web", STOP);
        world.advance(GRACE + seconds(30));
        let ticket = world.command("web", command);
        world.advance(seconds(30));
        let answer = world.answer(ticket);
        let failed = matches!(answer, Some(Answer::Refused(Refusal::Failed { .. })));
        assert!(failed, "{command:?} is answered {answer:?}");
        let run = world.live_run("web").expect("it is still there");
        world.keeper.end(run, KILLED, world.now);
        world.settle();
        let runs = world.state("web") == WorkerState::Running;
        assert_eq!(runs, !matches!(command, Command::Stop { .. }), "{command:?}");
    }
}

#[test]
fn the_kill_of_a_stop_never_hits_the_run_that_follows() {
    let mut world = World::new(settings(), vec![plain("web")], Pace::Patient);
    world.rush();
    let run = world.live_run("web").expect("it runs");
    world.keeper.harden(run);
    world.command("web", Command::Restart { force: true });
    // The process ends by itself while its kill is on its way.
    world.sync();
    world.keeper.end(run, Exit::Code(0), world.now);
    assert!(world.deliver());
    world.kill();
    assert_eq!(world.state("web"), WorkerState::Stopping, "another kill is under way");
    world.kill();
    assert_eq!(world.state("web"), WorkerState::Starting);
    world.rush();
    assert_eq!(world.state("web"), WorkerState::Running);
    world.assert_clean();
}

#[test]
fn many_workers_stop_in_parallel_under_one_deadline() {
    let names: Vec<String> = (0..100).map(|number| format!("w{number}")).collect();
    let specs = names.iter().map(|name| plain(name)).collect();
    let mut world = World::new(settings(), specs, Pace::Prompt);
    for (number, name) in names.iter().enumerate() {
        let temper = [Temper::Obedient, Temper::Stubborn, Temper::Messy][number % 3];
        let run = world.live_run(name).expect("it runs");
        world.keeper.retemper(run, temper);
    }
    world.shut_down(ShutdownMode::StopWorkers);
    let obedient = names.iter().filter(|name| world.state(name) == WorkerState::Stopped).count();
    assert_eq!(obedient, 67);
    world.advance(GRACE - Duration::from_nanos(1));
    assert_eq!(world.keeper.all_stopped, 0);
    world.advance(Duration::from_nanos(1));
    assert_eq!(world.keeper.all_stopped, 1);
    assert!(names.iter().all(|name| world.state(name) == WorkerState::Stopped));
    assert!(world.keeper.processes.is_empty() && world.keeper.leftovers.is_empty());
}

#[test]
fn the_end_of_the_master_is_forced_when_its_own_time_is_over() {
    let mut settings = settings();
    settings.force_shutdown_timeout = seconds(3);
    let mut world = World::new(settings, vec![plain("web")], Pace::Prompt);
    let run = world.live_run("web").expect("it runs");
    world.keeper.harden(run);
    world.shut_down(ShutdownMode::StopWorkers);
    let told = |world: &World| {
        world.facts().any(|fact| {
            matches!(fact, EventKind::MasterStopping { reason } if reason.contains("after 3 s"))
        })
    };
    world.advance(seconds(2));
    assert!(!told(&world));
    world.advance(seconds(1));
    assert_eq!((world.keeper.all_stopped, last_exit(&world, "web")), (1, Some(KILLED)));
    assert!(told(&world), "{}", world.story());
}

#[test]
fn a_second_wish_to_end_kills_also_what_was_just_being_started() {
    let mut world = World::new(settings(), vec![plain("old"), plain("young")], Pace::Patient);
    world.rush();
    for name in ["old", "young"] {
        let run = world.live_run(name).expect("it runs");
        world.keeper.harden(run);
    }
    let young = world.live_run("young").expect("it runs");
    world.keeper.end(young, Exit::Code(1), world.now);
    world.rush();
    world.keeper.holds_spawns = true;
    world.next_spawn(Outcome::Process(Temper::Stubborn));
    world.advance(seconds(5));
    world.rush();
    world.shut_down(ShutdownMode::StopWorkers);
    world.step(Input::ForceShutdown);
    world.rush();
    assert_eq!(world.state("young"), WorkerState::Starting);
    world.keeper.holds_spawns = false;
    world.rush();
    assert_eq!((world.keeper.all_stopped, world.keeper.processes.len()), (1, 0));
}

#[test]
fn a_worker_that_cannot_be_killed_does_not_keep_the_master_from_ending() {
    let mut world = World::new(settings(), vec![plain("ok"), plain("web")], Pace::Prompt);
    let run = world.live_run("web").expect("it runs");
    world.keeper.retemper(run, Temper::Stuck);
    world.shut_down(ShutdownMode::StopWorkers);
    world.advance(GRACE);
    assert_eq!(world.keeper.all_stopped, 0);
    world.advance(seconds(30));
    assert_eq!(world.keeper.all_stopped, 1);
    assert_eq!(world.status("web").survivors.len(), 1);
}

#[test]
fn a_master_that_leaves_touches_no_worker() {
    let mut world = World::new(settings(), vec![plain("a"), plain("b")], Pace::Prompt);
    world.exit("b", Exit::Code(1));
    world.shut_down(ShutdownMode::KeepWorkers);
    assert_eq!(world.keeper.all_stopped, 1);
    let (a, signals) = (world.live_run("a"), world.keeper.signals.len());
    assert_eq!(world.step(Input::ForceShutdown), []);
    world.advance(seconds(1000));
    assert_eq!((world.live_run("a"), world.keeper.signals.len()), (a, signals));
    assert_eq!(world.live_run("b"), None, "nothing is started either");
}

#[test]
fn a_start_that_the_end_of_the_master_overtakes_is_told_so() {
    for mode in [ShutdownMode::StopWorkers, ShutdownMode::KeepWorkers] {
        let mut world = World::new(settings(), vec![plain("web")], Pace::Prompt);
        world.ask("web", STOP);
        world.keeper.holds_spawns = true;
        let ticket = world.command("web", Command::Start);
        world.shut_down(mode);
        let answer = world.answer(ticket);
        assert_eq!(answer, Some(Answer::Refused(Refusal::ShuttingDown)), "{mode:?}");
        let later = world.ask("web", Command::Start);
        assert_eq!(later, Some(Answer::Refused(Refusal::ShuttingDown)), "{mode:?}");
    }
}

#[test]
fn an_end_that_is_asked_for_before_the_inventory_waits_for_what_it_tells() {
    let mut world = World::new(settings(), vec![plain("web")], Pace::Prompt);
    world.replace(crate::world::Loss::Nothing, hsu_core::record::Resume::Continue);
    world.step(Input::Shutdown {
        mode: ShutdownMode::StopWorkers,
        actor: hsu_model::event::Actor::Signal(15),
    });
    assert_eq!(world.keeper.all_stopped, 0);
    world.settle();
    assert_eq!((world.keeper.all_stopped, world.keeper.processes.len()), (1, 0));
}

#[test]
fn a_master_that_leaves_or_has_nobody_left_tells_of_no_kill_when_its_time_is_over() {
    for mode in [ShutdownMode::KeepWorkers, ShutdownMode::StopWorkers] {
        let mut world = World::of(plain("a"));
        world.shut_down(mode);
        world.now = world.now.after(Duration::from_secs(100));
        assert_eq!(world.step(Input::Wake), [], "{mode:?}");
    }
}
