//! Masters: what one leaves, the next one takes up, in each state.

use std::time::Duration;

use hsu_core::answer::Answer;
use hsu_core::effect::Effect;
use hsu_core::input::{Command, Input, ShutdownMode};
use hsu_core::record::Resume;
use hsu_model::execution::Stop;
use hsu_model::exit::Exit;
use hsu_model::process::ProcessKey;
use hsu_model::restart::{RestartContext, RestartPolicy};
use hsu_model::status::WorkerState;
use hsu_model::time::{Tick, WallTime};
use hsu_model::worker::Unit;

use crate::world::keeper::{Outcome, Temper};
use crate::world::specs::{GRACE, STEADY, plain, restart, worker};
use crate::world::{Loss, Pace, World, id, settings};

const STOP: Command = Command::Stop { force: false };
const ONE: Exit = Exit::Code(1);
const RUNNING: WorkerState = WorkerState::Running;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The states of a worker that we start: nobody searches for one.
fn states() -> impl Iterator<Item = WorkerState> {
    WorkerState::ALL.into_iter().filter(|state| *state != WorkerState::Searching)
}

/// Brings the worker `web` of a world into a state.
fn world_in(state: WorkerState) -> World {
    let mut restart = restart(RestartPolicy::OnFailure);
    let retries = if state == WorkerState::Tripped { 1 } else { 3 };
    restart.default = RestartContext { max_retries: retries, ..STEADY };
    let mut spec = worker("web", restart);
    spec.enabled = state != WorkerState::Registered;
    let mut world = World::of(spec);
    match state {
        WorkerState::Registered | WorkerState::Searching | WorkerState::Running => {}
        WorkerState::Starting => {
            world.ask("web", STOP);
            world.keeper.holds_spawns = true;
            world.ask("web", Command::Start);
        }
        WorkerState::Stopping => {
            let run = world.live_run("web").expect("it runs");
            world.keeper.harden(run);
            world.command("web", STOP);
        }
        WorkerState::Stopped => drop(world.ask("web", STOP)),
        WorkerState::BackingOff => world.exit("web", ONE),
        WorkerState::Tripped => {
            world.exit("web", ONE);
            world.advance(seconds(5));
            world.exit("web", ONE);
        }
        WorkerState::Failed => {
            world.ask("web", STOP);
            world.next_spawn(Outcome::Fails { transient: false });
            world.ask("web", Command::Start);
        }
    }
    assert_eq!(world.state("web"), state);
    world
}

#[test]
fn a_worker_in_each_state_goes_on_under_the_next_master() {
    for state in states() {
        for loss in [Loss::Orders, Loss::Nothing] {
            let mut world = world_in(state);
            let (before, starts) = (world.status("web"), world.starts());
            world.crash(loss);
            let after = world.status("web");
            assert_eq!(after.state, state, "{loss:?}");
            assert_eq!(
                (after.run, after.process, after.attempts, after.breaker, after.next_attempt),
                (before.run, before.process, before.attempts, before.breaker, before.next_attempt),
                "{state:?}"
            );
            assert_eq!((after.last_exit, world.starts()), (before.last_exit, starts), "{state:?}");
        }
    }
}

#[test]
fn a_worker_in_each_state_ends_as_it_would_have_without_the_loss() {
    for state in states() {
        let finish = |mut world: World| {
            world.keeper.holds_spawns = false;
            world.settle();
            world.advance(seconds(100));
            (world.state("web"), world.starts(), world.keeper.processes.len())
        };
        let mut lost = world_in(state);
        lost.crash(Loss::Orders);
        assert_eq!(finish(lost), finish(world_in(state)), "{state:?}");
    }
}

#[test]
fn a_restart_that_an_earlier_master_decided_is_counted_once() {
    for loss in [Loss::Orders, Loss::Nothing] {
        let mut resting = World::of(plain("web"));
        resting.exit("web", Exit::Signal { number: 9, core: false });
        assert_eq!(resting.state("web"), WorkerState::BackingOff);
        resting.crash(loss);
        resting.advance(seconds(100));
        assert_eq!((resting.state("web"), resting.status("web").restarts), (RUNNING, 1));
        resting.crash(loss);
        assert_eq!(resting.status("web").restarts, 1, "{loss:?}");

        let mut spawning = World::of(plain("web"));
        spawning.exit("web", ONE);
        spawning.keeper.holds_spawns = true;
        spawning.advance(seconds(100));
        assert_eq!(spawning.state("web"), WorkerState::Starting);
        spawning.crash(loss);
        spawning.keeper.holds_spawns = false;
        spawning.settle();
        assert_eq!((spawning.state("web"), spawning.status("web").restarts), (RUNNING, 1));
    }
}

#[test]
fn what_runs_is_outdated_until_a_restart_when_its_command_was_changed() {
    let mut world = World::of(plain("web"));
    let is_outdated = |world: &World| world.fleet.is_outdated(&id("web"));
    world.crash(Loss::Orders);
    assert!(!is_outdated(&world));
    let mut changed = plain("web");
    if let Unit::Managed(managed) = &mut changed.unit {
        managed.execution.args.push("--other".to_owned());
    }
    world.configure(vec![changed]);
    world.replace(Loss::Nothing, Resume::Continue);
    world.settle();
    assert!(is_outdated(&world), "{}", world.story());
    world.crash(Loss::Orders);
    assert!(is_outdated(&world), "the next master knows it, too");
    world.ask("web", Command::Restart { force: false });
    assert!(!is_outdated(&world));
}

#[test]
fn recovery_twice_is_recovery_once() {
    for state in states() {
        let mut world = world_in(state);
        world.crash(Loss::Orders);
        let once = (world.status("web"), world.starts());
        world.crash(Loss::Orders);
        let twice = (world.status("web"), world.starts());
        assert_eq!((once.0.state, once.0.run, once.1), (twice.0.state, twice.0.run, twice.1));
    }
}

#[test]
fn a_record_survives_export_and_import_in_each_state() {
    for state in states() {
        let mut world = world_in(state);
        let before = world.fleet.export(&id("web")).expect("a record");
        world.replace(Loss::Orders, Resume::Continue);
        let after = world.fleet.export(&id("web")).expect("a record");
        assert_eq!(after.started, before.started, "{state:?}");
        let plain = |mut record: hsu_core::record::WorkerRecord| {
            record.history.clear();
            record
        };
        assert_eq!(plain(after), plain(before), "{state:?}");
    }
}

#[test]
fn a_run_keeps_its_age_over_the_loss_of_the_master() {
    let mut world = World::of(plain("web"));
    world.exit("web", ONE);
    world.advance(seconds(5));
    world.advance(seconds(40));
    let run = world.live_run("web").expect("it runs");
    world.replace(Loss::Orders, Resume::Continue);
    world.advance(seconds(40));
    // It ends before the new master has heard of it at all.
    world.keeper.messages.clear();
    world.keeper.end(run, ONE, world.now);
    world.keeper.messages.clear();
    world.keeper.tell_inventory();
    world.settle();
    let status = world.status("web");
    assert_eq!(status.last_exit.map(|last| last.lasted), Some(seconds(80)));
    assert_eq!(status.attempts, 1, "a run that lasted forgets the earlier failure");
}

#[test]
fn a_fresh_master_forgets_failures_and_keeps_what_the_operator_said() {
    for (policy, runs) in [(RestartPolicy::Always, true), (RestartPolicy::UnlessStopped, false)] {
        let mut world = World::of(worker("web", restart(policy)));
        world.ask("web", STOP);
        world.shut_down(ShutdownMode::StopWorkers);
        world.replace(Loss::Nothing, Resume::Fresh);
        world.settle();
        assert_eq!(world.state("web") == WorkerState::Running, runs, "{policy:?}");
    }
    let mut world = World::of(plain("web"));
    world.ask("web", Command::Disable);
    world.replace(Loss::Nothing, Resume::Fresh);
    world.settle();
    assert_eq!((world.live_run("web"), world.status("web").enabled), (None, false));
}

#[test]
fn a_run_that_was_never_recorded_is_adopted_and_not_doubled() {
    let mut restart = restart(RestartPolicy::Always);
    restart.default.retry_delay = Duration::ZERO;
    let mut world = World::new(settings(), vec![worker("web", restart)], Pace::Patient);
    world.rush();
    let run = world.live_run("web").expect("it runs");
    world.keeper.end(run, ONE, world.now);
    // The exit is decided, the next run is spawned, and none of it becomes durable.
    world.deliver();
    world.keeper.obey(world.now);
    world.keeper.finish_spawn(0, world.now);
    let second = world.live_run("web").expect("it runs again");
    world.replace(Loss::Orders, Resume::Continue);
    world.rush();
    assert_eq!((world.live_run("web"), world.starts()), (Some(second), 2));
    assert_eq!(world.status("web").run, Some(second));
}

#[test]
fn a_spawn_that_is_still_under_way_is_waited_for_and_not_doubled() {
    let mut world = World::new(settings(), vec![plain("web")], Pace::Patient);
    world.deliver();
    world.keeper.obey(world.now);
    world.replace(Loss::Orders, Resume::Continue);
    world.keeper.holds_spawns = true;
    world.rush();
    assert_eq!(world.state("web"), WorkerState::Starting);
    world.keeper.holds_spawns = false;
    world.rush();
    assert_eq!((world.state("web"), world.starts()), (WorkerState::Running, 1));
}

#[test]
fn a_run_number_that_the_keeper_knows_is_never_given_again() {
    let mut world = World::new(settings(), vec![plain("web")], Pace::Patient);
    world.deliver();
    // Nothing is durable when the master is lost: not even that a number was given.
    world.keeper.obey(world.now);
    world.keeper.finish_spawn(0, world.now);
    let run = world.live_run("web").expect("it runs");
    world.keeper.end(run, ONE, world.now);
    world.replace(Loss::Orders, Resume::Continue);
    world.rush();
    world.advance(seconds(5));
    world.rush();
    assert!(world.live_run("web") > Some(run), "{}", world.story());
}

#[test]
fn a_job_that_ended_unrecorded_is_not_done_twice() {
    let spec = worker("web", restart(RestartPolicy::OnFailure));
    let mut world = World::new(settings(), vec![spec], Pace::Patient);
    world.deliver();
    world.keeper.obey(world.now);
    world.keeper.finish_spawn(0, world.now);
    let run = world.live_run("web").expect("it runs");
    world.keeper.end(run, Exit::Code(0), world.now);
    world.replace(Loss::Orders, Resume::Continue);
    world.rush();
    assert_eq!((world.state("web"), world.starts()), (WorkerState::Stopped, 1));
}

#[test]
fn what_a_crashed_run_left_is_killed_by_the_next_master_when_the_last_one_could_not() {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    world.keeper.retemper(run, Temper::Messy);
    world.keeper.holds_kills = true;
    world.exit("web", ONE);
    world.replace(Loss::Orders, Resume::Continue);
    world.keeper.holds_kills = false;
    assert_eq!(world.keeper.leftovers.len(), 1);
    world.settle();
    assert!(world.keeper.leftovers.is_empty());
}

#[test]
fn a_worker_that_was_disabled_in_the_configuration_does_not_come_back_from_its_rest() {
    let mut world = World::of(plain("web"));
    world.exit("web", ONE);
    let mut spec = plain("web");
    spec.enabled = false;
    world.configure(vec![spec]);
    world.crash(Loss::Orders);
    world.advance(seconds(1000));
    assert_eq!((world.state("web"), world.starts()), (WorkerState::Stopped, 1));
}

#[test]
fn a_worker_that_the_configuration_disabled_runs_again_when_it_enables_it() {
    for ended in [false, true] {
        let mut world = World::of(plain("web"));
        if ended {
            world.exit("web", ONE);
        }
        let mut spec = plain("web");
        spec.enabled = false;
        world.configure(vec![spec]);
        world.crash(Loss::Orders);
        assert_eq!((world.state("web"), world.live_run("web")), (WorkerState::Stopped, None));
        world.crash(Loss::Orders);
        assert_eq!((world.starts(), world.live_run("web")), (1, None));
        world.configure(vec![plain("web")]);
        world.crash(Loss::Orders);
        assert_eq!((world.state("web"), world.starts()), (WorkerState::Running, 2));
    }
}

#[test]
fn a_master_that_is_lost_while_it_ends_starts_again_what_it_had_stopped() {
    let mut world = World::new(settings(), vec![plain("fast"), plain("slow")], Pace::Prompt);
    let slow = world.live_run("slow").expect("it runs");
    world.keeper.harden(slow);
    world.shut_down(ShutdownMode::StopWorkers);
    assert_eq!(world.state("fast"), WorkerState::Stopped);
    world.crash(Loss::Orders);
    world.advance(GRACE);
    assert_eq!(world.state("fast"), WorkerState::Running);
    assert_eq!(world.state("slow"), WorkerState::Running);
}

#[test]
fn a_stop_under_way_is_finished_and_a_restart_under_way_starts_again() {
    for (command, state) in
        [(STOP, WorkerState::Stopped), (Command::Restart { force: false }, WorkerState::Running)]
    {
        let mut world = World::of(plain("web"));
        let run = world.live_run("web").expect("it runs");
        world.keeper.harden(run);
        world.command("web", command);
        world.crash(Loss::Orders);
        world.advance(GRACE);
        assert_eq!(world.state("web"), state, "{command:?}");
    }
}

#[test]
fn a_restart_before_the_inventory_restarts_what_is_found() {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    world.replace(Loss::Orders, Resume::Continue);
    let ticket = world.command("web", Command::Restart { force: false });
    assert!(matches!(world.answer(ticket), Some(Answer::Done { .. })));
    assert!(world.live_run("web") > Some(run));
}

#[test]
fn a_worker_that_left_the_configuration_ends_in_its_own_way_and_is_forgotten() {
    let mut spec = plain("old");
    if let Unit::Managed(managed) = &mut spec.unit {
        managed.stop = Stop { signal: 2, graceful_timeout: seconds(7) };
    }
    let mut world = World::new(settings(), vec![spec, plain("web")], Pace::Prompt);
    let run = world.live_run("old").expect("it runs");
    world.keeper.retemper(run, Temper::Stubborn);
    world.configure(vec![plain("web")]);
    let kept = world.live_run("web");
    world.crash(Loss::Nothing);
    assert_eq!(world.state("old"), WorkerState::Stopping);
    assert_eq!(world.status("old").reason, "the configuration does not name it any more");
    assert!(world.keeper.signals.iter().any(|(_, to, signal)| (*to, *signal) == (run, 2)));
    for refused in [Command::Start, Command::Enable, Command::Restart { force: true }] {
        let answer = world.ask("old", refused);
        assert!(matches!(answer, Some(Answer::Refused(_))), "{refused:?}: {answer:?}");
    }
    world.advance(seconds(6));
    assert_eq!(world.live_run("old"), Some(run), "its time has not run out");
    world.advance(seconds(2));
    assert_eq!(world.live_run("old"), None);
    assert_eq!(world.fleet.status(&id("old")), None);
    assert!(!world.store.records.contains_key(&id("old")));
    assert_eq!(world.live_run("web"), kept);
    // Whoever names it again has a new worker.
    world.configure(vec![plain("old"), plain("web")]);
    world.crash(Loss::Nothing);
    assert_eq!(world.state("old"), WorkerState::Running);
}

#[test]
fn a_worker_that_comes_back_before_it_has_gone_runs_again() {
    let mut world = World::new(settings(), vec![plain("old"), plain("web")], Pace::Prompt);
    let run = world.live_run("old").expect("it runs");
    world.keeper.retemper(run, Temper::Stubborn);
    world.configure(vec![plain("web")]);
    world.crash(Loss::Nothing);
    assert_eq!(world.state("old"), WorkerState::Stopping);
    world.configure(vec![plain("old"), plain("web")]);
    world.crash(Loss::Nothing);
    world.advance(GRACE + seconds(1));
    assert_eq!(world.state("old"), WorkerState::Running);
    assert!(world.live_run("old") > Some(run));
}

#[test]
fn a_worker_at_rest_that_left_the_configuration_is_forgotten() {
    let mut world = World::new(settings(), vec![plain("old"), plain("web")], Pace::Prompt);
    world.ask("old", STOP);
    world.configure(vec![plain("web")]);
    world.crash(Loss::Nothing);
    assert_eq!(world.fleet.status(&id("old")), None);
    assert!(!world.store.records.contains_key(&id("old")));
}

#[test]
fn a_process_that_no_record_names_is_ended_and_its_exit_forgotten() {
    let mut world = World::unsettled(settings(), vec![plain("web")], Pace::Prompt);
    let (worker, run) = (id("ghost"), hsu_model::id::RunId(77));
    let process = ProcessKey { pid: 7, started_at: 7 };
    let started = (Tick(1), WallTime(1));
    let adopted = world.step(Input::Adopted { worker: worker.clone(), run, process, started });
    let asked = |effect: &Effect| matches!(effect, Effect::Signal { signal: 15, .. });
    assert!(adopted.iter().any(asked), "{adopted:?}");
    let exit = Input::Exited { worker, run, exit: ONE, at: Tick(2), wall: WallTime(2) };
    let exited = world.step(exit.clone());
    assert!(exited.contains(&Effect::Acknowledge { run }));
    world.settle();
    assert_eq!(world.fleet.status(&id("ghost")), None);
    assert!(world.step(exit).contains(&Effect::Acknowledge { run }), "told once more");
}

#[test]
fn reports_of_runs_that_are_over_change_nothing() {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    world.exit("web", ONE);
    world.advance(seconds(5));
    let process = ProcessKey { pid: 7, started_at: 7 };
    let (worker, started) = (id("web"), (Tick(1), WallTime(1)));
    for stale in [
        Input::Spawned { run, process },
        Input::SpawnFailed { run, error: "late".to_owned(), transient: false },
        Input::Adopted { worker: worker.clone(), run, process, started },
        Input::Pending { worker: worker.clone(), run },
        Input::HealthFailed { run, severity: hsu_core::input::Severity::Emergency },
        Input::Survivors { worker, run, pids: vec![] },
        Input::Wake,
    ] {
        assert_eq!(world.step(stale.clone()), [], "{stale:?}");
    }
}

#[test]
fn a_worker_that_was_stopped_and_whose_process_vanished_comes_to_rest() {
    let mut world = world_in(WorkerState::Stopping);
    world.sync();
    world.keeper.forget_everything();
    world.replace(Loss::Orders, Resume::Continue);
    let ticket = world.command("web", STOP);
    world.settle();
    assert_eq!(world.state("web"), WorkerState::Stopped);
    let answer = world.answer(ticket);
    assert!(matches!(answer, Some(Answer::Done { .. })), "{answer:?}");
}

#[test]
fn the_end_of_a_run_that_no_record_names_kills_no_other_run_of_its_worker() {
    let mut world = World::unsettled(settings(), vec![plain("web")], Pace::Patient);
    let (worker, run) = (id("ghost"), hsu_model::id::RunId(77));
    let exit = Input::Exited { worker, run, exit: ONE, at: Tick(2), wall: WallTime(2) };
    let effects = world.step(exit);
    let spares = |effect: &Effect| matches!(effect, Effect::KillTree { whole: false, .. });
    assert!(effects.iter().any(spares), "{effects:?}");
    assert!(effects.contains(&Effect::Acknowledge { run }));
}

#[test]
fn a_start_under_way_that_no_record_names_is_met_and_ended() {
    let mut world = World::unsettled(settings(), vec![plain("web")], Pace::Patient);
    let (worker, run) = (id("ghost"), hsu_model::id::RunId(77));
    assert_eq!(world.step(Input::Pending { worker: worker.clone(), run }).len(), 2);
    world.step(Input::Settled { unknown: crate::world::VANISHED });
    let process = ProcessKey { pid: 7, started_at: 7 };
    let spawned = world.step(Input::Spawned { run, process });
    let asked = |effect: &Effect| matches!(effect, Effect::Signal { signal: 15, .. });
    assert!(spawned.iter().any(asked), "{spawned:?}");
}
