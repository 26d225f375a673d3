//! What the room of masters decides, without a process.

use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Tick {
    Tick(seconds * SECOND)
}

/// A master serves since the beginning.
fn serving() -> Masters {
    let mut masters = Masters::default();
    masters.welcome(at(0), Program::default());
    masters
}

/// A candidate was started at the beginning, and has said hello.
fn upgrading() -> Masters {
    let mut masters = serving();
    let start = masters.upgrade(Program::default());
    assert_eq!(told(&[start]), ["start Candidate HSU_CANDIDATE=1"]);
    assert!(masters.started(at(0), Which::Candidate, Ok(())).is_none());
    let hello = masters.welcome_candidate(Program::default());
    assert_eq!(told(hello.as_slice()), ["Master: Yield"]);
    masters
}

/// Actions in a few words.
fn told(actions: &[Action]) -> Vec<String> {
    let tell = |action: &Action| match action {
        Action::Tell(role, message) => format!("{role:?}: {message:?}"),
        Action::Start(which, _, (name, value)) => format!("start {which:?} {name}={value}"),
        Action::End(which, blow) => format!("{blow:?} {which:?}"),
        Action::Promote => "promote".to_owned(),
        Action::Inventory => "inventory".to_owned(),
        Action::ForgetEnded => "forget".to_owned(),
    };
    actions.iter().map(tell).collect()
}

const RESUMED: [&str; 2] =
    ["Master: Resume", "Master: UpgradeFailed { reason: \"it ended before it was ready\" }"];

#[test]
fn a_master_that_is_killed_is_started_again_at_once() {
    let mut masters = serving();
    assert!(masters.ended(at(1), Which::Serving, Loss::Killed).is_empty());
    assert_eq!(masters.deadline(), Some(at(1)));
    assert_eq!(told(&masters.tend(at(1))), ["start Serving HSU_RELAUNCHED=1"]);
    assert!(masters.tend(at(1)).is_empty(), "once");
}

#[test]
fn a_master_that_ends_by_itself_rests_longer_and_longer() {
    let mut masters = serving();
    let (mut now, mut rests) = (at(0), Vec::new());
    for _ in 0..8 {
        assert!(masters.ended(now, Which::Serving, Loss::ByItself).is_empty());
        let due = masters.deadline().unwrap();
        rests.push(due.since(now).as_millis());
        now = due;
        assert_eq!(masters.tend(now).len(), 1);
        assert!(masters.started(now, Which::Serving, Ok(())).is_none());
    }
    assert_eq!(rests, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    let long_after = now.after(LATELY);
    assert!(masters.ended(long_after, Which::Serving, Loss::ByItself).is_empty());
    assert_eq!(masters.deadline(), Some(long_after.after(FIRST_REST)), "it had served for long");
}

#[test]
fn masters_that_are_killed_all_the_time_are_started_with_a_rest() {
    let mut masters = serving();
    for _ in 0..QUICK_STARTS {
        assert!(masters.ended(at(1), Which::Serving, Loss::Killed).is_empty());
        assert_eq!(masters.deadline(), Some(at(1)));
        masters.welcome(at(1), Program::default());
    }
    assert!(masters.ended(at(1), Which::Serving, Loss::Killed).is_empty());
    assert_eq!(masters.deadline(), Some(at(1).after(SLOW_START)));
}

#[test]
fn a_start_that_fails_is_tried_again_after_a_rest() {
    let mut masters = serving();
    assert!(masters.ended(at(1), Which::Serving, Loss::Killed).is_empty());
    assert_eq!(masters.tend(at(1)).len(), 1);
    assert!(masters.started(at(1), Which::Serving, Err(String::new())).is_none());
    assert_eq!(masters.deadline(), Some(at(1).after(FIRST_REST)));
}

#[test]
fn a_master_that_does_not_answer_is_ended_and_the_next_one_knows_why() {
    let mut masters = serving();
    assert_eq!(told(&masters.tend(at(25))), ["Master: Ping"]);
    masters.on_pong(at(26));
    assert_eq!(masters.deadline(), Some(at(51)), "it has answered");
    assert_eq!(told(&masters.tend(at(51))), ["Master: Ping"]);
    assert_eq!(told(&masters.tend(at(54))), ["Abort Serving"]);
    masters.on_pong(at(55));
    assert_eq!(told(&masters.tend(at(59))), ["Kill Serving"], "it is too late to answer");
    assert!(masters.ended(at(60), Which::Serving, Loss::Killed).is_empty());
    assert_eq!(told(&masters.tend(at(60))), ["start Serving HSU_RELAUNCHED=hung"]);
}

#[test]
fn a_master_that_never_says_hello_is_ended_too() {
    let mut masters = serving();
    assert!(masters.ended(at(1), Which::Serving, Loss::Killed).is_empty());
    assert_eq!(masters.tend(at(1)).len(), 1);
    assert!(masters.started(at(1), Which::Serving, Ok(())).is_none());
    assert_eq!(masters.tend(at(26)).len(), 1);
    assert_eq!(told(&masters.tend(at(29))), ["Abort Serving"]);
}

#[test]
fn nobody_is_started_after_a_goodbye() {
    let mut masters = serving();
    assert!(masters.on_goodbye(at(1), GoodbyeMode::Keep).is_empty());
    assert!(masters.ended(at(1), Which::Serving, Loss::ByItself).is_empty());
    assert_eq!(masters.deadline(), None);
    assert!(!masters.is_over(at(100), || true));
}

#[test]
fn everything_is_over_when_nothing_is_left_or_after_a_while() {
    let mut masters = serving();
    assert_eq!(told(&masters.on_goodbye(at(1), GoodbyeMode::Stop)), ["forget"]);
    assert!(!masters.is_over(at(5), || false));
    assert!(masters.is_over(at(5), || true));
    assert!(masters.is_over(at(6), || false));
    masters.welcome(at(5), Program::default());
    assert!(!masters.is_over(at(6), || true), "another one has come");
}

#[test]
fn a_candidate_that_is_ready_serves_and_the_old_master_is_fenced() {
    let mut masters = upgrading();
    assert!(masters.obeys(Role::Candidate) && masters.obeys(Role::Master));
    assert_eq!(told(&[masters.proceed()]), ["Candidate: Proceed"]);
    let handed = masters.hand_over(at(1));
    assert_eq!(told(&handed), ["Master: Fenced", "promote", "inventory"]);
    assert!(masters.ended(at(2), Which::Candidate, Loss::Killed).is_empty(), "it is none any more");
    assert!(masters.ended(at(2), Which::Serving, Loss::Killed).is_empty());
    assert_eq!(masters.tend(at(2)).len(), 1, "it is the one that is started again");
}

#[test]
fn a_candidate_that_ends_leaves_the_old_master_in_office() {
    let mut masters = upgrading();
    assert_eq!(told(&masters.ended(at(1), Which::Candidate, Loss::ByItself)), RESUMED);
    assert!(masters.hand_over(at(1)).is_empty(), "nobody is there to serve");
    let again = masters.upgrade(Program::default());
    assert_eq!(told(&[again]), ["start Candidate HSU_CANDIDATE=1"]);
}

#[test]
fn a_late_candidate_is_dead_before_the_old_master_goes_on() {
    let mut masters = upgrading();
    assert_eq!(masters.deadline(), Some(at(5)));
    assert_eq!(told(&masters.tend(at(5))), ["Kill Candidate"]);
    assert!(masters.hand_over(at(5)).is_empty(), "it is ready too late");
    assert!(!masters.obeys(Role::Candidate), "and nothing that it orders is done");
    let resumed = told(&masters.ended(at(6), Which::Candidate, Loss::Killed));
    assert_eq!(resumed[0], "Master: Resume");
    assert!(resumed[1].contains("it was not ready in time"));
}

#[test]
fn when_the_old_master_is_lost_the_candidate_proceeds_and_nobody_else_is_started() {
    let mut masters = upgrading();
    let actions = masters.ended(at(1), Which::Serving, Loss::Killed);
    assert_eq!(told(&actions), ["Candidate: Proceed"]);
    assert_eq!(masters.deadline(), Some(at(5)), "but it has to be ready in time");
    assert!(masters.ended(at(2), Which::Candidate, Loss::Killed).is_empty());
    assert_eq!(told(&masters.tend(at(2))), ["start Serving HSU_RELAUNCHED=1"]);
}

#[test]
fn a_candidate_that_comes_after_the_loss_of_the_old_master_need_not_wait() {
    let mut masters = serving();
    let _ = masters.upgrade(Program::default());
    assert!(masters.started(at(0), Which::Candidate, Ok(())).is_none());
    let _ = masters.ended(at(1), Which::Serving, Loss::Killed);
    let hello = masters.welcome_candidate(Program::default());
    assert_eq!(told(hello.as_slice()), ["Candidate: Proceed"]);
}

#[test]
fn one_upgrade_is_under_way_at_a_time() {
    let mut masters = upgrading();
    let refused = told(&[masters.upgrade(Program::default())]);
    assert_eq!(refused, ["Master: UpgradeFailed { reason: \"another upgrade is under way\" }"]);
}

#[test]
fn a_candidate_that_cannot_be_started_is_told_and_forgotten() {
    let mut masters = serving();
    let _ = masters.upgrade(Program::default());
    let failed = masters.started(at(0), Which::Candidate, Err("no such file".to_owned()));
    let failed = told(failed.as_slice());
    assert_eq!(failed, ["Master: UpgradeFailed { reason: \"no such file\" }"]);
    assert!(masters.welcome_candidate(Program::default()).is_none());
}

#[test]
fn a_goodbye_ends_the_candidate_too() {
    let mut masters = upgrading();
    let actions = masters.on_goodbye(at(1), GoodbyeMode::Stop);
    assert_eq!(told(&actions), ["Kill Candidate", "forget"]);
}
