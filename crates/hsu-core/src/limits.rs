//! Limits: which runs are looked at, when, and what follows from what is seen.
//!
//! A run is watched from its start to its end when its worker has limits. A look is
//! an effect ([`Effect::Measure`]) whose answer is an input; there is one under way
//! at a time. Looks of many workers fall on the same quarters of a second, so that
//! a thousand workers wake the master four times a second and not a thousand times.
//! What becomes of the worker is decided by [`crate::worker`]; see [`episode`] for
//! one limit.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::event::EventKind;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::{Action, Hold, LimitKind, Limits, Rule};
use hsu_model::severity::Severity;
use hsu_model::time::Tick;
use hsu_model::usage::{Reading, Usage};

use crate::attachment::Watched;
use crate::effect::{Effect, Slow};
use crate::input::Toll;
use crate::record::Raised;

mod ending;
pub mod episode;

use episode::{Episode, Finding, Level};

/// Looks that are due within one quarter of a second are made together.
const QUARTER: u64 = 250_000_000;
/// Rates over less than this say little.
const SHORTEST_RATE: Duration = Duration::from_millis(50);

/// Every run that is watched.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    runs: BTreeMap<RunId, Watch>,
    due: BTreeSet<(Tick, RunId)>,
    /// Limits that `restart_adjusted` has raised.
    raised: BTreeMap<WorkerId, Arc<Limits>>,
}

/// One run that is watched.
#[derive(Debug)]
struct Watch {
    worker: WorkerId,
    limits: Arc<Limits>,
    /// Until when nothing restarts it.
    grace: Tick,
    due: Option<Tick>,
    episodes: Vec<Episode>,
    last: Option<Usage>,
    kills: u64,
    owner: Owner,
    /// What ends the run was decided.
    is_over: bool,
}

/// Whose a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Ours: it ends as it is decided.
    We,
    /// Somebody else's: it may go on, whatever is decided.
    Others,
}

/// What is to become of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sentence {
    /// It is asked to end, and stays stopped.
    Stop,
    /// It is killed, and stays stopped.
    Kill,
    /// It is restarted.
    Restart(Severity),
}

/// A run whose worker has limits, as the fleet sees it.
pub(crate) struct Limited<'a> {
    pub(crate) worker: &'a WorkerId,
    pub(crate) run: RunId,
    pub(crate) limits: &'a Arc<Limits>,
    pub(crate) started: Tick,
    pub(crate) grace: Duration,
    pub(crate) owner: Owner,
}

impl Watches {
    /// Begins to watch a run, unless it is watched already.
    pub(crate) fn begin(&mut self, now: Tick, watched: &Limited<'_>) {
        if self.runs.contains_key(&watched.run) {
            return;
        }
        let limits = Arc::clone(self.raised.get(watched.worker).unwrap_or(watched.limits));
        let due = limits.check_interval.map(|interval| first(now, interval, watched.run));
        if let Some(due) = due {
            self.due.insert((due, watched.run));
        }
        let watch = Watch {
            worker: watched.worker.clone(),
            grace: watched.started.after(watched.grace),
            due,
            episodes: limits.rules.iter().map(|_| Episode::default()).collect(),
            limits,
            last: None,
            kills: 0,
            owner: watched.owner,
            is_over: false,
        };
        self.runs.insert(watched.run, watch);
    }

    /// Watches the processes of a worker that somebody else starts, and forgets those that
    /// it had before and that are gone.
    pub(crate) fn follow(&mut self, now: Tick, watched: &Watched, before: &[RunId]) {
        let Some(limits) = watched.spec.limits() else { return };
        let present: Vec<(RunId, Tick)> = watched.limited().collect();
        for run in before.iter().filter(|run| !present.iter().any(|(one, _)| one == *run)) {
            self.end(*run);
        }
        let (worker, grace, owner) = (watched.id(), watched.startup_grace(), Owner::Others);
        for (run, started) in present {
            self.begin(now, &Limited { worker, run, limits, started, grace, owner });
        }
    }

    /// Forgets a run that is over.
    pub(crate) fn end(&mut self, run: RunId) {
        if let Some(Watch { due: Some(due), .. }) = self.runs.remove(&run) {
            self.due.remove(&(due, run));
        }
    }

    /// Forgets what was raised for a worker; whether anything was.
    pub(crate) fn lower(&mut self, worker: &WorkerId) -> bool {
        self.raised.remove(worker).is_some()
    }

    /// What was raised for a worker, to be kept.
    pub(crate) fn keep(&self, worker: &WorkerId, declared: &Limits) -> Vec<Raised> {
        let Some(raised) = self.raised.get(worker) else { return Vec::new() };
        let both = raised.rules.iter().zip(&declared.rules);
        let higher = both.filter(|(raised, declared)| raised.most > declared.most);
        let kept = higher.map(|(rule, _)| Raised {
            limit: rule.kind.as_str().to_string(),
            paths: rule.paths.clone(),
            most: rule.most,
        });
        kept.collect()
    }

    /// Takes up what an earlier master has raised, as far as it is declared still, and no
    /// further than is declared by now.
    pub(crate) fn recall(&mut self, worker: &WorkerId, declared: &Arc<Limits>, kept: &[Raised]) {
        let mut limits = Limits::clone(declared);
        for Raised { limit, paths, most } in kept {
            let is_it = |rule: &&mut Rule| rule.kind.as_str() == limit && rule.paths == *paths;
            if let Some(rule) = limits.rules.iter_mut().find(is_it) {
                lift(rule, *most);
            }
        }
        if limits != **declared {
            self.raised.insert(worker.clone(), Arc::new(limits));
        }
    }

    /// The limits of a worker, when they were raised.
    pub(crate) fn raised(&self, worker: &WorkerId) -> Option<&Arc<Limits>> {
        self.raised.get(worker)
    }

    /// When the next look is due.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Asks for every look that is due.
    pub(crate) fn wake(&mut self, now: Tick, out: &mut Vec<Effect>) {
        while let Some((due, run)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, run));
            let Some(watch) = self.runs.get_mut(&run) else { continue };
            watch.due = None;
            let (worker, limits) = (watch.worker.clone(), Arc::clone(&watch.limits));
            out.push(Effect::Measure { worker, run, limits });
        }
    }

    /// Takes what was seen of a run: what is to become of its worker, at most one thing.
    pub(crate) fn see(
        &mut self,
        now: Tick,
        run: RunId,
        usage: Option<Usage>,
        out: &mut Vec<Effect>,
    ) -> Option<Sentence> {
        // A stale report: the run it names is already over.
        let watch = self.runs.get_mut(&run)?;
        let mut sentence = None;
        if let Some(usage) = usage {
            let kills = usage.oom_kills;
            sentence = watch.look(now, run, usage, out);
            let killed = watch.count_kills(run, kills, out);
            sentence = sentence.or(killed);
        }
        if watch.due.is_none()
            && !watch.is_over
            && let Some(interval) = watch.limits.check_interval
        {
            let due = watch.next_look(now, interval);
            watch.due = Some(due);
            self.due.insert((due, run));
        }
        self.pass(run, sentence, out)
    }

    /// What the kernel did to a run that has ended: what is to become of its worker.
    pub(crate) fn held_back(
        &mut self,
        now: Tick,
        run: RunId,
        toll: Toll,
        out: &mut Vec<Effect>,
    ) -> Option<Sentence> {
        let watch = self.runs.get_mut(&run)?;
        // Nothing of somebody else's process is left to be ended, and whether another one
        // follows is up to whoever starts it.
        watch.is_over |= watch.owner == Owner::Others;
        // What outlives such a kill, and ends of something else, is not blamed for it.
        let kills = if ending::is_killed(toll.exit) { toll.kills } else { 0 };
        let killed = watch.count_kills(run, kills, out);
        watch.is_over |= killed.is_some();
        let ended = watch.at_its_end(now, run, toll, out);
        self.pass(run, killed.or(ended), out)
    }

    /// Once a run was sentenced, nothing more is asked of it.
    fn pass(
        &mut self,
        run: RunId,
        sentence: Option<(usize, Action, Severity)>,
        out: &mut Vec<Effect>,
    ) -> Option<Sentence> {
        let (place, action, severity) = sentence?;
        let watch = self.runs.get_mut(&run)?;
        watch.is_over = watch.owner == Owner::We;
        if watch.is_over
            && let Some(due) = watch.due.take()
        {
            self.due.remove(&(due, run));
        }
        match action {
            Action::GracefulShutdown => Some(Sentence::Stop),
            Action::ImmediateKill => Some(Sentence::Kill),
            Action::Restart => Some(Sentence::Restart(severity)),
            Action::RestartAdjusted => {
                let raised = raise(&watch.limits, place);
                self.raised.insert(watch.worker.clone(), Arc::new(raised));
                out.push(Effect::Persist { workers: alloc::vec![watch.worker.clone()] });
                Some(Sentence::Restart(severity))
            }
            Action::Log | Action::Alert | Action::Throttle => None,
        }
    }
}

impl Watch {
    /// Judges every limit by what was seen.
    fn look(
        &mut self,
        now: Tick,
        run: RunId,
        usage: Usage,
        out: &mut Vec<Effect>,
    ) -> Option<(usize, Action, Severity)> {
        let limits = Arc::clone(&self.limits);
        let mut sentence = None;
        for (place, rule) in limits.rules.iter().enumerate() {
            let Some(level) = level(rule, place, &usage, self.last.as_ref()) else { continue };
            let Some(episode) = self.episodes.get_mut(place) else { continue };
            let mut findings = Vec::new();
            let (hysteresis, grace) = (limits.hysteresis, self.grace);
            episode.see(rule, hysteresis, now, grace, level, &mut findings);
            for finding in findings {
                // A run is ended once, whatever else it exceeds.
                if matches!(finding, Finding::Do(action) if action.ends_the_run())
                    && (self.is_over || sentence.is_some())
                {
                    continue;
                }
                let action = self.report(run, place, rule, level, finding, out);
                if sentence.is_none() {
                    sentence = action.map(|action| (place, action, Severity::Critical));
                }
            }
        }
        self.last = Some(usage);
        self.is_over |= sentence.is_some() && self.owner == Owner::We;
        sentence
    }

    /// Tells of a finding and does what can be done here; the action that ends the run.
    fn report(
        &self,
        run: RunId,
        place: usize,
        rule: &Rule,
        level: Level,
        finding: Finding,
        out: &mut Vec<Effect>,
    ) -> Option<Action> {
        let limit = || rule.kind.as_str().to_string();
        let exceeded = |severity| EventKind::LimitExceeded {
            run,
            limit: limit(),
            severity,
            value: rule.kind.amount(level.value).to_string(),
            most: rule.kind.amount(rule.most).to_string(),
            held: severity == Severity::Critical && is_held(rule, level),
        };
        match finding {
            Finding::Near => self.tell(exceeded(Severity::Warning), out),
            Finding::Exceeded => self.tell(exceeded(Severity::Critical), out),
            Finding::Vain => {
                let (value, most) = (rule.kind.amount(level.value), rule.kind.amount(rule.most));
                let reason = alloc::format!(
                    "run {run} is slowed down and exceeds {} all the same: {value} of {most}",
                    rule.kind.as_str()
                );
                self.tell(EventKind::LimitFailed { reason }, out);
            }
            Finding::Eased { lasted, slowed } => {
                self.tell(EventKind::LimitEased { run, limit: limit(), lasted }, out);
                if slowed {
                    out.push(self.slow(run, place, Slow::Off));
                }
            }
            Finding::Do(action) => {
                let act = action.as_str().to_string();
                self.tell(EventKind::LimitAction { run, limit: limit(), action: act }, out);
                match action {
                    Action::Log => {}
                    Action::Alert => out.push(self.alert(rule, level)),
                    Action::Throttle => out.push(self.slow(run, place, Slow::Down)),
                    Action::GracefulShutdown
                    | Action::ImmediateKill
                    | Action::Restart
                    | Action::RestartAdjusted => return Some(action),
                }
            }
        }
        None
    }

    fn slow(&self, run: RunId, rule: usize, how: Slow) -> Effect {
        let (worker, limits) = (self.worker.clone(), Arc::clone(&self.limits));
        Effect::Throttle { worker, run, limits, rule, how }
    }

    fn alert(&self, rule: &Rule, level: Level) -> Effect {
        let limit = rule.kind.as_str();
        let (value, most) = (rule.kind.amount(level.value), rule.kind.amount(rule.most));
        let text = alloc::format!("{} exceeds {limit}: {value} of {most}", self.worker);
        let (worker, alert) = (self.worker.clone(), self.limits.alert.clone());
        Effect::Alert { worker, limit: limit.to_string(), text, alert }
    }

    fn tell(&self, kind: EventKind, out: &mut Vec<Effect>) {
        let actor = hsu_model::event::Actor::Master;
        out.push(Effect::Event { worker: Some(self.worker.clone()), actor, kind });
    }

    /// The kernel has killed so many processes so far: an emergency, each time.
    fn count_kills(
        &mut self,
        run: RunId,
        kills: u64,
        out: &mut Vec<Effect>,
    ) -> Option<(usize, Action, Severity)> {
        let count = kills.saturating_sub(self.kills);
        if count == 0 {
            return None;
        }
        self.kills = kills;
        let mut rules = self.limits.rules.iter().enumerate();
        let (place, rule) = rules.find(|(_, rule)| rule.kind == LimitKind::Resident)?;
        let most = rule.kind.amount(rule.most).to_string();
        self.tell(EventKind::OomKilled { run, count, most }, out);
        let mut ends = rule.ladder.iter().map(|step| step.action);
        let action = ends.find(|action| action.ends_the_run())?;
        if self.is_over {
            return None;
        }
        let (limit, act) = (rule.kind.as_str().to_string(), action.as_str().to_string());
        self.tell(EventKind::LimitAction { run, limit, action: act }, out);
        Some((place, action, Severity::Emergency))
    }

    /// The next look: on the common grid, or when the next step of a ladder is due.
    fn next_look(&self, now: Tick, interval: Duration) -> Tick {
        let regular = grid(now.after(interval), interval);
        let steps = self.limits.rules.iter().zip(&self.episodes);
        let steps = steps.filter_map(|(rule, episode)| episode.due(rule, self.grace));
        let soonest = now.after(SHORTEST_RATE);
        steps.map(|due| due.max(soonest)).fold(regular, Tick::min)
    }
}

/// The moments of a grid that many share, unless looks come more often than it has moments.
fn grid(due: Tick, interval: Duration) -> Tick {
    if interval.as_nanos() <= u128::from(QUARTER) {
        return due;
    }
    Tick(due.0.div_ceil(QUARTER).saturating_mul(QUARTER))
}

/// The first look: runs that start together are not looked at together for ever.
fn first(now: Tick, interval: Duration, run: RunId) -> Tick {
    let parts = u32::try_from(interval.as_nanos() / u128::from(QUARTER)).unwrap_or(u32::MAX).max(1);
    let part = u32::try_from(run.0 % u64::from(parts)).unwrap_or(0) + 1;
    grid(now.after(interval / parts * part), interval)
}

/// Whether it is the kernel that keeps a worker at its limit. What is measured between two
/// looks can be a little beyond a rate that is held.
fn is_held(rule: &Rule, level: Level) -> bool {
    let most = if rule.kind.is_rate() { episode::far_beyond(rule) } else { rule.most };
    level.held || (rule.hold == Hold::Kernel && level.value <= most)
}

/// What a reading says about a limit; nothing when the host does not tell, or not yet.
fn level(rule: &Rule, place: usize, usage: &Usage, last: Option<&Usage>) -> Option<Level> {
    let reading = usage.readings.get(place)?;
    let before = last.and_then(|last| last.readings.get(place));
    let held = reading.held > before.map_or(0, |before| before.held);
    if !rule.kind.is_rate() {
        return Some(Level { value: reading.value?, held });
    }
    let before: &Reading = before?;
    let span = usage.at.since(last?.at);
    if span < SHORTEST_RATE {
        return None;
    }
    let used = u128::from(reading.value?.saturating_sub(before.value?));
    // CPU time is counted in milliseconds, and thousandths of a CPU are wanted.
    let per_second = used * 1_000_000_000 / span.as_nanos();
    Some(Level { value: u64::try_from(per_second).unwrap_or(u64::MAX), held })
}

/// The limits with one of them raised, as far as it may be.
fn raise(limits: &Limits, place: usize) -> Limits {
    let mut raised = limits.clone();
    if let Some(rule) = raised.rules.get_mut(place) {
        let more = u128::from(rule.most) * u128::from(rule.raise.percent) / 100;
        lift(rule, u64::try_from(more).unwrap_or(u64::MAX));
    }
    raised
}

/// Lifts a limit and its thresholds, no further than its cap and never down.
fn lift(rule: &mut Rule, most: u64) {
    let most = most.min(rule.raise.cap).max(rule.most);
    let scaled = |amount: u64| {
        let share = u128::from(amount) * u128::from(most) / u128::from(rule.most.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    (rule.warning, rule.critical) = (scaled(rule.warning), scaled(rule.critical));
    rule.most = most;
}

#[cfg(test)]
mod tests;
