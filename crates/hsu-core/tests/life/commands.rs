//! Commands that meet: one wins, and everybody is told what became of theirs.

use std::time::Duration;

use hsu_core::answer::{Answer, Refusal};
use hsu_core::input::{Command, Ticket};
use hsu_model::event::EventKind;
use hsu_model::exit::Exit;
use hsu_model::restart::RestartPolicy;
use hsu_model::status::{Desired, WorkerState};

use crate::world::keeper::{Outcome, Temper};
use crate::world::specs::{GRACE, plain, restart, worker};
use crate::world::{World, settings};

const START: Command = Command::Start;
const STOP: Command = Command::Stop { force: false };
const RESTART: Command = Command::Restart { force: false };

/// A world whose worker does this when the commands meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum During {
    Start,
    Stop,
    Rest,
}

fn world_during(during: During) -> (World, Option<Ticket>) {
    let mut world = World::of(plain("web"));
    let ticket = match during {
        During::Start => {
            world.ask("web", STOP);
            world.keeper.holds_spawns = true;
            Some(world.command("web", START))
        }
        During::Stop => {
            let run = world.live_run("web").expect("it runs");
            world.keeper.harden(run);
            Some(world.command("web", STOP))
        }
        During::Rest => {
            world.exit("web", Exit::Code(1));
            None
        }
    };
    (world, ticket)
}

fn finish(world: &mut World) {
    world.keeper.holds_spawns = false;
    world.settle();
    world.advance(GRACE);
}

fn is_done(answer: Option<&Answer>) -> bool {
    matches!(answer, Some(Answer::Done { .. }))
}

#[test]
fn the_later_of_two_commands_wins_and_the_earlier_one_is_told_so() {
    use During::{Rest, Start, Stop};
    use WorkerState::{Running, Stopped};
    for (during, later, by, state, starts) in [
        (Stop, START, "start", Running, 2),
        (Stop, RESTART, "restart", Running, 2),
        (Stop, STOP, "stop", Stopped, 1),
        (Stop, Command::Disable, "disable", Stopped, 1),
        (Start, STOP, "stop", Stopped, 2),
        (Start, RESTART, "restart", Running, 2),
        (Start, START, "start", Running, 2),
        (Start, Command::Disable, "disable", Stopped, 2),
        (Rest, STOP, "", Stopped, 1),
        (Rest, START, "", Running, 2),
        (Rest, RESTART, "", Running, 2),
        (Rest, Command::ResetBreaker, "", Running, 2),
        (Rest, Command::Disable, "", Stopped, 1),
    ] {
        let (mut world, earlier) = world_during(during);
        let ticket = world.command("web", later);
        let superseded = earlier.map(|_| Answer::Refused(Refusal::Superseded { by }));
        let told = earlier.and_then(|earlier| world.answer(earlier));
        assert_eq!(told, superseded, "{later:?} during {during:?}");
        finish(&mut world);
        let answer = world.answer(ticket);
        assert!(is_done(answer.as_ref()), "{later:?} during {during:?}: {answer:?}");
        assert_eq!(world.state("web"), state, "{later:?} during {during:?}");
        assert_eq!(world.starts(), starts, "{later:?} during {during:?}");
    }
}

#[test]
fn commands_that_want_nothing_else_disturb_nothing_that_is_under_way() {
    for during in [During::Start, During::Stop] {
        for harmless in [Command::Enable, Command::ResetBreaker, Command::Signal(1)] {
            let (mut world, earlier) = world_during(during);
            let answer = world.ask("web", harmless);
            assert!(answer.is_some(), "{harmless:?} is answered at once");
            finish(&mut world);
            let earlier = earlier.and_then(|earlier| world.answer(earlier));
            assert!(is_done(earlier.as_ref()), "{during:?} {harmless:?}: {earlier:?}");
        }
    }
}

#[test]
fn two_restarts_have_one_winner_and_one_new_process() {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    world.keeper.harden(run);
    let (first, second) = (world.command("web", RESTART), world.command("web", RESTART));
    world.advance(GRACE);
    let superseded = Answer::Refused(Refusal::Superseded { by: "restart" });
    assert_eq!(world.answer(first), Some(superseded));
    assert!(is_done(world.answer(second).as_ref()));
    assert_eq!((world.starts(), world.status("web").restarts), (2, 1));
    let told = world.ask("web", RESTART);
    assert!(matches!(told, Some(Answer::Done { message, .. }) if message == "restarted"));
}

#[test]
fn a_command_that_is_refused_leaves_the_one_under_way_alone() {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    world.keeper.harden(run);
    let disable = world.command("web", Command::Disable);
    for refused in [START, RESTART, Command::Restart { force: true }] {
        let answer = world.ask("web", refused);
        assert!(matches!(answer, Some(Answer::Refused(Refusal::Conflict { .. }))), "{answer:?}");
        assert_eq!(world.answer(disable), None, "{refused:?}");
    }
    world.advance(GRACE);
    assert!(is_done(world.answer(disable).as_ref()));
}

#[test]
fn a_worker_is_removed_only_when_nothing_of_it_runs() {
    let mut world = World::of(plain("web"));
    let answer = world.ask("web", Command::Remove);
    let conflict = |answer: Option<Answer>| {
        matches!(answer, Some(Answer::Refused(Refusal::Conflict { operation: "remove", .. })))
    };
    assert!(conflict(answer));
    world.ask("web", STOP);
    assert!(is_done(world.ask("web", Command::Remove).as_ref()));
    let unknown = world.ask("web", START);
    assert!(matches!(unknown, Some(Answer::Refused(Refusal::Unknown { .. }))), "{unknown:?}");
    world.crash(crate::world::Loss::Orders);
    assert_eq!(world.fleet.statuses().count(), 0, "it stays away from the next master");
}

#[test]
fn a_removal_is_told_as_the_order_that_it_is_and_then_as_done() {
    let mut world = World::of(plain("web"));
    world.ask("web", STOP);
    world.ask("web", Command::ResetBreaker);
    assert!(is_done(world.ask("web", Command::Remove).as_ref()));
    let facts: Vec<_> = world.facts().collect();
    let order = EventKind::Commanded { verb: "remove".to_owned() };
    assert_eq!(facts[facts.len() - 2..], [&order, &EventKind::Removed]);
}

#[test]
fn a_removed_worker_that_rests_is_never_started() {
    let mut world = World::of(plain("web"));
    world.exit("web", Exit::Code(1));
    assert!(is_done(world.ask("web", Command::Remove).as_ref()));
    world.advance(Duration::from_secs(1000));
    assert_eq!((world.starts(), world.fleet.next_deadline()), (1, None));
}

#[test]
fn a_disabled_worker_stays_down_until_it_is_enabled_and_started() {
    let mut world = World::of(plain("web"));
    assert!(is_done(world.ask("web", Command::Disable).as_ref()));
    assert!(!is_done(world.ask("web", START).as_ref()));
    assert!(is_done(world.ask("web", Command::Enable).as_ref()));
    world.advance(Duration::from_secs(1000));
    assert_eq!((world.starts(), world.state("web")), (1, WorkerState::Stopped));
    assert!(is_done(world.ask("web", START).as_ref()));
    assert_eq!(world.state("web"), WorkerState::Running);
}

#[test]
fn who_disabled_a_worker_is_told_when_a_later_stop_has_ended_it() {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    world.keeper.harden(run);
    let disable = world.command("web", Command::Disable);
    let stop = world.command("web", STOP);
    assert_eq!((world.answer(disable), world.answer(stop)), (None, None));
    world.advance(GRACE);
    assert!(is_done(world.answer(stop).as_ref()) && is_done(world.answer(disable).as_ref()));
    assert!(!is_done(world.ask("web", START).as_ref()), "it is disabled");
}

#[test]
fn to_start_what_runs_already_forgets_its_failures() {
    let mut world = World::of(plain("web"));
    world.exit("web", Exit::Code(1));
    world.advance(Duration::from_secs(5));
    assert_eq!((world.state("web"), world.status("web").attempts), (WorkerState::Running, 1));
    assert!(is_done(world.ask("web", START).as_ref()));
    assert_eq!((world.state("web"), world.status("web").attempts), (WorkerState::Running, 0));
}

#[test]
fn enabling_a_worker_starts_it_neither_now_nor_with_the_next_inventory() {
    let mut spec = plain("web");
    spec.enabled = false;
    let mut world = World::of(spec);
    world.ask("web", Command::Enable);
    assert_eq!(world.status("web").desired, Desired::Stopped);
    world.keeper.tell_inventory();
    world.settle();
    assert_eq!(world.starts(), 0);
}

#[test]
fn a_forced_restart_kills_at_once_and_starts_again() {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    world.keeper.harden(run);
    assert!(is_done(world.ask("web", Command::Restart { force: true }).as_ref()));
    assert_eq!((world.state("web"), world.starts()), (WorkerState::Running, 2));
    assert_eq!(world.status("web").restarts, 1);
}

#[test]
fn a_restart_waits_until_what_the_old_run_left_is_gone() {
    let mut world = World::of(plain("web"));
    let run = world.live_run("web").expect("it runs");
    world.keeper.retemper(run, Temper::Messy);
    world.keeper.holds_kills = true;
    let ticket = world.command("web", RESTART);
    assert_eq!((world.answer(ticket), world.state("web")), (None, WorkerState::Stopping));
    world.keeper.holds_kills = false;
    world.settle();
    assert!(is_done(world.answer(ticket).as_ref()) && world.keeper.leftovers.is_empty());
}

#[test]
fn a_start_that_fails_is_answered_with_the_reason_at_once() {
    for transient in [true, false] {
        let mut world = World::of(plain("web"));
        world.ask("web", STOP);
        world.next_spawn(Outcome::Fails { transient });
        let answer = world.ask("web", START);
        let failed = matches!(answer, Some(Answer::Refused(Refusal::Failed { .. })));
        assert!(failed, "transient {transient}: {answer:?}");
    }
}

#[test]
fn a_start_whose_process_ends_before_it_is_announced_is_answered() {
    for (policy, exit, done) in [
        (RestartPolicy::Never, Exit::Code(0), true),
        (RestartPolicy::Never, Exit::Code(1), false),
        (RestartPolicy::Always, Exit::Code(1), false),
    ] {
        let mut world = World::of(worker("web", restart(policy)));
        world.ask("web", STOP);
        world.keeper.holds_spawns = true;
        let ticket = world.command("web", START);
        world.keeper.finish_spawn(0, world.now);
        world.keeper.messages.clear();
        world.exit("web", exit);
        let answer = world.answer(ticket);
        assert_eq!(is_done(answer.as_ref()), done, "{policy:?}, {exit}: {answer:?}");
        assert!(answer.is_some(), "{policy:?}, {exit}");
    }
}

#[test]
fn a_stop_before_the_inventory_is_answered_when_nothing_is_found() {
    let mut world = World::new(settings(), vec![plain("web")], crate::world::Pace::Patient);
    world.deliver();
    world.sync();
    world.keeper.forget_everything();
    world.replace(crate::world::Loss::Orders, hsu_core::record::Resume::Continue);
    let ticket = world.command("web", STOP);
    world.rush();
    assert!(is_done(world.answer(ticket).as_ref()), "{}", world.story());
    assert_eq!(world.starts(), 0);
}

#[test]
fn a_signal_reaches_the_process_alone_and_bad_numbers_are_refused() {
    let mut world = World::of(plain("web"));
    assert!(is_done(world.ask("web", Command::Signal(1)).as_ref()));
    assert_eq!(world.keeper.signals.last().map(|(_, _, signal)| *signal), Some(1));
    for number in [0, -1, 65, i32::MAX] {
        assert!(!is_done(world.ask("web", Command::Signal(number)).as_ref()), "{number}");
    }
    world.ask("web", STOP);
    assert!(!is_done(world.ask("web", Command::Signal(1)).as_ref()));
}

#[test]
fn a_signal_that_is_refused_is_not_told_as_carried_out() {
    let mut world = World::of(plain("web"));
    world.ask("web", Command::Stop { force: false });
    let told = world.facts().count();
    for command in [Command::Signal(1), Command::Signal(0), Command::Signal(65)] {
        let answer = world.ask("web", command);
        assert!(matches!(answer, Some(Answer::Refused(_))), "{answer:?}");
    }
    assert_eq!(world.facts().count(), told);
}

#[test]
fn only_what_can_do_nothing_but_end_something_waits_for_no_disk_that_takes_nothing() {
    for (command, outruns) in [
        (Command::Stop { force: false }, true),
        (Command::Stop { force: true }, true),
        (Command::Signal(15), true),
        (Command::Start, false),
        (Command::Restart { force: true }, false),
        (Command::Enable, false),
        (Command::Disable, false),
        (Command::Remove, false),
        (Command::ResetBreaker, false),
    ] {
        assert_eq!(command.outruns_the_disk(), outruns, "{command:?}");
    }
}
