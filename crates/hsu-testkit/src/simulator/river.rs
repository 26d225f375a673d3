//! The river: the real carrier of the pump, with its spools, on a disk and pipes in memory.
//!
//! Runs write bytes that are known one by one, the pump is killed between any two calls, the
//! disk fills up and refuses, plans change, and people do to log files what people do. The
//! judge says which byte is not where it belongs.
//!
//! Models, by name: the turn of `hsu-keeper/src/pump/turns.rs` that waits and reads clocks,
//! here [`River::turn`]; the keeper, which hands every pipe to the next pump; an output of
//! `hsu-logs` that reads, and says how far.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hsu_keeper::pump::carrier::{Carrier, Clocks, Ground};
use hsu_model::calendar::Calendar;
use hsu_model::id::RunId;
use hsu_model::logs::OnFull;
use hsu_model::spool::plan::{PumpPlan, Readers, SpoolPlan};
use hsu_model::spool::{CONSUMED_FILE, DATA_FILE, SpoolId, base_in_name, encode_consumed};
use hsu_model::time::WallTime;

use super::judge::Finding;
use super::museum::Bug;
use super::trace::Trace;

mod chart;
mod disk;
mod judge;
mod ledger;
mod people;
mod pipe;
mod reader;

pub(crate) use chart::{Act, Draft, Waters, chart};

use disk::{Drive, Store};
use judge::{Judge, closed_segment};
use pipe::{Conduit, Set, Tap};
use reader::View;

/// Where the spools are.
const SPOOLS: &str = "/spools";
/// Where the log files of users are.
pub(crate) const LOGS: &str = "/log";
/// Where people put what they moved away.
pub(crate) const ASIDE: &str = "/aside";
/// Descriptors of a pump whose spools have to share a few.
const FEW: u64 = 66;
/// The wall clock when the world begins, in seconds.
const BEGIN: i64 = 1_700_000_000;
/// How the last run of each spool writes.
const LAST_LINES: u8 = 4;
const LAST_BYTES: usize = 9;
/// Seconds until everything has come to rest.
const LONGEST_REST: usize = 60;

/// A pump at work.
#[derive(Debug)]
struct Pump {
    carrier: Carrier<Drive, Tap, Set>,
    set: Set,
    calendar: Calendar,
    began: u64,
}

/// One world of spools.
#[derive(Debug)]
pub(crate) struct River {
    store: Rc<RefCell<Store>>,
    ids: Vec<SpoolId>,
    folders: Vec<PathBuf>,
    plans: Vec<SpoolPlan>,
    pump: Option<Pump>,
    /// Every pipe that is not drained, as the keeper has them.
    conduits: Vec<Rc<RefCell<Conduit>>>,
    judge: Judge,
    epoch: Instant,
    few_descriptors: bool,
    trace: Trace,
    kills: u64,
    had_faults: bool,
}

/// What came of a river.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) findings: Vec<Finding>,
    /// Calls of the disk.
    pub(crate) calls: u64,
    pub(crate) kills: u64,
    pub(crate) trace: Trace,
}

/// Lives through a river.
pub(crate) fn run(waters: &Waters, acts: &[Act], bug: Option<Bug>, trace: Trace) -> Flow {
    let mut river = River::new(waters, bug, trace);
    for act in acts {
        river.act(*act);
        if !river.judge.findings.is_empty() {
            break;
        }
    }
    if river.judge.findings.is_empty() {
        river.come_to_rest();
    }
    Flow {
        calls: river.store.borrow().calls,
        findings: river.judge.findings,
        kills: river.kills,
        trace: river.trace,
    }
}

/// The path of a log file of one of two kinds.
fn log_file(kind: &str, id: &SpoolId) -> String {
    let name = id.to_string().replace('/', "-");
    format!("{LOGS}/{kind}-{name}.log")
}

/// Every data path that a spool may ever have.
fn data_paths(id: &SpoolId, folder: &Path) -> Vec<PathBuf> {
    let of_users = ["log", "other"].map(|kind| PathBuf::from(log_file(kind, id)));
    of_users.into_iter().chain([folder.join(DATA_FILE)]).collect()
}

impl River {
    fn new(waters: &Waters, bug: Option<Bug>, trace: Trace) -> Self {
        let ids: Vec<SpoolId> = ["a/stdout", "a/stderr", "b/stdout"][..waters.plans.len()]
            .iter()
            .filter_map(|name| SpoolId::parse(name))
            .collect();
        let plans = ids.iter().zip(&waters.plans);
        let plans = plans.map(|(id, draft)| draft.plan(|kind| log_file(kind, id))).collect();
        let folders: Vec<PathBuf> = ids
            .iter()
            .map(|id| Path::new(SPOOLS).join(id.worker.as_str()).join(id.stream.as_str()))
            .collect();
        let mut store = Store::new(folders.clone(), BEGIN, bug);
        for folder in [SPOOLS, LOGS, ASIDE] {
            let _ = store.make_folders(Path::new(folder));
        }
        store.faults.sip = waters.sip;
        let mut judge = Judge::default();
        judge.stories.resize_with(ids.len(), judge::Story::default);
        let mut river = Self {
            store: Rc::new(RefCell::new(store)),
            ids,
            folders,
            plans,
            pump: None,
            conduits: Vec::new(),
            judge,
            epoch: Instant::now(),
            few_descriptors: waters.few_descriptors,
            trace,
            kills: 0,
            had_faults: false,
        };
        for (story, plan) in river.judge.stories.iter_mut().zip(&river.plans) {
            story.may_drop = plan.on_full == OnFull::Drop;
        }
        river.trace.note(|| format!("{waters:?}"));
        river.store.borrow_mut().told = river.trace.is_kept().then(Vec::new);
        river
    }

    fn act(&mut self, act: Act) {
        self.trace.note(|| format!("* {act:?}"));
        match act {
            Act::Begin { spool, every, capacity } => {
                self.begin(usize::from(spool), every, capacity)
            }
            Act::Write { run, count } => self.write(usize::from(run), usize::from(count)),
            Act::End { run } => self.end(usize::from(run)),
            Act::Turn { times, pause } => {
                for _ in 0..times {
                    self.turn(u64::from(pause));
                }
            }
            Act::Kill { after } => self.store.borrow_mut().faults.kill = Some(u32::from(after)),
            Act::Look { after } => self.store.borrow_mut().faults.look = Some(u32::from(after)),
            Act::Refuse { after, times } => {
                self.had_faults = true;
                let fault = (u32::from(after), u32::from(times.max(1)));
                self.store.borrow_mut().faults.refuse = Some(fault);
            }
            Act::Fill(room) => {
                self.had_faults |= room.is_some();
                self.store.borrow_mut().faults.room = room.map(usize::from);
            }
            Act::ReadOnly(is) => {
                self.had_faults |= is;
                self.store.borrow_mut().faults.read_only = is;
            }
            Act::Descriptors(most) => {
                self.had_faults |= most.is_some();
                self.store.borrow_mut().faults.descriptors = most.map(usize::from);
            }
            Act::Jump(seconds) => {
                self.judge.on_jump(u64::from(seconds.unsigned_abs()));
                self.store.borrow_mut().wall += i64::from(seconds);
            }
            Act::Plan { spool, plan } => self.plan(usize::from(spool), plan),
            Act::Read { spool, most } => self.read(usize::from(spool), u64::from(most)),
            Act::Deed { spool, deed } => self.deed(usize::from(spool), deed),
        }
        if matches!(act, Act::Turn { .. } | Act::Deed { .. }) {
            self.judge_all();
        }
    }

    fn spool(&self, number: usize) -> usize {
        number % self.ids.len()
    }

    /// The pipe that a number means, of those that are not drained.
    fn conduit(&self, number: usize) -> Option<Rc<RefCell<Conduit>>> {
        let count = self.conduits.len();
        self.conduits.get(number.checked_rem(count)?).cloned()
    }

    /// A run begins, and the keeper passes its pipe on.
    fn begin(&mut self, spool: usize, every: u8, capacity: u8) {
        let spool = self.spool(spool);
        let run = self.store.borrow_mut().ledger.begin(spool, u64::from(every) + 1);
        let conduit = Conduit {
            run,
            spool,
            from: 0,
            to: 0,
            capacity: u32::from(capacity) + 16,
            is_open: true,
        };
        self.conduits.push(Rc::new(RefCell::new(conduit)));
        self.pass(self.conduits.len() - 1);
    }

    /// Gives the pump a pipe.
    fn pass(&mut self, at: usize) {
        let now = self.instant();
        let Some(pump) = &mut self.pump else { return };
        let conduit = Rc::clone(&self.conduits[at]);
        let (run, spool) = (conduit.borrow().run, conduit.borrow().spool);
        let tap = Tap { drive: Drive(Rc::clone(&self.store)), conduit };
        let run = RunId(u64::from(run) + 1);
        let carried = pump.carrier.carry(run, self.ids[spool].clone(), tap, now);
        if carried.is_err() {
            self.judge.object(|| "a pipe is not taken".to_owned());
        }
    }

    fn write(&mut self, run: usize, count: usize) {
        let Some(conduit) = self.conduit(run) else { return };
        let mut conduit = conduit.borrow_mut();
        let room = conduit.capacity as usize - conduit.waits();
        let count = if conduit.is_open { count.min(room) } else { 0 };
        conduit.to += u32::try_from(count).unwrap_or(0);
        self.store.borrow_mut().ledger.write(conduit.run, count);
    }

    fn end(&mut self, run: usize) {
        if let Some(conduit) = self.conduit(run) {
            conduit.borrow_mut().is_open = false;
        }
    }

    fn instant(&self) -> Instant {
        self.epoch + Duration::from_millis(self.store.borrow().now)
    }

    fn wall(&self) -> WallTime {
        let store = self.store.borrow();
        WallTime(store.wall * 1_000_000_000)
    }

    /// Time passes, and the pump does what is due. One that is not there is started.
    fn turn(&mut self, pause: u64) {
        self.pass_time(pause);
        self.start_pump();
        let (now, wall) = (self.instant(), self.wall());
        let since = self.store.borrow().now;
        let Some(pump) = &mut self.pump else { return };
        let passed = Duration::from_millis(since.saturating_sub(pump.began));
        let reckoned = pump.calendar.reckon(passed, wall);
        let ready = pump.set.ready();
        let work = pump.carrier.work(&ready, Clocks { tick: now, wall, reckoned });
        self.tell_calls();
        if self.store.borrow().dead {
            self.on_death();
        } else {
            for (run, _) in work.drained {
                self.drained(run);
            }
        }
        self.judge_losses();
        let looks = std::mem::take(&mut self.store.borrow_mut().looks);
        for (spool, view) in looks.iter().enumerate() {
            self.judge.i21_seen(spool, view);
        }
    }

    fn tell_calls(&mut self) {
        if let Some(told) = &mut self.store.borrow_mut().told {
            told.drain(..).for_each(|line| self.trace.note(|| line));
        }
    }

    fn pass_time(&mut self, pause: u64) {
        let mut store = self.store.borrow_mut();
        let before = store.now / 1_000;
        store.now += pause;
        let seconds = store.now / 1_000 - before;
        store.wall += i64::try_from(seconds).unwrap_or(0);
    }

    fn start_pump(&mut self) {
        if self.pump.is_some() {
            return;
        }
        let set = Set::default();
        let ground = Ground {
            disk: Drive(Rc::clone(&self.store)),
            folder: PathBuf::from(SPOOLS),
            watch: set.clone(),
            scratch: (),
            descriptors: if self.few_descriptors { FEW } else { 4_096 },
        };
        let (now, wall) = (self.instant(), self.wall());
        let mut carrier = Carrier::new(ground, now);
        let plans = self.ids.iter().cloned().zip(self.plans.iter().cloned());
        carrier.set_plan(PumpPlan { spools: plans.collect() });
        let written = self.store.borrow().written;
        let written = written.map(|seconds| WallTime(seconds * 1_000_000_000));
        let calendar = Calendar::begin(Duration::ZERO, wall, written);
        let began = self.store.borrow().now;
        self.store.borrow_mut().is_begun = None;
        self.pump = Some(Pump { carrier, set, calendar, began });
        for at in 0..self.conduits.len() {
            self.pass(at);
        }
    }

    /// The pump was killed: what it knew is gone.
    fn on_death(&mut self) {
        self.trace.note(|| "  the pump is dead".to_owned());
        self.pump = None;
        self.kills += 1;
        self.judge.was_killed = true;
        let mut store = self.store.borrow_mut();
        store.dead = false;
        for (spool, folder) in self.folders.iter().enumerate() {
            let view = View::of(&store, folder);
            let of_it = self.conduits.iter().map(|conduit| conduit.borrow());
            let waits: usize =
                of_it.filter(|conduit| conduit.spool == spool).map(|c| c.waits()).sum();
            self.judge.on_killed(spool, &view, &store.ledger, (waits as u64, self.had_faults));
            self.judge.i21_seen(spool, &view);
        }
    }

    /// The pump says that all of a run is in its spool.
    fn drained(&mut self, run: RunId) {
        let is_it = |conduit: &Conduit| u64::from(conduit.run) + 1 == run.0;
        let is_over = |conduit: &Conduit| !conduit.is_open && conduit.waits() == 0;
        self.conduits.retain(|conduit| {
            let conduit = conduit.borrow();
            if is_it(&conduit) && !is_over(&conduit) {
                self.judge.object(|| format!("run {} is told as drained, and is not", run.0));
            }
            !is_it(&conduit)
        });
    }

    fn plan(&mut self, spool: usize, draft: Draft) {
        let spool = self.spool(spool);
        let plan = draft.plan(|kind| log_file(kind, &self.ids[spool]));
        let had_readers = self.plans[spool].readers != Readers::None;
        let story = &mut self.judge.stories[spool];
        story.may_drop |= plan.on_full == OnFull::Drop;
        if plan.log_file != self.plans[spool].log_file {
            story.has_moved = true;
            if story.is_hurt {
                // What somebody took may not be known when the file is looked at anew.
                story.forget_from(0);
            }
        }
        let has_readers = plan.readers != Readers::None;
        self.plans[spool] = plan;
        if has_readers && !had_readers {
            // Who comes now begins with what comes next, and says so at once.
            let view = View::of(&self.store.borrow(), &self.folders[spool]);
            let story = &mut self.judge.stories[spool];
            (story.cursor, story.committed) = (view.end(), None);
            self.commit(spool);
        }
        if let Some(pump) = &mut self.pump {
            let plans = self.ids.iter().cloned().zip(self.plans.iter().cloned());
            pump.carrier.set_plan(PumpPlan { spools: plans.collect() });
        }
    }

    /// An output reads so many bytes, and says how far it is.
    fn read(&mut self, spool: usize, most: u64) {
        let spool = self.spool(spool);
        if self.plans[spool].readers == Readers::None {
            return;
        }
        let view = View::of(&self.store.borrow(), &self.folders[spool]);
        self.judge.i21_read(spool, &view, most);
        self.commit(spool);
    }

    /// An output says how far it has come. A spool that never had a byte has no folder.
    fn commit(&mut self, spool: usize) {
        let mut store = self.store.borrow_mut();
        let story = &mut self.judge.stories[spool];
        if store.entry(&self.folders[spool]).is_some() {
            store.lay(&self.folders[spool].join(CONSUMED_FILE), &encode_consumed(story.cursor));
            story.committed = Some(story.cursor);
        }
    }

    fn judge_losses(&mut self) {
        let losses = std::mem::take(&mut self.store.borrow_mut().losses);
        for loss in losses {
            let data_paths: Vec<Vec<PathBuf>> = self
                .ids
                .iter()
                .zip(&self.folders)
                .map(|(id, folder)| data_paths(id, folder))
                .collect();
            let found = closed_segment(&loss.path, &data_paths);
            let plan = found.map_or_else(SpoolPlan::fallback, |(at, _)| self.plans[at].clone());
            self.judge.i21_retired(found, &plan, &loss);
        }
    }

    fn judge_all(&mut self) {
        let store = self.store.borrow();
        for (spool, folder) in self.folders.iter().enumerate() {
            let conduits = self.conduits.iter().map(|conduit| conduit.borrow());
            let waits = conduits.filter(|conduit| conduit.spool == spool).map(|c| c.waits());
            self.judge.i21_waits(spool, waits.sum(), &store.ledger);
            let view = View::of(&store, folder);
            self.judge.on_view(spool, &view, &store.ledger);
            self.judge.i21_counted(spool, &view, &store.ledger, self.had_faults);
        }
        self.judge.i21_moved(&store);
    }

    /// Everything that was wrong is right again; all bytes reach their spool.
    fn come_to_rest(&mut self) {
        self.trace.note(|| "all faults are over".to_owned());
        {
            let mut store = self.store.borrow_mut();
            store.faults = disk::Faults::default();
        }
        self.undo_deeds();
        for conduit in &self.conduits {
            conduit.borrow_mut().is_open = false;
        }
        // Whatever is to be told is told before the next line.
        for spool in 0..self.ids.len() {
            self.begin(spool, LAST_LINES, 0);
            let last = self.conduits.len() - 1;
            self.write(last, LAST_BYTES);
            self.end(last);
        }
        let mut left = LONGEST_REST;
        while left > 0 {
            // Some more when all is done, so that what is to be retired is.
            left = if self.conduits.is_empty() { left.min(14) - 1 } else { left - 1 };
            self.turn(1_000);
            for spool in 0..self.ids.len() {
                self.read(spool, u64::MAX);
            }
        }
        self.judge_all();
        let store = self.store.borrow();
        for (spool, folder) in self.folders.iter().enumerate() {
            let view = View::of(&store, folder);
            let current = &reader::places(&store, folder)[0];
            let stem = current.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let inside = store.names_in(current.parent().unwrap_or(current));
            let segments = inside.filter(|(name, _)| base_in_name(stem, name).is_some()).count();
            let plan = (&self.plans[spool], segments);
            self.judge.i21_at_rest(spool, &view, &store.ledger, plan);
        }
        if !self.conduits.is_empty() {
            let count = self.conduits.len();
            self.judge.object(|| format!("{count} pipes that have ended are never let go"));
        }
    }
}
