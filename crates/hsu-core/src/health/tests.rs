//! One monitor, answered by hand.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::health::probe::Probe;
use hsu_model::health::{
    Adaptive, Check, Condition, Duty, Expression, Finding, Flapping, Health, Judgement, Measure,
    Rhythm, Source, Statistic, Verdict,
};
use hsu_model::id::RunId;
use hsu_model::severity::Severity;
use hsu_model::time::{Now, Tick, WallTime};
use proptest::prelude::*;

use super::*;

mod edges;

const RUN: RunId = RunId(7);

/// A check with a fixed rhythm: every 10 s, three failures, one success, no chance.
fn check(name: &str, duties: &[Duty]) -> Check {
    Check {
        name: name.into(),
        duties: duties.to_vec(),
        source: Source::Probed {
            probe: Arc::new(Probe::Process),
            judgement: None,
            shared_for: Duration::ZERO,
        },
        rhythm: Rhythm {
            initial_delay: Duration::from_secs(2),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            jitter: 0.0,
            failure_threshold: 3,
            success_threshold: 1,
            adaptive: None,
            flapping: None,
        },
        severity: Severity::Critical,
        after: Vec::new(),
    }
}

fn composed(name: &str, duties: &[Duty], expression: Expression) -> Check {
    Check { source: Source::Composed(expression), ..check(name, duties) }
}

/// A monitor with a clock and nobody else's looks.
struct Bench {
    health: Health,
    monitor: Monitor,
    limiter: Limiter,
    now: Tick,
}

impl Bench {
    fn of(checks: Vec<Check>) -> Self {
        let health = Health { checks };
        let mut monitor = Monitor::new(&health);
        let now = Tick(1_000_000_000_000);
        monitor.begin(&health, RUN, now, now, 0);
        Self { health, monitor, limiter: Limiter::new(LOOKS), now }
    }

    /// Waits for the next question.
    fn ask(&mut self) -> Vec<Question> {
        self.now = self.monitor.deadline(RUN).expect("a check is due").max(self.now);
        self.monitor.due(self.now, &mut self.limiter)
    }

    fn answer(&mut self, question: Question, finding: Finding) -> Option<Change> {
        let now = Now { tick: self.now, wall: WallTime(0) };
        let took = Duration::from_millis(3);
        let answer = Answer { run: RUN, question, finding, took };
        let change = self.monitor.take(&self.health, answer, now, 0);
        assert!(self.monitor.is_sound());
        change
    }

    /// Asks, and answers everything with the same; what the last one changed.
    fn round(&mut self, good: bool) -> Change {
        let questions = self.ask();
        let mut last = Change::default();
        for question in questions {
            last = self.answer(question, if good { passed() } else { failed() }).unwrap();
        }
        last
    }

    fn condition(&self) -> Condition {
        self.monitor.condition
    }
}

impl Monitor {
    /// An answer is awaited that nobody has asked for.
    pub(crate) fn spoil(&mut self) {
        let mut watch = Watch::default();
        watch.ask(self.sequence + 1);
        self.watches.push(watch);
    }
}

fn passed() -> Finding {
    Finding::Passed { value: None, note: "fine".into() }
}

fn failed() -> Finding {
    Finding::Failed { why: "broken".into() }
}

#[test]
fn without_checks_a_worker_that_runs_is_ready() {
    let bench = Bench::of(vec![]);
    assert!(bench.monitor.is_ready());
    assert_eq!(bench.monitor.deadline(RUN), None);
    assert_eq!(bench.monitor.status(&bench.health, Some(RUN)), None);
}

#[test]
fn the_first_look_waits_for_the_delay_and_the_next_for_the_interval() {
    let mut bench = Bench::of(vec![check("a", &[Duty::Liveness])]);
    let start = bench.now;
    bench.round(true);
    assert_eq!(bench.now.since(start), Duration::from_secs(2));
    bench.round(true);
    assert_eq!(bench.now.since(start), Duration::from_secs(12));
}

#[test]
fn exactly_so_many_failures_in_a_row_as_declared_make_a_check_fail() {
    let mut bench = Bench::of(vec![check("a", &[Duty::Liveness, Duty::Readiness])]);
    bench.round(true);
    assert_eq!(bench.condition(), Condition::Healthy);
    for good in [false, false, true, false, false] {
        assert_eq!(bench.round(good).restart, None);
    }
    assert_eq!(bench.condition(), Condition::Degraded);
    assert!(bench.monitor.is_ready());
    let change = bench.round(false);
    assert_eq!(change.checks, [(0, Verdict::Failing, "broken (3 times in a row)".into())]);
    let (severity, why) = change.restart.unwrap();
    assert_eq!(
        (severity, why.as_str()),
        (Severity::Critical, "check `a`: broken (3 times in a row)")
    );
    assert_eq!(bench.condition(), Condition::Unhealthy);
    assert!(!bench.monitor.is_ready());
}

#[test]
fn while_a_liveness_check_fails_every_look_asks_for_the_restart_again() {
    let mut bench = Bench::of(vec![check("a", &[Duty::Liveness])]);
    let asked: Vec<bool> = (0..5).map(|_| bench.round(false).restart.is_some()).collect();
    assert_eq!(asked, [false, false, true, true, true]);
}

#[test]
fn so_many_successes_as_declared_make_a_failed_check_pass_again() {
    let mut slow = check("a", &[Duty::Readiness]);
    slow.rhythm.success_threshold = 3;
    slow.rhythm.failure_threshold = 1;
    let mut bench = Bench::of(vec![slow]);
    bench.round(false);
    let verdicts: Vec<Verdict> = [true, true, false, true, true, true]
        .map(|good| {
            bench.round(good);
            bench.monitor.watches[0].verdict()
        })
        .into();
    let (f, p) = (Verdict::Failing, Verdict::Passing);
    assert_eq!(verdicts, [f, f, f, f, f, p]);
}

#[test]
fn an_answer_to_an_older_question_or_about_another_run_changes_nothing() {
    let mut bench = Bench::of(vec![check("a", &[Duty::Readiness])]);
    let question = bench.ask()[0];
    let before = bench.monitor.clone();
    let older = Question { sequence: question.sequence - 1, ..question };
    let elsewhere = Question { check: 9, ..question };
    for stale in [older, elsewhere] {
        assert_eq!(bench.answer(stale, failed()), None);
        assert_eq!(bench.monitor, before);
    }
    assert!(bench.answer(question, passed()).is_some());
    // The same once more: it was answered.
    assert_eq!(bench.answer(question, failed()), None);
    bench.monitor.begin(&bench.health, RunId(8), bench.now, bench.now, 0);
    assert_eq!(bench.answer(question, failed()), None);
}

#[test]
fn a_look_that_came_to_nothing_counts_for_nothing_and_is_taken_again_soon() {
    let mut bench = Bench::of(vec![check("a", &[Duty::Liveness])]);
    let question = bench.ask()[0];
    let begin = bench.now;
    let change = bench.answer(question, Finding::Inconclusive { why: "held up".into() }).unwrap();
    assert_eq!(change, Change::default());
    assert_eq!(bench.condition(), Condition::Unknown);
    assert_eq!(bench.monitor.deadline(RUN).unwrap().since(begin), Duration::from_secs(1));
}

#[test]
fn nothing_else_is_looked_at_before_the_startup_checks_have_passed() {
    let mut bench = Bench::of(vec![
        check("up", &[Duty::Startup]),
        check("ready", &[Duty::Readiness]),
        check("alive", &[Duty::Liveness]),
    ]);
    for _ in 0..2 {
        let questions = bench.ask();
        assert_eq!(questions.len(), 1);
        assert_eq!(questions[0].check, 0);
        bench.answer(questions[0], failed());
        assert!(!bench.monitor.is_ready());
    }
    bench.round(true);
    assert!(!bench.monitor.is_ready());
    let after: Vec<usize> = bench.ask().iter().map(|question| question.check).collect();
    assert_eq!(after, [1, 2]);
}

#[test]
fn a_worker_that_does_not_come_up_is_unhealthy_and_restarted() {
    let mut bench = Bench::of(vec![check("up", &[Duty::Startup])]);
    for _ in 0..2 {
        bench.round(false);
        assert_eq!(bench.condition(), Condition::Unknown, "it may come up still");
    }
    assert!(bench.round(false).restart.is_some());
    assert_eq!(bench.condition(), Condition::Unhealthy);
}

/// The truth table of the guide: what three checks say, and what follows.
#[test]
fn readiness_and_condition_follow_the_truth_table() {
    let (u, p, f) = (Verdict::Unknown, Verdict::Passing, Verdict::Failing);
    for (readiness, liveness, dependency, ready, condition) in [
        (p, p, p, true, Condition::Healthy),
        (u, p, p, false, Condition::Unknown),
        (p, u, p, true, Condition::Unknown),
        (p, p, u, true, Condition::Unknown),
        (f, p, p, false, Condition::Degraded),
        (p, f, p, false, Condition::Unhealthy),
        (f, f, f, false, Condition::Unhealthy),
        (p, p, f, true, Condition::Degraded),
        (u, p, f, false, Condition::Degraded),
        (f, u, u, false, Condition::Degraded),
    ] {
        let mut checks = vec![
            check("ready", &[Duty::Readiness]),
            check("alive", &[Duty::Liveness]),
            check("needs", &[Duty::Dependency]),
        ];
        checks.iter_mut().for_each(|check| check.rhythm.failure_threshold = 1);
        let mut bench = Bench::of(checks);
        for question in bench.ask() {
            let verdict = [readiness, liveness, dependency][question.check];
            match verdict {
                Verdict::Unknown => {}
                Verdict::Passing => drop(bench.answer(question, passed())),
                Verdict::Failing => drop(bench.answer(question, failed())),
            }
        }
        let got = (bench.monitor.is_ready(), bench.condition());
        assert_eq!(got, (ready, condition), "{readiness:?} {liveness:?} {dependency:?}");
    }
}

#[test]
fn a_composite_follows_its_parts_at_once_and_its_parts_restart_nothing() {
    let either = Expression::AtLeast(1, vec![Expression::Check(0), Expression::Check(1)]);
    let mut one = check("one", &[]);
    one.rhythm.failure_threshold = 1;
    let two = Check { name: "two".into(), ..one.clone() };
    let mut bench = Bench::of(vec![one, two, composed("both", &[Duty::Liveness], either)]);
    let questions = bench.ask();
    assert_eq!(bench.answer(questions[0], failed()).unwrap().restart, None);
    assert_eq!(bench.condition(), Condition::Unknown);
    bench.answer(questions[1], passed());
    assert_eq!(bench.condition(), Condition::Healthy);
    let questions = bench.ask();
    bench.answer(questions[0], failed());
    let change = bench.answer(questions[1], failed()).unwrap();
    assert_eq!(change.checks.last().unwrap().1, Verdict::Failing);
    assert!(change.restart.unwrap().1.contains("`both`"));
}

#[test]
fn a_check_that_comes_after_another_is_made_only_while_that_one_passes() {
    let mut second = check("second", &[Duty::Readiness]);
    second.after = vec![0];
    let mut first = check("first", &[]);
    first.rhythm.failure_threshold = 1;
    let mut bench = Bench::of(vec![first, second]);
    let questions = bench.ask();
    assert_eq!(questions.len(), 1);
    bench.answer(questions[0], passed());
    // The second is asked at once, and its answer comes after the first has failed.
    let asked = bench.ask();
    assert_eq!(asked[0].check, 1);
    let again = bench.ask();
    assert_eq!(again[0].check, 0);
    bench.answer(again[0], failed());
    assert!(bench.answer(asked[0], passed()).is_some());
    assert_eq!(bench.monitor.watches[1].verdict(), Verdict::Unknown);
    assert!(!bench.monitor.is_ready());
}

#[test]
fn a_check_that_flaps_fails_until_it_was_good_for_a_while() {
    let mut restless = check("a", &[Duty::Readiness]);
    restless.rhythm.failure_threshold = 1;
    let window = Duration::from_secs(600);
    let hold = Duration::from_secs(35);
    restless.rhythm.flapping = Some(Flapping { changes: 4, window, hold });
    let mut bench = Bench::of(vec![restless]);
    for good in [true, false, true, false, true, false] {
        bench.round(good);
    }
    let status = bench.monitor.status(&bench.health, Some(RUN)).unwrap();
    assert!(status.checks[0].is_flapping);
    // 10, 20 and 30 s after the last failure it is held; after 40 s it may pass.
    let ready: Vec<bool> = (0..4)
        .map(|_| {
            bench.round(true);
            bench.monitor.is_ready()
        })
        .collect();
    assert_eq!(ready, [false, false, false, true]);
}

#[test]
fn results_that_alternate_ten_times_a_second_tell_of_one_change() {
    // Row 113.
    let mut fast = check("a", &[Duty::Readiness, Duty::Liveness]);
    fast.rhythm.interval = Duration::from_millis(100);
    let mut bench = Bench::of(vec![fast]);
    bench.round(true);
    let told = (0..100).filter(|round| {
        let change = bench.round(round % 2 == 0);
        assert_eq!(change.restart, None);
        change.condition.is_some() || !change.checks.is_empty()
    });
    assert_eq!(told.count(), 1);
    assert!(bench.monitor.is_ready());
}

#[test]
fn an_adaptive_interval_is_short_while_results_are_bad_and_grows_while_they_are_good() {
    let mut adaptive = check("a", &[Duty::Readiness]);
    let (shortest, longest) = (Duration::from_secs(6), Duration::from_secs(40));
    adaptive.rhythm.adaptive = Some(Adaptive { shortest, longest });
    let mut bench = Bench::of(vec![adaptive]);
    let mut rest = |good: bool| {
        bench.round(good);
        bench.monitor.deadline(RUN).unwrap().since(bench.now).as_secs()
    };
    let good: Vec<u64> = (0..13).map(|_| rest(true)).collect();
    assert_eq!(good, [10, 10, 10, 20, 20, 20, 20, 40, 40, 40, 40, 40, 40]);
    assert_eq!([rest(false), rest(false), rest(true)], [6, 6, 10]);
}

#[test]
fn a_check_of_performance_fails_by_what_many_looks_come_to() {
    let mut slow = check("fast", &[Duty::Dependency]);
    slow.rhythm.failure_threshold = 1;
    slow.source = Source::Probed {
        probe: Arc::new(Probe::Process),
        judgement: Some(Judgement {
            measure: Measure::Latency,
            statistic: Statistic::Percentile(95),
            window: Duration::from_secs(60),
            samples: 3,
            at_least: None,
            at_most: Some(0.002),
        }),
        shared_for: Duration::ZERO,
    };
    let mut bench = Bench::of(vec![slow]);
    // Every look of the bench takes 3 ms; the first two are too few to judge.
    let conditions: Vec<Condition> = (0..3)
        .map(|_| {
            bench.round(true);
            bench.condition()
        })
        .collect();
    assert_eq!(conditions, [Condition::Healthy, Condition::Healthy, Condition::Degraded]);
}

#[test]
fn ten_thousand_checks_that_are_due_at_once_are_spread() {
    // Row 115.
    let mut limiter = Limiter::new(LOOKS);
    let health = Health { checks: vec![check("a", &[Duty::Readiness])] };
    let mut monitors: Vec<Monitor> = (0..10_000).map(|_| Monitor::new(&health)).collect();
    let start = Tick(0);
    monitors.iter_mut().for_each(|m| m.begin(&health, RUN, start, start, 0));
    let due = Tick(0).after(Duration::from_secs(2));
    let asked = |monitors: &mut Vec<Monitor>, limiter: &mut Limiter, now: Tick| -> usize {
        monitors.iter_mut().map(|monitor| monitor.due(now, limiter).len()).sum()
    };
    assert_eq!(asked(&mut monitors, &mut limiter, due), 100);
    let mut total = 100;
    for step in 1..=500_u64 {
        let now = due.after(Duration::from_millis(10 * step));
        let count = asked(&mut monitors, &mut limiter, now);
        assert!(count <= 21, "{count} looks in ten milliseconds");
        total += count;
    }
    assert_eq!(total, 10_000);
}

#[derive(Clone, Debug)]
enum Happening {
    Good,
    Bad,
    Unclear,
    Stale,
    Wait,
    Begin,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    use Happening::{Bad, Begin, Good, Stale, Unclear, Wait};
    let one = prop_oneof![
        5 => Just(Good), 5 => Just(Bad), 1 => Just(Unclear), 2 => Just(Stale), 6 => Just(Wait),
        1 => Just(Begin),
    ];
    proptest::collection::vec(one, 0..200)
}

proptest! {
    /// I17: older answers change nothing, thresholds are kept exactly, and no check has
    /// two questions open, whatever the order of answers is.
    #[test]
    fn whatever_the_schedule_thresholds_are_exact_and_no_question_overlaps(
        happenings in happenings(),
        failures in 1_u32..5,
        successes in 1_u32..4,
    ) {
        let mut checked = check("a", &[Duty::Readiness, Duty::Liveness]);
        checked.rhythm.failure_threshold = failures;
        checked.rhythm.success_threshold = successes;
        let mut bench = Bench::of(vec![checked]);
        let mut open: Option<Question> = None;
        let mut answered: Vec<Question> = Vec::new();
        let (mut bad, mut good, mut verdict) = (0, 0, Verdict::Unknown);
        for happening in happenings {
            match happening {
                Happening::Wait => {
                    if bench.monitor.deadline(RUN).is_some() {
                        let questions = bench.ask();
                        prop_assert!(questions.is_empty() || open.is_none());
                        open = open.or_else(|| questions.first().copied());
                    } else {
                        prop_assert!(open.is_some());
                    }
                }
                Happening::Stale => {
                    let before = bench.monitor.clone();
                    for stale in answered.clone() {
                        prop_assert_eq!(bench.answer(stale, failed()), None);
                    }
                    prop_assert_eq!(&bench.monitor, &before);
                }
                Happening::Begin => {
                    answered.extend(open.take());
                    bench.monitor.begin(&bench.health, RUN, bench.now, bench.now, 0);
                    (bad, good, verdict) = (0, 0, Verdict::Unknown);
                }
                Happening::Good | Happening::Bad | Happening::Unclear => {
                    let Some(question) = open.take() else { continue };
                    answered.push(question);
                    let finding = match happening {
                        Happening::Good => passed(),
                        Happening::Bad => failed(),
                        Happening::Unclear
                        | Happening::Stale
                        | Happening::Wait
                        | Happening::Begin => Finding::Inconclusive { why: "held up".into() },
                    };
                    match happening {
                        Happening::Good => (bad, good) = (0, good + 1),
                        Happening::Bad => (bad, good) = (bad + 1, 0),
                        Happening::Unclear
                        | Happening::Stale
                        | Happening::Wait
                        | Happening::Begin => {}
                    }
                    let change = bench.answer(question, finding);
                    prop_assert!(change.is_some());
                    if bad >= failures {
                        verdict = Verdict::Failing;
                    } else if good >= successes {
                        verdict = Verdict::Passing;
                    }
                    prop_assert_eq!(bench.monitor.watches[0].verdict(), verdict);
                    let must = verdict == Verdict::Failing && bad > 0;
                    prop_assert_eq!(change.unwrap().restart.is_some(), must);
                    prop_assert_eq!(bench.monitor.is_ready(), verdict == Verdict::Passing);
                }
            }
        }
    }
}
