//! The inlet: a spool that is fed by whoever has the bytes, and not by a worker's pipe.
//!
//! It is the pump's own spool, so rotation, index and full disks are what they are for
//! any worker. What does not fit is not taken: whoever feeds it still has it. One spool
//! has one writer: the pump never has a pipe for a worker that somebody else starts.

use std::io::{self, PipeWriter, Write as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hsu_model::calendar::Calendar;
use hsu_model::id::RunId;
use hsu_model::spool::SpoolId;
use hsu_model::spool::notice::{Notice, Stuck};
use hsu_model::spool::plan::{Readers, SpoolPlan};

use super::PumpOptions;
use super::disk::{DiskFile as _, Pipe as _};
use super::files::Folders;
use super::host::Host;
use super::notices::Notices;
use super::spool::{Moment, Moved, Spool};
use super::turns::{wall, written_last};

/// Arrivals that are closer than this share one time.
const ARRIVAL_STEP: Duration = Duration::from_millis(10);

/// A spool, and what brings bytes into it.
#[derive(Debug)]
pub struct Inlet {
    spool: Spool<Host>,
    folders: Folders,
    notices: Notices,
    /// Empty between two calls.
    pipe: (OwnedFd, PipeWriter),
    calendar: Calendar,
    began: Instant,
    /// Whether the master was told that it takes nothing.
    is_stuck: bool,
}

impl Inlet {
    /// The most bytes that one call takes: what an empty pipe holds.
    pub const MOST: usize = 64 << 10;

    /// An inlet of one spool. Nothing is opened yet.
    ///
    /// # Errors
    /// The kernel's when it has no more descriptors.
    pub fn open(options: &PumpOptions, id: SpoolId, plan: SpoolPlan) -> io::Result<Self> {
        let now = Instant::now();
        let (exit, entry) = io::pipe()?;
        Ok(Self {
            spool: Spool::new(Host, &options.spools, id, plan, now),
            folders: Folders::default(),
            notices: Notices::new(&options.notices)?,
            pipe: (exit.into(), entry),
            calendar: Calendar::begin(Duration::ZERO, wall(), written_last(&options.spools)),
            began: now,
            is_stuck: false,
        })
    }

    fn moment(&mut self) -> Moment {
        let (tick, wall) = (Instant::now(), wall());
        let reckoned = self.calendar.reckon(tick.saturating_duration_since(self.began), wall);
        Moment { tick, wall, reckoned, arrival_step: ARRIVAL_STEP }
    }

    /// The stream offset of the next byte, as it is on disk.
    ///
    /// # Errors
    /// Why the spool takes nothing.
    pub fn end(&mut self) -> Result<u64, Stuck> {
        let now = self.moment();
        let ready = self.spool.make_ready(now, &mut self.folders).map(|_| ());
        self.note(ready)?;
        if self.spool.retire_at.is_some_and(|at| at <= now.tick) {
            self.spool.retire(now);
        }
        Ok(self.spool.end())
    }

    /// Ends the line that is left open, if one is; where the spool ends then.
    ///
    /// # Errors
    /// Why the spool takes nothing.
    pub fn end_line(&mut self) -> Result<u64, Stuck> {
        let before = self.end()?;
        let now = self.moment();
        if let Some(run) = self.spool.latest.run {
            let ended = self.spool.end_run(run, now, &mut self.folders);
            self.note(ended)?;
        }
        if self.spool.end() != before {
            self.tell_growth();
        }
        Ok(self.spool.end())
    }

    /// Takes bytes that a run has written; how many, which are all unless it is stuck.
    pub fn append(&mut self, run: RunId, bytes: &[u8]) -> usize {
        let bytes = bytes.get(..bytes.len().min(Self::MOST)).unwrap_or_default();
        if self.pipe.1.write_all(bytes).is_err() {
            return 0;
        }
        let mut taken = 0;
        while taken < bytes.len() {
            let now = self.moment();
            let moved = self.spool.append(&self.pipe.0, run, now, &mut self.folders);
            match moved {
                Ok(Moved::Bytes { count, .. }) => taken += count,
                Ok(Moved::Nothing | Moved::End) => break,
                Err(why) => {
                    let _ = self.note(Err(why));
                    break;
                }
            }
        }
        self.empty(bytes.len() - taken);
        if taken > 0 {
            self.tell_growth();
        }
        taken
    }

    /// Takes back what was not moved.
    fn empty(&mut self, count: usize) {
        let mut rest = vec![0; count];
        let mut left = rest.as_mut_slice();
        // As many bytes are there: nobody else has the pipe.
        while let Ok(taken @ 1..) = self.pipe.0.take(left) {
            left = left.get_mut(taken..).unwrap_or_default();
        }
    }

    /// The last bytes that it has, at most so many: fewer when a segment has just begun.
    #[must_use]
    pub fn tail(&self, most: usize) -> Vec<u8> {
        let length = self.spool.length;
        let count = usize::try_from(length).unwrap_or(most).min(most);
        let mut bytes = vec![0; count];
        let from = length.saturating_sub(count as u64);
        let files = self.spool.files.as_ref();
        match files.map(|files| files.data.read_exact_at(&mut bytes, from)) {
            Some(Ok(())) => bytes,
            Some(Err(_)) | None => Vec::new(),
        }
    }

    fn tell_growth(&mut self) {
        if self.is_stuck {
            self.is_stuck = false;
            self.notices.push(Notice::Flows(self.spool.id.clone()));
        }
        if self.spool.plan.readers != Readers::None {
            self.notices.push(Notice::Grew(self.spool.id.clone()));
        }
    }

    /// Tells the master once when the spool takes nothing.
    fn note(&mut self, done: Result<(), Stuck>) -> Result<(), Stuck> {
        // Outputs that are only busy catch up: whoever feeds it waits for them.
        if let Err(why) = done
            && why != Stuck::Unread
            && !self.is_stuck
        {
            self.is_stuck = true;
            self.notices.push(Notice::Stuck { spool: self.spool.id.clone(), why });
        }
        done
    }

    /// Sends what the master is to be told; when to call it again, if that could not be.
    pub fn tell(&mut self) -> Option<Instant> {
        self.notices.flush(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use hsu_model::id::WorkerId;
    use hsu_model::logs::Stream;
    use hsu_model::units::ByteSize;

    use super::*;

    fn inlet(folder: &std::path::Path, segment: u64) -> Inlet {
        let options =
            PumpOptions { spools: folder.to_owned(), notices: folder.join("nobody.sock") };
        let worker = WorkerId::new("web").unwrap();
        let mut plan = SpoolPlan::fallback();
        (plan.rotation.max_size, plan.rotation.max_files) = (ByteSize(segment), 0);
        Inlet::open(&options, SpoolId { worker, stream: Stream::Stdout }, plan).unwrap()
    }

    #[test]
    fn what_is_fed_is_found_where_it_ended_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = inlet(folder.path(), 1 << 20);
        assert_eq!(first.end(), Ok(0));
        assert_eq!(first.append(RunId(1), b"one\ntwo"), 7);
        assert_eq!(first.tail(3), b"two");
        drop(first);
        let mut next = inlet(folder.path(), 1 << 20);
        assert_eq!(next.end(), Ok(7));
        assert_eq!(next.end_line(), Ok(8));
        assert_eq!(next.end_line(), Ok(8), "only a line that is open is ended");
        assert_eq!(next.append(RunId(2), b"three\n"), 6);
        assert_eq!(next.tail(100), b"one\ntwo\nthree\n");
    }

    #[test]
    fn it_rotates_as_any_spool_does_and_takes_as_much_as_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let mut inlet = inlet(folder.path(), 1000);
        let line = [b'x'; 99];
        let many: Vec<u8> =
            std::iter::repeat_n([&line[..], b"\n"].concat(), 1000).flatten().collect();
        let mut fed = 0;
        while fed < many.len() {
            let taken = inlet.append(RunId(1), &many[fed..]);
            assert!(taken > 0 && taken <= Inlet::MOST);
            fed += taken;
        }
        assert_eq!(inlet.end(), Ok(many.len() as u64));
        let segments = std::fs::read_dir(folder.path().join("web/stdout")).unwrap();
        let closed = segments
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("data."));
        assert!(closed.count() > 50);
    }

    #[test]
    fn what_it_cannot_take_stays_with_whoever_has_it() {
        let folder = tempfile::tempdir().unwrap();
        // A folder is where its data should be.
        std::fs::create_dir_all(folder.path().join("web/stdout/data")).unwrap();
        let mut stuck = inlet(folder.path(), 1 << 20);
        assert!(stuck.end().is_err());
        assert_eq!(stuck.append(RunId(1), b"one\n"), 0);
        std::fs::remove_dir(folder.path().join("web/stdout/data")).unwrap();
        assert_eq!(stuck.append(RunId(1), b"two\n"), 4);
        assert_eq!(stuck.tail(100), b"two\n");
    }
}
