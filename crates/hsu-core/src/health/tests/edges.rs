//! What shows only when two things meet: each was a change that no other test noticed
//! (docs/reference/mutants.md).

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::health::{
    Check, Condition, Duty, Expression, Finding, Flapping, Judgement, Measure, Statistic, Verdict,
};
use hsu_model::time::{Now, Tick, WallTime};

use super::super::{Answer, Health, Monitor, Source};
use super::{Bench, RUN, RunId, check, composed, failed, passed};

/// One failure is enough.
fn strict(name: &str, duties: &[Duty]) -> Check {
    let mut strict = check(name, duties);
    strict.rhythm.failure_threshold = 1;
    strict
}

fn rests(bench: &mut Bench, good: bool) -> u64 {
    bench.round(good);
    bench.monitor.deadline(RUN).map_or(0, |due| due.since(bench.now).as_secs())
}

#[test]
fn two_open_questions_with_one_number_and_a_number_never_given_are_unsound() {
    let health = Health { checks: vec![check("a", &[]), check("b", &[])] };
    let mut monitor = Monitor::new(&health);
    monitor.sequence = 2;
    assert!(monitor.is_sound());
    monitor.watches[0].ask(1);
    monitor.watches[1].ask(2);
    assert!(monitor.is_sound());
    monitor.watches[1].ask(1);
    assert!(!monitor.is_sound(), "one number twice");
    monitor.watches[1].ask(3);
    assert!(!monitor.is_sound(), "a number that was never given");
}

#[test]
fn one_good_look_after_a_bad_one_does_not_make_it_steady_and_two_do() {
    let mut bench = Bench::of(vec![check("a", &[Duty::Readiness])]);
    let seen: Vec<Condition> = [true, false, true, true, true]
        .map(|good| {
            bench.round(good);
            bench.condition()
        })
        .into();
    let (h, d) = (Condition::Healthy, Condition::Degraded);
    assert_eq!(seen, [h, d, d, h, h]);
}

#[test]
fn a_worker_that_has_not_answered_yet_is_not_degraded_and_healthy_after_its_first_good_answer() {
    for duties in [&[Duty::Readiness][..], &[Duty::Liveness, Duty::Readiness]] {
        let mut bench = Bench::of(vec![check("a", duties)]);
        for _ in 0..2 {
            let change = bench.round(false);
            assert_eq!((change.checks, change.condition, change.restart), (vec![], None, None));
            assert_eq!((bench.condition(), bench.monitor.is_ready()), (Condition::Unknown, false));
        }
        bench.round(true);
        assert_eq!((bench.condition(), bench.monitor.is_ready()), (Condition::Healthy, true));
        // From then on a failure counts.
        bench.round(false);
        assert_eq!(bench.condition(), Condition::Degraded);
    }
}

#[test]
fn a_check_that_failed_before_it_ever_passed_takes_two_good_looks() {
    let mut bench = Bench::of(vec![strict("a", &[Duty::Readiness])]);
    let seen = [false, true, true].map(|good| {
        bench.round(good);
        (bench.condition(), bench.monitor.is_ready())
    });
    let expected =
        [(Condition::Degraded, false), (Condition::Degraded, true), (Condition::Healthy, true)];
    assert_eq!(seen, expected);
}

#[test]
fn a_startup_check_that_has_failed_once_is_forgotten_when_it_passes() {
    let mut bench = Bench::of(vec![check("up", &[Duty::Startup])]);
    bench.round(false);
    bench.round(true);
    assert_eq!(bench.condition(), Condition::Healthy);
    assert!(bench.monitor.is_ready());
    assert_eq!(bench.monitor.deadline(RUN), None, "it has done what it is for");
}

#[test]
fn a_startup_check_with_another_duty_goes_on_and_restarts_nothing_by_the_first() {
    let mut bench = Bench::of(vec![strict("up", &[Duty::Startup, Duty::Readiness])]);
    bench.round(true);
    assert!(bench.monitor.is_ready());
    let change = bench.round(false);
    assert_eq!(change.restart, None);
    assert_eq!((bench.monitor.is_ready(), bench.condition()), (false, Condition::Degraded));
}

#[test]
fn liveness_restarts_nothing_before_the_worker_is_up() {
    let lives = composed("lives", &[Duty::Liveness], Expression::Check(1));
    let mut bench = Bench::of(vec![lives, strict("up", &[Duty::Startup])]);
    let change = bench.round(false);
    assert!(change.restart.is_some_and(|(_, why)| why.contains("`up`")));
    assert_eq!(bench.condition(), Condition::Unhealthy);
    assert_eq!(bench.round(true).restart, None);
    assert_eq!(bench.condition(), Condition::Healthy);
}

#[test]
fn that_readiness_changes_is_told_also_where_the_condition_stays() {
    let mut bench =
        Bench::of(vec![strict("ready", &[Duty::Readiness]), strict("needs", &[Duty::Dependency])]);
    let questions = bench.ask();
    bench.answer(questions[0], passed());
    bench.answer(questions[1], failed());
    assert_eq!((bench.condition(), bench.monitor.is_ready()), (Condition::Degraded, true));
    let questions = bench.ask();
    let change = bench.answer(questions[0], failed()).unwrap();
    let (before, after, _) = change.condition.unwrap();
    assert_eq!(
        (before, after, bench.monitor.is_ready()),
        (Condition::Degraded, Condition::Degraded, false)
    );
    let change = bench.answer(questions[1], failed()).unwrap();
    assert_eq!(change.condition, None, "nothing is another");
}

#[test]
fn of_another_run_and_of_none_nothing_is_known() {
    let mut bench = Bench::of(vec![check("a", &[Duty::Readiness])]);
    bench.round(true);
    let seen = |run| {
        let status = bench.monitor.status(&bench.health, run).unwrap();
        (status.condition, status.checks[0].verdict)
    };
    assert_eq!(seen(Some(RUN)), (Condition::Healthy, Verdict::Passing));
    for other in [None, Some(RunId(8))] {
        assert_eq!(seen(other), (Condition::Unknown, Verdict::Unknown));
    }
    assert_eq!(bench.monitor.deadline(RunId(8)), None);
    let never = Monitor::new(&bench.health).status(&bench.health, None).unwrap();
    assert_eq!(never.condition, Condition::Unknown);
}

#[test]
fn what_was_found_running_is_looked_at_soon_and_not_all_at_the_same_time() {
    let health = Health { checks: vec![check("a", &[Duty::Readiness])] };
    let now = Tick(1_000_000_000_000);
    let first = |started: Tick, entropy: u64| {
        let mut monitor = Monitor::new(&health);
        monitor.begin(&health, RUN, started, now, entropy);
        monitor.deadline(RUN).unwrap()
    };
    let moments: Vec<Tick> = (0..20).map(|entropy| first(Tick(0), entropy)).collect();
    let soon = now.after(Duration::from_secs(1));
    assert!(moments.iter().all(|at| (now..=soon).contains(at)), "{moments:?}");
    assert!(moments.iter().any(|at| *at != moments[0]));
    // What started just so long ago as the delay is no news: it is looked at now.
    let just = Tick(now.0 - 2_000_000_000);
    assert!((0..20).all(|entropy| first(just, entropy) == now));
}

#[test]
fn chance_makes_an_interval_shorter_and_never_longer() {
    let mut jittery = check("a", &[Duty::Readiness]);
    jittery.rhythm.jitter = 0.5;
    for (entropy, seconds) in [(0, 10), (u64::MAX, 5)] {
        let mut bench = Bench::of(vec![jittery.clone()]);
        let question = bench.ask()[0];
        let (finding, took) = (passed(), Duration::ZERO);
        let answer = Answer { run: RUN, question, finding, took };
        let now = Now { tick: bench.now, wall: WallTime(0) };
        bench.monitor.take(&bench.health, answer, now, entropy).unwrap();
        let due = bench.monitor.deadline(RUN).unwrap();
        assert_eq!(due.since(bench.now), Duration::from_secs(seconds));
    }
}

#[test]
fn looks_that_are_due_within_a_tenth_of_a_second_are_taken_together() {
    let due = |interval: u64, late: u64| {
        let mut regular = check("a", &[Duty::Readiness]);
        regular.rhythm.interval = Duration::from_millis(interval);
        let mut bench = Bench::of(vec![regular]);
        let question = bench.ask()[0];
        let asked = bench.now;
        let now = Now { tick: asked.after(Duration::from_millis(late)), wall: WallTime(0) };
        let answer = Answer { run: RUN, question, finding: passed(), took: Duration::ZERO };
        bench.monitor.take(&bench.health, answer, now, 0).unwrap();
        bench.monitor.deadline(RUN).unwrap().since(asked).as_millis()
    };
    assert_eq!([0, 1, 99, 100].map(|late| due(10_000, late)), [10_000, 10_000, 10_000, 10_100]);
    assert_eq!([1, 37].map(|late| due(1000, late)), [1000, 1000]);
    // What comes more often than once a second comes when it is due.
    assert_eq!([1, 37].map(|late| due(999, late)), [1000, 1036]);
}

#[test]
fn an_adaptive_check_that_still_fails_stays_quick() {
    let mut slow = strict("a", &[Duty::Readiness]);
    slow.rhythm.success_threshold = 3;
    let (shortest, longest) = (Duration::from_secs(6), Duration::from_secs(40));
    slow.rhythm.adaptive = Some(hsu_model::health::Adaptive { shortest, longest });
    let mut bench = Bench::of(vec![slow]);
    let seen = [false, true, true, true].map(|good| rests(&mut bench, good));
    assert_eq!(seen, [6, 6, 6, 10]);
}

#[test]
fn changes_that_are_older_than_the_window_are_no_flapping() {
    for (window, flaps) in [(30, true), (29, false)] {
        let mut restless = strict("a", &[Duty::Readiness]);
        let (window, hold) = (Duration::from_secs(window), Duration::from_secs(30));
        restless.rhythm.flapping = Some(Flapping { changes: 3, window, hold });
        let mut bench = Bench::of(vec![restless]);
        // The changes come at 10, 20 and 30 s; the failure at 40 s finds those within its window.
        for good in [true, false, true, false, false] {
            bench.round(good);
        }
        let status = bench.monitor.status(&bench.health, Some(RUN)).unwrap();
        assert_eq!(status.checks[0].is_flapping, flaps, "{window:?}");
    }
}

#[test]
fn a_check_that_flaps_says_so_and_passes_when_its_hold_is_just_over() {
    let mut restless = strict("a", &[Duty::Readiness]);
    let (window, hold) = (Duration::from_secs(600), Duration::from_secs(30));
    restless.rhythm.flapping = Some(Flapping { changes: 4, window, hold });
    let mut bench = Bench::of(vec![restless]);
    let mut last = None;
    for good in [true, false, true, false, true, false] {
        last = bench.round(good).checks.pop();
    }
    let says = "it changes too often; at last: broken";
    assert_eq!(last, Some((0, Verdict::Failing, says.into())));
    let ready: Vec<bool> = (0..3)
        .map(|_| {
            bench.round(true);
            bench.monitor.is_ready()
        })
        .collect();
    assert_eq!(ready, [false, false, true]);
    // What was held against it is forgotten with that.
    bench.round(false);
    let status = bench.monitor.status(&bench.health, Some(RUN)).unwrap();
    assert!(!status.checks[0].is_flapping);
}

#[test]
fn looks_are_counted_and_timed_over_all_runs() {
    let mut bench = Bench::of(vec![strict("a", &[Duty::Readiness])]);
    for (took, good) in [(8, true), (16, false), (9, true)] {
        let question = bench.ask()[0];
        let finding = if good { passed() } else { failed() };
        let took = Duration::from_millis(took);
        let now = Now { tick: bench.now, wall: WallTime(5) };
        let answer = Answer { run: RUN, question, finding, took };
        bench.monitor.take(&bench.health, answer, now, 0).unwrap();
    }
    bench.monitor.begin(&bench.health, RunId(8), bench.now, bench.now, 0);
    let status = bench.monitor.status(&bench.health, Some(RunId(8))).unwrap();
    let seen = &status.checks[0];
    assert_eq!((seen.looks, seen.failed, seen.flaps), (3, 1, 2));
    // 8, then 7 parts of 8 and one of 16, then 7 parts of 9 and one of 9.
    assert_eq!((seen.usual, seen.longest), (Duration::from_millis(9), Duration::from_millis(16)));
    assert_eq!((seen.last.as_ref(), seen.kind), (None, "process"));
}

#[test]
fn a_composite_is_named_as_what_it_is_and_counts_its_own_changes() {
    let parts = vec![
        strict("one", &[]),
        composed("all", &[Duty::Liveness], Expression::AtLeast(1, vec![Expression::Check(0)])),
    ];
    let mut bench = Bench::of(parts);
    let mut told: Vec<String> = Vec::new();
    for good in [true, false, true, true] {
        let change = bench.round(good);
        told.extend(
            change.checks.into_iter().filter(|(place, ..)| *place == 1).map(|(.., why)| why),
        );
    }
    assert_eq!(told, ["`one` is passing", "`one` is failing", "`one` is passing"]);
    let status = bench.monitor.status(&bench.health, Some(RUN)).unwrap();
    assert_eq!((status.checks[1].kind, status.checks[1].flaps), ("composite", 2));
}

#[test]
fn an_explanation_names_each_check_once_in_their_order() {
    let both = Expression::AtLeast(
        2,
        vec![Expression::Check(1), Expression::Check(0), Expression::Check(1)],
    );
    let checks = [check("one", &[]), check("two", &[])];
    let verdicts = [Verdict::Passing, Verdict::Unknown];
    let text = super::super::expression::explain(&both, &checks, &verdicts);
    assert_eq!(text, "`one` is passing, `two` is unknown");
}

#[test]
fn what_many_looks_come_to_is_shown_and_a_long_answer_is_cut() {
    let mut slow = strict("fast", &[Duty::Dependency]);
    slow.source = Source::Probed {
        probe: alloc::sync::Arc::new(hsu_model::health::probe::Probe::Process),
        judgement: Some(Judgement {
            measure: Measure::Latency,
            statistic: Statistic::Greatest,
            window: Duration::from_secs(60),
            samples: 1,
            at_least: None,
            at_most: Some(1.0),
        }),
        shared_for: Duration::ZERO,
    };
    let mut bench = Bench::of(vec![slow]);
    let longer = alloc::format!("a{}", "ä".repeat(200));
    for (note, kept) in [
        ("a".repeat(300), "a".repeat(300)),
        ("a".repeat(301), alloc::format!("{}...", "a".repeat(300))),
        (longer, alloc::format!("a{}...", "ä".repeat(149))),
    ] {
        let question = bench.ask()[0];
        bench.answer(question, Finding::Passed { value: Some(7.0), note }).unwrap();
        let status = bench.monitor.status(&bench.health, Some(RUN)).unwrap();
        let seen = &status.checks[0];
        assert_eq!(seen.kind, "performance");
        let last = seen.last.clone().unwrap();
        assert_eq!((last.note, last.value), (kept, Some(0.003)));
    }
}

#[test]
fn what_has_not_decided_yet_is_told_with_what_it_said_last() {
    let mut bench = Bench::of(vec![check("a", &[Duty::Readiness])]);
    let told = |bench: &Bench| bench.monitor.judge(&bench.health);
    let nothing = (Condition::Unknown, String::from("check `a` has said nothing yet"));
    assert_eq!(told(&bench), nothing);
    bench.round(false);
    let (condition, why) = told(&bench);
    assert_eq!(condition, Condition::Unknown);
    assert!(!why.contains("nothing yet") && why.contains('a'), "{why}");
}
