//! The loop of the pump: waiting for pipes, and the clocks.
//!
//! [`super::carrier`] does what is due then. When nobody writes, nothing wakes the pump.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use hsu_model::calendar::Calendar;
use hsu_model::id::RunId;
use hsu_model::spool::{LOCK_FILE, SpoolId};
use hsu_model::time::WallTime;

use super::carrier::{Carrier, Clocks, Ground, Ready, Watch, earliest};
use super::disk::{Access, Disk as _, Missing};
use super::host::{Host, Scratch};
use super::kernel::{self, Epoll};
use super::notices::Notices;
use super::plans::Plans;
use super::{PumpError, PumpOptions, Turn};

/// The token of the link to the keeper.
const LINK: u64 = u64::MAX;

/// The pump at work: it holds the pipes, and the lock that makes it the only one.
#[derive(Debug)]
pub struct Pump {
    carrier: Carrier<Host, OwnedFd, Epoll>,
    link: Option<OwnedFd>,
    plans: Plans,
    notices: Notices,
    ready: Vec<Ready>,
    /// Nothing is due before; the link is heard all the same.
    rest_until: Option<Instant>,
    /// When waiting notices may be sent.
    notice_due: Option<Instant>,
    calendar: Calendar,
    /// When the calendar began.
    began: Instant,
    /// Held until the pump ends: two pumps at one spool would overwrite each other.
    _lock: File,
}

impl Watch<OwnedFd> for Epoll {
    fn add(&self, pipe: &OwnedFd, token: u64) -> io::Result<()> {
        Self::add(self, pipe.as_fd(), token)
    }

    fn remove(&self, pipe: &OwnedFd) -> io::Result<()> {
        Self::remove(self, pipe.as_fd())
    }
}

impl Pump {
    /// Takes the lock of the spools, waiting for a pump that holds it to end.
    ///
    /// # Errors
    /// [`PumpError`] when the folder cannot be used or the kernel refuses.
    pub fn open(options: &PumpOptions) -> Result<Self, PumpError> {
        let folder = options.spools.clone();
        let lock = Host
            .make_folders(&folder, Access::Own)
            .and_then(|()| Host.open(&folder.join(LOCK_FILE), Missing::Make))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|source| PumpError::Folder { folder: folder.clone(), source })?;
        let kernel = |source| PumpError::Kernel { source };
        let calendar = Calendar::begin(Duration::ZERO, wall(), written_last(&folder));
        let ground = Ground {
            disk: Host,
            watch: Epoll::new().map_err(kernel)?,
            scratch: Scratch::new().map_err(kernel)?,
            descriptors: kernel::raise_descriptor_limit(),
            folder,
        };
        let mut pump = Self {
            plans: Plans::new(&ground.folder),
            notices: Notices::new(&options.notices).map_err(kernel)?,
            carrier: Carrier::new(ground, Instant::now()),
            link: None,
            ready: Vec::new(),
            rest_until: None,
            notice_due: None,
            calendar,
            began: Instant::now(),
            _lock: lock,
        };
        pump.read_plan();
        Ok(pump)
    }

    /// Hears the link to the keeper in every turn, also while the pump rests.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be waited for.
    pub fn hear(&mut self, link: OwnedFd) -> io::Result<()> {
        self.forget_link();
        self.carrier.watch.add(link.as_fd(), LINK)?;
        self.link = Some(link);
        Ok(())
    }

    /// Stops hearing the link, whose other end has gone.
    pub fn forget_link(&mut self) {
        if let Some(link) = self.link.take() {
            let _ = self.carrier.watch.remove(link.as_fd());
        }
    }

    fn read_plan(&mut self) {
        if let Some(plan) = self.plans.read() {
            self.carrier.set_plan(plan);
        }
    }

    /// Takes the read end of a pipe. One that is carried already is not taken again.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be waited for.
    pub fn carry(&mut self, run: RunId, id: SpoolId, fd: OwnedFd) -> io::Result<()> {
        self.read_plan();
        self.carrier.carry(run, id, fd, Instant::now())
    }

    /// Every pipe that is carried.
    pub fn carried(&self) -> impl Iterator<Item = (RunId, &SpoolId, BorrowedFd<'_>)> {
        self.carrier.carried().map(|(run, spool, pipe)| (run, spool, pipe.as_fd()))
    }

    /// Reads the clocks.
    fn clocks(&mut self) -> Clocks {
        let (tick, wall) = (Instant::now(), wall());
        let reckoned = self.calendar.reckon(tick.saturating_duration_since(self.began), wall);
        Clocks { tick, wall, reckoned }
    }

    /// Waits for work, at most `patience`, and does it.
    ///
    /// # Errors
    /// The kernel's, when waiting fails. A spool that cannot be written is no
    /// error here: its policy holds, and the master is told.
    pub fn turn(&mut self, patience: Option<Duration>) -> io::Result<Turn> {
        let link = self.wait(patience)?;
        let clocks = self.clocks();
        if self.plans.is_due(clocks.tick) {
            self.read_plan();
        }
        let work = self.carrier.work(&self.ready, clocks);
        self.rest_until = work.due.filter(|due| *due > clocks.tick);
        work.news.into_iter().for_each(|notice| self.notices.push(notice));
        self.notice_due = self.notices.flush(clocks.tick);
        Ok(Turn { link, drained: work.drained })
    }

    /// Waits; answers whether the link has something to say.
    fn wait(&mut self, patience: Option<Duration>) -> io::Result<bool> {
        let start = Instant::now();
        let until = earliest(patience.map(|time| start + time), self.carrier.due());
        let until = earliest(until, self.notice_due);
        let mut link = false;
        self.ready.clear();
        if let Some(rest) = self.rest_until.take() {
            let rest = earliest(Some(rest), until).unwrap_or(rest);
            let time = rest.saturating_duration_since(start);
            match &self.link {
                Some(fd) => link = kernel::wait_readable(fd.as_fd(), time)?,
                None => std::thread::sleep(time),
            }
            self.ready.extend(self.carrier.watch.wait(Some(Duration::ZERO))?);
        } else {
            let time = until.map(|until| until.saturating_duration_since(start));
            self.ready.extend(self.carrier.watch.wait(time)?);
        }
        link |= self.ready.iter().any(|event| event.token == LINK);
        self.ready.retain(|event| event.token != LINK);
        Ok(link)
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
