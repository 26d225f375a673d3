//! The loop of the pump: which pipe is served when.
//!
//! [`super::pacing`] decides it; this is the waiting and the doing. When nobody
//! writes, nothing wakes the pump.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use hsu_model::calendar::Calendar;
use hsu_model::id::RunId;
use hsu_model::logs::OnFull;
use hsu_model::spool::notice::{Notice, Stuck};
use hsu_model::spool::plan::{Readers, SpoolPlan};
use hsu_model::spool::{LOCK_FILE, SpoolId};
use hsu_model::time::WallTime;

use super::files::{Folders, open_own};
use super::kernel::{self, Epoll, Ready};
use super::ledger::make_folder;
use super::notices::Notices;
use super::overflow::Sink;
use super::pacing::{Fill, Pacer};
use super::plans::Plans;
use super::spool::{Moment, Moved, Spool};
use super::{PumpError, PumpOptions, Turn};

/// What a pipe is grown to once its writer is fast: the usual limit without privilege.
const LARGE_PIPE: i32 = 1 << 20;
/// The token of the link to the keeper.
const LINK: u64 = u64::MAX;
/// Descriptors that are neither pipes nor spool files.
const OTHER_DESCRIPTORS: u64 = 64;
/// Open spools at most: more would only cost memory.
const MAX_OPEN: u64 = 4096;

/// A pipe of a run.
#[derive(Debug)]
struct Pipe {
    run: RunId,
    spool: usize,
    fd: OwnedFd,
    capacity: usize,
    served: Instant,
    due: Instant,
    watched: bool,
    /// Whether the beginning of its current line was dropped.
    mid_line: bool,
}

/// The pump at work: it holds the pipes, and the lock that makes it the only one.
#[derive(Debug)]
pub struct Pump {
    folder: PathBuf,
    epoll: Epoll,
    link: Option<OwnedFd>,
    plans: Plans,
    notices: Notices,
    folders: Folders,
    sink: Sink,
    spools: Vec<Spool>,
    numbers: BTreeMap<SpoolId, usize>,
    pipes: Vec<Option<Pipe>>,
    ready: Vec<Ready>,
    pacer: Pacer,
    /// Nothing is due before; the link is heard all the same.
    rest_until: Option<Instant>,
    /// When the next stuck spool is tried again.
    retry_due: Option<Instant>,
    /// When waiting notices may be sent.
    notice_due: Option<Instant>,
    /// When closed segments are looked at again.
    retire_due: Option<Instant>,
    calendar: Calendar,
    /// When the calendar began.
    began: Instant,
    /// Held until the pump ends: two pumps at one spool would overwrite each other.
    _lock: File,
    descriptor_limit: u64,
    open_spools: u64,
    evict_from: usize,
}

impl Pump {
    /// Takes the lock of the spools, waiting for a pump that holds it to end.
    ///
    /// # Errors
    /// [`PumpError`] when the folder cannot be used or the kernel refuses.
    pub fn open(options: &PumpOptions) -> Result<Self, PumpError> {
        let folder = options.spools.clone();
        let lock = make_folder(&folder)
            .and_then(|()| open_own(&folder.join(LOCK_FILE)))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|source| PumpError::Folder { folder: folder.clone(), source })?;
        let kernel = |source| PumpError::Kernel { source };
        let mut plans = Plans::new(&folder);
        plans.read();
        Ok(Self {
            epoll: Epoll::new().map_err(kernel)?,
            link: None,
            plans,
            notices: Notices::new(&options.notices).map_err(kernel)?,
            folders: Folders::default(),
            sink: Sink::new().map_err(kernel)?,
            spools: Vec::new(),
            numbers: BTreeMap::new(),
            pipes: Vec::new(),
            ready: Vec::new(),
            pacer: Pacer::new(Instant::now()),
            rest_until: None,
            retry_due: None,
            notice_due: None,
            retire_due: None,
            calendar: Calendar::begin(Duration::ZERO, wall(), written_last(&folder)),
            began: Instant::now(),
            _lock: lock,
            descriptor_limit: kernel::raise_descriptor_limit(),
            open_spools: 0,
            evict_from: 0,
            folder,
        })
    }

    /// Hears the link to the keeper in every turn, also while the pump rests.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be waited for.
    pub fn hear(&mut self, link: OwnedFd) -> io::Result<()> {
        self.forget_link();
        self.epoll.add(link.as_fd(), LINK)?;
        self.link = Some(link);
        Ok(())
    }

    /// Reads the clocks.
    fn moment(&mut self) -> Moment {
        let (tick, wall) = (Instant::now(), wall());
        let reckoned = self.calendar.reckon(tick.saturating_duration_since(self.began), wall);
        Moment { tick, wall, reckoned, arrival_step: self.pacer.arrival_step() }
    }

    /// Stops hearing the link, whose other end has gone.
    pub fn forget_link(&mut self) {
        if let Some(link) = self.link.take() {
            let _ = self.epoll.remove(link.as_fd());
        }
    }

    /// Takes the read end of a pipe. One that is carried already is not taken again.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be waited for.
    pub fn carry(&mut self, run: RunId, id: SpoolId, fd: OwnedFd) -> io::Result<()> {
        if self.plans.read() {
            self.apply_plans();
        }
        let now = Instant::now();
        let number = self.number(id, now);
        let mut carried = self.pipes_of(number).filter_map(|at| self.pipe(at));
        if carried.any(|pipe| pipe.run == run) {
            return Ok(());
        }
        let at = self.pipes.iter().position(Option::is_none).unwrap_or(self.pipes.len());
        self.epoll.add(fd.as_fd(), at as u64)?;
        let capacity = kernel::pipe_capacity(fd.as_fd()).unwrap_or(64 << 10);
        let pipe = Pipe {
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
    pub fn carried(&self) -> impl Iterator<Item = (RunId, &SpoolId, BorrowedFd<'_>)> {
        self.pipes.iter().flatten().filter_map(|pipe| {
            let spool = self.spools.get(pipe.spool)?;
            Some((pipe.run, &spool.id, pipe.fd.as_fd()))
        })
    }

    /// Waits for work, at most `patience`, and does it.
    ///
    /// # Errors
    /// The kernel's, when waiting fails. A spool that cannot be written is no
    /// error here: its policy holds, and the master is told.
    pub fn turn(&mut self, patience: Option<Duration>) -> io::Result<Turn> {
        let mut turn = Turn::default();
        self.wait(patience, &mut turn)?;
        let now = self.moment();
        if self.plans.refresh(now.tick) {
            self.apply_plans();
        }
        let slow_too = self.pacer.begin(now.tick);
        let mut next: Option<Instant> = None;
        let ready = std::mem::take(&mut self.ready);
        for event in &ready {
            let Ok(at) = usize::try_from(event.token) else {
                continue;
            };
            let Some(due) = self.pipe(at).map(|pipe| pipe.due) else {
                continue;
            };
            let due = match slow_too || due <= now.tick {
                true => self.serve(at, *event, now, &mut turn),
                false => Some(due),
            };
            next = earliest(next, due);
        }
        self.ready = ready;
        self.rest_until = next.filter(|due| *due > now.tick);
        self.retry_stuck(now, &mut turn);
        self.retire_due_segments(now);
        self.notice_due = self.notices.flush(now.tick);
        Ok(turn)
    }

    fn wait(&mut self, patience: Option<Duration>, turn: &mut Turn) -> io::Result<()> {
        let start = Instant::now();
        let until = earliest(patience.map(|time| start + time), self.retry_due);
        let until = earliest(until, self.notice_due);
        let until = earliest(until, self.retire_due);
        self.ready.clear();
        if let Some(rest) = self.rest_until.take() {
            let rest = earliest(Some(rest), until).unwrap_or(rest);
            let time = rest.saturating_duration_since(start);
            match &self.link {
                Some(link) => turn.link |= kernel::wait_readable(link.as_fd(), time)?,
                None => std::thread::sleep(time),
            }
            self.ready.extend(self.epoll.wait(Some(Duration::ZERO))?);
        } else {
            let time = until.map(|until| until.saturating_duration_since(start));
            self.ready.extend(self.epoll.wait(time)?);
        }
        turn.link |= self.ready.iter().any(|event| event.token == LINK);
        self.ready.retain(|event| event.token != LINK);
        Ok(())
    }

    /// Serves a pipe; answers when it is due again, none when that is left to the kernel.
    fn serve(&mut self, at: usize, event: Ready, now: Moment, turn: &mut Turn) -> Option<Instant> {
        let pipe = self.pipe(at)?;
        if self.spools.get(pipe.spool)?.overflow.is_some() {
            self.drop_bytes(at, event, now, turn)
        } else if event.readable {
            self.move_bytes(at, now, turn)
        } else {
            self.end(at, now, turn);
            None
        }
    }

    /// Moves what waits in a pipe into its spool.
    fn move_bytes(&mut self, at: usize, now: Moment, turn: &mut Turn) -> Option<Instant> {
        let pipe = self.pipes.get_mut(at)?.as_mut()?;
        let spool = self.spools.get_mut(pipe.spool)?;
        let was_open = spool.files.is_some();
        let moved = spool.append(pipe.fd.as_fd(), pipe.run, now, &mut self.folders);
        if !was_open && spool.files.is_some() {
            self.open_spools += 1;
        }
        self.retire_due = earliest(self.retire_due, spool.retire_at);
        let due = match moved {
            Ok(Moved::Bytes { count, more }) => {
                pipe.pace(count, more, now.tick, &mut self.pacer);
                if spool.plan.readers != Readers::None {
                    self.notices.push(Notice::Grew(spool.id.clone()));
                }
                Some(pipe.due)
            }
            Ok(Moved::Nothing) => None,
            Ok(Moved::End) => {
                self.end(at, now, turn);
                None
            }
            Err(why) => {
                self.stick(at, why, now);
                None
            }
        };
        self.close_surplus(at);
        due
    }

    /// The pipe has ended: its run's last line gets an end, and the pipe goes.
    fn end(&mut self, at: usize, now: Moment, turn: &mut Turn) {
        let Some(pipe) = self.pipes.get(at).and_then(Option::as_ref) else {
            return;
        };
        let Some(spool) = self.spools.get_mut(pipe.spool) else {
            return;
        };
        let before = spool.end();
        match spool.end_run(pipe.run, now, &mut self.folders) {
            Ok(()) => {
                if spool.plan.readers != Readers::None && spool.end() != before {
                    self.notices.push(Notice::Grew(spool.id.clone()));
                }
                turn.drained.push((pipe.run, spool.id.clone()));
                self.let_go(at);
            }
            Err(why) => self.stick(at, why, now),
        }
    }

    fn let_go(&mut self, at: usize) {
        let Some(pipe) = self.pipes.get_mut(at).and_then(Option::take) else {
            return;
        };
        if pipe.watched {
            let _ = self.epoll.remove(pipe.fd.as_fd());
        }
        if let Some(spool) = self.spools.get_mut(pipe.spool) {
            spool.pipes.retain(|other| *other != at);
        }
    }

    /// A spool cannot take more: its policy is in force until a retry succeeds.
    fn stick(&mut self, at: usize, why: Stuck, now: Moment) {
        let Some(number) = self.pipe(at).map(|pipe| pipe.spool) else {
            return;
        };
        let Some(spool) = self.spools.get_mut(number) else {
            return;
        };
        if spool.note_overflow(why, now) {
            self.notices.push(Notice::Stuck { spool: spool.id.clone(), why });
        }
        self.retry_due = earliest(self.retry_due, spool.overflow.map(|o| o.retry_at));
        if spool.plan.on_full == OnFull::Block {
            // A pipe that has hung up would wake the pump again and again.
            self.watch(number, false);
        }
    }

    /// Serves a pipe of a spool whose policy is `drop` and which has no room.
    fn drop_bytes(
        &mut self,
        at: usize,
        event: Ready,
        now: Moment,
        turn: &mut Turn,
    ) -> Option<Instant> {
        let pipe = self.pipes.get_mut(at)?.as_mut()?;
        let spool = self.spools.get_mut(pipe.spool)?;
        match spool.discard(pipe.fd.as_fd(), &mut self.sink) {
            Ok(Some(dropped)) => {
                pipe.mid_line = !dropped.line_ended;
                pipe.pace(dropped.count, false, now.tick, &mut self.pacer);
                Some(pipe.due)
            }
            Ok(None) if event.hung_up => {
                turn.drained.push((pipe.run, spool.id.clone()));
                self.let_go(at);
                None
            }
            Ok(None) | Err(_) => Some(self.pacer.slow_due()),
        }
    }

    /// Tries every stuck spool that is due.
    fn retry_stuck(&mut self, now: Moment, turn: &mut Turn) {
        if self.retry_due.is_none_or(|due| due > now.tick) {
            return;
        }
        self.retry_due = None;
        for number in 0..self.spools.len() {
            let due = |spools: &[Spool]| spools.get(number)?.overflow.map(|o| o.retry_at);
            if due(&self.spools).is_some_and(|at| at <= now.tick) {
                self.retry(number, now, turn);
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

    fn retry(&mut self, number: usize, now: Moment, turn: &mut Turn) {
        let pipes: Vec<usize> = self.pipes_of(number).collect();
        let Some(spool) = self.spools.get_mut(number) else {
            return;
        };
        for at in &pipes {
            let Some(pipe) = self.pipes.get_mut(*at).and_then(Option::as_mut) else {
                continue;
            };
            if std::mem::take(&mut pipe.mid_line) {
                let _ = spool.discard_line(pipe.fd.as_fd(), &mut self.sink);
            }
        }
        match spool.resume(now, &mut self.folders) {
            Ok(0) => {}
            Ok(bytes) => self.notices.push(Notice::Dropped { spool: spool.id.clone(), bytes }),
            Err(why) => {
                if spool.note_overflow(why, now) {
                    self.notices.push(Notice::Stuck { spool: spool.id.clone(), why });
                }
                return;
            }
        }
        let before = spool.overflow.map(|overflow| overflow.retry_at);
        for at in pipes {
            // An empty pipe is left to the kernel: it must not begin a run.
            let waits = |pipe: &Pipe| kernel::waiting_bytes(pipe.fd.as_fd()).is_ok_and(|n| n > 0);
            if self.pipe(at).is_some_and(waits) {
                self.move_bytes(at, now, turn);
            }
        }
        let Some(spool) = self.spools.get_mut(number) else {
            return;
        };
        if spool.overflow.map(|overflow| overflow.retry_at) == before {
            if spool.overflow.take().is_some_and(|overflow| overflow.told.is_some()) {
                self.notices.push(Notice::Flows(spool.id.clone()));
            }
            self.watch(number, true);
        }
    }

    /// Adds the pipes of a spool to the set that is waited for, or removes them.
    fn watch(&mut self, number: usize, wanted: bool) {
        let pipes: Vec<usize> = self.pipes_of(number).collect();
        for at in pipes {
            let Some(pipe) = self.pipes.get_mut(at).and_then(Option::as_mut) else {
                continue;
            };
            if pipe.watched != wanted {
                let fd = pipe.fd.as_fd();
                let done =
                    if wanted { self.epoll.add(fd, at as u64) } else { self.epoll.remove(fd) };
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

    /// Gives every spool the plan that now holds for it.
    fn apply_plans(&mut self) {
        for spool in &mut self.spools {
            if let Some(plan) = self.plans.of(&spool.id) {
                spool.set_plan(plan);
            }
        }
    }

    fn number(&mut self, id: SpoolId, now: Instant) -> usize {
        if let Some(number) = self.numbers.get(&id) {
            return *number;
        }
        let plan = self.plans.of(&id).cloned().unwrap_or_else(SpoolPlan::fallback);
        let number = self.spools.len();
        self.spools.push(Spool::new(&self.folder, id.clone(), plan, now));
        self.numbers.insert(id, number);
        number
    }

    fn pipe(&self, at: usize) -> Option<&Pipe> {
        self.pipes.get(at)?.as_ref()
    }

    fn pipes_of(&self, number: usize) -> impl Iterator<Item = usize> + use<> {
        self.spools.get(number).map(|spool| spool.pipes.clone()).unwrap_or_default().into_iter()
    }
}

impl Pipe {
    /// Decides when the pipe is served again, from how fast it filled.
    fn pace(&mut self, count: usize, more: bool, now: Instant, pacer: &mut Pacer) {
        let passed = now.saturating_duration_since(self.served);
        self.served = now;
        if count * 2 >= self.capacity && self.capacity < LARGE_PIPE.unsigned_abs() as usize {
            let grown = kernel::grow_pipe(self.fd.as_fd(), LARGE_PIPE);
            self.capacity = grown.unwrap_or(self.capacity);
        }
        self.due = pacer.next(Fill { count, capacity: self.capacity, more, passed }, now);
    }
}

pub(super) fn wall() -> WallTime {
    wall_of(SystemTime::now())
}

fn wall_of(time: SystemTime) -> WallTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// When an earlier pump wrote to one of its spools last.
pub(super) fn written_last(spools: &Path) -> Option<WallTime> {
    let folders = std::fs::read_dir(spools).ok()?.flatten();
    let times = folders.filter_map(|folder| folder.metadata().ok()?.modified().ok());
    times.max().map(wall_of)
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
