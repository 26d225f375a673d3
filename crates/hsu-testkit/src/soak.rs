//! Soak: many workers, churn and faults for a long time, and what grows meanwhile.
//!
//! Memory, descriptors and threads of each role are looked at every few seconds. A
//! slope is that of least squares over all lives of a role, each with a level of
//! its own, so that a killed role hides no leak. The first minutes of a life are its
//! warm-up and do not count. A slope is a finding when even its lower limit
//! (two standard errors below) is above what is allowed.

mod slope;

use std::fmt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::chaos::{Load, Loaded, Random, Report, Unknown, answers};
use crate::error::TestError;
use crate::figures::Figures;
use crate::fleet::{FleetBuilder, Role, Worker};
use crate::process::Process;
use crate::sandbox::Sandbox;
use slope::Line;

/// The rest between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Orders between two looks.
const ORDERS: usize = 4;
/// Looks between two faults.
const FAULT_EVERY: u32 = 12;
const MEGABYTE: f64 = 1e6;
const HOUR: f64 = 3600.0;

/// How long, how much, and what is allowed.
#[derive(Clone, Debug)]
pub struct Soak {
    /// How long it lasts.
    pub time: Duration,
    /// Workers in all.
    pub workers: u32,
    /// How much of each life of a role does not count.
    pub warm_up: Duration,
    /// The most memory that a role may grow by, in megabytes an hour.
    pub most_megabytes: f64,
    /// The most descriptors or threads that a role may grow by, an hour.
    pub most_others: f64,
    /// What all chance comes from.
    pub seed: u64,
}

/// What is known of one role.
#[derive(Debug)]
struct Watched {
    role: Role,
    /// The process that plays it, and since when it is watched.
    life: Option<(Process, Instant)>,
    lives: u32,
    memory: Line,
    descriptors: Line,
    threads: Line,
    latest: Option<Figures>,
}

impl Watched {
    fn new(role: Role) -> Self {
        let line = Line::default;
        let (memory, descriptors, threads) = (line(), line(), line());
        Self { role, life: None, lives: 0, memory, descriptors, threads, latest: None }
    }

    fn look(&mut self, players: &[Process], began: Instant, warm_up: Duration) {
        let Some(player) = players.first() else {
            return;
        };
        let is_same = self.life.as_ref().is_some_and(|(life, _)| life.is_same(player));
        if !is_same {
            self.life = Some((player.clone(), Instant::now()));
            self.lives += 1;
        }
        let Some(figures) = Figures::of(player) else {
            return;
        };
        self.latest = Some(figures);
        let is_warm = self.life.as_ref().is_some_and(|(_, since)| since.elapsed() >= warm_up);
        if is_warm {
            let at = began.elapsed().as_secs_f64() / HOUR;
            self.memory.add(self.lives, at, number(figures.resident) / MEGABYTE);
            self.descriptors.add(self.lives, at, number(figures.descriptors));
            self.threads.add(self.lives, at, number(figures.threads));
        }
    }

    fn findings(&self, soak: &Soak) -> Vec<String> {
        let judged = [
            ("megabytes", self.memory.slope(), soak.most_megabytes),
            ("descriptors", self.descriptors.slope(), soak.most_others),
            ("threads", self.threads.slope(), soak.most_others),
        ];
        let grows = judged.into_iter().filter(|(_, slope, most)| slope.at_least() > *most);
        grows
            .map(|(what, slope, _)| format!("{:?} grows by {slope} {what} an hour", self.role))
            .collect()
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latest = self.latest.map_or(0.0, |figures| number(figures.resident) / MEGABYTE);
        write!(
            f,
            "{:?} ({} lives, {latest:.1} MB): {} MB/h, {} descriptors/h, {} threads/h",
            self.role,
            self.lives,
            self.memory.slope(),
            self.descriptors.slope(),
            self.threads.slope()
        )
    }
}

fn number(count: u64) -> f64 {
    u32::try_from(count >> 8).map_or(f64::MAX, |high| f64::from(high) * 256.0)
        + f64::from(u8::try_from(count & 0xff).unwrap_or(0))
}

impl Soak {
    /// Runs it in a sandbox of its own.
    ///
    /// # Errors
    /// [`TestError`] when the fleet does not start, come back or stop.
    pub fn run(&self) -> Result<Report, TestError> {
        let load = Load { writers: 20, rate: 20, servers: 4, enders: 2, ..Load::default() };
        let busy = load.writers + load.servers + load.enders;
        let idle = self.workers.saturating_sub(busy);
        let sandbox = Sandbox::new()?;
        let loaded = load.start(&sandbox, |builder| Ok(add_idle(builder, idle)))?;
        let mut roles = Role::ALL.map(Watched::new);
        let mut random = Random::new(self.seed);
        let (began, mut looks, mut faults, mut orders) = (Instant::now(), 0_u32, 0_u32, 0_u32);
        let mut killed = 0;
        while began.elapsed() < self.time {
            std::thread::sleep(LOOK_EVERY);
            looks += 1;
            // At a quarter of the time each role is killed, one after the other.
            let is_due = began.elapsed() > self.time / 4 + Duration::from_secs(15 * killed);
            if is_due
                && let Some(role) = usize::try_from(killed).ok().and_then(|n| Role::ALL.get(n))
            {
                loaded.fleet.kill(*role)?;
                answers(&loaded.fleet)?;
                killed += 1;
                faults += 1;
            } else if looks.is_multiple_of(FAULT_EVERY) {
                disturb(&loaded, &sandbox, &mut random)?;
                faults += 1;
            }
            for _ in 0..ORDERS {
                let worker = format!("idle-{}", random.below(usize::try_from(idle).unwrap_or(1)));
                let orders_given: &[&str] =
                    [&["restart"][..], &["stop", "start"], &["why"]][random.below(3)];
                for verb in orders_given {
                    // What is stopped is started again, so that the load stays the same.
                    drop(loaded.fleet.client(&[verb, &worker]));
                    orders += 1;
                }
            }
            for watched in &mut roles {
                watched.look(&loaded.fleet.players(watched.role)?, began, self.warm_up);
            }
            loaded.keep_up();
        }
        let toll = loaded.finish()?;
        let mut findings = toll.findings(Unknown::Possible);
        findings.extend(roles.iter().flat_map(|watched| watched.findings(self)));
        let [master, keeper, pump] = roles;
        let minutes = self.time.as_secs() / 60;
        let workers = self.workers;
        let totals = format!(
            "{minutes} minutes, {workers} workers, {orders} orders, {faults} faults; {toll}; \
             {master}; {keeper}; {pump}"
        );
        Ok(Report { totals, findings })
    }
}

fn add_idle(builder: FleetBuilder<'_>, count: u32) -> FleetBuilder<'_> {
    (0..count).fold(builder, |builder, number| {
        let worker = Worker::new(&format!("idle-{number}"), "/bin/sleep");
        builder.worker(worker.arguments(["1000000".to_owned()]))
    })
}

/// Something that happens to a fleet now and then.
fn disturb(loaded: &Loaded<'_>, sandbox: &Sandbox, random: &mut Random) -> Result<(), TestError> {
    match random.below(4) {
        // A worker is killed by somebody else.
        0 => {
            let list = loaded.fleet.list()?;
            let idle = list.iter().filter(|view| view.id().starts_with("idle-"));
            let pids: Vec<u32> = idle.filter_map(|view| view.pid()).collect();
            let victim = pids.get(random.below(pids.len())).map(|pid| sandbox.process(*pid));
            if let Some(victim) = victim.transpose()?.flatten() {
                // It may have gone by itself.
                drop(victim.signal(Signal::KILL));
            }
        }
        // Clients come, ask for everything, read nothing and go.
        1 => {
            let socket = loaded.fleet.socket()?;
            let crowd: Vec<_> = (0..50)
                .filter_map(|_| {
                    use std::io::Write as _;
                    let mut stream = std::os::unix::net::UnixStream::connect(&socket).ok()?;
                    let path = "/v1/workers/writer-0/logs?follow=true&tail=1000";
                    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
                    Some(stream)
                })
                .collect();
            std::thread::sleep(LOOK_EVERY);
            drop(crowd);
        }
        // A role stands still for a moment.
        2 => {
            let role = Role::ALL[random.below(3)];
            for player in loaded.fleet.players(role)? {
                player.signal(Signal::STOP)?;
                std::thread::sleep(Duration::from_secs(2));
                player.signal(Signal::CONT)?;
            }
        }
        // The journal is read as a whole.
        _ => drop(loaded.fleet.client(&["events", "--limit", "100000"])?),
    }
    Ok(())
}
