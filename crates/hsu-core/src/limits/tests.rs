//! Tests of watches: when runs are looked at, and what their usage means.

use std::string::String;
use std::vec;
use std::vec::Vec;

use hsu_model::exit::Exit;
use hsu_model::limits::{Alert, Brake, Hold, Raise, Shares, Step};
use hsu_model::usage::Totals;

use super::*;

const SECOND: u64 = 1_000_000_000;
const RUN: RunId = RunId(1);
const NOW: Tick = Tick(1000 * SECOND);

fn toll(kills: u64) -> Toll {
    Toll { kills, refusals: 0, exit: Exit::Signal { number: 9, core: false } }
}

fn rule(kind: LimitKind, most: u64, ladder: &[(u64, Action)]) -> Rule {
    Rule {
        kind,
        paths: Vec::new(),
        most,
        warning: most * 8 / 10,
        critical: most,
        hold: Hold::Watch,
        spike_tolerance: Duration::ZERO,
        ladder: ladder
            .iter()
            .map(|(after, action)| Step { after: Duration::from_secs(*after), action: *action })
            .collect(),
        raise: Raise { percent: 150, cap: most * 2 },
        brake: Brake::Hold,
    }
}

fn limits(rules: Vec<Rule>) -> Arc<Limits> {
    Arc::new(Limits {
        rules,
        shares: Shares::default(),
        check_interval: Some(Duration::from_secs(10)),
        hysteresis: 5,
        history: None,
        alert: Alert::default(),
    })
}

fn worker() -> WorkerId {
    WorkerId::new("web").unwrap()
}

fn watch(limits: &Arc<Limits>) -> Watches {
    let mut watches = Watches::default();
    begin(&mut watches, limits, RUN);
    watches
}

fn begin(watches: &mut Watches, limits: &Arc<Limits>, run: RunId) {
    let (worker, started, grace) = (&worker(), Tick(0), Duration::ZERO);
    let owner = Owner::We;
    watches.begin(Tick(0), &Limited { worker, run, limits, started, grace, owner });
}

fn usage(second: u64, values: &[u64]) -> Usage {
    let reading = |value: &u64| Reading { value: Some(*value), held: 0 };
    Usage {
        at: Tick(second * SECOND),
        totals: Totals::default(),
        readings: values.iter().map(reading).collect(),
        oom_kills: 0,
    }
}

/// One look: what becomes of the worker, and the facts that are told.
fn see(watches: &mut Watches, second: u64, values: &[u64]) -> (Option<Sentence>, Vec<EventKind>) {
    let mut out = Vec::new();
    let now = Tick(second * SECOND);
    let sentence = watches.see(now, RUN, Some(usage(second, values)), &mut out);
    let kind = |effect| if let Effect::Event { kind, .. } = effect { Some(kind) } else { None };
    (sentence, out.into_iter().filter_map(kind).collect())
}

#[test]
fn looks_come_at_the_interval_on_a_common_grid_and_one_at_a_time() {
    let limits = limits(vec![rule(LimitKind::Resident, 100, &[])]);
    let mut watches = watch(&limits);
    let first = watches.next().unwrap();
    assert!(first.0 <= 10 * SECOND && first.0.is_multiple_of(QUARTER), "{first:?}");
    let mut out = Vec::new();
    watches.wake(first, &mut out);
    assert!(matches!(out.as_slice(), [Effect::Measure { run: RUN, .. }]), "{out:?}");
    assert_eq!(watches.next(), None, "the answer is awaited");
    watches.see(first, RUN, None, &mut out);
    assert_eq!(watches.next(), Some(first.after(Duration::from_secs(10))));
    watches.end(RUN);
    assert_eq!(watches.next(), None);
    assert_eq!(watches.see(first, RUN, None, &mut out), None, "a stale report");
}

#[test]
fn runs_that_start_together_are_spread_over_the_interval() {
    let limits = limits(vec![rule(LimitKind::Resident, 100, &[])]);
    let mut watches = Watches::default();
    for run in 1..=1000 {
        begin(&mut watches, &limits, RunId(run));
    }
    let moments: BTreeSet<_> = watches.due.iter().map(|(due, _)| *due).collect();
    assert_eq!(moments.len(), 40, "each quarter of a second of ten");
}

#[test]
fn a_rate_is_what_was_used_between_two_looks() {
    let limits = limits(vec![rule(LimitKind::Cpu, 500, &[(0, Action::ImmediateKill)])]);
    let mut watches = watch(&limits);
    assert_eq!(see(&mut watches, 10, &[100_000]), (None, vec![]), "one look is no rate");
    assert_eq!(see(&mut watches, 20, &[104_000]), (None, vec![]), "400 thousandths");
    let (sentence, told) = see(&mut watches, 30, &[110_000]);
    assert_eq!(sentence, Some(Sentence::Kill));
    let EventKind::LimitExceeded { value, most, .. } = &told[0] else { panic!("{told:?}") };
    assert_eq!((value.as_str(), most.as_str()), ("60.0 %", "50.0 %"));
    assert_eq!(watches.next(), None, "after its sentence it is left alone");
}

#[test]
fn a_sentence_is_passed_once() {
    let all = vec![
        rule(LimitKind::Resident, 100, &[(0, Action::GracefulShutdown)]),
        rule(LimitKind::Processes, 1, &[(0, Action::Restart)]),
    ];
    let mut watches = watch(&limits(all));
    let (sentence, told) = see(&mut watches, 10, &[200, 5]);
    assert_eq!(sentence, Some(Sentence::Stop), "the first of the limits decides");
    let actions = told.iter().filter(|kind| matches!(kind, EventKind::LimitAction { .. })).count();
    assert_eq!(actions, 1, "what is not done is not told");
}

#[test]
fn a_raised_limit_holds_for_the_next_run_and_not_beyond_its_cap() {
    let declared = limits(vec![rule(LimitKind::Resident, 100, &[(0, Action::RestartAdjusted)])]);
    let mut watches = watch(&declared);
    let restart = Some(Sentence::Restart(Severity::Critical));
    assert_eq!(see(&mut watches, 10, &[120]).0, restart);
    let most = |watches: &Watches| watches.raised(&worker()).map(|limits| limits.rules[0].most);
    assert_eq!(most(&watches), Some(150));
    for (value, raised) in [(151, 200), (201, 200)] {
        watches.end(RUN);
        begin(&mut watches, &declared, RUN);
        assert_eq!(see(&mut watches, 20, &[value]).0, restart);
        assert_eq!(most(&watches), Some(raised));
    }
    watches.lower(&worker());
    assert_eq!(most(&watches), None);
}

#[test]
fn what_was_raised_is_kept_and_taken_up_as_far_as_it_is_declared_still() {
    let adjusts = &[(0, Action::RestartAdjusted)][..];
    let declared = limits(vec![
        rule(LimitKind::Resident, 100, adjusts),
        rule(LimitKind::Processes, 10, adjusts),
    ]);
    let mut watches = watch(&declared);
    see(&mut watches, 10, &[120, 5]);
    let kept = watches.keep(&worker(), &declared);
    let raised = |limit: &str, most| Raised { limit: limit.into(), paths: vec![], most };
    assert_eq!(kept, [raised("memory.max_rss", 150)]);
    for (declared, kept, expected) in [
        // As it was: limit, warning and threshold.
        (100, raised("memory.max_rss", 150), Some((150, 120, 150))),
        // Lower by now, with a lower cap.
        (60, raised("memory.max_rss", 150), Some((120, 96, 120))),
        // Higher by now than it was raised.
        (200, raised("memory.max_rss", 150), None),
        // Not declared any more.
        (100, raised("memory.max_swap", 150), None),
        (100, Raised { paths: vec!["/srv".into()], ..raised("memory.max_rss", 150) }, None),
    ] {
        let mut next = Watches::default();
        let limits = limits(vec![rule(LimitKind::Resident, declared, adjusts)]);
        next.recall(&worker(), &limits, &[kept]);
        let rule = next.raised(&worker()).map(|limits| limits.rules[0].clone());
        let got = rule.map(|rule| (rule.most, rule.warning, rule.critical));
        assert_eq!(got, expected, "{declared}");
    }
}

#[test]
fn what_is_raised_is_made_durable() {
    let all = limits(vec![rule(LimitKind::Resident, 100, &[(0, Action::RestartAdjusted)])]);
    let mut watches = watch(&all);
    let mut out = Vec::new();
    watches.see(Tick(SECOND), RUN, Some(usage(1, &[120])), &mut out);
    assert!(out.contains(&Effect::Persist { workers: vec![worker()] }), "{out:?}");
}

#[test]
fn a_kill_by_the_kernel_is_an_emergency_and_counts_once() {
    let all = limits(vec![rule(LimitKind::Resident, 100, &[(300, Action::Restart)])]);
    let mut watches = watch(&all);
    let mut out = Vec::new();
    let sentence = watches.held_back(NOW, RUN, toll(2), &mut out);
    assert_eq!(sentence, Some(Sentence::Restart(Severity::Emergency)));
    assert!(out.iter().any(|effect| matches!(
        effect,
        Effect::Event { kind: EventKind::OomKilled { count: 2, .. }, .. }
    )));
    out.clear();
    assert_eq!(watches.held_back(NOW, RUN, toll(2), &mut out), None);
    assert_eq!(out, []);
}

#[test]
fn a_kill_by_the_kernel_without_a_policy_is_told_and_nothing_more() {
    let mut watches = watch(&limits(vec![rule(LimitKind::Resident, 100, &[])]));
    let mut out = Vec::new();
    assert_eq!(watches.held_back(NOW, RUN, toll(1), &mut out), None);
    assert_eq!(out.len(), 1);
}

#[test]
fn a_reading_that_the_host_does_not_tell_says_nothing() {
    let all = limits(vec![rule(LimitKind::ReadBytes, 1, &[(0, Action::Restart)])]);
    let mut watches = watch(&all);
    let nothing = |second| Usage {
        at: Tick(second * SECOND),
        readings: vec![Reading::default()],
        ..Usage::default()
    };
    for second in [10, 20] {
        let mut out = Vec::new();
        let seen = watches.see(Tick(second * SECOND), RUN, Some(nothing(second)), &mut out);
        assert_eq!((seen, out), (None, vec![]));
    }
}

#[test]
fn an_alert_says_who_exceeds_what_and_by_how_much() {
    let mut watches =
        watch(&limits(vec![rule(LimitKind::Resident, 1 << 20, &[(0, Action::Alert)])]));
    let mut out = Vec::new();
    watches.see(Tick(SECOND), RUN, Some(usage(1, &[3 << 20])), &mut out);
    let text: Vec<String> = out
        .into_iter()
        .filter_map(|e| if let Effect::Alert { text, .. } = e { Some(text) } else { None })
        .collect();
    assert_eq!(text, ["web exceeds memory.max_rss: 3.0 MiB of 1.0 MiB"]);
}

#[test]
fn a_look_that_nobody_asked_for_leads_to_no_second_one() {
    let all = limits(vec![rule(LimitKind::Resident, 100, &[])]);
    let mut watches = watch(&all);
    let first = watches.next();
    see(&mut watches, 1, &[50]);
    assert_eq!(watches.next(), first);
    // Nor does a run that is begun again.
    begin(&mut watches, &all, RUN);
    watches.end(RUN);
    assert_eq!(watches.next(), None);
}

#[test]
fn the_first_look_is_never_at_once_and_often_enough_it_has_no_grid() {
    let all = limits(vec![rule(LimitKind::Resident, 100, &[])]);
    for (run, quarters) in [(40, 1), (1, 2), (39, 40)] {
        let mut watches = Watches::default();
        begin(&mut watches, &all, RunId(run));
        assert_eq!(watches.next(), Some(Tick(quarters * QUARTER)), "run {run}");
    }
    for (millis, first) in [(250, 250_000_001), (251, 500_000_000), (100, 100_000_001)] {
        let interval = Duration::from_millis(millis);
        assert_eq!(super::first(Tick(1), interval, RUN), Tick(first), "every {millis} ms");
    }
}

#[test]
fn a_look_comes_early_where_a_step_or_the_end_of_a_spike_is_due() {
    let mut patient = rule(LimitKind::Resident, 100, &[(3, Action::Log)]);
    let mut watches = watch(&limits(vec![patient.clone()]));
    watches.wake(Tick(SECOND * 10), &mut Vec::new());
    see(&mut watches, 10, &[200]);
    assert_eq!(watches.next(), Some(Tick(13 * SECOND)));
    // Not so soon that nothing can have changed.
    patient.spike_tolerance = Duration::from_millis(1);
    let mut watches = watch(&limits(vec![patient]));
    watches.wake(Tick(SECOND * 10), &mut Vec::new());
    see(&mut watches, 10, &[200]);
    assert_eq!(watches.next(), Some(Tick(10 * SECOND).after(SHORTEST_RATE)));
}

#[test]
fn two_looks_within_a_moment_are_no_rate() {
    let all = vec![rule(LimitKind::Cpu, 500, &[(0, Action::Restart)])];
    for (apart, judged) in [(SHORTEST_RATE - Duration::from_nanos(1), false), (SHORTEST_RATE, true)]
    {
        let mut watches = watch(&limits(all.clone()));
        let mut sentence = None;
        for (at, value) in [(Tick(SECOND), 0), (Tick(SECOND).after(apart), 1000)] {
            let usage = Usage { at, ..usage(0, &[value]) };
            sentence = watches.see(at, RUN, Some(usage), &mut Vec::new());
        }
        assert_eq!(sentence.is_some(), judged, "{apart:?}");
    }
}

#[test]
fn a_worker_that_the_kernel_has_held_back_since_the_last_look_wants_more() {
    let mut watches = watch(&limits(vec![rule(LimitKind::Processes, 100, &[])]));
    let exceeded: Vec<bool> = [(1, 0), (2, 5), (3, 5), (4, 6)]
        .map(|(second, held)| {
            let readings = vec![Reading { value: Some(1), held }];
            let usage = Usage { readings, ..usage(second, &[]) };
            let mut out = Vec::new();
            watches.see(Tick(second * SECOND), RUN, Some(usage), &mut out);
            let is_it = |effect: &Effect| {
                matches!(effect, Effect::Event { kind: EventKind::LimitExceeded { .. }, .. })
            };
            out.iter().any(is_it)
        })
        .into();
    assert_eq!(exceeded, [false, true, false, true]);
    // What is counted begins with the run.
    let mut watches = watch(&limits(vec![rule(LimitKind::Processes, 100, &[])]));
    let readings = vec![Reading { value: Some(1), held: 5 }];
    let mut out = Vec::new();
    watches.see(Tick(SECOND), RUN, Some(Usage { readings, ..usage(1, &[]) }), &mut out);
    assert!(!out.is_empty());
}

#[test]
fn what_the_kernel_keeps_at_its_limit_is_told_as_held_and_what_is_near_it_is_not() {
    let held = |kind, hold, values: &[u64]| {
        let mut watches = watch(&limits(vec![Rule { hold, ..rule(kind, 1000, &[]) }]));
        let told: Vec<_> = (10..)
            .step_by(10)
            .zip(values)
            .flat_map(|(second, value)| see(&mut watches, second, &[*value]).1)
            .collect();
        let Some(EventKind::LimitExceeded { severity, held, .. }) = told.last() else {
            panic!("{told:?}")
        };
        (*severity, *held)
    };
    let (near, beyond) = (Severity::Warning, Severity::Critical);
    // A rate of 1,000 is one core: ten seconds of it are 10,000 milliseconds.
    assert_eq!(held(LimitKind::Cpu, Hold::Kernel, &[0, 10_040]), (beyond, true));
    assert_eq!(held(LimitKind::Cpu, Hold::Kernel, &[0, 12_000]), (beyond, false));
    assert_eq!(held(LimitKind::Cpu, Hold::Watch, &[0, 10_040]), (beyond, false));
    assert_eq!(held(LimitKind::Cpu, Hold::Kernel, &[0, 9_000]), (near, false));
    assert_eq!(held(LimitKind::Resident, Hold::Kernel, &[900]), (near, false));
    assert_eq!(held(LimitKind::Resident, Hold::Kernel, &[1001]), (beyond, false));
}

#[test]
fn what_is_near_beyond_and_within_its_limit_again_is_told_with_its_severity() {
    let mut watches =
        watch(&limits(vec![rule(LimitKind::Resident, 100, &[(0, Action::Throttle)])]));
    let severity = |told: &[EventKind]| match told.first() {
        Some(EventKind::LimitExceeded { severity, .. }) => Some(*severity),
        _ => None,
    };
    assert_eq!(severity(&see(&mut watches, 1, &[90]).1), Some(Severity::Warning));
    assert_eq!(severity(&see(&mut watches, 2, &[101]).1), Some(Severity::Critical));
    let mut out = Vec::new();
    let seen = watches.see(Tick(40 * SECOND), RUN, Some(usage(40, &[10])), &mut out);
    assert_eq!(seen, None);
    let eased = |effect: &Effect| {
        matches!(effect, Effect::Event { kind: EventKind::LimitEased { lasted, .. }, .. }
            if *lasted == Duration::from_secs(38))
    };
    assert!(out.iter().any(eased), "{out:?}");
    assert!(out.iter().any(|e| matches!(e, Effect::Throttle { how: Slow::Off, rule: 0, .. })));
}

#[test]
fn what_stays_beyond_its_limit_although_it_is_slowed_down_is_told_once() {
    let rules = vec![rule(LimitKind::Resident, 100, &[(0, Action::Throttle)])];
    let mut watches = watch(&limits(rules));
    let told: Vec<bool> = [(10, 150), (20, 150), (45, 105), (50, 150), (60, 150)]
        .map(|(second, value)| {
            let (_, events) = see(&mut watches, second, &[value]);
            events.iter().any(|kind| matches!(kind, EventKind::LimitFailed { .. }))
        })
        .into();
    assert_eq!(told, [false, false, false, true, false]);
}

#[test]
fn what_was_not_slowed_down_is_not_let_go() {
    let mut watches = watch(&limits(vec![rule(LimitKind::Resident, 100, &[(0, Action::Log)])]));
    let mut out = Vec::new();
    for (second, value) in [(1, 101), (2, 10)] {
        watches.see(Tick(second * SECOND), RUN, Some(usage(second, &[value])), &mut out);
    }
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Throttle { .. })), "{out:?}");
}

#[test]
fn kills_by_the_kernel_are_seen_in_a_look_too_and_a_second_sentence_is_none() {
    let all = limits(vec![rule(LimitKind::Resident, 100, &[(0, Action::Restart)])]);
    let mut watches = watch(&all);
    let killed = |kills| Usage { oom_kills: kills, ..usage(1, &[50]) };
    let mut out = Vec::new();
    let sentence = watches.see(Tick(SECOND), RUN, Some(killed(1)), &mut out);
    assert_eq!(sentence, Some(Sentence::Restart(Severity::Emergency)));
    assert_eq!(watches.held_back(NOW, RUN, toll(2), &mut out), None);
    assert_eq!(
        watches.held_back(NOW, RunId(9), toll(2), &mut out),
        None,
        "nobody watches that run"
    );
    let counts: Vec<u64> = out
        .iter()
        .filter_map(|effect| {
            if let Effect::Event { kind: EventKind::OomKilled { count, .. }, .. } = effect {
                Some(*count)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(counts, [1, 1]);
}

#[test]
fn the_thresholds_of_a_raised_limit_rise_with_it_and_a_low_cap_lowers_nothing() {
    let mut one = rule(LimitKind::Resident, 100, &[]);
    one.raise = Raise { percent: 150, cap: 1000 };
    let raised = raise(&limits(vec![one.clone(), one.clone()]), 1);
    let amounts = |rule: &Rule| (rule.most, rule.warning, rule.critical);
    assert_eq!(
        raised.rules.iter().map(amounts).collect::<Vec<_>>(),
        [(100, 80, 100), (150, 120, 150)]
    );
    one.raise.cap = 50;
    assert_eq!(amounts(&raise(&limits(vec![one]), 0).rules[0]), (100, 80, 100));
}

#[test]
fn what_exceeds_its_limit_and_was_killed_for_it_in_the_same_look_is_ended_once() {
    let all = limits(vec![rule(LimitKind::Resident, 100, &[(0, Action::Restart)])]);
    let mut watches = watch(&all);
    let mut out = Vec::new();
    let seen = Usage { oom_kills: 1, ..usage(1, &[120]) };
    let sentence = watches.see(Tick(SECOND), RUN, Some(seen), &mut out);
    assert_eq!(sentence, Some(Sentence::Restart(Severity::Critical)));
    let acts = |effect: &&Effect| {
        matches!(effect, Effect::Event { kind: EventKind::LimitAction { .. }, .. })
    };
    assert_eq!(out.iter().filter(acts).count(), 1, "{out:?}");
}

#[test]
fn what_outlives_a_kill_by_the_kernel_and_ends_of_something_else_is_not_blamed_for_it() {
    let all = limits(vec![rule(LimitKind::Resident, 100, &[(0, Action::Restart)])]);
    let ends = |exit| {
        let mut out = Vec::new();
        let toll = Toll { kills: 1, refusals: 0, exit };
        let sentence = watch(&all).held_back(NOW, RUN, toll, &mut out);
        (sentence.is_some(), out.is_empty())
    };
    for exit in [Exit::Code(0), Exit::Code(1), Exit::Signal { number: 15, core: false }] {
        assert_eq!(ends(exit), (false, true), "{exit:?}");
    }
    assert_eq!(ends(Exit::Code(128 + 9)), (true, false), "a shell whose command was killed");
}
