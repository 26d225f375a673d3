//! One spool as the pump sees it: where its next byte goes.
//!
//! The length of the current segment *is* the position: a splice appends to it
//! and consumes the pipe in one step of the kernel, so a pump that is killed at
//! any instant is continued by the next one from the file's length. Everything
//! else here is bookkeeping that may be redone.
//!
//! Rotation is in [`super::rotation`], the first look at what lies on disk and
//! repair of what others did to it in [`super::recovery`], a full disk or a full
//! spool in [`super::overflow`].

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsu_model::id::RunId;
use hsu_model::spool::SpoolId;
use hsu_model::spool::head::{Head, Insert, InsertKind};
use hsu_model::spool::index::{Mark, Record};
use hsu_model::spool::notice::Stuck;
use hsu_model::spool::plan::SpoolPlan;
use hsu_model::time::WallTime;

use super::disk::{Disk, DiskFile, Pipe};
use super::files::{Folders, why};
use super::ledger::{self, Index, Latest};
use super::overflow::Overflow;

/// The most bytes that one splice moves. The kernel locks the pipe meanwhile, and its writer
/// waits: an eighth of the largest usual pipe is faster than a quarter (by a fifth for one
/// that floods, by a third for writes of 4 KiB), and a sixteenth costs more than it gains.
pub(super) const CHUNK: u64 = 128 << 10;

/// How often the pump looks whether somebody moved the log file away.
pub(super) const PATH_CHECK: Duration = Duration::from_secs(1);

/// The clocks of a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// For decisions.
    pub(super) tick: Instant,
    /// For the index.
    pub(super) wall: WallTime,
    /// For ages: the wall clock without its jumps.
    pub(super) reckoned: WallTime,
    /// Arrivals that are closer than this share one time.
    pub(super) arrival_step: Duration,
}

/// What one attempt to move bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// So many bytes went from the pipe to the file.
    Bytes {
        /// How many.
        count: usize,
        /// Whether the pipe probably holds more: as many moved as were allowed.
        more: bool,
    },
    /// The pipe was empty.
    Nothing,
    /// The pipe has ended.
    End,
}

/// A spool.
#[derive(Debug)]
pub(super) struct Spool<D: Disk> {
    pub(super) disk: D,
    pub(super) id: SpoolId,
    /// Its own folder.
    pub(super) folder: PathBuf,
    pub(super) plan: SpoolPlan,
    /// Where the current segment is. Meaningful once `opened`.
    pub(super) path: String,
    /// Whether what lies on disk is known.
    pub(super) opened: bool,
    pub(super) head: Head,
    /// Whether the head on disk is this one; a full disk may have refused it.
    head_saved: bool,
    /// Bytes that were dropped and that the head on disk does not count; or less than none,
    /// when it counts some that are still in their pipe.
    pub(super) uncounted: i64,
    /// Whether what lies on disk was looked for before, by this pump.
    pub(super) sought: bool,
    /// The bytes in the current segment.
    pub(super) length: u64,
    pub(super) files: Option<Files<D::File>>,
    /// The inode of the current segment; 0 before it was first opened.
    pub(super) inode: u64,
    pub(super) latest: Latest,
    /// Up to where the current segment is known to have no line end; only
    /// searched when it is full.
    pub(super) searched: u64,
    /// Where closed segments begin, oldest first.
    pub(super) closed: VecDeque<u64>,
    /// What formatted outputs have consumed, as last read.
    pub(super) consumed: u64,
    /// When a closed segment that has to stay at present is looked at again.
    pub(super) retire_at: Option<Instant>,
    pub(super) path_checked: Instant,
    pub(super) overflow: Option<Overflow>,
    /// The pipes that feed it, as numbers of the carrier.
    pub(super) pipes: Vec<usize>,
}

/// The open files of a spool; closed and opened again when descriptors are scarce.
#[derive(Debug)]
pub(super) struct Files<F> {
    pub(super) data: F,
    pub(super) index: Index<F>,
}

impl<D: Disk> Spool<D> {
    pub(super) fn new(disk: D, spools: &Path, id: SpoolId, plan: SpoolPlan, now: Instant) -> Self {
        let folder = spools.join(id.worker.as_str()).join(id.stream.as_str());
        Self {
            disk,
            id,
            folder,
            plan,
            path: String::new(),
            opened: false,
            head: Head::default(),
            head_saved: true,
            uncounted: 0,
            sought: false,
            length: 0,
            files: None,
            inode: 0,
            latest: Latest::default(),
            searched: 0,
            closed: VecDeque::new(),
            consumed: 0,
            retire_at: None,
            path_checked: now,
            overflow: None,
            pipes: Vec::new(),
        }
    }

    /// Works by another plan from now on. Another log file is taken up with the next byte.
    pub(super) fn set_plan(&mut self, plan: &SpoolPlan) {
        if self.plan == *plan {
            return;
        }
        if self.plan.log_file != plan.log_file {
            self.opened = false;
            self.files = None;
            self.inode = 0;
        }
        self.plan = plan.clone();
        // Fewer files may stay: looked at when it is next time for that, which is now.
        self.retire_at = self.opened.then_some(self.path_checked);
    }

    /// The stream offset of the next byte.
    pub(super) fn end(&self) -> u64 {
        self.head.base + self.length
    }

    /// Moves what waits in a pipe, at most [`CHUNK`] bytes.
    pub(super) fn append(
        &mut self,
        pipe: &impl Pipe<D::File>,
        run: RunId,
        now: Moment,
        folders: &mut Folders,
    ) -> Result<Moved, Stuck> {
        self.make_ready(now, folders)?;
        self.begin_run(run, now)?;
        let (at, room) = (self.length, self.room());
        let Self { files: Some(files), latest, .. } = self else {
            return Err(Stuck::System(libc::EBADF));
        };
        let arrival = Latest { run: Some(run), at: Some(now.wall) };
        files.index.note(at, arrival, latest, now.arrival_step).map_err(why)?;
        match pipe.splice(&files.data, at, room) {
            Ok(0) => Ok(Moved::End),
            Ok(moved) => {
                self.length += moved as u64;
                Ok(Moved::Bytes { count: moved, more: moved == room })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Moved::Nothing),
            Err(error) => Err(why(error)),
        }
    }

    /// The bytes that may be moved now: up to the size of a segment, so that
    /// little is left to copy when it is cut.
    fn room(&self) -> usize {
        let size = self.plan.rotation.max_size.0;
        let left = match size.saturating_sub(self.length) {
            // No limit, or a line that is longer than a segment.
            0 => CHUNK,
            left => left.min(CHUNK),
        };
        usize::try_from(if size == 0 { CHUNK } else { left }).unwrap_or(usize::MAX)
    }

    /// Everything that has to be true before bytes are moved. How many bytes were dropped
    /// of which a line now tells: those of an earlier pump are told by the next.
    pub(super) fn make_ready(&mut self, now: Moment, folders: &mut Folders) -> Result<u64, Stuck> {
        if !self.opened {
            self.open_first(now, folders)?;
        }
        if !self.head_saved {
            self.save_head().map_err(why)?;
        }
        if self.head.cut != 0 {
            self.finish_cut(now).map_err(why)?;
        }
        if self.files.is_none() {
            self.open_current()?;
        }
        self.check_file(now)?;
        if self.head.insert.is_some() {
            self.finish_insert().map_err(why)?;
        }
        self.rotate_when_full(now)?;
        self.check_unread()?;
        let dropped = self.head.dropped - self.head.announced;
        if dropped > 0 {
            self.insert(InsertKind::DropMarker, now)?;
        }
        Ok(dropped)
    }

    /// Keeps the lines of two runs apart: when a run begins while another one's
    /// last line is unfinished, the pump ends that line.
    fn begin_run(&mut self, run: RunId, now: Moment) -> Result<(), Stuck> {
        let other = self.latest.run.is_some_and(|latest| latest != run);
        if other && self.line_is_open()? {
            self.insert(InsertKind::LineEnd, now)?;
        }
        Ok(())
    }

    /// The run's pipe has ended: its last line gets an end.
    pub(super) fn end_run(
        &mut self,
        run: RunId,
        now: Moment,
        folders: &mut Folders,
    ) -> Result<(), Stuck> {
        if !self.opened && !self.disk.has(&self.folder).map_err(why)? {
            // Nobody ever wrote here, and an end makes no files.
            return Ok(());
        }
        self.make_ready(now, folders)?;
        if self.latest.run == Some(run) && self.line_is_open()? {
            self.insert(InsertKind::LineEnd, now)?;
        }
        Ok(())
    }

    /// Whether the last byte is something else than a line end.
    pub(super) fn line_is_open(&self) -> Result<bool, Stuck> {
        let (Some(last), Some(files)) = (self.length.checked_sub(1), &self.files) else {
            return Ok(false);
        };
        byte_before_is_line_end(&files.data, last + 1).map(|ended| !ended).map_err(why)
    }

    /// Writes bytes of the pump's own, so that a kill between any two steps leaves
    /// an intent that the next pump completes to the same bytes.
    pub(super) fn insert(&mut self, kind: InsertKind, now: Moment) -> Result<(), Stuck> {
        self.latest.at = Some(now.wall);
        self.head.insert = Some(Insert { at: self.end(), kind });
        self.save_head().and_then(|()| self.finish_insert()).map_err(why)
    }

    pub(super) fn finish_insert(&mut self) -> io::Result<()> {
        let (Some(insert), Some(files)) = (self.head.insert, &mut self.files) else {
            return Ok(());
        };
        let bytes = self.head.dropped - self.head.announced;
        if let Some(at) = insert.at.checked_sub(self.head.base).filter(|at| *at <= self.length) {
            let (text, mark, shift) = match insert.kind {
                InsertKind::LineEnd => ("\n".to_owned(), Mark::LineEndAdded, 0),
                InsertKind::DropMarker => {
                    let ended = at == 0 || byte_before_is_line_end(&files.data, at)?;
                    let start = if ended { "" } else { "\n" };
                    let text = format!("{start}[hsu-master] dropped {bytes} bytes\n");
                    (text, Mark::Dropped(bytes), start.len() as u64)
                }
            };
            files.index.mark(Record { at: at + shift, mark })?;
            files.data.write_all_at(text.as_bytes(), at)?;
            self.length = at + text.len() as u64;
        }
        if insert.kind == InsertKind::DropMarker {
            self.head.announced = self.head.dropped;
        }
        self.head.insert = None;
        self.save_head()
    }

    pub(super) fn save_head(&mut self) -> io::Result<()> {
        self.head_saved = false;
        ledger::write_head(&self.disk, &self.folder, &self.head)?;
        self.head_saved = true;
        self.uncounted = 0;
        Ok(())
    }
}

fn byte_before_is_line_end<F: DiskFile>(file: &F, at: u64) -> io::Result<bool> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at.saturating_sub(1))?;
    Ok(byte == [b'\n'])
}
