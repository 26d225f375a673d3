//! What simulated workers are looked at for, held to and listened to, and those that somebody
//! else starts: small numbers, so that every threshold is crossed and missed.

use std::sync::Arc;
use std::time::Duration;

use hsu_model::discovery::{
    Combine, Discovery, Manager, Matches, ProgramId, Rights, Search, Unmanaged,
};
use hsu_model::health::probe::Probe;
use hsu_model::health::{
    Adaptive, Check, Duty, Expression, Flapping, Health, Judgement, Measure, Rhythm, Source,
    Statistic,
};
use hsu_model::id::WorkerId;
use hsu_model::limits::{Action, Alert, Brake, Hold, LimitKind, Limits, Raise, Rule, Shares, Step};
use hsu_model::notify::{Notify, NotifyAccess, NotifyChannel};
use hsu_model::severity::Severity;
use hsu_model::worker::{Metadata, Profile, Unit, WorkerSpec};

use super::Features;
use crate::simulator::chance::Chance;

/// The limit of every simulated resource.
pub(crate) const MOST: u64 = 100;
/// Amounts that a worker may use: none, near, beyond, and between what begins an episode
/// and what ends it.
pub(crate) const AMOUNTS: [u64; 5] = [10, 85, 96, 120, 170];
/// Places among the amounts, one for each look: what hovers at the threshold goes beyond it,
/// comes back by less than the hysteresis, and only then by more.
pub(crate) const HOVERS: [u8; 4] = [3, 2, 3, 1];
/// Numbers that a look reads: one that is good, and one that is not.
pub(crate) const GOOD: f64 = 1.0;
pub(crate) const BAD: f64 = 9.0;
const ADAPTIVE: Adaptive = Adaptive { shortest: seconds(5), longest: seconds(60) };
/// The program that fits every search.
pub(crate) const FITTING: u64 = 1;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Some checks.
pub(crate) fn health(chance: &mut Chance) -> Health {
    let count = 1 + chance.below(3);
    let mut checks = Vec::with_capacity(count);
    for place in 0..count {
        let duties: &[Duty] = match chance.below(6) {
            0 | 1 => &[Duty::Liveness],
            2 => &[Duty::Liveness, Duty::Readiness],
            3 => &[Duty::Startup],
            4 => &[Duty::Readiness],
            _ => &[Duty::Dependency],
        };
        let may_follow = place > 0 && chance.one_in(4);
        let (source, duties) = match may_follow && chance.one_in(2) {
            true => (composed(place), &[Duty::Readiness][..]),
            false if may_follow => (probed(None), &[Duty::Readiness][..]),
            false => (probed(judgement(chance)), duties),
        };
        let is_probed = matches!(source, Source::Probed { .. });
        checks.push(Check {
            name: ["first", "second", "third"][place].to_owned(),
            duties: duties.to_vec(),
            source,
            rhythm: Rhythm {
                initial_delay: seconds(chance.pick(&[0, 5])),
                interval: seconds(chance.pick(&[10, 30])),
                timeout: seconds(5),
                jitter: 0.0,
                failure_threshold: chance.pick(&[1, 2, 3]),
                success_threshold: chance.pick(&[1, 1, 2]),
                adaptive: chance.one_in(4).then_some(ADAPTIVE),
                flapping: chance.one_in(3).then(|| flapping(chance)),
            },
            severity: Severity::Critical,
            after: if may_follow && is_probed { vec![0] } else { Vec::new() },
        });
    }
    Health { checks }
}

fn probed(judgement: Option<Judgement>) -> Source {
    Source::Probed { probe: Arc::new(Probe::Process), judgement, shared_for: seconds(0) }
}

/// When changes of a verdict are too many.
fn flapping(chance: &mut Chance) -> Flapping {
    Flapping { changes: chance.pick(&[1, 2]), window: seconds(300), hold: seconds(60) }
}

/// What numbers of several looks come to, for some checks.
fn judgement(chance: &mut Chance) -> Option<Judgement> {
    let statistics =
        [Statistic::Least, Statistic::Greatest, Statistic::Average, Statistic::Percentile(50)];
    chance.one_in(4).then(|| Judgement {
        measure: Measure::Value,
        statistic: chance.pick(&statistics),
        window: seconds(60),
        samples: chance.pick(&[1, 3]),
        at_least: None,
        at_most: Some(GOOD + 1.0),
    })
}

fn composed(place: usize) -> Source {
    Source::Composed(Expression::AtLeast(1, (0..place).map(Expression::Check).collect()))
}

/// Some limits.
pub(crate) fn limits(chance: &mut Chance) -> Arc<Limits> {
    let kinds = [LimitKind::Resident, LimitKind::Processes, LimitKind::Cpu];
    let count = 1 + chance.below(kinds.len());
    let rules = kinds.iter().take(count).map(|kind| Rule {
        kind: *kind,
        paths: Vec::new(),
        most: MOST,
        warning: 80,
        critical: MOST,
        hold: match kind {
            LimitKind::Processes => Hold::Kernel,
            LimitKind::Cpu if chance.one_in(2) => Hold::Kernel,
            _ => Hold::Watch,
        },
        brake: Brake::Hold,
        spike_tolerance: seconds(chance.pick(&[0, 0, 15])),
        ladder: ladder(chance),
        raise: Raise { percent: 150, cap: 200 },
    });
    Arc::new(Limits {
        rules: rules.collect(),
        shares: Shares::default(),
        check_interval: Some(seconds(10)),
        hysteresis: 10,
        history: None,
        alert: Alert::default(),
    })
}

fn ladder(chance: &mut Chance) -> Vec<Step> {
    let ends = [
        Action::GracefulShutdown,
        Action::ImmediateKill,
        Action::Restart,
        Action::Restart,
        Action::RestartAdjusted,
    ];
    let end = chance.pick(&ends);
    let step = |after, action| Step { after: seconds(after), action };
    match chance.below(4) {
        0 => vec![step(0, Action::Log)],
        1 => vec![step(0, end)],
        2 => vec![step(0, Action::Alert), step(20, Action::Throttle), step(50, end)],
        _ => vec![step(0, Action::Throttle), step(30, Action::Log)],
    }
}

/// How a worker is listened to.
pub(crate) fn notify(chance: &mut Chance) -> Notify {
    Notify {
        access: NotifyAccess::Main,
        channel: NotifyChannel::Socket,
        ready: chance.one_in(2),
        startup_timeout: seconds(chance.pick(&[0, 20])),
        watchdog: seconds(chance.pick(&[0, 30])),
        store: 0,
    }
}

/// A worker that somebody else starts.
pub(crate) fn foreign(chance: &mut Chance, id: WorkerId, features: Features) -> WorkerSpec {
    let unit = Unit::Unmanaged(Unmanaged {
        discovery: Discovery {
            searches: vec![Search::User("u".to_owned())],
            combine: Combine::All,
            include: Vec::new(),
            exclude: Vec::new(),
            validation: Vec::new(),
            check_interval: Discovery::DEFAULT_INTERVAL,
            matches: if chance.one_in(3) { Matches::Many } else { Matches::One },
        },
        rights: Rights {
            can_terminate: !chance.one_in(4),
            can_limit: features.limits,
            can_restart: chance.one_in(2),
            allowed_signals: vec![19],
            graceful_timeout: seconds(chance.pick(&[0, 10])),
            manager: match chance.below(3) {
                0 => Manager::Unknown,
                1 => Manager::Systemd("old.service".to_owned()),
                _ => Manager::Command(vec!["restart".to_owned()]),
            },
        },
        restart: super::restart(chance),
        limits: features.limits.then(|| limits(chance)),
        log_files: Vec::new(),
        logs: hsu_model::logs::WorkerLogs::default(),
    });
    WorkerSpec {
        id,
        enabled: !chance.one_in(8),
        profile: Profile::Default,
        metadata: Metadata::default(),
        health: if features.checks { health(chance) } else { Health::default() },
        unit,
    }
}

/// What a process runs, as a search tells it.
pub(crate) fn program(number: u64) -> ProgramId {
    ProgramId { device: 1, inode: number }
}
