//! What an operator may order while something else is under way, and what becomes of both.

use super::*;

fn serviced(scene: &mut Scene, error: Option<&str>) -> Vec<Effect> {
    let error = error.map(str::to_owned);
    scene.step(Input::Serviced { worker: id("web"), error })
}

#[test]
fn force_hurries_a_stop_of_the_manager_and_not_a_restart_of_it() {
    let mut scene = Scene::attached(by_systemd);
    scene.ask(RESTART);
    let effects = scene.ask(KILL);
    assert!(refusal(&effects).contains("is being asked"), "{effects:?}");
    assert_eq!(signals(&effects), []);
    let mut scene = Scene::attached(by_systemd);
    scene.ask(STOP);
    assert!(refusal(&scene.ask(STOP)).contains("is being asked"));
    assert_eq!(signals(&scene.ask(KILL)), [(9, Scope::Tree)]);
}

#[test]
fn while_the_process_of_a_restart_is_awaited_a_start_waits_and_a_stop_does_not() {
    let mut scene = Scene::attached(by_systemd);
    scene.ask(RESTART);
    serviced(&mut scene, None);
    for command in [Command::Start, RESTART] {
        assert!(refusal(&scene.ask(command)).contains("is being asked"), "{command:?}");
    }
    let effects = scene.ask(STOP);
    let superseded = Answer::Refused(Refusal::Superseded { by: "stop" });
    assert!(effects.contains(&Effect::Reply { ticket: Ticket(1), answer: superseded }));
    assert_eq!(scene.state(), WorkerState::Stopping);
}

#[test]
fn only_a_restart_that_the_manager_has_done_is_counted() {
    let mut scene = Scene::searching(by_systemd);
    scene.ask(Command::Start);
    scene.sighted("web", sight(&[]));
    serviced(&mut scene, None);
    scene.sighted("web", sight(&[7]));
    scene.hold(1);
    assert_eq!(scene.status().restarts, 0, "it was started");
    scene.ask(RESTART);
    serviced(&mut scene, Some("no such unit"));
    assert_eq!(scene.status().restarts, 0, "it was not restarted");
    for count in 1..3 {
        scene.ask(RESTART);
        let effects = serviced(&mut scene, None);
        assert_eq!(scene.status().restarts, count);
        assert!(effects.contains(&Effect::Persist { workers: vec![id("web")] }));
        scene.wake_after(5);
    }
}

#[test]
fn nothing_restarts_it_within_its_grace_and_from_the_end_of_that_on_it_is_restarted() {
    let finding = || Input::ResourceViolation {
        run: RunId(1),
        severity: hsu_model::severity::Severity::Critical,
    };
    let mut scene = Scene::searching(by_systemd);
    scene.sighted("web", sight(&[7]));
    scene.step(Input::Attached { run: RunId(1), started: (scene.now.tick, WallTime(0)) });
    scene.wake_after(29);
    assert_eq!(scene.step(finding()), []);
    scene.wake_after(1);
    assert!(told(&scene.step(finding()), |kind| {
        matches!(kind, EventKind::RestartScheduled { attempt: 1, .. })
    }));
}

#[test]
fn to_enable_what_is_enabled_leaves_the_wish_and_what_the_file_disables_waits_for_a_start() {
    let mut scene = Scene::attached(by_systemd);
    scene.ask(Command::Enable);
    scene.exit(1, Exit::Code(0));
    assert_eq!(scene.state(), WorkerState::Searching);
    let bare = spec("web", by_systemd);
    let mut scene = Scene::new(&[Arc::new(WorkerSpec { enabled: false, ..(*bare).clone() })], &[]);
    scene.settle(UnknownExit::KeeperLost);
    assert_eq!(scene.state(), WorkerState::Stopped);
    scene.ask(Command::Enable);
    assert_eq!((scene.state(), scene.status().enabled), (WorkerState::Stopped, true));
    scene.ask(Command::Start);
    assert_eq!(scene.state(), WorkerState::Searching);
}

#[test]
fn a_process_that_an_earlier_master_knew_ends_a_start_and_no_restart() {
    let record = Scene::attached(by_systemd).record();
    let next = |command| {
        let mut scene = Scene::new(&[spec("web", by_systemd)], &[&record]);
        scene.settle(UnknownExit::KeeperLost);
        assert_eq!(answer(&scene.ask(command)), None, "{command:?}");
        scene
    };
    let mut scene = next(Command::Start);
    assert!(matches!(answer(&scene.hold(1)), Some(Answer::Done { .. })));
    let mut scene = next(RESTART);
    serviced(&mut scene, None);
    assert_eq!(answer(&scene.hold(1)), None, "it is the one before");
    scene.exit(1, Exit::Code(0));
    scene.sighted("web", sight(&[8]));
    assert!(matches!(answer(&scene.hold(2)), Some(Answer::Done { .. })));
}

#[test]
fn an_order_that_changes_no_wish_begins_no_search() {
    let searches =
        |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Search { .. }));
    let mut scene = Scene::attached(|unit| unit.rights.allowed_signals = vec![1]);
    for command in [Command::Signal(1), Command::Enable, Command::ResetBreaker] {
        let effects = scene.ask(command);
        assert!(!searches(&effects), "{effects:?}");
    }
    assert_eq!(scene.status().reason, "its process was found");
    scene.ask(Command::Disable);
    let effects = scene.ask(Command::ResetBreaker);
    assert!(!searches(&effects), "{effects:?}");
}
