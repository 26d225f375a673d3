//! Liars: a keeper that tells what cannot be, because it was damaged or is hostile.

use hsu_core::effect::Effect;
use hsu_core::input::Input;
use hsu_model::exit::Exit;
use hsu_model::id::RunId;
use hsu_model::process::ProcessKey;
use hsu_model::status::WorkerState;
use hsu_model::time::{Tick, WallTime};

use crate::world::specs::plain;
use crate::world::{Pace, World, id, settings};

const ONE: Exit = Exit::Code(1);

fn ended(worker: &str, run: RunId) -> Input {
    Input::Exited { worker: id(worker), run, exit: ONE, at: Tick(2), wall: WallTime(2) }
}

#[test]
fn the_end_of_a_run_that_nobody_asked_for_does_not_hide_the_end_of_ours() {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    let foreign = RunId(run.0 + 1000);
    let told = world.step(ended("web", foreign));
    assert!(told.contains(&Effect::Acknowledge { run: foreign }), "{told:?}");
    assert_eq!(world.state("web"), WorkerState::Running);
    world.exit("web", ONE);
    assert_eq!(world.state("web"), WorkerState::BackingOff);
}

#[test]
fn a_run_of_one_worker_is_never_given_to_another() {
    let specs = vec![plain("api"), plain("web")];
    let mut world = World::new(settings(), specs, Pace::Prompt);
    let run = world.live_run("api").expect("it runs");
    let process = ProcessKey { pid: 7, started_at: 7 };
    let (worker, started) = (id("web"), (Tick(1), WallTime(1)));
    for lie in [
        Input::Adopted { worker: worker.clone(), run, process, started },
        Input::Pending { worker, run },
        ended("web", run),
    ] {
        assert_eq!(world.step(lie.clone()), [], "{lie:?}");
    }
    assert_eq!(
        (world.state("api"), world.state("web")),
        (WorkerState::Running, WorkerState::Running)
    );
}

#[test]
fn a_run_that_a_keeper_started_unasked_is_never_asked_for() {
    let mut world = World::of(plain("web"));
    let run = RunId(world.fleet.next_run());
    world.step(Input::Spawned { run, process: ProcessKey { pid: 7, started_at: 7 } });
    world.exit("web", ONE);
    world.advance(std::time::Duration::from_secs(5));
    assert!(world.live_run("web").is_some_and(|next| next > run));
}
