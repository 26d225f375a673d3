//! The ends of processes that somebody else started: when each is killed, and what is
//! left to be done about one that has ended by itself.

use super::*;

const STOP: Command = Command::Stop { force: false };
const KILLED: Exit = Exit::Signal { number: 9, core: false };

fn killed(effects: &[Effect]) -> Vec<RunId> {
    let run = |effect: &Effect| {
        let Effect::Signal { run, signal: 9, .. } = effect else { return None };
        Some(*run)
    };
    effects.iter().filter_map(run).collect()
}

/// Two processes that were asked to end, the second one 3 s after the first.
fn two_that_end() -> Scene {
    let mut scene = Scene::attached(|unit| {
        unit.rights.can_terminate = true;
        unit.discovery.matches = Matches::Many;
    });
    scene.ask(STOP);
    scene.ask(Command::Start);
    scene.sighted("web", sight(&[8]));
    scene.wake_after(3);
    scene.hold(2);
    scene.ask(STOP);
    scene
}

#[test]
fn each_of_several_processes_is_killed_when_its_own_time_is_over() {
    let mut scene = two_that_end();
    assert_eq!(killed(&scene.wake_after(2)), [RunId(1)]);
    assert_eq!(killed(&scene.wake_after(2)), []);
    assert_eq!(killed(&scene.wake_after(1)), [RunId(2)]);
}

#[test]
fn each_of_several_processes_is_named_as_a_survivor_when_its_own_time_is_over() {
    let mut scene = two_that_end();
    scene.wake_after(2);
    scene.wake_after(3);
    assert_eq!(scene.status().survivors, []);
    scene.wake_after(27);
    assert_eq!(scene.status().survivors, [7]);
    scene.wake_after(3);
    assert_eq!(scene.status().survivors, [7, 8]);
}

#[test]
fn a_forced_stop_kills_what_was_asked_and_what_no_kill_has_ended_and_not_what_is_being_killed() {
    let mut scene = two_that_end();
    scene.wake_after(2);
    assert_eq!(killed(&scene.ask(Command::Stop { force: true })), [RunId(2)]);
    scene.wake_after(30);
    assert_eq!(scene.status().survivors, [7, 8]);
    assert_eq!(killed(&scene.ask(Command::Stop { force: true })), [RunId(1), RunId(2)]);
}

#[test]
fn the_end_of_a_run_that_was_never_watched_is_accounted_and_its_rest_killed() {
    let accounted = |run| {
        let (worker, run) = (id("web"), RunId(run));
        [Effect::KillTree { worker, run, whole: false }, Effect::Acknowledge { run }]
    };
    // The worker was started by us until its configuration changed.
    let mut scene = Scene::searching(|_| {});
    assert_eq!(scene.exit(5, KILLED), accounted(5));
    scene.sighted("web", sight(&[7]));
    scene.hold(6);
    assert_eq!(scene.exit(9, KILLED), accounted(9));
    assert_eq!(scene.exit(5, KILLED), [], "a later run was watched");
}

#[test]
fn at_a_glance_a_process_that_is_asked_for_is_not_held_and_has_no_age() {
    let mut scene = Scene::searching(|_| {});
    scene.sighted("web", sight(&[7]));
    let runs = |scene: &Scene| scene.fleet.sight(&id("web")).map(|sight| sight.runs);
    assert_eq!(runs(&scene), Some(vec![(RunId(1), key(7), Grip::Asked)]));
    assert_eq!((scene.fleet.started_at(&id("web")), scene.status().started_at), (None, None));
    let started = (Tick(3), WallTime(4));
    scene.step(Input::Attached { run: RunId(1), started });
    assert_eq!(runs(&scene), Some(vec![(RunId(1), key(7), Grip::Held)]));
    assert_eq!(scene.fleet.started_at(&id("web")), Some(started));
    assert_eq!(scene.status().started_at, Some(started));
}
