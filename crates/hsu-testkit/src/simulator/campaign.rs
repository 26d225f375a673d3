//! Campaigns: many schedules, on every core, until one is found that breaks a promise.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hsu_core::breaker::Breaker;
use hsu_core::fleet::Glance;
use hsu_model::status::WorkerState;
use rustix::time::{ClockId, clock_gettime};

use super::chance::Chance;
use super::coverage::Coverage;
use super::judge::Finding;
use super::motif::compose;
use super::museum::Bug;
use super::nature::{Features, Nature};
use super::river;
use super::schedule::Action;
use super::trace::Trace;
use super::world::{SPIN, World};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// How many schedules.
    pub schedules: u64,
    /// The seed of the first; the others follow.
    pub seed: u64,
    /// How many at the same time.
    pub jobs: usize,
    /// The bug that is switched on.
    pub bug: Option<Bug>,
    /// Whether to go on after a finding, and count findings by promise.
    pub survey: bool,
    /// What the seeds make.
    pub scope: Scope,
}

/// What seeds make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Worlds, and a river now and then.
    Everything,
    /// Rivers only.
    Rivers,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Schedules that were run.
    pub schedules: u64,
    /// Steps of the fleet in them.
    pub steps: u64,
    /// Of the schedules, those in which a pump carries bytes.
    pub rivers: u64,
    /// Calls of the disk in these.
    pub calls: u64,
    /// Pumps that were killed.
    pub kills: u64,
    /// The seed that broke a promise, and how.
    pub broken: Option<(u64, Vec<Finding>)>,
    /// Of each promise how often it was broken, and by which seed first.
    pub survey: BTreeMap<&'static str, (u64, u64)>,
    /// What was met.
    pub coverage: Coverage,
    /// Seconds, by the wall clock.
    pub seconds: f64,
    /// Seconds that processors worked on it: the same, whoever else uses the host.
    pub processor_seconds: f64,
}

/// One schedule, run.
#[derive(Debug)]
struct Run {
    findings: Vec<Finding>,
    steps: u64,
    coverage: Box<Coverage>,
    trace: Trace,
}

/// Of so many seeds one makes a river. It takes as long as four worlds.
const RIVERS: usize = 64;

/// Whether a seed makes a river.
fn is_river(seed: u64, scope: Scope) -> bool {
    scope == Scope::Rivers || Chance::of(seed ^ 0x0c1e_a4ed).one_in(RIVERS)
}

/// What a seed makes: a world, what it draws from, and what happens in it.
fn make(seed: u64) -> (Chance, Nature, Vec<Action>) {
    let mut chance = Chance::of(seed);
    let nature = Nature::of(&mut chance);
    let mut of_actions = Chance::of(seed ^ 0x5eed);
    let actions = compose(&mut of_actions, &nature);
    (chance, nature, actions)
}

fn run(
    made: (Chance, Nature),
    actions: &[Action],
    bug: Option<Bug>,
    coverage: Box<Coverage>,
    trace: Trace,
) -> Run {
    let mut world = World::new(made, bug, coverage, trace);
    let mut steps = Vec::with_capacity(16);
    for action in actions {
        world.act(*action, &mut steps);
        if !world.judge.findings.is_empty() {
            break;
        }
    }
    if world.judge.findings.is_empty() && world.nature.liveness {
        world.converge(&mut steps);
    }
    world.judge.i2_strangers(&world.os);
    Run {
        findings: world.judge.findings,
        steps: world.steps,
        coverage: world.coverage,
        trace: world.trace,
    }
}

/// How long nobody may be on the way to somewhere before a world is at rest.
const CALM: Duration = Duration::from_secs(70);

/// How long nothing but looks is done then.
const QUIET: Duration = Duration::from_secs(50);

/// How many moments a world may take to come to rest.
const MOMENTS: usize = 2_000;

impl World {
    /// Ends all faults and lets the world run until nothing is left to do.
    pub(crate) fn converge(&mut self, steps: &mut Vec<super::steps::Step>) {
        self.trace.note(|| "all faults are over".to_owned());
        self.disk.heal();
        self.thaw();
        self.outcome = super::keeper::Outcome::Runs;
        self.manners = super::world::Manners::default();
        self.os.heal();
        self.outside.heal();
        let mut calm_since = None;
        let is_looked_at = self.nature.features != Features::default();
        for _ in 0..MOMENTS {
            let before = self.steps;
            self.rush(SPIN, steps);
            self.possible(steps);
            if !steps.is_empty() {
                return self.judge.object("L7", || "the world spins".to_owned());
            }
            if !self.judge.findings.is_empty() {
                return;
            }
            let is_orphaned = self.is_deserted() && !self.judge.has_ended();
            if self.is_on_the_way() {
                calm_since = None;
            } else if is_looked_at {
                calm_since = calm_since.or(Some(self.now));
            }
            self.judge.quiet_from = calm_since.map(|since| since.after(CALM));
            match self.next_due() {
                // Somebody looks at workers for ever.
                Some(due) if calm_since.is_some_and(|since| due > since.after(CALM + QUIET)) => {
                    break;
                }
                Some(due) => self.now = due,
                None if is_orphaned => {
                    self.launch(super::world::Relaunched::No);
                }
                None if before == self.steps => break,
                None => {}
            }
        }
        self.judge.at_rest(self.now, self.master.as_ref(), &self.os);
        self.judge.l4_one_serves(&self.os, self.keeper.as_ref());
    }

    /// Whether something is to become of a worker, or is waited for, that takes its time.
    fn is_on_the_way(&self) -> bool {
        let Some(master) = &self.master else { return true };
        let moves = |glance: &Glance| match glance.state {
            WorkerState::Starting | WorkerState::BackingOff => true,
            WorkerState::Stopping => !glance.unkillable,
            WorkerState::Tripped => {
                matches!(glance.breaker, Breaker::Open { trial_at: Some(_) } | Breaker::HalfOpen)
            }
            WorkerState::Registered
            | WorkerState::Searching
            | WorkerState::Running
            | WorkerState::Stopped
            | WorkerState::Failed => false,
        };
        let ends = master
            .fleet
            .watched()
            .filter_map(|id| master.fleet.sight(id))
            .any(|sight| sight.state == WorkerState::Stopping);
        ends || self.judge.somebody_waits()
            || !master.backlog.is_empty()
            || master.fleet.glances().any(|(_, glance)| moves(&glance))
    }
}

/// Runs a campaign; ends at the first schedule that breaks a promise.
#[must_use]
pub fn run_campaign(campaign: &Campaign) -> Report {
    let begin = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let report = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..campaign.jobs.max(1) {
            scope.spawn(|| work(campaign, &next, &stop, &report));
        }
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.seconds = begin.elapsed().as_secs_f64();
    report
}

/// Schedules that a worker takes at a time.
const SHARE: u64 = 64;

fn work(campaign: &Campaign, next: &AtomicU64, stop: &AtomicBool, report: &Mutex<Report>) {
    let mut mine = Report::default();
    let mut met = Box::<Coverage>::default();
    while !stop.load(Ordering::Relaxed) {
        let from = next.fetch_add(SHARE, Ordering::Relaxed);
        if from >= campaign.schedules {
            break;
        }
        for number in from..(from + SHARE).min(campaign.schedules) {
            let seed = campaign.seed.wrapping_add(number);
            mine.schedules += 1;
            let findings = if is_river(seed, campaign.scope) {
                let (waters, acts) = river::chart(&mut Chance::of(seed));
                let flow = river::run(&waters, &acts, campaign.bug, Trace::default());
                mine.rivers += 1;
                mine.calls += flow.calls;
                mine.kills += flow.kills;
                flow.findings
            } else {
                let (chance, nature, actions) = make(seed);
                let run = run((chance, nature), &actions, campaign.bug, met, Trace::default());
                mine.steps += run.steps;
                met = run.coverage;
                run.findings
            };
            if let Some(finding) = findings.first()
                && campaign.survey
            {
                mine.survey.entry(finding.invariant).or_insert((0, seed)).0 += 1;
            } else if !findings.is_empty() {
                mine.broken = Some((seed, findings));
                stop.store(true, Ordering::Relaxed);
                break;
            }
        }
    }
    let worked = clock_gettime(ClockId::ThreadCPUTime);
    let mut all = report.lock().unwrap_or_else(PoisonError::into_inner);
    all.processor_seconds += worked.tv_sec as f64 + worked.tv_nsec as f64 / 1e9;
    all.schedules += mine.schedules;
    all.steps += mine.steps;
    all.rivers += mine.rivers;
    all.calls += mine.calls;
    all.kills += mine.kills;
    for (invariant, (count, seed)) in mine.survey {
        all.survey.entry(invariant).or_insert((0, seed)).0 += count;
    }
    all.coverage.absorb(&met);
    all.broken = all.broken.take().or(mine.broken);
}

/// A schedule that breaks a promise, as short as it could be made.
#[derive(Debug)]
pub struct Story {
    /// What was broken.
    pub findings: Vec<Finding>,
    /// Actions of the seed, and of what is left of them.
    pub lengths: (usize, usize),
    /// What happened, step by step.
    pub text: String,
}

/// Runs one seed again and cuts it down to the actions that the finding needs.
#[must_use]
pub fn replay(seed: u64, bug: Option<Bug>, scope: Scope) -> Option<Story> {
    if is_river(seed, scope) {
        let (waters, acts) = river::chart(&mut Chance::of(seed));
        return shorten(acts, |acts, trace| {
            let flow = river::run(&waters, acts, bug, trace);
            (flow.findings, flow.trace)
        });
    }
    let (chance, nature, actions) = make(seed);
    shorten(actions, |actions, trace| {
        let run = run((chance.clone(), nature.clone()), actions, bug, Box::default(), trace);
        (run.findings, run.trace)
    })
}

fn shorten<A: Clone>(
    all: Vec<A>,
    run: impl Fn(&[A], Trace) -> (Vec<Finding>, Trace),
) -> Option<Story> {
    let (first, _) = run(&all, Trace::default());
    let invariant = first.first()?.invariant;
    let breaks = |actions: &[A]| {
        let (again, _) = run(actions, Trace::default());
        again.first().is_some_and(|finding| finding.invariant == invariant)
    };
    let least = minimise(all.clone(), breaks);
    let (findings, trace) = run(&least, Trace::kept());
    let lengths = (all.len(), least.len());
    Some(Story { findings, lengths, text: trace.text().to_owned() })
}

/// The same as text for a seed that breaks nothing.
#[must_use]
pub fn tell(seed: u64, scope: Scope) -> String {
    let trace = if is_river(seed, scope) {
        let (waters, acts) = river::chart(&mut Chance::of(seed));
        river::run(&waters, &acts, None, Trace::kept()).trace
    } else {
        let (chance, nature, actions) = make(seed);
        run((chance, nature), &actions, None, Box::default(), Trace::kept()).trace
    };
    trace.text().to_owned()
}

/// Leaves out whatever is not needed, in ever smaller parts.
// Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002.
fn minimise<A: Clone>(mut actions: Vec<A>, breaks: impl Fn(&[A]) -> bool) -> Vec<A> {
    let mut part = actions.len().div_ceil(2).max(1);
    loop {
        let mut place = 0;
        let mut shorter = false;
        while place < actions.len() {
            let end = (place + part).min(actions.len());
            let mut less = actions.clone();
            less.drain(place..end);
            if breaks(&less) {
                actions = less;
                shorter = true;
            } else {
                place = end;
            }
        }
        if part == 1 && !shorter {
            return actions;
        }
        part = (part / 2).max(1);
    }
}

#[cfg(test)]
mod tests;
