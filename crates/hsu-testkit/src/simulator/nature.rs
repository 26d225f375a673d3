//! The nature of one simulated world: what is configured, what can go wrong, how small the
//! limits are.
//!
//! Swarm testing: each seed switches a random part of features and faults on, because a
//! schedule in which everything happens hides what few things together do. In half of the
//! seeds limits are shrunk to a handful, so that they are reached.
// Source: Groce et al., "Swarm Testing", ISSTA 2012.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hsu_core::fleet::Settings;
use hsu_model::execution::{Execution, Stop, WorkingDirectory};
use hsu_model::health::Health;
use hsu_model::id::WorkerId;
use hsu_model::logs::WorkerLogs;
use hsu_model::notify::Notify;
use hsu_model::restart::{Breaker, Restart, RestartContext, RestartPolicy, StartRate};
use hsu_model::worker::{Managed, Metadata, Profile, Unit, WorkerSpec};
use hsu_store::Bounds;

use super::chance::Chance;

pub(crate) mod outside;

/// Names of workers, in the order in which a fleet goes through them.
pub(crate) const NAMES: [&str; 3] = ["api", "job", "web"];
/// Names of workers that somebody else starts.
const FOREIGN: [&str; 2] = ["old", "owl"];

/// A value that must never leave the environment of a worker.
pub(crate) const CANARY: &str = "canary-7f3a";

/// How long a worker may take to end.
pub(crate) const GRACES: [u64; 3] = [0, 10, 30];

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The master is killed.
    LoseMaster,
    /// The keeper is killed.
    LoseKeeper,
    /// A role stands still for a while.
    Freeze,
    /// The host loses its power.
    Power,
    /// The disk is full.
    DiskFull,
    /// The disk takes up to a minute for a sync.
    SlowDisk,
    /// A sync fails.
    BadSync,
    /// A row on the disk decays.
    Rot,
    /// A message is heard twice, or long after.
    Repeat,
    /// Processes or descriptors are scarce.
    Scarce,
    /// A program is missing.
    NoProgram,
    /// Other processes take PIDs that become free.
    Strangers,
    /// The wall clock jumps.
    Clock,
    /// Workers leave descendants behind that escaped their session.
    Escape,
    /// Workers ignore the signal to end.
    Stubborn,
    /// The kernel holds a process that was killed.
    Stuck,
    /// Another configuration.
    Reconfigure,
    /// The master is told to end.
    Shutdown,
    /// Looks at workers fail, or come to nothing.
    Sick,
    /// Workers use more than they may.
    Greedy,
    /// Another master takes over from the one that serves.
    Upgrade,
}

impl Fault {
    /// All of them, in the order of their bits.
    pub(crate) const ALL: [Self; 21] = [
        Self::LoseMaster,
        Self::LoseKeeper,
        Self::Freeze,
        Self::Power,
        Self::DiskFull,
        Self::SlowDisk,
        Self::BadSync,
        Self::Rot,
        Self::Repeat,
        Self::Scarce,
        Self::NoProgram,
        Self::Strangers,
        Self::Clock,
        Self::Escape,
        Self::Stubborn,
        Self::Stuck,
        Self::Reconfigure,
        Self::Shutdown,
        Self::Sick,
        Self::Greedy,
        Self::Upgrade,
    ];

    pub(crate) fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Some faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults(pub(crate) u32);

impl Faults {
    pub(crate) fn has(self, fault: Fault) -> bool {
        self.0 & fault.bit() != 0
    }

    /// One of those that take place at a moment.
    pub(crate) fn pick(self, chance: &mut Chance) -> Option<Fault> {
        let lasting = Fault::Sick.bit() | Fault::Greedy.bit();
        let mut bits = self.0 & !lasting;
        let count = usize::try_from(bits.count_ones()).unwrap_or(0);
        for _ in 0..chance.below(count.max(1)) {
            bits &= bits - 1;
        }
        Fault::ALL.get(usize::try_from(bits.trailing_zeros()).unwrap_or(usize::MAX)).copied()
    }
}

/// What workers have, besides a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) checks: bool,
    pub(crate) limits: bool,
    pub(crate) words: bool,
    /// Workers that somebody else starts.
    pub(crate) foreign: usize,
}

impl Features {
    fn of(chance: &mut Chance) -> Self {
        let bits = chance.next();
        // Half of the worlds have none of it, the others each of it half of the time.
        let has = |bit: u32| bits & 1 == 1 && bits >> bit & 1 == 1;
        let foreign = if has(4) { 1 + usize::from(bits >> 5 & 3 == 3) } else { 0 };
        Self { checks: has(1), limits: has(2), words: has(3), foreign }
    }
}

/// What one world is made of.
#[derive(Clone, Debug)]
pub(crate) struct Nature {
    pub(crate) ids: Vec<WorkerId>,
    pub(crate) specs: Vec<Arc<WorkerSpec>>,
    pub(crate) settings: Settings,
    pub(crate) features: Features,
    pub(crate) faults: Faults,
    /// Places in the keeper's table.
    pub(crate) slots: usize,
    /// PIDs that exist.
    pub(crate) pids: u32,
    /// Whether a PID that becomes free is the next one that is given.
    pub(crate) at_once: bool,
    pub(crate) bounds: Bounds,
    /// Whether the kernel tells the status of a process to whoever has a hold on it.
    pub(crate) tells_others: bool,
    /// Whether the world is healed at the end, and must come to rest.
    pub(crate) liveness: bool,
    /// Actions of its schedule.
    pub(crate) length: usize,
}

impl Nature {
    pub(crate) fn of(chance: &mut Chance) -> Self {
        let faults = match chance.below(8) {
            0 => 0,
            // About half of them.
            1..=4 => chance.next() & chance.next() | chance.next() & chance.next(),
            // About a quarter.
            _ => chance.next() & chance.next(),
        };
        let small = chance.one_in(2);
        let count = chance.pick(&[1, 1, 2, 3]);
        let features = Features::of(chance);
        // What is looked at and limited fails and exceeds more often than not.
        let mut lasting = |has: bool, fault: Fault| {
            if has && !chance.one_in(4) { fault.bit() } else { 0 }
        };
        let lasting =
            lasting(features.checks, Fault::Sick) | lasting(features.limits, Fault::Greedy);
        let mask = (1 << Fault::ALL.len()) - 1;
        let faults = Faults(u32::try_from(faults & mask).unwrap_or(0) | lasting);
        let names = NAMES.iter().take(count).chain(FOREIGN.iter().take(features.foreign));
        let ids: Vec<_> = names.map(|name| WorkerId::new(name).expect("an id")).collect();
        let specs = ids.iter().map(|id| Arc::new(spec(chance, id.clone(), features))).collect();
        let rates = [
            StartRate { per_second: f64::INFINITY, burst: 1 },
            StartRate { per_second: 1.0, burst: 2 },
            StartRate { per_second: 0.1, burst: 1 },
        ];
        Self {
            ids,
            specs,
            features,
            settings: Settings {
                start_rate: chance.pick(&rates),
                force_shutdown_timeout: Duration::from_secs(60),
                next_run: 1,
            },
            faults,
            slots: if small { 3 + chance.below(3) } else { 12 },
            pids: if small { 10 + u32::try_from(chance.below(8)).unwrap_or(0) } else { 60 },
            bounds: if small {
                Bounds { batches: 2 + chance.below(4), events: 3 + chance.below(4) }
            } else {
                Bounds::default()
            },
            tells_others: chance.one_in(2),
            at_once: chance.one_in(2),
            liveness: chance.one_in(3),
            length: if chance.one_in(16) { 60 + chance.below(60) } else { 8 + chance.below(24) },
        }
    }
}

impl Nature {
    /// The configuration of the worker in a place.
    pub(crate) fn spec_of(&self, place: usize) -> Option<&WorkerSpec> {
        let id = self.ids.get(place)?;
        self.specs.iter().find(|spec| spec.id == *id).map(|spec| &**spec)
    }

    /// Whether the kernel counts what the worker in a place uses.
    pub(crate) fn is_limited(&self, place: usize) -> bool {
        self.spec_of(place).is_some_and(|spec| spec.limits().is_some())
    }

    /// What this world is, in a few lines.
    pub(crate) fn tell(&self) -> String {
        let mut text = format!(
            "{:?}; {} places, {} PIDs, {:?}, tells others {}\n",
            self.settings, self.slots, self.pids, self.bounds, self.tells_others
        );
        for spec in &self.specs {
            if let (Some(restart), stop) = (restart_of(spec), stop_of(spec)) {
                let (id, enabled, context) = (&spec.id, spec.enabled, &restart.default);
                let (policy, trial) = (restart.policy, restart.breaker.half_open_after);
                let (clean, grace) = (restart.on_clean_exit, restart.startup_grace);
                text.push_str(&format!(
                    "{id}: enabled {enabled}, {policy:?}, clean too {clean}, {context:?}, \
                     trial {trial:?}, startup grace {grace:?}, stop {stop:?}\n"
                ));
            }
            if self.features != Features::default() {
                text.push_str(&format!("{}: {:?}\n", spec.id, spec.health));
                match &spec.unit {
                    Unit::Managed(unit) => {
                        text.push_str(&format!("{:?}\n{:?}\n", unit.notify, unit.limits));
                    }
                    unit => text.push_str(&format!("{unit:?}\n")),
                }
            }
        }
        text
    }
}

/// How one worker is restarted.
pub(crate) fn restart(chance: &mut Chance) -> Restart {
    let policies = [
        RestartPolicy::Always,
        RestartPolicy::Always,
        RestartPolicy::UnlessStopped,
        RestartPolicy::OnFailure,
        RestartPolicy::Never,
    ];
    let context = RestartContext {
        max_retries: u32::try_from(chance.below(4)).unwrap_or(0),
        retry_delay: Duration::from_secs(chance.pick(&[0, 0, 1, 5])),
        backoff_rate: chance.pick(&[1.0, 2.0]),
        max_delay: Duration::from_secs(8),
        jitter: chance.pick(&[0.0, 0.5]),
    };
    Restart {
        policy: chance.pick(&policies),
        on_clean_exit: chance.one_in(2),
        default: context,
        health_failures: context,
        resource_violations: context,
        severity_multipliers: BTreeMap::new(),
        profile_multipliers: BTreeMap::new(),
        startup_grace: Duration::from_secs(chance.pick(&[0, 0, 20])),
        sustained_violation: Restart::DEFAULT_SUSTAINED_VIOLATION,
        spike_tolerance: Duration::ZERO,
        reset_after: Duration::from_secs(60),
        breaker: Breaker {
            half_open_after: chance.pick(&[None, Some(20)]).map(Duration::from_secs),
        },
    }
}

/// One worker, as somebody may have configured it.
pub(crate) fn spec(chance: &mut Chance, id: WorkerId, features: Features) -> WorkerSpec {
    if FOREIGN.contains(&id.as_str()) {
        return outside::foreign(chance, id, features);
    }
    let restart = restart(chance);
    let execution = Execution {
        program: "/bin/web".to_owned(),
        args: Vec::new(),
        environment: Vec::new(),
        working_directory: WorkingDirectory::OfProgram,
        user: None,
        group: None,
        umask: None,
        nice: None,
        rlimits: Vec::new(),
        make_executable: false,
    };
    let grace = Duration::from_secs(chance.pick(&GRACES));
    let unit = Unit::Managed(Managed {
        execution,
        restart,
        stop: Stop { signal: Stop::DEFAULT_SIGNAL, graceful_timeout: grace },
        pid_file: String::new(),
        notify: if features.words { outside::notify(chance) } else { Notify::default() },
        sockets: Vec::new(),
        limits: if features.limits { Some(outside::limits(chance)) } else { None },
        logs: WorkerLogs::default(),
    });
    let (metadata, profile) = (Metadata::default(), Profile::Default);
    let health = if features.checks { outside::health(chance) } else { Health::default() };
    WorkerSpec { id, enabled: !chance.one_in(8), profile, metadata, health, unit }
}

/// How a configured worker is restarted.
pub(crate) fn restart_of(spec: &WorkerSpec) -> Option<&Restart> {
    match &spec.unit {
        Unit::Managed(managed) => Some(&managed.restart),
        Unit::Departed(_) | _ => None,
    }
}

/// How a worker is stopped.
pub(crate) fn stop_of(spec: &WorkerSpec) -> Stop {
    match &spec.unit {
        Unit::Managed(managed) => managed.stop,
        Unit::Departed(departure) => departure.stop,
        _ => Stop::default(),
    }
}
