//! Edges in the life of a worker that somebody else starts: what shows only when two
//! things meet. Each was a change of the core that no other test noticed
//! (docs/reference/mutants.md).

use std::time::Duration;

use hsu_core::answer::{Answer, Refusal};
use hsu_core::effect::{Effect, Scope, ServiceVerb};
use hsu_core::input::{Command, Input, ShutdownMode, Ticket};
use hsu_core::record::Resume;
use hsu_model::discovery::{Manager, Matches, Sighting, Unmanaged};
use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::RunId;
use hsu_model::severity::Severity;
use hsu_model::status::{Desired, WorkerState};
use hsu_model::time::{Tick, WallTime};

use super::{
    KILL, RESTART, SECOND, STOP, Scene, answer, asks_for, by_systemd, id, key, refusal, sight,
    signals, spec, told,
};

const CLEAN: Exit = Exit::Code(0);

fn may_end(unit: &mut Unmanaged) {
    unit.rights.can_terminate = true;
}

fn many(unit: &mut Unmanaged) {
    may_end(unit);
    unit.discovery.matches = Matches::Many;
}

/// The search is to look at once.
fn pokes(effects: &[Effect]) -> bool {
    effects.contains(&Effect::Search { worker: id("web"), wanted: true })
}

fn asks_manager(effects: &[Effect], verb: ServiceVerb) -> bool {
    effects.contains(&Effect::Service { worker: id("web"), verb })
}

fn message(effects: &[Effect]) -> String {
    match answer(effects) {
        Some(Answer::Done { message, .. }) => message.clone(),
        other => format!("{other:?}"),
    }
}

fn failure(effects: &[Effect]) -> String {
    match answer(effects) {
        Some(Answer::Refused(Refusal::Failed { reason })) => reason.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_process_that_no_kill_ends_is_named_answered_for_and_killed_again_when_asked() {
    let mut scene = Scene::attached(may_end);
    scene.ask(STOP);
    assert_eq!(signals(&scene.wake_after(5)), [(9, Scope::Tree)]);
    assert_eq!(scene.fleet.next_deadline(), Some(Tick(scene.now.tick.0 + 30 * SECOND)));
    let early = scene.wake_after(29);
    assert_eq!((answer(&early), scene.status().survivors), (None, vec![]));
    let effects = scene.wake_after(1);
    assert_eq!(failure(&effects), "its process did not end although it was killed");
    assert_eq!(scene.status().survivors, [7]);
    assert_eq!(scene.status().reason, "killed, and still there");
    assert_eq!(scene.fleet.next_deadline(), None);
    // Who asks again has it killed again, but not by asking politely.
    assert_eq!(signals(&scene.ask(KILL)), [(9, Scope::Tree)]);
    assert_eq!(scene.status().survivors, []);
    scene.exit(1, Exit::Signal { number: 9, core: false });
    assert_eq!(scene.state(), WorkerState::Stopped);
}

#[test]
fn a_forced_stop_kills_at_once_also_where_a_manager_is_named() {
    let mut scene = Scene::attached(by_systemd);
    let effects = scene.ask(KILL);
    assert!(!asks_manager(&effects, ServiceVerb::Stop));
    assert_eq!(signals(&effects).last(), Some(&(9, Scope::Tree)));
    assert!(told(&effects, |kind| matches!(kind, EventKind::Killed { run: RunId(1) })));
}

#[test]
fn a_stop_is_asked_of_the_manager_and_what_it_does_not_end_is_killed() {
    let mut scene = Scene::attached(by_systemd);
    let effects = scene.ask(STOP);
    assert!(asks_manager(&effects, ServiceVerb::Stop));
    assert_eq!((signals(&effects), scene.state()), (vec![], WorkerState::Stopping));
    // That the manager cannot do it is told, and the time of the process goes on.
    let error = Some("no such unit".to_owned());
    let effects = scene.step(Input::Serviced { worker: id("web"), error });
    assert_eq!(answer(&effects), None);
    assert!(told(&effects, |kind| matches!(kind, EventKind::RestartRefused { .. })));
    assert_eq!(signals(&scene.wake_after(5)), [(9, Scope::Tree)]);
    assert_eq!(message(&scene.exit(1, CLEAN)), "stopped");
}

#[test]
fn a_stop_that_the_manager_has_done_waits_for_the_end_as_long_as_before() {
    let mut scene = Scene::attached(by_systemd);
    scene.ask(STOP);
    let effects = scene.step(Input::Serviced { worker: id("web"), error: None });
    assert_eq!(answer(&effects), None);
    assert!(!pokes(&effects), "nobody is looked for");
    assert_eq!(answer(&scene.wake_after(34)), None);
    assert_eq!(failure(&scene.wake_after(1)), "its process did not end although it was killed");
}

#[test]
fn a_command_process_manager_is_not_asked_to_stop_anything() {
    let mut scene = Scene::attached(|unit| {
        by_systemd(unit);
        unit.rights.manager = Manager::Command(vec!["again".to_owned()]);
    });
    let effects = scene.ask(STOP);
    assert!(!asks_manager(&effects, ServiceVerb::Stop));
    assert_eq!(signals(&effects), [(15, Scope::Process), (18, Scope::Process)]);
}

#[test]
fn a_stop_of_what_is_not_attached_needs_no_right_and_ends_the_search() {
    let mut scene = Scene::searching(|_| {});
    scene.sighted("web", sight(&[7]));
    let effects = scene.ask(STOP);
    assert!(effects.contains(&Effect::Release { run: RunId(1) }), "what was asked for is let go");
    assert!(!told(&effects, |kind| matches!(kind, EventKind::Released { .. })), "it was not ours");
    assert!(effects.contains(&Effect::Search { worker: id("web"), wanted: false }));
    assert_eq!(message(&effects), "nothing is attached, and nothing is looked for any more");
    assert_eq!(
        (scene.state(), scene.status().reason.as_str()),
        (WorkerState::Stopped, "an operator asked for stop")
    );
    assert_eq!(scene.hold(1), [Effect::Release { run: RunId(1) }]);
}

#[test]
fn a_start_of_what_runs_is_done_and_of_what_is_looked_for_looks_at_once() {
    let mut scene = Scene::attached(by_systemd);
    let effects = scene.ask(Command::Start);
    assert_eq!(message(&effects), "its process runs and is watched");
    assert!(!asks_manager(&effects, ServiceVerb::Start));
    let mut scene = Scene::searching(|_| {});
    let effects = scene.ask(Command::Start);
    assert!(pokes(&effects));
    assert_eq!(message(&effects), "its process is looked for; starting it is up to somebody else");
    // The right alone starts nothing where nothing says how, nor does a manager without it.
    for (can_restart, named) in [(true, false), (false, true)] {
        let mut scene = Scene::searching(|unit| {
            by_systemd(unit);
            unit.rights.can_restart = can_restart;
            if !named {
                unit.rights.manager = Manager::Unknown;
            }
        });
        let effects = scene.ask(Command::Start);
        assert!(!asks_manager(&effects, ServiceVerb::Start));
        assert!(answer(&effects).is_some());
    }
}

#[test]
fn a_start_is_asked_of_the_manager_when_nothing_is_there_and_done_when_it_is_found() {
    let mut scene = Scene::searching(by_systemd);
    let effects = scene.ask(Command::Start);
    assert!(pokes(&effects) && !asks_manager(&effects, ServiceVerb::Start), "a look comes first");
    let effects = scene.sighted("web", sight(&[]));
    assert!(asks_manager(&effects, ServiceVerb::Start));
    assert_eq!(answer(&effects), None);
    assert_eq!(scene.fleet.next_deadline(), None, "the manager takes its time");
    let effects = scene.step(Input::Serviced { worker: id("web"), error: None });
    assert!(pokes(&effects), "it is looked for at once");
    assert_eq!(answer(&effects), None);
    scene.sighted("web", sight(&[7]));
    assert_eq!(message(&scene.hold(1)), "its process runs");
    assert_eq!(scene.status().reason, "an operator asked for start");
    assert_eq!(scene.fleet.next_deadline(), None);
}

#[test]
fn a_start_of_what_runs_already_asks_nobody_and_starts_no_second_one() {
    // It is found.
    let mut scene = Scene::searching(by_systemd);
    scene.ask(Command::Start);
    assert!(!asks_manager(&scene.sighted("web", sight(&[7])), ServiceVerb::Start));
    assert_eq!(message(&scene.hold(1)), "its process runs");
    assert_eq!(scene.fleet.next_deadline(), None);
    // Several fit: which one is it?
    let mut scene = Scene::searching(by_systemd);
    scene.ask(Command::Start);
    let effects = scene.sighted("web", sight(&[7, 8]));
    assert!(!asks_manager(&effects, ServiceVerb::Start));
    assert!(failure(&effects).contains("2 processes fit"), "{effects:?}");
    // It is there, and may not be held; or is gone by then.
    for (error, asks) in [(Some("no right".to_owned()), false), (None, true)] {
        let mut scene = Scene::searching(by_systemd);
        scene.ask(Command::Start);
        scene.sighted("web", sight(&[7]));
        let effects = scene.step(Input::AttachFailed { run: RunId(1), error });
        assert_eq!(asks_manager(&effects, ServiceVerb::Start), asks);
        assert_eq!(answer(&effects).is_some(), !asks);
    }
    // It could not be looked for.
    let mut scene = Scene::searching(by_systemd);
    scene.ask(Command::Start);
    let note = "no process of this host can be looked at".to_owned();
    let effects = scene.sighted("web", Sighting { note, is_blind: true, ..sight(&[]) });
    assert!(!asks_manager(&effects, ServiceVerb::Start));
    assert!(failure(&effects).contains("can be looked at"), "{effects:?}");
    // Nobody looks.
    let mut scene = Scene::searching(by_systemd);
    scene.ask(Command::Start);
    assert!(failure(&scene.wake_after(35)).contains("nobody could look"));
    assert!(!asks_manager(&scene.sighted("web", sight(&[])), ServiceVerb::Start));
}

#[test]
fn a_start_that_is_given_up_before_the_look_asks_nobody() {
    let mut scene = Scene::searching(by_systemd);
    scene.ask(Command::Start);
    scene.ask(STOP);
    scene.ask(Command::Enable);
    assert!(!asks_manager(&scene.sighted("web", sight(&[])), ServiceVerb::Start));
}

#[test]
fn a_restart_is_not_done_while_the_process_is_the_one_before() {
    let mut scene = Scene::attached(by_systemd);
    scene.ask(RESTART);
    let effects = scene.step(Input::Serviced { worker: id("web"), error: None });
    assert_eq!(answer(&effects), None);
    assert_eq!(answer(&scene.wake_after(4)), None);
    assert_eq!(
        failure(&scene.wake_after(1)),
        "its manager has done what it was asked for, and no process of it was found"
    );
}

#[test]
fn a_restart_whose_process_has_come_and_gone_is_not_done() {
    let mut scene = Scene::attached(by_systemd);
    scene.ask(RESTART);
    scene.exit(1, CLEAN);
    scene.sighted("web", sight(&[8]));
    scene.hold(2);
    scene.exit(2, CLEAN);
    let effects = scene.step(Input::Serviced { worker: id("web"), error: None });
    assert_eq!(answer(&effects), None);
}

#[test]
fn a_restart_is_refused_to_who_is_disabled_or_has_no_manager() {
    let mut scene = Scene::attached(|unit| unit.rights.can_restart = true);
    assert!(refusal(&scene.ask(RESTART)).contains("service_manager"));
    let mut scene = Scene::attached(by_systemd);
    scene.ask(Command::Disable);
    let effects = scene.ask(RESTART);
    assert!(refusal(&effects).contains("disabled"));
    assert!(!asks_manager(&effects, ServiceVerb::Restart));
}

#[test]
fn a_later_wish_takes_the_place_of_an_earlier_one_and_a_signal_does_not() {
    let mut scene = Scene::attached(|unit| {
        by_systemd(unit);
        unit.rights.allowed_signals = vec![1];
    });
    let superseded = |effects: &[Effect], ticket: u64, by: &'static str| {
        let answer = Answer::Refused(Refusal::Superseded { by });
        effects.contains(&Effect::Reply { ticket: Ticket(ticket), answer })
    };
    scene.ask(STOP);
    let effects = scene.ask(Command::Signal(1));
    assert!(!superseded(&effects, 1, "signal"));
    // Its manager may take its time to stop it: a forced stop does not wait for that.
    let effects = scene.ask(KILL);
    assert!(superseded(&effects, 1, "stop"));
    assert_eq!(signals(&effects), [(9, Scope::Tree)]);
    assert!(refusal(&scene.ask(STOP)).contains("is being asked"), "asking again waits");
    scene.step(Input::Serviced { worker: id("web"), error: None });
    let effects = scene.ask(Command::Start);
    assert!(superseded(&effects, 3, "start"));
}

#[test]
fn a_manager_that_fails_when_nobody_waits_is_told_of_and_when_nobody_asked_it_is_not() {
    let mut scene = Scene::attached(by_systemd);
    let failed = || Input::Serviced { worker: id("web"), error: Some("no such unit".to_owned()) };
    assert_eq!(scene.step(failed()), []);
    scene.step(Input::ResourceViolation { run: RunId(1), severity: Severity::Critical });
    assert!(asks_manager(&scene.wake_after(5), ServiceVerb::Restart));
    let effects = scene.step(failed());
    assert!(told(&effects, |kind| matches!(kind, EventKind::RestartRefused { .. })));
    assert_eq!(answer(&effects), None);
    assert_eq!(scene.status().reason, "it exceeded a resource limit");
}

#[test]
fn to_enable_what_is_enabled_changes_nothing_and_what_was_disabled_waits_for_a_start() {
    let mut scene = Scene::attached(|_| {});
    scene.ask(Command::Enable);
    assert_eq!(scene.state(), WorkerState::Running);
    scene.ask(Command::Disable);
    assert_eq!(scene.status().reason, "an operator asked for disable");
    let effects = scene.ask(Command::Enable);
    assert!(!pokes(&effects));
    let status = scene.status();
    assert_eq!(
        (status.state, status.enabled, status.desired),
        (WorkerState::Stopped, true, Desired::Stopped)
    );
}

#[test]
fn a_worker_that_can_be_removed_is_gone_with_its_search() {
    let mut scene = Scene::searching(may_end);
    scene.sighted("web", sight(&[7]));
    let effects = scene.ask(Command::Remove);
    assert!(effects.contains(&Effect::Release { run: RunId(1) }));
    assert!(effects.contains(&Effect::Search { worker: id("web"), wanted: false }));
    assert!(effects.contains(&Effect::Persist { workers: vec![id("web")] }));
    let kinds = effects.iter().filter_map(|effect| {
        if let Effect::Event { kind, .. } = effect { Some(kind) } else { None }
    });
    let order = EventKind::Commanded { verb: "remove".to_owned() };
    assert!(kinds.eq([&order, &EventKind::Removed]), "{effects:?}");
    assert_eq!(message(&effects), "removed");
    assert!(scene.fleet.status(&id("web")).is_none());
    assert_eq!(scene.hold(1), [Effect::Release { run: RunId(1) }]);
}

#[test]
fn of_several_processes_none_takes_a_signal_and_a_stop_waits_for_the_last() {
    let mut scene = Scene::searching(|unit| {
        many(unit);
        unit.rights.allowed_signals = vec![1];
    });
    scene.sighted("web", sight(&[7, 8]));
    scene.hold(1);
    assert_eq!(signals(&scene.ask(Command::Signal(1))), [(1, Scope::Process)]);
    scene.hold(2);
    assert!(refusal(&scene.ask(Command::Signal(1))).contains("several"));
    let effects = scene.ask(STOP);
    assert_eq!(signals(&effects).len(), 4, "both, each asked and woken");
    assert_eq!(answer(&scene.exit(2, CLEAN)), None);
    assert_eq!(scene.state(), WorkerState::Stopping);
    assert_eq!(message(&scene.exit(1, CLEAN)), "stopped");
    assert_eq!(scene.status().reason, "ended as told: exit code 0");
}

#[test]
fn a_process_that_ends_while_it_was_asked_to_and_is_wanted_again_is_looked_for() {
    let mut scene = Scene::attached(may_end);
    scene.ask(STOP);
    scene.ask(Command::Start);
    let effects = scene.exit(1, CLEAN);
    assert!(pokes(&effects));
    assert_eq!(scene.state(), WorkerState::Searching);
}

#[test]
fn while_one_is_asked_for_or_ends_another_that_fits_has_to_wait() {
    let mut scene = Scene::searching(may_end);
    scene.sighted("web", sight(&[7]));
    assert_eq!(asks_for(&scene.sighted("web", sight(&[8]))), []);
    scene.hold(1);
    scene.ask(STOP);
    scene.ask(Command::Start);
    let effects = scene.sighted("web", sight(&[8]));
    assert_eq!(asks_for(&effects), []);
    assert!(!told(&effects, |kind| matches!(kind, EventKind::NotFound { .. })), "it waits");
    assert_eq!(scene.status().attached, [key(7)]);
}

#[test]
fn others_that_fit_are_told_beside_the_one_that_is_attached() {
    let mut scene = Scene::attached(|_| {});
    let effects = scene.sighted("web", sight(&[7, 8]));
    let says = |kind: &EventKind| {
        matches!(kind, EventKind::NotFound { reason }
            if reason == "others fit as well and are not taken: PID 8 nginx (root)")
    };
    assert!(told(&effects, says));
    assert_eq!(scene.status().reason, "its process was found", "what is attached says more");
    let effects = scene.sighted("web", sight(&[7, 8]));
    assert!(!told(&effects, says), "said once");
    // Nothing is wrong any more, and then again.
    assert!(!told(&scene.sighted("web", sight(&[7])), |kind| matches!(
        kind,
        EventKind::NotFound { .. }
    )));
    assert!(told(&scene.sighted("web", sight(&[7, 8])), says));
}

#[test]
fn five_candidates_are_listed_and_no_more_are_mentioned_where_there_are_none() {
    let mut scene = Scene::searching(|_| {});
    scene.sighted("web", sight(&[1, 2, 3, 4, 5]));
    assert!(scene.status().reason.ends_with("PID 5 nginx (root)"), "{}", scene.status().reason);
    scene.sighted("web", sight(&[1, 2, 3, 4, 5, 6]));
    assert!(scene.status().reason.ends_with("and 1 more"), "{}", scene.status().reason);
    // What is said of the search itself stands beside it.
    let note = "2 could not be seen".to_owned();
    scene.sighted("web", Sighting { note, ..sight(&[1, 2]) });
    assert!(scene.status().reason.starts_with("2 could not be seen; 2 processes fit"));
    scene.sighted("web", sight(&[]));
    assert_eq!(scene.status().reason, "its process is looked for");
}

#[test]
fn a_hold_that_is_told_twice_counts_once() {
    let mut scene = Scene::attached(|_| {});
    let before = scene.status();
    assert_eq!(scene.hold(1), []);
    assert_eq!(scene.status(), before);
    assert_eq!((before.restarts, before.ready), (0, true));
    assert_eq!(before.started_at, Some((Tick(0), WallTime(0))));
    let error = Some("too late".to_owned());
    assert_eq!(scene.step(Input::AttachFailed { run: RunId(1), error }), []);
}

#[test]
fn the_end_of_a_run_says_how_long_it_lasted_and_is_told_once() {
    let mut scene = Scene::attached(|_| {});
    let effects = scene.exit(1, CLEAN);
    let lasted = Duration::from_secs(100);
    let exited = EventKind::Exited { run: RunId(1), exit: CLEAN, lasted };
    assert!(told(&effects, |kind| *kind == exited));
    assert!(effects.contains(&Effect::Release { run: RunId(1) }));
    let last = scene.status().last_exit.expect("an exit");
    assert_eq!((last.run, last.lasted), (RunId(1), lasted));
    assert_eq!(scene.status().reason, "its process ended: exit code 0");
    assert!(!scene.status().ready);
    assert_eq!(scene.exit(1, Exit::Code(3)), [], "a stale report of the latest run");
}

#[test]
fn the_history_is_the_latest_changes_of_state() {
    let mut scene = Scene::searching(|_| {});
    for run in 1..=20 {
        scene.sighted("web", sight(&[run]));
        scene.hold(run.into());
        scene.exit(run.into(), CLEAN);
    }
    let history = scene.fleet.history(&id("web"));
    assert_eq!(history.len(), 16);
    assert!(history.windows(2).all(|pair| pair[0].to == pair[1].from));
    assert_eq!(history.last().map(|last| last.to), Some(WorkerState::Searching));
    assert_eq!(scene.status().restarts, 0, "nobody restarted it");
}

#[test]
fn health_and_limits_restart_it_by_its_manager_where_that_is_allowed() {
    let health = Input::HealthFailed { run: RunId(1), severity: Severity::Critical };
    let limit = Input::ResourceViolation { run: RunId(1), severity: Severity::Critical };
    for (finding, reason) in [
        (health.clone(), "unhealthy: its health checks failed"),
        (limit, "it exceeded a resource limit"),
    ] {
        let mut scene = Scene::attached(by_systemd);
        let effects = scene.step(finding.clone());
        assert!(!asks_manager(&effects, ServiceVerb::Restart), "it rests first");
        assert!(effects.contains(&Effect::Persist { workers: vec![id("web")] }));
        assert_eq!(scene.status().reason, reason);
        assert!(asks_manager(&scene.wake_after(5), ServiceVerb::Restart));
        // Somebody is at it already.
        let mut scene = Scene::attached(by_systemd);
        scene.ask(RESTART);
        assert_eq!(scene.step(finding.clone()), []);
        // It is not held yet, or it is about to end.
        let mut scene = Scene::searching(by_systemd);
        scene.sighted("web", sight(&[7]));
        assert_eq!(scene.step(finding.clone()), []);
        // The master is ending.
        let mut scene = Scene::attached(by_systemd);
        let actor = Actor::Signal(15);
        scene.step(Input::Shutdown { mode: ShutdownMode::KeepWorkers, actor });
        assert_eq!(scene.step(finding.clone()), []);
    }
    for (can_restart, why) in [(false, "can_restart"), (true, "service_manager")] {
        let mut scene = Scene::attached(|unit| unit.rights.can_restart = can_restart);
        let says = |kind: &EventKind| matches!(kind, EventKind::RestartRefused { reason } if reason.contains(why));
        let effects = scene.step(health.clone());
        assert!(told(&effects, says) && !asks_manager(&effects, ServiceVerb::Restart));
        assert!(!told(&scene.step(health.clone()), says), "said once");
    }
}

#[test]
fn hints_that_were_not_verified_are_handed_on_and_what_is_only_sought_is_not() {
    let record = Scene::attached(|_| {}).record();
    let mut scene = Scene::new(&[spec("web", |_| {})], &[&record]);
    assert_eq!(scene.record().attached, record.attached);
    scene.settle(UnknownExit::KeeperLost);
    assert_eq!(scene.record().attached, record.attached);
    assert_eq!(scene.status().attached, [], "nobody else is told of them");
    let mut scene = Scene::searching(|_| {});
    scene.sighted("web", sight(&[7]));
    assert_eq!(scene.record().attached, Some(vec![]));
}

#[test]
fn a_hint_that_is_verified_is_adopted_and_let_go_where_it_shall_not_be_watched() {
    let record = Scene::attached(|_| {}).record();
    let mut scene = Scene::new(&[spec("web", |_| {})], &[&record]);
    scene.settle(UnknownExit::KeeperLost);
    let effects = scene.hold(1);
    assert!(told(&effects, |kind| *kind == EventKind::Adopted { run: RunId(1), pid: 7 }));
    assert_eq!(scene.status().reason, "its process was found running and taken over");
    let mut scene = Scene::new(&[spec("web", |_| {})], &[&record]);
    scene.settle(UnknownExit::KeeperLost);
    let actor = Actor::Signal(15);
    scene.step(Input::Shutdown { mode: ShutdownMode::KeepWorkers, actor });
    assert!(scene.hold(1).contains(&Effect::Release { run: RunId(1) }));
}

#[test]
fn what_an_operator_wished_holds_while_the_life_of_the_master_goes_on() {
    let mut scene = Scene::attached(may_end);
    scene.ask(STOP);
    scene.exit(1, CLEAN);
    let record = scene.record();
    assert_eq!((record.desired, record.accounted), (Desired::Stopped, Some(RunId(1))));
    let next = |resume| {
        let mut scene = Scene::new(&[], &[]);
        scene.fleet.add(spec("web", |_| {}), Some(&record), resume);
        (scene.settle(UnknownExit::KeeperLost), scene.state())
    };
    let (effects, state) = next(Resume::Continue);
    assert_eq!((pokes(&effects), state), (false, WorkerState::Stopped));
    let (effects, state) = next(Resume::Fresh);
    assert_eq!((pokes(&effects), state), (true, WorkerState::Searching));
}

#[test]
fn before_everything_is_known_nothing_is_done_with_it_and_at_the_end_no_more() {
    let mut scene = Scene::new(&[spec("web", |_| {})], &[]);
    assert_eq!(scene.state(), WorkerState::Registered);
    assert!(refusal(&scene.ask(Command::Start)).contains("still learning"));
    assert_eq!(scene.sighted("web", sight(&[7])), []);
    scene.settle(UnknownExit::KeeperLost);
    assert_eq!(scene.settle(UnknownExit::KeeperLost), [], "settled once");
    let mut scene = Scene::attached(by_systemd);
    scene.ask(RESTART);
    let actor = Actor::Signal(15);
    let effects = scene.step(Input::Shutdown { mode: ShutdownMode::KeepWorkers, actor });
    assert_eq!(answer(&effects), Some(&Answer::Refused(Refusal::ShuttingDown)));
    assert!(effects.contains(&Effect::Search { worker: id("web"), wanted: false }));
    assert_eq!(scene.sighted("web", sight(&[8])), []);
    for command in [Command::Start, STOP] {
        let effects = scene.ask(command);
        assert_eq!(answer(&effects), Some(&Answer::Refused(Refusal::ShuttingDown)));
    }
    assert!(answer(&scene.ask(Command::ResetBreaker)).is_some());
}

#[test]
fn it_is_listed_beside_the_others() {
    let scene = Scene::attached(|_| {});
    let all: Vec<_> = scene.fleet.statuses().map(|status| (status.id, status.state)).collect();
    assert_eq!(all, [(id("web"), WorkerState::Running)]);
    assert_eq!(scene.fleet.spec(&id("web")).map(|spec| spec.id.clone()), Some(id("web")));
    assert_eq!(scene.fleet.worker_of(RunId(1)), Some(&id("web")));
    assert_eq!(scene.fleet.worker_of(RunId(2)), None);
}
