//! The carrier: which pipe is served when, and what becomes of a spool that cannot take more.
//!
//! `pump/pacing.rs` says when a pipe is due again; here it is served, its spool is tried
//! again when it was stuck, and what was closed is retired. Whoever owns the carrier waits:
//! it is told which pipes have something to say, and what time it is.
//!
//! Deliberately absent: the kernel, its clocks, and the way to the master. In the simulator
//! of `hsu-testkit` all of them are made of chance.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use hsu_model::id::RunId;
use hsu_model::logs::OnFull;
use hsu_model::spool::SpoolId;
use hsu_model::spool::notice::{Notice, Stuck};
use hsu_model::spool::plan::{PumpPlan, Readers, SpoolPlan};
use hsu_model::time::WallTime;

use super::disk::{Disk, Pipe};
use super::files::Folders;
use super::overflow::Sink;
use super::pacing::{Fill, Pacer};
use super::spool::{Moment, Moved, Spool};

/// What a pipe is grown to once its writer is fast: the usual limit without privilege.
const LARGE_PIPE: usize = 1 << 20;
/// What a pipe is taken to hold that does not say so.
const USUAL_PIPE: usize = 64 << 10;
/// Descriptors that are neither pipes nor spool files.
const OTHER_DESCRIPTORS: u64 = 64;
/// Open spools at most: more would only cost memory.
const MAX_OPEN: u64 = 4096;

/// The set of pipes that are waited for.
pub trait Watch<P>: fmt::Debug {
    /// Waits for a pipe too. What it has to say is told with this number.
    ///
    /// # Errors
    /// The system's.
    fn add(&self, pipe: &P, token: u64) -> io::Result<()>;

    /// Waits for it no more.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, pipe: &P) -> io::Result<()>;
}

/// What a pipe has to say.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The number it was added with.
    pub token: u64,
    /// Whether bytes wait.
    pub readable: bool,
    /// Whether the last writer has gone.
    pub hung_up: bool,
}

/// The clocks, read once a turn.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// For decisions.
    pub tick: Instant,
    /// For the index.
    pub wall: WallTime,
    /// For ages: the wall clock without its jumps.
    pub reckoned: WallTime,
}

/// What came of a turn.
#[derive(Debug, Default)]
pub struct Work {
    /// Streams whose last byte is in the spool; their pipes are closed.
    pub drained: Vec<(RunId, SpoolId)>,
    /// What the master is told.
    pub news: Vec<Notice>,
    /// When the first pipe is due that has something to say; none when none has.
    pub due: Option<Instant>,
}

/// A pipe of a run.
#[derive(Debug)]
struct Feed<P> {
    run: RunId,
    spool: usize,
    fd: P,
    capacity: usize,
    served: Instant,
    due: Instant,
    watched: bool,
    /// Whether the beginning of its current line was dropped.
    mid_line: bool,
}

/// The spools of a pump, and the pipes that feed them.
#[derive(Debug)]
pub struct Carrier<D: Disk, P: Pipe<D::File>, W> {
    disk: D,
    /// The folder of all spools.
    folder: PathBuf,
    pub(super) watch: W,
    plan: PumpPlan,
    folders: Folders,
    sink: Sink<P::Scratch>,
    spools: Vec<Spool<D>>,
    numbers: BTreeMap<SpoolId, usize>,
    pipes: Vec<Option<Feed<P>>>,
    pacer: Pacer,
    /// When the next stuck spool is tried again.
    retry_due: Option<Instant>,
    /// When closed segments are looked at again.
    retire_due: Option<Instant>,
    descriptor_limit: u64,
    open_spools: u64,
    evict_from: usize,
}

/// What a carrier stands on.
#[derive(Debug)]
pub struct Ground<D, S, W> {
    /// The disk.
    pub disk: D,
    /// The folder of all spools on it.
    pub folder: PathBuf,
    /// What waits for the pipes.
    pub watch: W,
    /// What it takes to look into a pipe.
    pub scratch: S,
    /// Descriptors that the process may have.
    pub descriptors: u64,
}

impl<D: Disk, P: Pipe<D::File>, W: Watch<P>> Carrier<D, P, W> {
    /// A carrier that has no pipe. Nothing is opened yet.
    pub fn new(ground: Ground<D, P::Scratch, W>, now: Instant) -> Self {
        Self {
            disk: ground.disk,
            folder: ground.folder,
            watch: ground.watch,
            plan: PumpPlan::default(),
            folders: Folders::default(),
            sink: Sink::new(ground.scratch),
            spools: Vec::new(),
            numbers: BTreeMap::new(),
            pipes: Vec::new(),
            pacer: Pacer::new(now),
            retry_due: None,
            retire_due: None,
            descriptor_limit: ground.descriptors,
            open_spools: 0,
            evict_from: 0,
        }
    }

    /// Works by another plan from now on.
    pub fn set_plan(&mut self, plan: PumpPlan) {
        self.plan = plan;
        for spool in &mut self.spools {
            if let Some(plan) = self.plan.spools.get(&spool.id) {
                spool.set_plan(plan);
                self.retire_due = earliest(self.retire_due, spool.retire_at);
            }
        }
    }

    /// Takes the read end of a pipe. One that is carried already is not taken again.
    ///
    /// # Errors
    /// The system's, when the pipe cannot be waited for.
    pub fn carry(&mut self, run: RunId, id: SpoolId, fd: P, now: Instant) -> io::Result<()> {
        let number = self.number(id, now);
        let mut carried = self.pipes_of(number).filter_map(|at| self.pipe(at));
        if carried.any(|pipe| pipe.run == run) {
            return Ok(());
        }
        let at = self.pipes.iter().position(Option::is_none).unwrap_or(self.pipes.len());
        self.watch.add(&fd, at as u64)?;
        let capacity = fd.capacity().unwrap_or(USUAL_PIPE);
        let pipe = Feed {
            run,
            spool: number,
            fd,
            capacity,
            served: now,
            due: now,
            watched: true,
            mid_line: false,
        };
        match self.pipes.get_mut(at) {
            Some(slot) => *slot = Some(pipe),
            None => self.pipes.push(Some(pipe)),
        }
        if let Some(spool) = self.spools.get_mut(number) {
            spool.pipes.push(at);
        }
        Ok(())
    }

    /// Every pipe that is carried.
    pub fn carried(&self) -> impl Iterator<Item = (RunId, &SpoolId, &P)> {
        self.pipes.iter().flatten().filter_map(|pipe| {
            let spool = self.spools.get(pipe.spool)?;
            Some((pipe.run, &spool.id, &pipe.fd))
        })
    }

    /// When it has to work though no pipe has anything to say; none is never.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        earliest(self.retry_due, self.retire_due)
    }

    /// Serves the pipes that are due among those that have something to say, and
    /// everything for which it is time.
    pub fn work(&mut self, ready: &[Ready], clocks: Clocks) -> Work {
        let mut work = Work::default();
        let Clocks { tick, wall, reckoned } = clocks;
        let now = Moment { tick, wall, reckoned, arrival_step: self.pacer.arrival_step() };
        let slow_too = self.pacer.begin(tick);
        for event in ready {
            let Ok(at) = usize::try_from(event.token) else {
                continue;
            };
            let Some(due) = self.pipe(at).map(|pipe| pipe.due) else {
                continue;
            };
            let due = match slow_too || due <= tick {
                true => self.serve(at, *event, now, &mut work),
                false => Some(due),
            };
            work.due = earliest(work.due, due);
        }
        self.retry_stuck(now, &mut work);
        self.retire_due_segments(now);
        work
    }

    /// Serves a pipe; answers when it is due again, none when that is left to the kernel.
    fn serve(&mut self, at: usize, event: Ready, now: Moment, work: &mut Work) -> Option<Instant> {
        let number = self.pipe(at)?.spool;
        let spool = self.spools.get(number)?;
        if spool.overflow.is_some() {
            match spool.plan.on_full {
                OnFull::Drop => self.drop_bytes(at, event, now, work),
                OnFull::Block => {
                    // A run that has begun since, or another plan: it waits as the others do.
                    self.set_watched(number, false);
                    None
                }
            }
        } else if event.readable {
            self.move_bytes(at, now, work)
        } else {
            self.end(at, now, work);
            None
        }
    }

    /// Moves what waits in a pipe into its spool.
    fn move_bytes(&mut self, at: usize, now: Moment, work: &mut Work) -> Option<Instant> {
        let pipe = self.pipes.get_mut(at)?.as_mut()?;
        let spool = self.spools.get_mut(pipe.spool)?;
        let was_open = spool.files.is_some();
        let moved = spool.append(&pipe.fd, pipe.run, now, &mut self.folders);
        if !was_open && spool.files.is_some() {
            self.open_spools += 1;
        }
        self.retire_due = earliest(self.retire_due, spool.retire_at);
        let due = match moved {
            Ok(Moved::Bytes { count, more }) => {
                pipe.pace(count, more, now.tick, &mut self.pacer);
                if spool.plan.readers != Readers::None {
                    work.news.push(Notice::Grew(spool.id.clone()));
                }
                Some(pipe.due)
            }
            Ok(Moved::Nothing) => None,
            Ok(Moved::End) => {
                self.end(at, now, work);
                None
            }
            Err(why) => {
                self.stick(at, why, now, work);
                None
            }
        };
        self.close_surplus(at);
        due
    }

    /// The pipe has ended: its run's last line gets an end, and the pipe goes.
    fn end(&mut self, at: usize, now: Moment, work: &mut Work) {
        let Some(pipe) = self.pipes.get(at).and_then(Option::as_ref) else {
            return;
        };
        let Some(spool) = self.spools.get_mut(pipe.spool) else {
            return;
        };
        let before = spool.end();
        let ended = spool.end_run(pipe.run, now, &mut self.folders);
        self.retire_due = earliest(self.retire_due, spool.retire_at);
        match ended {
            Ok(()) => {
                if spool.plan.readers != Readers::None && spool.end() != before {
                    work.news.push(Notice::Grew(spool.id.clone()));
                }
                work.drained.push((pipe.run, spool.id.clone()));
                self.let_go(at);
            }
            Err(why) => self.stick(at, why, now, work),
        }
    }

    fn let_go(&mut self, at: usize) {
        let Some(pipe) = self.pipes.get_mut(at).and_then(Option::take) else {
            return;
        };
        if pipe.watched {
            let _ = self.watch.remove(&pipe.fd);
        }
        if let Some(spool) = self.spools.get_mut(pipe.spool) {
            spool.pipes.retain(|other| *other != at);
        }
    }

    /// A spool cannot take more: its policy is in force until a retry succeeds.
    fn stick(&mut self, at: usize, why: Stuck, now: Moment, work: &mut Work) {
        let Some(number) = self.pipe(at).map(|pipe| pipe.spool) else {
            return;
        };
        let Some(spool) = self.spools.get_mut(number) else {
            return;
        };
        if spool.note_overflow(why, now) {
            work.news.push(Notice::Stuck { spool: spool.id.clone(), why });
        }
        self.retry_due = earliest(self.retry_due, spool.overflow.map(|o| o.retry_at));
        if spool.plan.on_full == OnFull::Block {
            // A pipe that has hung up would wake the pump again and again.
            self.set_watched(number, false);
        }
    }

    /// Serves a pipe of a spool whose policy is `drop` and which has no room.
    fn drop_bytes(
        &mut self,
        at: usize,
        event: Ready,
        now: Moment,
        work: &mut Work,
    ) -> Option<Instant> {
        let pipe = self.pipes.get_mut(at)?.as_mut()?;
        let spool = self.spools.get_mut(pipe.spool)?;
        match spool.discard(&pipe.fd, &mut self.sink) {
            Ok(Some(dropped)) => {
                pipe.mid_line = !dropped.line_ended;
                pipe.pace(dropped.count, false, now.tick, &mut self.pacer);
                Some(pipe.due)
            }
            Ok(None) if event.hung_up => {
                work.drained.push((pipe.run, spool.id.clone()));
                self.let_go(at);
                None
            }
            Ok(None) | Err(_) => Some(self.pacer.slow_due()),
        }
    }

    /// Tries every stuck spool that is due.
    fn retry_stuck(&mut self, now: Moment, work: &mut Work) {
        if self.retry_due.is_none_or(|due| due > now.tick) {
            return;
        }
        self.retry_due = None;
        for number in 0..self.spools.len() {
            let due = |spools: &[Spool<D>]| spools.get(number)?.overflow.map(|o| o.retry_at);
            if due(&self.spools).is_some_and(|at| at <= now.tick) {
                self.retry(number, now, work);
            }
            self.retry_due = earliest(self.retry_due, due(&self.spools));
        }
    }

    /// Looks at the closed segments of every spool for which it is time.
    fn retire_due_segments(&mut self, now: Moment) {
        if self.retire_due.is_none_or(|due| due > now.tick) {
            return;
        }
        self.retire_due = None;
        for spool in &mut self.spools {
            if spool.retire_at.is_some_and(|at| at <= now.tick) {
                spool.retire(now);
            }
            self.retire_due = earliest(self.retire_due, spool.retire_at);
        }
    }

    fn retry(&mut self, number: usize, now: Moment, work: &mut Work) {
        let pipes: Vec<usize> = self.pipes_of(number).collect();
        let Some(spool) = self.spools.get_mut(number) else {
            return;
        };
        for at in &pipes {
            let Some(pipe) = self.pipes.get_mut(*at).and_then(Option::as_mut) else {
                continue;
            };
            if std::mem::take(&mut pipe.mid_line) {
                let _ = spool.discard_line(&pipe.fd, &mut self.sink);
            }
        }
        match spool.make_ready(now, &mut self.folders) {
            Ok(0) => {}
            Ok(bytes) => work.news.push(Notice::Dropped { spool: spool.id.clone(), bytes }),
            Err(why) => {
                if spool.note_overflow(why, now) {
                    work.news.push(Notice::Stuck { spool: spool.id.clone(), why });
                }
                let drops = spool.plan.on_full == OnFull::Drop;
                self.set_watched(number, drops);
                return;
            }
        }
        self.retire_due = earliest(self.retire_due, spool.retire_at);
        let before = spool.overflow.map(|overflow| overflow.retry_at);
        for at in pipes {
            // An empty pipe is left to the kernel: it must not begin a run.
            let waits = |pipe: &Feed<P>| pipe.fd.waiting().is_ok_and(|count| count > 0);
            if self.pipe(at).is_some_and(waits) {
                self.move_bytes(at, now, work);
            }
        }
        let Some(spool) = self.spools.get_mut(number) else {
            return;
        };
        if spool.overflow.map(|overflow| overflow.retry_at) == before {
            if spool.overflow.take().is_some_and(|overflow| overflow.told.is_some()) {
                work.news.push(Notice::Flows(spool.id.clone()));
            }
            self.set_watched(number, true);
        }
    }

    /// Adds the pipes of a spool to the set that is waited for, or removes them.
    fn set_watched(&mut self, number: usize, wanted: bool) {
        let pipes: Vec<usize> = self.pipes_of(number).collect();
        for at in pipes {
            let Some(pipe) = self.pipes.get_mut(at).and_then(Option::as_mut) else {
                continue;
            };
            if pipe.watched != wanted {
                let done = match wanted {
                    true => self.watch.add(&pipe.fd, at as u64),
                    false => self.watch.remove(&pipe.fd),
                };
                pipe.watched = if done.is_ok() { wanted } else { pipe.watched };
            }
        }
    }

    /// Closes the files of a spool when more are open than descriptors allow.
    fn close_surplus(&mut self, keep: usize) {
        let pipes = self.pipes.len() as u64 + OTHER_DESCRIPTORS;
        let room = self.descriptor_limit.saturating_sub(pipes) / 2;
        let most = room.clamp(2, MAX_OPEN);
        if self.open_spools <= most {
            return;
        }
        self.open_spools = self.spools.iter().filter(|spool| spool.files.is_some()).count() as u64;
        if self.open_spools <= most {
            return;
        }
        let keep = self.pipe(keep).map(|pipe| pipe.spool);
        for _ in 0..self.spools.len() {
            self.evict_from = (self.evict_from + 1) % self.spools.len().max(1);
            if Some(self.evict_from) != keep
                && let Some(spool) = self.spools.get_mut(self.evict_from)
                && spool.files.take().is_some()
            {
                self.open_spools -= 1;
                return;
            }
        }
    }

    fn number(&mut self, id: SpoolId, now: Instant) -> usize {
        if let Some(number) = self.numbers.get(&id) {
            return *number;
        }
        let plan = self.plan.spools.get(&id).cloned().unwrap_or_else(SpoolPlan::fallback);
        let number = self.spools.len();
        self.spools.push(Spool::new(self.disk.clone(), &self.folder, id.clone(), plan, now));
        self.numbers.insert(id, number);
        number
    }

    fn pipe(&self, at: usize) -> Option<&Feed<P>> {
        self.pipes.get(at)?.as_ref()
    }

    fn pipes_of(&self, number: usize) -> std::vec::IntoIter<usize> {
        self.spools.get(number).map(|spool| spool.pipes.clone()).unwrap_or_default().into_iter()
    }
}

impl<P> Feed<P> {
    /// Decides when the pipe is served again, from how fast it filled.
    fn pace<F>(&mut self, count: usize, more: bool, now: Instant, pacer: &mut Pacer)
    where
        P: Pipe<F>,
    {
        let passed = now.saturating_duration_since(self.served);
        self.served = now;
        if count * 2 >= self.capacity && self.capacity < LARGE_PIPE {
            let grown = self.fd.grow(LARGE_PIPE);
            self.capacity = grown.unwrap_or(self.capacity);
        }
        self.due = pacer.next(Fill { count, capacity: self.capacity, more, passed }, now);
    }
}

pub(super) fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
