//! Tests of episodes: hysteresis, spikes, ladders, and one action for each step.

use std::vec::Vec;

use hsu_model::limits::{Brake, LimitKind, Raise, Step};
use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Memory of 100, a warning from 80 on, and this ladder.
fn rule(ladder: &[(u64, Action)]) -> Rule {
    Rule {
        kind: LimitKind::Resident,
        paths: Vec::new(),
        most: 100,
        warning: 80,
        critical: 100,
        hold: Hold::Watch,
        spike_tolerance: Duration::ZERO,
        ladder: ladder
            .iter()
            .map(|(after, action)| Step { after: seconds(*after), action: *action })
            .collect(),
        raise: Raise { percent: 150, cap: 400 },
        brake: Brake::Hold,
    }
}

/// Feeds values at these seconds; what follows, by the second.
fn feed(rule: &Rule, grace: u64, looks: &[(u64, u64)]) -> Vec<(u64, Finding)> {
    let mut episode = Episode::default();
    let mut told = Vec::new();
    for (at, value) in looks {
        let mut findings = Vec::new();
        let level = Level { value: *value, held: false };
        let grace = Tick(grace * SECOND);
        episode.see(rule, 10, Tick(at * SECOND), grace, level, &mut findings);
        told.extend(findings.into_iter().map(|finding| (*at, finding)));
    }
    told
}

fn eased(lasted: u64) -> Finding {
    Finding::Eased { lasted: seconds(lasted), slowed: false }
}

#[test]
fn a_warning_is_told_once_until_the_worker_is_well_below_it() {
    let rule = rule(&[]);
    let looks = [(0, 79), (1, 85), (2, 90), (3, 79), (4, 81), (5, 72), (6, 81)];
    assert_eq!(feed(&rule, 0, &looks), [(1, Finding::Near), (6, Finding::Near)]);
}

#[test]
fn an_episode_lasts_until_the_worker_is_well_below_the_limit() {
    let rule = rule(&[(0, Action::Log)]);
    let looks = [(0, 101), (1, 95), (2, 101), (3, 90), (4, 101)];
    let wanted = [
        (0, Finding::Exceeded),
        (0, Finding::Do(Action::Log)),
        (3, eased(3)),
        (4, Finding::Exceeded),
        (4, Finding::Do(Action::Log)),
    ];
    assert_eq!(feed(&rule, 0, &looks), wanted);
}

#[test]
fn what_is_slowed_down_and_a_tenth_beyond_its_limit_is_not_beyond_help() {
    let looks = [(0, 120), (31, 110), (32, 111), (33, 112)];
    let wanted = [(0, Finding::Exceeded), (0, Finding::Do(Action::Throttle)), (32, Finding::Vain)];
    assert_eq!(feed(&rule(&[(0, Action::Throttle)]), 0, &looks), wanted);
}

#[test]
fn exactly_the_limit_is_within_it() {
    assert_eq!(feed(&rule(&[(0, Action::Log)]), 0, &[(0, 100)]), [(0, Finding::Near)]);
}

#[test]
fn a_spike_that_is_tolerated_is_no_violation() {
    let rule = Rule { spike_tolerance: seconds(5), ..rule(&[(0, Action::Log)]) };
    assert_eq!(feed(&rule, 0, &[(0, 200), (4, 200), (5, 50)]), []);
    let lasting = feed(&rule, 0, &[(0, 200), (4, 200), (5, 200), (6, 200)]);
    assert_eq!(lasting, [(5, Finding::Exceeded), (5, Finding::Do(Action::Log))]);
}

#[test]
fn the_steps_of_a_ladder_are_taken_at_their_times_and_each_once() {
    let rule = rule(&[(0, Action::Log), (10, Action::Alert), (30, Action::Restart)]);
    let looks: Vec<_> = (0..8).map(|turn| (turn * 10, 150)).collect();
    let wanted = [
        (0, Finding::Exceeded),
        (0, Finding::Do(Action::Log)),
        (10, Finding::Do(Action::Alert)),
        (30, Finding::Do(Action::Restart)),
    ];
    assert_eq!(feed(&rule, 0, &looks), wanted);
}

#[test]
fn a_look_that_comes_late_takes_every_step_that_is_due_in_order() {
    let rule = rule(&[(0, Action::Log), (10, Action::Alert), (30, Action::ImmediateKill)]);
    let told = feed(&rule, 0, &[(0, 150), (100, 150)]);
    let late: Vec<_> = told.into_iter().filter(|(at, _)| *at == 100).collect();
    let (alert, kill) = (Action::Alert, Action::ImmediateKill);
    assert_eq!(late, [(100, Finding::Do(alert)), (100, Finding::Do(kill))]);
}

#[test]
fn nothing_restarts_within_the_grace_and_what_was_due_comes_after_it() {
    let rule = rule(&[(0, Action::Restart)]);
    let told = feed(&rule, 20, &[(0, 150), (10, 150), (20, 150), (30, 150)]);
    assert_eq!(told, [(0, Finding::Exceeded), (20, Finding::Do(Action::Restart))]);
    let kill = self::rule(&[(0, Action::ImmediateKill)]);
    assert_eq!(feed(&kill, 20, &[(0, 150)])[1], (0, Finding::Do(Action::ImmediateKill)));
}

#[test]
fn the_next_step_says_when_it_is_due() {
    let rule = rule(&[(10, Action::Restart)]);
    let mut episode = Episode::default();
    assert_eq!(episode.due(&rule, Tick(0)), None);
    let level = Level { value: 150, held: false };
    episode.see(&rule, 5, Tick(SECOND), Tick(0), level, &mut Vec::new());
    assert_eq!(episode.due(&rule, Tick(0)), Some(Tick(11 * SECOND)));
    assert_eq!(episode.due(&rule, Tick(90 * SECOND)), Some(Tick(90 * SECOND)));
    assert_eq!(episode.since(), Some(Tick(SECOND)));
}

#[test]
fn what_the_kernel_holds_at_its_limit_is_exceeded_though_never_beyond_it() {
    let cpu = Rule { kind: LimitKind::Cpu, hold: Hold::Kernel, ..rule(&[(0, Action::Log)]) };
    assert_eq!(feed(&cpu, 0, &[(0, 96)])[0], (0, Finding::Exceeded));
    let watched = Rule { hold: Hold::Watch, ..cpu };
    assert_eq!(feed(&watched, 0, &[(0, 96)]), [(0, Finding::Near)]);
    let refused = Level { value: 1, held: true };
    let mut findings = Vec::new();
    Episode::default().see(&rule(&[]), 5, Tick(0), Tick(0), refused, &mut findings);
    assert_eq!(findings, [Finding::Exceeded]);
}

#[test]
fn a_worker_that_is_slowed_down_stays_so_for_a_while_and_is_let_go_once() {
    let cpu = Rule { kind: LimitKind::Cpu, ..rule(&[(0, Action::Throttle)]) };
    // Held at its limit it still wants more; later it does not.
    let looks = [(0, 150), (10, 98), (20, 40), (40, 98), (50, 40), (60, 40)];
    let wanted = [
        (0, Finding::Exceeded),
        (0, Finding::Do(Action::Throttle)),
        (50, Finding::Eased { lasted: seconds(50), slowed: true }),
    ];
    assert_eq!(feed(&cpu, 0, &looks), wanted);
}

#[test]
fn exactly_the_warning_is_not_near_and_a_limit_that_is_held_is_no_rate() {
    assert_eq!(feed(&rule(&[]), 0, &[(0, 80)]), []);
    let held = Rule { hold: Hold::Kernel, ..rule(&[(0, Action::Log)]) };
    assert_eq!(feed(&held, 0, &[(0, 96)]), [(0, Finding::Near)]);
}

#[test]
fn after_a_spike_or_a_violation_a_warning_is_told_only_where_it_was_not() {
    let near = Finding::Near;
    let tolerant = Rule { spike_tolerance: seconds(5), ..rule(&[]) };
    assert_eq!(feed(&tolerant, 0, &[(0, 85), (1, 200), (2, 85), (3, 86)]), [(0, near)]);
    assert_eq!(feed(&tolerant, 0, &[(1, 200), (2, 85), (3, 86)]), [(3, near)]);
    let exceeded = (0, Finding::Exceeded);
    assert_eq!(feed(&rule(&[]), 0, &[(0, 101), (1, 85), (2, 86)]), [exceeded, (1, eased(1))]);
    let far = [(0, 101), (1, 10), (2, 86)];
    assert_eq!(feed(&rule(&[]), 0, &far), [exceeded, (1, eased(1)), (2, near)]);
}

#[test]
fn who_is_slowed_down_stays_so_for_half_a_minute_and_no_step_is_taken_meanwhile() {
    let ladder = [(0, Action::Throttle), (10, Action::Log)];
    let told = feed(&rule(&ladder), 0, &[(0, 150), (20, 40), (29, 40), (30, 40)]);
    assert_eq!(
        told[1..],
        [
            (0, Finding::Do(Action::Throttle)),
            (30, Finding::Eased { lasted: seconds(30), slowed: true }),
        ]
    );
}

#[test]
fn the_end_of_a_spike_is_due_and_only_what_restarts_waits_for_the_grace() {
    let tolerant = Rule { spike_tolerance: seconds(5), ..rule(&[(10, Action::Log)]) };
    let mut episode = Episode::default();
    let level = Level { value: 150, held: false };
    episode.see(&tolerant, 5, Tick(SECOND), Tick(0), level, &mut Vec::new());
    assert_eq!((episode.due(&tolerant, Tick(0)), episode.since()), (Some(Tick(6 * SECOND)), None));
    episode.see(&tolerant, 5, Tick(6 * SECOND), Tick(0), level, &mut Vec::new());
    assert_eq!(episode.due(&tolerant, Tick(90 * SECOND)), Some(Tick(11 * SECOND)));
}

fn actions() -> impl Strategy<Value = Action> {
    prop::sample::select(std::vec![
        Action::Log,
        Action::Alert,
        Action::Throttle,
        Action::GracefulShutdown,
        Action::ImmediateKill,
        Action::Restart,
        Action::RestartAdjusted,
    ])
}

proptest! {
    /// I18: whatever is seen, each step is taken at most once between the beginning and
    /// the end of an episode, in the order of the ladder, and never outside of one;
    /// an episode ends below the threshold by more than the hysteresis only.
    #[test]
    fn each_step_is_taken_at_most_once_for_each_episode(
        steps in prop::collection::vec((0_u64..30, actions()), 0..5),
        looks in prop::collection::vec((1_u64..20, 0_u64..200, any::<bool>()), 0..60),
        spike in 0_u64..20,
        grace in 0_u64..60,
        kernel in any::<bool>(),
    ) {
        let mut steps = steps;
        steps.sort_by_key(|(after, _)| *after);
        let hold = if kernel { Hold::Kernel } else { Hold::Watch };
        let rule = Rule { hold, spike_tolerance: seconds(spike), ..rule(&steps) };
        let mut episode = Episode::default();
        let (mut now, mut taken, mut is_open) = (0, 0, false);
        for (pause, value, held) in looks {
            now += pause;
            let mut findings = Vec::new();
            let level = Level { value, held };
            episode.see(&rule, 10, Tick(now * SECOND), Tick(grace * SECOND), level, &mut findings);
            for finding in findings {
                match finding {
                    Finding::Near => prop_assert!(!is_open && value > rule.warning),
                    Finding::Exceeded => {
                        prop_assert!(!is_open);
                        (is_open, taken) = (true, 0);
                    }
                    Finding::Do(action) => {
                        prop_assert!(is_open);
                        prop_assert_eq!(rule.ladder.get(taken).map(|step| step.action), Some(action));
                        prop_assert!(!action.restarts() || now >= grace);
                        taken += 1;
                    }
                    Finding::Vain => prop_assert!(is_open && value > rule.most),
                    Finding::Eased { .. } => {
                        prop_assert!(is_open && !held && value <= 90);
                        is_open = false;
                    }
                }
            }
            prop_assert_eq!(episode.since().is_some(), is_open);
        }
    }
}
