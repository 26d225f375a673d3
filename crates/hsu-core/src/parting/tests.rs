//! Tests of partings: ends and words in every order.

use super::*;

const FIRST: ProcessKey = ProcessKey { pid: 10, started_at: 1 };
const SECOND: ProcessKey = ProcessKey { pid: 20, started_at: 2 };
const RUN: RunId = RunId(3);

fn worker() -> WorkerId {
    WorkerId::new("web").unwrap()
}

fn end_of(process: ProcessKey) -> End {
    let (exit, at, wall) = (Exit::Code(0), Tick(5), WallTime(5));
    End { worker: worker(), run: RUN, process, exit, at, wall }
}

#[test]
fn the_end_of_a_worker_that_says_nothing_is_the_end_of_its_run_at_once() {
    let mut parting = Parting::default();
    assert_eq!(parting.end(end_of(FIRST), Words::None, Tick(0)), Some(end_of(FIRST)));
    assert!(parting.is_empty() && parting.deadline().is_none());
}

#[test]
fn an_end_waits_until_what_was_said_before_it_is_heard() {
    let mut parting = Parting::default();
    assert_eq!(parting.end(end_of(FIRST), Words::MayCome, Tick(0)), None);
    assert_eq!(parting.listens().collect::<Vec<_>>(), [&worker()]);
    assert_eq!(parting.ended(RUN), Some(&end_of(FIRST)));
    assert_eq!(parting.ended(RunId(4)), None);
    assert_eq!(parting.heard_out(&WorkerId::new("other").unwrap()), []);
    assert!(!parting.is_empty());
    assert_eq!(parting.heard_out(&worker()), [end_of(FIRST)]);
    assert_eq!(parting.heard_out(&worker()), []);
}

#[test]
fn an_end_waits_for_no_more_than_a_moment() {
    let mut parting = Parting::default();
    assert_eq!(parting.end(end_of(FIRST), Words::MayCome, Tick(7)), None);
    let due = Tick(7).after(HEARD_WITHIN);
    assert_eq!(parting.deadline(), Some(due));
    assert_eq!(parting.due(Tick(due.0 - 1)), []);
    // Told once more by another keeper: it waits no longer for that.
    assert_eq!(parting.end(end_of(FIRST), Words::MayCome, Tick(9)), None);
    assert_eq!(parting.due(due), [end_of(FIRST)]);
    assert_eq!(parting.deadline(), None);
}

#[test]
fn whoever_was_named_goes_on_in_whatever_order_that_is_told() {
    // The word first, then the end, then the answer.
    let mut parting = Parting::default();
    parting.name(RUN, SECOND);
    assert_eq!(parting.end(end_of(FIRST), Words::None, Tick(0)), None);
    parting.followed(RUN, SECOND);
    assert!(parting.is_empty());
    // The end first, then the word, then that no other one comes, then the answer.
    assert_eq!(parting.end(end_of(FIRST), Words::MayCome, Tick(0)), None);
    parting.name(RUN, SECOND);
    assert_eq!(parting.heard_out(&worker()), []);
    parting.followed(RUN, SECOND);
    assert!(parting.is_empty() && parting.deadline().is_none());
    // The end of the second is the end of the run.
    assert_eq!(parting.end(end_of(SECOND), Words::None, Tick(0)), Some(end_of(SECOND)));
}

#[test]
fn an_end_that_waited_for_somebody_who_cannot_be_held_is_the_end_of_the_run() {
    let mut parting = Parting::default();
    parting.name(RUN, SECOND);
    assert_eq!(parting.refused(RUN, SECOND), None);
    parting.name(RUN, SECOND);
    assert_eq!(parting.end(end_of(FIRST), Words::MayCome, Tick(0)), None);
    assert_eq!(parting.refused(RUN, SECOND), None, "another one may be named");
    assert_eq!(parting.heard_out(&worker()), [end_of(FIRST)]);
}

#[test]
fn whoever_was_named_and_ended_before_the_answer_came_ends_the_run() {
    let mut parting = Parting::default();
    parting.name(RUN, SECOND);
    assert_eq!(parting.end(end_of(FIRST), Words::None, Tick(0)), None);
    // The keeper was replaced meanwhile; it tells of the one that it held last.
    assert_eq!(parting.end(end_of(SECOND), Words::None, Tick(0)), Some(end_of(SECOND)));
    assert!(parting.is_empty());
}

#[test]
fn the_last_one_that_is_named_counts() {
    let third = ProcessKey { pid: 30, started_at: 3 };
    let mut parting = Parting::default();
    parting.name(RUN, SECOND);
    parting.name(RUN, third);
    parting.followed(RUN, SECOND);
    assert_eq!(parting.end(end_of(SECOND), Words::None, Tick(0)), None, "the third goes on");
    parting.followed(RUN, third);
    assert!(parting.is_empty());
}
