//! Limits of processes that somebody else starts.

use hsu_core::input::Toll;
use hsu_model::limits::{
    Action, Alert, Brake, Hold as Held, LimitKind, Limits, Raise, Rule, Shares, Step,
};
use hsu_model::usage::{Reading, Usage};

use super::*;

/// No more than 100 bytes, and what is done about more.
fn limited(unit: &mut Unmanaged, action: Action) {
    let rule = Rule {
        kind: LimitKind::Resident,
        paths: Vec::new(),
        most: 100,
        warning: 80,
        critical: 100,
        hold: Held::Watch,
        spike_tolerance: Duration::ZERO,
        ladder: vec![Step { after: Duration::ZERO, action }],
        raise: Raise { percent: 150, cap: 400 },
        brake: Brake::Hold,
    };
    unit.limits = Some(Arc::new(Limits {
        rules: vec![rule],
        shares: Shares::default(),
        check_interval: Some(Duration::from_secs(10)),
        hysteresis: 5,
        history: None,
        alert: Alert::default(),
    }));
}

fn measured(effects: &[Effect]) -> Vec<RunId> {
    let run = |effect: &Effect| {
        let Effect::Measure { run, .. } = effect else { return None };
        Some(*run)
    };
    effects.iter().filter_map(run).collect()
}

/// It uses so much.
fn uses(scene: &mut Scene, bytes: u64) -> Vec<Effect> {
    let usage = Usage {
        at: scene.now.tick,
        readings: vec![Reading { value: Some(bytes), held: 0 }],
        ..Usage::default()
    };
    scene.step(Input::Used { run: RunId(1), usage: Some(usage) })
}

fn exceeded(effects: &[Effect]) -> bool {
    told(effects, |kind| matches!(kind, EventKind::LimitExceeded { .. }))
}

#[test]
fn it_is_looked_at_from_when_it_is_held_until_it_is_gone() {
    let mut scene = Scene::searching(|unit| limited(unit, Action::Log));
    scene.sighted("web", sight(&[7]));
    assert_eq!(measured(&scene.wake_after(20)), [], "it is not held yet");
    scene.hold(1);
    assert_eq!(measured(&scene.wake_after(20)), [RunId(1)]);
    uses(&mut scene, 10);
    assert_eq!(measured(&scene.wake_after(20)), [RunId(1)]);
    scene.exit(1, Exit::Code(0));
    assert_eq!(measured(&scene.wake_after(20)), []);
}

#[test]
fn each_of_several_is_looked_at_by_itself() {
    let mut scene = Scene::searching(|unit| {
        limited(unit, Action::Log);
        unit.discovery.matches = Matches::Many;
    });
    scene.sighted("web", sight(&[7, 8]));
    scene.hold(1);
    scene.hold(2);
    let mut runs = measured(&scene.wake_after(20));
    runs.sort();
    assert_eq!(runs, [RunId(1), RunId(2)]);
}

#[test]
fn one_that_may_not_be_ended_is_told_of_once_and_watched_on() {
    for action in [Action::GracefulShutdown, Action::ImmediateKill, Action::Restart] {
        let mut scene = Scene::attached(|unit| limited(unit, action));
        scene.wake_after(20);
        let effects = uses(&mut scene, 200);
        assert!(exceeded(&effects), "{action:?}");
        assert_eq!(signals(&effects), [], "{action:?}");
        assert!(told(&effects, |kind| matches!(kind, EventKind::RestartRefused { .. })));
        assert_eq!(measured(&scene.wake_after(20)), [RunId(1)], "{action:?}");
        let effects = uses(&mut scene, 200);
        assert!(!told(&effects, |kind| matches!(kind, EventKind::RestartRefused { .. })));
        scene.wake_after(20);
        let eased = uses(&mut scene, 50);
        assert!(told(&eased, |kind| matches!(kind, EventKind::LimitEased { .. })));
    }
}

#[test]
fn one_that_may_be_ended_is_asked_to_or_killed_and_not_looked_for_again() {
    for (action, expected) in [(Action::GracefulShutdown, 15), (Action::ImmediateKill, 9)] {
        let mut scene = Scene::attached(|unit| {
            limited(unit, action);
            unit.rights.can_terminate = true;
        });
        scene.wake_after(20);
        let effects = uses(&mut scene, 200);
        assert!(signals(&effects).iter().any(|(signal, _)| *signal == expected), "{effects:?}");
        assert_eq!(measured(&scene.wake_after(1)), [], "it ends");
        scene.exit(1, Exit::Signal { number: expected, core: false });
        assert_eq!(scene.state(), WorkerState::Stopped);
    }
}

#[test]
fn a_restart_under_way_that_a_limit_overtakes_is_not_answered_as_done() {
    let mut scene = Scene::attached(|unit| {
        limited(unit, Action::ImmediateKill);
        unit.rights.can_terminate = true;
        unit.rights.can_restart = true;
        unit.rights.manager = Manager::Command(vec!["restart".to_owned()]);
    });
    scene.wake_after(20);
    assert_eq!(answer(&scene.ask(Command::Restart { force: false })), None);
    let effects = uses(&mut scene, 200);
    assert!(refusal(&effects).contains("its policy ends it"), "{effects:?}");
    let effects = scene.exit(1, Exit::Signal { number: 9, core: false });
    assert_eq!(answer(&effects), None, "{effects:?}");
}

#[test]
fn a_restart_that_is_refused_leaves_a_raised_limit_as_it_is() {
    let mut scene = Scene::attached(|unit| limited(unit, Action::RestartAdjusted));
    scene.wake_after(20);
    uses(&mut scene, 120);
    let raised = |scene: &Scene| scene.record().raised.iter().map(|one| one.most).next();
    assert_eq!(raised(&scene), Some(150));
    let effects = scene.ask(Command::Restart { force: false });
    assert!(matches!(answer(&effects), Some(Answer::Refused(_))), "{effects:?}");
    assert_eq!(raised(&scene), Some(150));
    scene.ask(Command::ResetBreaker);
    assert_eq!(raised(&scene), None);
}

#[test]
fn a_raised_limit_is_in_the_record_and_holds_for_the_next_master() {
    let restarted = |unit: &mut Unmanaged| {
        limited(unit, Action::RestartAdjusted);
        unit.rights.can_restart = true;
        unit.rights.manager = Manager::Command(vec!["restart".to_owned()]);
    };
    let mut scene = Scene::attached(restarted);
    scene.wake_after(20);
    assert!(exceeded(&uses(&mut scene, 120)));
    let record = scene.fleet.export(&id("web")).unwrap();
    let raised: Vec<_> = record.raised.iter().map(|one| (one.limit.as_str(), one.most)).collect();
    assert_eq!(raised, [("memory.max_rss", 150)]);
    let next = Scene::new(&[spec("web", restarted)], &[&record]);
    assert_eq!(next.fleet.limits_of(&id("web")).unwrap().rules[0].most, 150);
}

#[test]
fn of_one_that_the_kernel_ended_at_its_limit_nothing_is_ended_and_nothing_raised() {
    for action in
        [Action::GracefulShutdown, Action::ImmediateKill, Action::Restart, Action::RestartAdjusted]
    {
        let mut scene = Scene::attached(|unit| {
            limited(unit, action);
            unit.rights.can_terminate = true;
        });
        let exit = Exit::Signal { number: 9, core: false };
        let toll = Toll { kills: 1, refusals: 0, exit };
        let effects = scene.step(Input::HeldBack { run: RunId(1), toll });
        assert!(told(&effects, |kind| matches!(kind, EventKind::OomKilled { .. })), "{action:?}");
        assert!(!told(&effects, |kind| matches!(kind, EventKind::LimitAction { .. })));
        assert_eq!(signals(&effects), [], "{action:?}");
        scene.exit(1, exit);
        assert_eq!(scene.state(), WorkerState::Searching, "{action:?}");
        assert_eq!(scene.record().raised, [], "{action:?}");
    }
}

#[test]
fn what_one_that_has_ended_exceeded_is_told_and_alerted() {
    let toll = Toll { kills: 0, refusals: 1, exit: Exit::Code(1) };
    for (action, acts) in [(Action::Alert, true), (Action::Log, true), (Action::Restart, false)] {
        let mut scene = Scene::attached(|unit| {
            limited(unit, action);
            if let Some(limits) = &mut unit.limits {
                let rule = &mut Arc::make_mut(limits).rules[0];
                (rule.kind, rule.hold) = (LimitKind::Processes, Held::Kernel);
            }
        });
        let effects = scene.step(Input::HeldBack { run: RunId(1), toll });
        assert!(exceeded(&effects), "{action:?}");
        let is_told = told(&effects, |kind| matches!(kind, EventKind::LimitAction { .. }));
        assert_eq!(is_told, acts, "{action:?}");
        let alerts = effects.iter().filter(|effect| matches!(effect, Effect::Alert { .. })).count();
        assert_eq!(alerts, usize::from(action == Action::Alert));
    }
}

#[test]
fn nothing_that_it_uses_restarts_it_within_its_grace() {
    let mut scene = Scene::searching(|unit| {
        limited(unit, Action::Restart);
        unit.rights.can_restart = true;
        unit.rights.manager = Manager::Command(vec!["restart".to_owned()]);
    });
    scene.sighted("web", sight(&[7]));
    scene.step(Input::Attached { run: RunId(1), started: (scene.now.tick, WallTime(0)) });
    let acts =
        |effects: &[Effect]| told(effects, |kind| matches!(kind, EventKind::LimitAction { .. }));
    scene.wake_after(29);
    let effects = uses(&mut scene, 200);
    assert!(exceeded(&effects) && !acts(&effects), "{effects:?}");
    scene.wake_after(1);
    assert!(acts(&uses(&mut scene, 200)));
}

#[test]
fn a_master_that_ends_ends_no_process_of_somebody_else_for_what_it_uses() {
    let mut scene = Scene::attached(|unit| {
        limited(unit, Action::ImmediateKill);
        unit.rights.can_terminate = true;
    });
    let (mode, actor) = (ShutdownMode::KeepWorkers, Actor::Signal(15));
    scene.step(Input::Shutdown { mode, actor });
    assert_eq!(signals(&uses(&mut scene, 200)), []);
}
