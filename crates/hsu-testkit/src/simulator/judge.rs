//! The judge: sees everything that happens, and says which promise was broken.
//!
//! One function for each invariant of `docs/reference/promises.md`, named after it. This file
//! keeps the facts they need and calls them at the moments when they can be broken:
//! [`steps`] after each step of the fleet, [`books`] when something is told, written or
//! restored, [`rest`] when all faults are over and nothing is left to do.

use std::sync::Arc;

use hsu_core::answer::Answer;
use hsu_core::effect::Effect;
use hsu_core::fleet::{Fleet, Glance, Sight};
use hsu_core::input::{Command, Input, ShutdownMode, Ticket};
use hsu_core::record::{Resume, WorkerRecord};
use hsu_keeper::GoodbyeMode;
use hsu_model::event::EventKind;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::Action;
use hsu_model::restart::RestartPolicy;
use hsu_model::time::Tick;
use hsu_model::worker::WorkerSpec;

use super::model::{Model, Seen};
use super::nature::{Features, Nature, restart_of};

mod attached;
mod books;
mod health;
mod limits;
mod looks;
mod rest;
mod steps;
mod succession;
mod takeover;
mod watched;

use health::Chart;
pub(crate) use takeover::Shelf;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which one.
    pub invariant: &'static str,
    /// How.
    pub what: String,
}

/// What an operator was told about one worker.
#[derive(Debug)]
struct Wish {
    /// A stop was acknowledged, and nothing else was asked for since.
    is_stopped: bool,
    /// A kill without delay was asked for.
    is_forced: bool,
    /// The batch that holds the latest command.
    number: u64,
    /// The latest command to start it.
    last_start: Ticket,
    /// Whether a configuration let it end for good.
    may_end: bool,
    /// It left the configuration, and nothing of it is left.
    is_forgotten: bool,
    /// What may be durable: after each command since the latest that was acknowledged.
    durable: Vec<Wanted>,
    /// Whether anything may be durable, because nothing was acknowledged.
    is_open: bool,
}

impl Wish {
    fn new() -> Self {
        Self {
            is_stopped: false,
            is_forced: false,
            number: 0,
            last_start: Ticket(0),
            may_end: false,
            is_forgotten: false,
            durable: Vec::new(),
            is_open: true,
        }
    }
}

/// What an operator wants of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    ticket: Ticket,
    is_removed: bool,
    runs: bool,
    enabled: Option<bool>,
}

/// A command that is not answered.
#[derive(Clone, Copy, Debug)]
struct Asked {
    ticket: Ticket,
    worker: usize,
    command: Command,
    /// The batch that holds it.
    number: u64,
}

/// What is known of one run.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// Its program was executed, in this boot.
    is_executed: bool,
    /// It is of a process of somebody else, which was taken.
    is_taken: bool,
    /// Its worker.
    worker: usize,
    /// It may go on as a process that it has named.
    is_followed: bool,
    /// This master was told that it is over.
    is_over: bool,
    /// When.
    executed_at: Option<Tick>,
    /// When it was ordered.
    ordered_at: Option<Tick>,
    /// When it was asked to end.
    asked_to_end: Option<Tick>,
}

/// Everything that was seen so far.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) findings: Vec<Finding>,
    ids: Vec<WorkerId>,
    specs: Vec<Option<Arc<WorkerSpec>>>,
    rate: hsu_model::restart::StartRate,
    wishes: Vec<Wish>,
    fates: Vec<Fate>,
    asked: Vec<Asked>,
    /// Where every worker was before the present step, and is after it.
    before: Vec<Option<Glance>>,
    after: Vec<Option<Glance>>,
    due: Option<Tick>,
    was_settled: bool,
    /// Whether this step is the one that settles.
    settles: bool,
    /// Whether facts were lost for good: power, or a record that decayed.
    is_lost: bool,
    ending: Option<ShutdownMode>,
    ended: Option<GoodbyeMode>,
    all_stopped: bool,
    last_event: u64,
    /// When automatic starts were asked for, by this master.
    starts: Vec<Tick>,
    given_up: u64,
    pub(crate) keepers_lost: u32,
    /// When a master ended by itself, and nobody was started since.
    master_failed: Option<Tick>,
    pub(crate) masters_lost: u32,
    pub(crate) power_lost: u32,
    /// Whether a keeper was told that nobody would ask any more how a run had ended.
    pub(crate) exits_forgotten: bool,
    /// The step is one that the master has seen before.
    pub(crate) is_repeated: bool,
    /// Whether this world has looks, limits, words or processes of others.
    has_outside: bool,
    charts: Vec<Chart>,
    /// What processes of others that are held have used.
    accounts: Vec<(RunId, limits::Account)>,
    /// The workers that somebody else starts, before a step.
    sights: Vec<(usize, Sight)>,
    /// How the process of somebody else that has just ended did so, where it is known.
    expected: Option<(RunId, Option<hsu_model::exit::Exit>)>,
    /// From when on everything must be at rest.
    pub(crate) quiet_from: Option<Tick>,
}

impl Judge {
    pub(crate) fn new(nature: &Nature) -> Self {
        let count = nature.ids.len() + 1;
        let mut specs: Vec<_> = nature.specs.iter().cloned().map(Some).collect();
        specs.push(None);
        Self {
            findings: Vec::new(),
            ids: nature.ids.clone(),
            specs,
            rate: nature.settings.start_rate,
            wishes: std::iter::repeat_with(Wish::new).take(count).collect(),
            fates: Vec::with_capacity(32),
            asked: Vec::new(),
            before: vec![None; count],
            after: vec![None; count],
            due: None,
            was_settled: false,
            settles: false,
            is_lost: false,
            ending: None,
            ended: None,
            all_stopped: false,
            last_event: 0,
            starts: Vec::new(),
            given_up: 0,
            keepers_lost: 0,
            master_failed: None,
            masters_lost: 0,
            power_lost: 0,
            exits_forgotten: false,
            is_repeated: false,
            has_outside: nature.features != Features::default(),
            charts: vec![Chart::default(); count],
            accounts: Vec::new(),
            sights: Vec::new(),
            expected: None,
            quiet_from: None,
        }
    }

    /// Notes a promise that was broken.
    pub(crate) fn object(&mut self, invariant: &'static str, what: impl FnOnce() -> String) {
        if self.findings.len() < 8 {
            self.findings.push(Finding { invariant, what: what() });
        }
    }

    fn index(&self, id: &WorkerId) -> usize {
        self.ids.iter().position(|known| known == id).unwrap_or(self.ids.len())
    }

    fn fate(&mut self, run: RunId) -> &mut Fate {
        let place = usize::try_from(run.0).unwrap_or(0);
        if self.fates.len() <= place {
            self.fates.resize(place + 1, Fate::default());
        }
        &mut self.fates[place]
    }

    fn fate_of(&self, run: RunId) -> Fate {
        let place = usize::try_from(run.0).unwrap_or(usize::MAX);
        self.fates.get(place).copied().unwrap_or_default()
    }

    /// This master has this configuration.
    fn configure(&mut self, specs: &[Arc<WorkerSpec>]) {
        for (place, id) in self.ids.iter().enumerate() {
            self.specs[place] = specs.iter().find(|spec| spec.id == *id).cloned();
            let restart = self.specs[place].as_deref().and_then(restart_of);
            let ends = [RestartPolicy::Never, RestartPolicy::OnFailure];
            let may_end = restart.is_some_and(|restart| ends.contains(&restart.policy));
            self.wishes[place].may_end |= may_end;
            self.wishes[place].is_forgotten &= self.specs[place].is_none();
        }
    }

    /// Another master: whoever waited for the last one waits no more.
    pub(crate) fn on_boot(
        &mut self,
        master: &super::master::Master,
        records: &[(WorkerId, WorkerRecord)],
        resume: Resume,
        specs: &[Arc<WorkerSpec>],
        (settings, again): (hsu_core::fleet::Settings, &Fleet),
    ) {
        self.configure(specs);
        for (id, _) in records.iter().filter(|(_, record)| record.removed) {
            let place = self.index(id);
            if resume == Resume::Continue {
                // An operator removed it: this master has none of it, whatever is configured.
                self.specs[place] = None;
            }
        }
        if resume == Resume::Fresh {
            // To start a master anew is a wish for all of its workers.
            for wish in &mut self.wishes {
                wish.is_stopped = false;
                wish.is_forced = false;
            }
        }
        self.i14_restored(records, resume);
        if resume == Resume::Continue {
            self.i14_taken_up(records, &master.fleet);
        }
        self.i13_recovery(&master.fleet, settings, again);
        self.asked.clear();
        self.starts.clear();
        self.given_up = 0;
        for fate in &mut self.fates {
            fate.is_over = false;
            fate.asked_to_end = None;
        }
        for wish in &mut self.wishes {
            wish.number = 0;
            wish.is_forced = false;
        }
        self.ending = None;
        self.ended = None;
        self.all_stopped = false;
        self.charts.fill(Chart::default());
        self.accounts.clear();
        self.glance(&master.fleet);
    }

    /// The master was killed.
    pub(crate) fn on_master_lost(&mut self) {
        self.masters_lost += 1;
        self.asked.clear();
        self.ending = None;
    }

    /// The master has ended by itself.
    pub(crate) fn on_master_ended(&mut self, mode: GoodbyeMode) {
        self.ended = Some(mode);
    }

    /// Whether somebody waits for an answer.
    pub(crate) fn somebody_waits(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether the master was told to end, and did.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Facts are lost for good, for a reason that may be.
    pub(crate) fn lose_facts(&mut self) {
        self.is_lost = true;
        // Numbers of which nothing was durable come back; nothing is left of them.
        self.forget_runs();
    }

    fn forget_runs(&mut self) {
        for fate in &mut self.fates {
            (fate.is_executed, fate.is_taken) = (false, false);
        }
    }

    /// Nothing runs any more.
    pub(crate) fn on_power_lost(&mut self) {
        self.power_lost += 1;
        self.is_lost = true;
        // Numbers of which nothing was durable come back; nothing is left of them.
        self.forget_runs();
        self.asked.clear();
        self.ending = None;
    }

    /// A record is lost to decay: what was in it is not known to anybody.
    pub(crate) fn on_rot(&mut self, worker: usize) {
        let wish = &mut self.wishes[worker];
        wish.is_open = true;
        wish.is_stopped = false;
        wish.durable.clear();
        self.is_lost = true;
    }

    /// Somebody asks for something.
    pub(crate) fn on_asked(&mut self, ticket: Ticket, worker: usize, command: Command, _: Tick) {
        self.asked.push(Asked { ticket, worker, command, number: 0 });
        let wish = &mut self.wishes[worker];
        if starts(command) {
            wish.is_stopped = false;
            wish.last_start = ticket;
        }
        if is_forced(command) {
            wish.is_forced = true;
        }
    }

    /// The wish is in this batch, and this is what the worker shall be from now on.
    pub(crate) fn on_wished(
        &mut self,
        ticket: Ticket,
        worker: usize,
        number: u64,
        record: Option<WorkerRecord>,
    ) {
        let record_is_known = record.is_some();
        let wanted = Wanted {
            ticket,
            is_removed: record.is_none(),
            runs: record.as_ref().is_some_and(|r| r.desired == hsu_model::status::Desired::Running),
            enabled: record.and_then(|record| record.enabled),
        };
        let was_watched = self.sights.iter().any(|(place, _)| *place == worker);
        let is_known = record_is_known || was_watched || self.before[worker].is_some();
        let wish = &mut self.wishes[worker];
        wish.number = number;
        if is_known {
            wish.durable.push(wanted);
        }
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.ticket == ticket) {
            asked.number = number;
        }
    }

    /// The moment before a step.
    pub(crate) fn before(&mut self, fleet: &Fleet) {
        // Nothing but a step changes a fleet.
        std::mem::swap(&mut self.before, &mut self.after);
        if self.has_outside {
            let mut sights = std::mem::take(&mut self.sights);
            sights.clear();
            let sight = |id| Some((self.index(id), fleet.sight(id)?));
            sights.extend(fleet.watched().filter_map(sight));
            self.sights = sights;
        }
        self.due = fleet.next_deadline();
        self.was_settled = fleet.is_settled();
        self.settles = false;
    }

    /// What one step asked for.
    pub(crate) fn after(&mut self, now: Tick, input: &Input, effects: &[Effect], fleet: &Fleet) {
        self.glance(fleet);
        self.note(input);
        self.i3_told_once(input, effects);
        self.i5_no_resurrection(effects);
        self.i6_stale_wake(now, input, effects);
        self.i7_rests_and_attempts(now, input, effects);
        self.i8_breaker(now, input, effects);
        self.i10_order(effects);
        self.i17_i18_stale_findings(now, input, effects);
        self.follow_outside(now, input, effects, fleet);
        self.follow_attached(now, effects, fleet);
        self.i2_successors(input, effects);
        self.i24_decisions(input, effects);
        self.i25_refused(input, effects);
        self.i28_end(input, effects);
        self.l5_failures_stay(input);
        self.l7_only_looks(now, effects);
        for effect in effects {
            match effect {
                Effect::Signal { run, signal, .. } => self.i2_signal(now, *run, *signal, input),
                Effect::KillTree { worker, run, .. } => self.i9_grace(now, worker, *run),
                Effect::Forget { worker, .. } => {
                    // It is as if it had never been; but until the disk has forgotten it too, a
                    // next master may find that it had ended for good.
                    let place = self.index(worker);
                    let may_end = self.wishes[place].may_end;
                    self.wishes[place] = Wish { is_forgotten: true, may_end, ..Wish::new() };
                }
                Effect::Event {
                    worker: Some(worker),
                    kind: EventKind::LimitAction { action, .. },
                    ..
                } => self.note_sentence(worker, action),
                _ => {}
            }
        }
        self.model_agrees(now, input, effects);
    }

    /// Notes where every worker is.
    fn glance(&mut self, fleet: &Fleet) {
        self.after.fill(None);
        for (id, glance) in fleet.glances() {
            let place = self.index(id);
            self.after[place] = Some(glance);
        }
    }

    /// What ends a run for good, and what ends it at once.
    fn note_sentence(&mut self, worker: &WorkerId, action: &str) {
        let place = self.index(worker);
        let kills = action == Action::ImmediateKill.as_str();
        let stays = kills || action == Action::GracefulShutdown.as_str();
        self.wishes[place].may_end |= stays;
        self.wishes[place].is_forced |= kills;
    }

    fn note(&mut self, input: &Input) {
        match input {
            Input::Exited { run, .. } | Input::SpawnFailed { run, .. } => {
                self.fate(*run).is_over = true;
            }
            Input::Settled { .. } => self.settles = true,
            Input::Shutdown { mode, .. } => self.ending = Some(*mode),
            Input::ForceShutdown => {
                self.wishes.iter_mut().for_each(|wish| wish.is_forced = true);
            }
            _ => {}
        }
    }

    /// Somebody is answered.
    pub(crate) fn on_answer(&mut self, ticket: Ticket, answer: &Answer, synced: u64) {
        self.i26_no_secret_in_answer(answer);
        let Some(place) = self.asked.iter().position(|asked| asked.ticket == ticket) else {
            return self.object("L3", || format!("nobody waits for {ticket:?}, or not any more"));
        };
        let asked = self.asked.remove(place);
        self.i11_answer(&asked, answer, synced);
        self.l3_truthful(&asked, answer);
        let wish = &mut self.wishes[asked.worker];
        // A start that was asked for later takes the place of the stop.
        let started_since = wish.last_start > ticket;
        if let Answer::Done { .. } = answer
            && !wish.is_forgotten
        {
            wish.durable.retain(|wanted| wanted.ticket >= ticket);
            wish.is_open = false;
            if stops(asked.command) && !started_since {
                wish.is_stopped = true;
            }
        }
    }

    fn model_agrees(&mut self, now: Tick, input: &Input, effects: &[Effect]) {
        let model = Model { settled: self.was_settled || self.settles, ending: self.ending };
        for place in 0..self.ids.len() {
            let Some(before) = self.before[place] else { continue };
            let wrong = model.judge(&Seen {
                now,
                id: &self.ids[place],
                spec: self.specs[place].as_deref(),
                before,
                is_blamed: self.charts[place].account.has_ended,
                after: self.after[place],
                input,
                effects,
            });
            if let Some(what) = wrong {
                self.object("model", || what);
            }
        }
    }
}

/// Whether a command may end with a process that was started.
fn starts(command: Command) -> bool {
    matches!(command, Command::Start | Command::Restart { .. })
}

fn stops(command: Command) -> bool {
    matches!(command, Command::Stop { .. } | Command::Disable)
}

fn is_forced(command: Command) -> bool {
    matches!(command, Command::Stop { force: true } | Command::Restart { force: true })
}
