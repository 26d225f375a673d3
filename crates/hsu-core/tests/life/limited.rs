//! Limits in the life of a worker: what becomes of it when it uses too much.

use std::sync::Arc;
use std::time::Duration;

use hsu_core::answer::Answer;
use hsu_core::effect::{Effect, Slow};
use hsu_core::input::{Command, Input, ShutdownMode, Toll};
use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::id::RunId;
use hsu_model::limits::{Action, Alert, Hold, LimitKind, Limits, Raise, Rule, Shares, Step};
use hsu_model::restart::{Restart, RestartPolicy};
use hsu_model::status::WorkerState;
use hsu_model::time::Tick;
use hsu_model::usage::{Reading, Usage};
use hsu_model::worker::{Unit, WorkerSpec};

use crate::world::specs::{plain, restart, worker};
use crate::world::{World, id, keeper::Temper};

const KILLED: Exit = Exit::Signal { number: 9, core: false };

/// A worker that may use 100 bytes of memory, and this follows at once when it uses more.
fn limited(restart: Restart, action: Action) -> WorkerSpec {
    let rule = Rule {
        kind: LimitKind::Resident,
        paths: Vec::new(),
        most: 100,
        warning: 80,
        critical: 100,
        hold: Hold::Watch,
        spike_tolerance: Duration::ZERO,
        ladder: vec![Step { after: Duration::ZERO, action }],
        raise: Raise { percent: 150, cap: 1000 },
        brake: hsu_model::limits::Brake::Hold,
    };
    let limits = Limits {
        rules: vec![rule],
        shares: Shares::default(),
        check_interval: Some(Duration::from_secs(10)),
        hysteresis: 5,
        history: None,
        alert: Alert::default(),
    };
    let mut spec = worker("a", restart);
    if let Unit::Managed(managed) = &mut spec.unit {
        managed.limits = Some(Arc::new(limits));
    }
    spec
}

/// Restarts after 5 s, and after 7 s where a limit was exceeded.
fn policy() -> Restart {
    let mut restart = restart(RestartPolicy::Always);
    restart.resource_violations.retry_delay = Duration::from_secs(7);
    restart
}

fn world(action: Action) -> World {
    World::of(limited(policy(), action))
}

fn uses(world: &mut World, bytes: u64) -> Vec<Effect> {
    let run = world.live_run("a").expect("it runs");
    let readings = vec![Reading { value: Some(bytes), held: 0 }];
    let usage = Usage { at: world.now, readings, ..Usage::default() };
    let effects = world.step(Input::Used { run, usage: Some(usage) });
    world.settle();
    effects
}

/// The kernel has killed processes of the worker for want of memory, and then it ends.
fn runs_out_of_memory(world: &mut World) {
    let run = world.live_run("a").expect("it runs");
    world.step(Input::HeldBack { run, toll: Toll { kills: 1, refusals: 0, exit: KILLED } });
    world.exit("a", KILLED);
}

fn looks(world: &World) -> Vec<(Tick, RunId)> {
    let of = |(at, effect): (Tick, &Effect)| {
        if let Effect::Measure { run, .. } = effect { Some((at, *run)) } else { None }
    };
    let all = world.transcript.iter();
    all.flat_map(|(at, _, effects)| effects.iter().map(|e| (*at, e))).filter_map(of).collect()
}

fn rests_for(world: &World) -> Vec<u64> {
    let rest = |fact: &EventKind| {
        if let EventKind::RestartScheduled { delay, .. } = fact {
            Some(delay.as_secs())
        } else {
            None
        }
    };
    world.facts().filter_map(rest).collect()
}

fn most(world: &World) -> Option<u64> {
    world.fleet.limits_of(&id("a")).map(|limits| limits.rules[0].most)
}

#[test]
fn what_a_worker_uses_is_looked_at_while_it_runs() {
    let mut world = world(Action::Log);
    world.advance(Duration::from_secs(10));
    assert_eq!(looks(&world).len(), 1);
    world.advance(Duration::from_secs(30));
    assert_eq!(looks(&world).len(), 1, "the answer is awaited");
    uses(&mut world, 50);
    world.advance(Duration::from_secs(10));
    assert_eq!(looks(&world).len(), 2);
    world.command("a", Command::Stop { force: false });
    world.advance(Duration::from_secs(60));
    assert_eq!((looks(&world).len(), world.fleet.next_deadline()), (2, None));
}

#[test]
fn a_worker_that_is_being_stopped_is_looked_at_no_more() {
    let mut world = world(Action::Restart);
    let run = world.live_run("a").expect("it runs");
    world.keeper.retemper(run, Temper::Stuck);
    world.command("a", Command::Stop { force: false });
    world.advance(Duration::from_secs(100));
    assert_eq!(looks(&world), []);
    let before = world.status("a");
    assert_eq!(uses(&mut world, 1000), []);
    assert_eq!(world.status("a"), before);
}

#[test]
fn a_worker_without_limits_is_not_looked_at() {
    let mut world = World::of(plain("a"));
    assert_eq!(world.fleet.limits_of(&id("a")), None);
    world.advance(Duration::from_secs(100));
    assert_eq!(looks(&world), []);
    assert_eq!(uses(&mut world, 1000), []);
}

#[test]
fn by_its_policy_a_worker_that_uses_too_much_is_asked_to_end_and_stays_stopped() {
    let mut world = world(Action::GracefulShutdown);
    uses(&mut world, 100);
    assert_eq!(world.state("a"), WorkerState::Running);
    let effects = uses(&mut world, 101);
    assert!(effects.iter().any(|e| matches!(e, Effect::Signal { signal: 15, .. })));
    world.advance(Duration::from_secs(100));
    assert_eq!((world.state("a"), world.starts()), (WorkerState::Stopped, 1));
    let told = world.facts().any(|fact| {
        matches!(fact, EventKind::StateChanged { to: WorkerState::Stopping, reason, .. }
            if reason == "it exceeded a resource limit")
    });
    assert!(told, "{}", world.story());
}

#[test]
fn or_it_is_killed_without_a_word() {
    let mut world = world(Action::ImmediateKill);
    let effects = uses(&mut world, 101);
    assert!(effects.iter().any(|e| matches!(e, Effect::KillTree { whole: true, .. })));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Signal { .. })));
    world.advance(Duration::from_secs(100));
    assert_eq!((world.state("a"), world.starts()), (WorkerState::Stopped, 1));
}

#[test]
fn or_it_is_restarted_by_the_settings_of_resource_violations() {
    let mut world = world(Action::Restart);
    uses(&mut world, 101);
    assert_eq!((world.state("a"), world.status("a").attempts), (WorkerState::BackingOff, 1));
    assert_eq!(rests_for(&world), [7]);
    world.advance(Duration::from_secs(7));
    assert_eq!((world.state("a"), world.starts()), (WorkerState::Running, 2));
    assert_eq!(most(&world), Some(100));
}

#[test]
fn or_it_is_slowed_down_until_it_uses_less() {
    let mut world = world(Action::Throttle);
    let slows = |effects: &[Effect]| -> Vec<(usize, Slow)> {
        let slow = |effect: &Effect| {
            if let Effect::Throttle { rule, how, .. } = effect { Some((*rule, *how)) } else { None }
        };
        effects.iter().filter_map(slow).collect()
    };
    assert_eq!(slows(&uses(&mut world, 101)), [(0, Slow::Down)]);
    assert_eq!(slows(&uses(&mut world, 101)), []);
    world.advance(Duration::from_secs(30));
    assert_eq!(slows(&uses(&mut world, 50)), [(0, Slow::Off)]);
    assert_eq!(world.state("a"), WorkerState::Running);
}

#[test]
fn nothing_restarts_a_worker_for_its_usage_before_its_grace_is_over() {
    let restart = Restart { startup_grace: Duration::from_secs(60), ..policy() };
    let mut world = World::of(limited(restart, Action::Restart));
    world.advance(Duration::from_secs(59));
    uses(&mut world, 101);
    assert_eq!(world.state("a"), WorkerState::Running);
    world.advance(Duration::from_secs(1));
    uses(&mut world, 101);
    assert_eq!(world.state("a"), WorkerState::BackingOff);
}

#[test]
fn a_limit_that_was_raised_holds_until_an_operator_begins_anew() {
    for (command, raised) in [
        (Command::Start, 100),
        (Command::Restart { force: false }, 100),
        (Command::ResetBreaker, 100),
        (Command::Signal(1), 150),
        (Command::Stop { force: false }, 150),
    ] {
        let mut world = world(Action::RestartAdjusted);
        uses(&mut world, 101);
        assert_eq!((world.state("a"), most(&world)), (WorkerState::BackingOff, Some(150)));
        world.advance(Duration::from_secs(7));
        uses(&mut world, 150);
        assert_eq!(world.state("a"), WorkerState::Running, "it holds for the next run");
        world.command("a", command);
        assert_eq!(most(&world), Some(raised), "{command:?}");
    }
}

#[test]
fn a_command_that_is_refused_lowers_no_limit() {
    let mut world = world(Action::RestartAdjusted);
    uses(&mut world, 101);
    world.advance(Duration::from_secs(7));
    world.command("a", Command::Disable);
    for command in [Command::Start, Command::Restart { force: true }] {
        let ticket = world.command("a", command);
        assert!(matches!(world.answer(ticket), Some(Answer::Refused(_))), "{command:?}");
        assert_eq!(most(&world), Some(150), "{command:?}");
    }
}

#[test]
fn a_worker_that_the_kernel_ended_for_want_of_memory_is_treated_as_its_policy_says() {
    let mut restarted = world(Action::Restart);
    runs_out_of_memory(&mut restarted);
    assert_eq!((restarted.state("a"), rests_for(&restarted)), (WorkerState::BackingOff, vec![7]));
    for action in [Action::GracefulShutdown, Action::ImmediateKill] {
        let mut stopped = world(action);
        runs_out_of_memory(&mut stopped);
        stopped.advance(Duration::from_secs(100));
        assert_eq!((stopped.state("a"), stopped.starts()), (WorkerState::Stopped, 1));
    }
    let mut told = world(Action::Log);
    runs_out_of_memory(&mut told);
    assert_eq!((told.state("a"), rests_for(&told)), (WorkerState::BackingOff, vec![5]));
}

/// A worker that the kernel holds to 100 of something ends.
fn held_until_its_end(kind: LimitKind, change: impl FnOnce(&mut Rule), toll: Toll) -> World {
    let mut spec = limited(policy(), Action::GracefulShutdown);
    if let Unit::Managed(managed) = &mut spec.unit
        && let Some(limits) = &mut managed.limits
    {
        let rule = &mut Arc::make_mut(limits).rules[0];
        (rule.kind, rule.hold) = (kind, Hold::Kernel);
        change(rule);
    }
    let mut world = World::of(spec);
    let run = world.live_run("a").expect("it runs");
    world.step(Input::HeldBack { run, toll });
    world.exit("a", toll.exit);
    world
}

fn exceeded(world: &World) -> usize {
    let is_it = |effect: &&Effect| {
        matches!(effect, Effect::Event { kind: EventKind::LimitExceeded { .. }, .. })
    };
    world.transcript.iter().flat_map(|(_, _, effects)| effects).filter(is_it).count()
}

#[test]
fn a_worker_that_ends_of_a_refused_fork_or_beyond_its_cpu_time_is_treated_as_its_policy_says() {
    let late = Exit::Signal { number: 24, core: false };
    let failed = Exit::Code(1);
    for (kind, refusals, exit, stops) in [
        (LimitKind::Processes, 3, failed, true),
        (LimitKind::Threads, 1, failed, true),
        (LimitKind::Threads, 1, Exit::Code(0), true),
        (LimitKind::Processes, 0, failed, false),
        (LimitKind::CpuTime, 0, late, true),
        (LimitKind::CpuTime, 0, KILLED, false),
        (LimitKind::OpenFiles, 3, late, false),
    ] {
        let world = held_until_its_end(kind, |_| {}, Toll { kills: 0, refusals, exit });
        let state = if stops { WorkerState::Stopped } else { WorkerState::BackingOff };
        assert_eq!((world.state("a"), exceeded(&world)), (state, usize::from(stops)), "{kind:?}");
    }
}

#[test]
fn a_refused_fork_before_a_clean_end_may_be_a_spike_and_before_another_one_is_none() {
    let patient = |rule: &mut Rule| rule.spike_tolerance = Duration::from_secs(60);
    for (exit, told) in [(Exit::Code(0), 0), (Exit::Code(1), 1)] {
        let toll = Toll { kills: 0, refusals: 1, exit };
        let world = held_until_its_end(LimitKind::Processes, patient, toll);
        assert_eq!(exceeded(&world), told, "{exit:?}");
    }
}

#[test]
fn what_a_look_has_seen_refused_is_not_told_again_at_the_end() {
    let watch = |rule: &mut Rule| rule.ladder.clear();
    let toll = Toll { kills: 0, refusals: 0, exit: Exit::Code(0) };
    let mut world = held_until_its_end(LimitKind::Processes, watch, toll);
    world.advance(Duration::from_secs(5));
    let run = world.live_run("a").expect("it runs again");
    let readings = vec![Reading { value: Some(3), held: 2 }];
    let usage = Usage { at: world.now, readings, ..Usage::default() };
    world.step(Input::Used { run, usage: Some(usage) });
    assert_eq!(exceeded(&world), 1, "refusals before the first look count");
    let toll = Toll { kills: 0, refusals: 2, exit: Exit::Code(1) };
    world.step(Input::HeldBack { run, toll });
    assert_eq!(exceeded(&world), 1);
}

#[test]
fn a_run_is_not_blamed_for_the_memory_of_the_run_before_it() {
    let mut world = world(Action::GracefulShutdown);
    let run = world.live_run("a").expect("it runs");
    world.step(Input::HeldBack { run, toll: Toll { kills: 1, refusals: 0, exit: KILLED } });
    world.command("a", Command::Restart { force: false });
    assert_eq!(world.live_run("a"), Some(RunId(run.0 + 1)));
    world.exit("a", Exit::Code(1));
    assert_eq!((world.state("a"), rests_for(&world)), (WorkerState::BackingOff, vec![5]));
}

#[test]
fn a_master_that_leaves_ends_nobody_for_what_it_uses() {
    let mut world = world(Action::ImmediateKill);
    world.shut_down(ShutdownMode::KeepWorkers);
    uses(&mut world, 1000);
    assert_eq!(world.state("a"), WorkerState::Running);
}

#[test]
fn that_a_limit_is_not_in_force_is_told() {
    let mut world = world(Action::Log);
    let (worker, reason) = (id("a"), "no cgroup".to_owned());
    let effects = world.step(Input::LimitFailed { worker, reason: reason.clone() });
    let says = |effect: &Effect| {
        matches!(effect, Effect::Event { worker: Some(worker), kind: EventKind::LimitFailed { reason: told }, .. }
            if *worker == id("a") && *told == reason)
    };
    assert!(effects.iter().any(says));
}

#[test]
fn what_a_limit_has_stopped_stays_stopped_under_the_next_master() {
    let mut world = world(Action::GracefulShutdown);
    uses(&mut world, 101);
    assert_eq!(world.state("a"), WorkerState::Stopped);
    world.crash(crate::world::Loss::Nothing);
    assert_eq!((world.state("a"), world.starts()), (WorkerState::Stopped, 1));
}
