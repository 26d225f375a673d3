//! Worlds that are healed.

use hsu_model::id::RunId;

use super::super::nature::{Fault, Faults};
use super::super::os::{INIT, What};
use super::super::trace::Trace;
use super::super::world::World;
use super::make;

/// A small world with one worker that is wanted, and is healed before anything has happened.
fn small_world() -> World {
    let is_small = |seed: &u64| {
        let (_, nature, _) = make(*seed);
        nature.specs.len() == 1 && nature.pids < 20 && nature.specs.iter().all(|s| s.enabled)
    };
    let seed = (1..).find(is_small).expect("a small world");
    let (chance, mut nature, _) = make(seed);
    nature.faults = Faults(Fault::Strangers.bit());
    World::new((chance, nature), None, Box::default(), Trace::default())
}

fn fill(world: &mut World, what: What) {
    while world.os.fork(INIT, what, 0).is_some() {}
}

#[test]
fn a_world_whose_pids_strangers_hold_is_healed() {
    let mut world = small_world();
    fill(&mut world, What::Stranger);
    world.converge(&mut Vec::new());
    assert_eq!(world.judge.findings, []);
    assert_eq!(world.os.live(0).count(), 1);
    assert!(world.os.processes.iter().all(|process| process.what != What::Stranger));
}

#[test]
fn a_world_whose_pids_are_held_by_what_an_earlier_run_left_is_healed() {
    let mut world = small_world();
    fill(&mut world, What::Descendant(RunId(1 << 20)));
    // A kill that was lost with its master leaves them.
    world.judge.masters_lost = 1;
    world.converge(&mut Vec::new());
    assert_eq!(world.judge.findings, []);
    assert_eq!(world.os.live(0).count(), 1);
}
