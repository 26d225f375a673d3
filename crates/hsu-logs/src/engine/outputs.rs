//! An output at work: its taps, and the file or console they flow into.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::LogError;
use crate::output::console::{ConsoleThread, QUEUE};
use crate::output::cursors::{Cursors, Mark};
use crate::output::file::LogFile;

use super::status::Counters;
use super::tap::{Block, Pulled, Tap};

/// What is written at once.
const CHUNK: usize = 256 << 10;
/// What one output writes before the others have their turn.
const TURN: usize = 4 << 20;
/// A console that is further behind than this skips lines.
const CONSOLE_LAG: u64 = 32 << 20;
/// What a console that skipped still shows.
const CONSOLE_KEEP: usize = 64 << 10;
/// The rests between attempts at an output that is stuck.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_millis(1000);

/// Where an output's lines go.
#[derive(Debug)]
pub(super) enum Destination {
    File(LogFile),
    Console { thread: ConsoleThread, in_flight: usize },
}

/// One output.
#[derive(Debug)]
pub(super) struct Output {
    /// Its name among the cursors.
    pub(super) name: String,
    pub(super) destination: Destination,
    pub(super) taps: Vec<Tap>,
    pub(super) counters: Arc<Counters>,
    /// Taps whose spools may have more, in the order of their turns.
    queue: VecDeque<usize>,
    /// Taps that moved since the last commit.
    moved: Vec<usize>,
    recovered: bool,
    /// When a stuck output is tried again, and the rest before it.
    retry: Option<(Instant, Duration)>,
    /// A spool that could not be read in this turn.
    unreadable: Option<LogError>,
    /// Whether the counters say that something is wrong.
    troubled: bool,
}

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing until the next wake.
    Nothing,
    /// More lines, in another turn.
    More,
}

/// The buffers that outputs share.
#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) block: Block,
    pub(super) out: Vec<u8>,
}

impl Output {
    pub(super) fn new(name: String, destination: Destination, counters: Arc<Counters>) -> Self {
        Self {
            name,
            destination,
            taps: Vec::new(),
            counters,
            queue: VecDeque::new(),
            moved: Vec::new(),
            recovered: false,
            retry: None,
            unreadable: None,
            troubled: false,
        }
    }

    /// Says that the spool of a tap may have more.
    pub(super) fn wake(&mut self, tap: usize) {
        let Some(state) = self.taps.get_mut(tap) else {
            return;
        };
        state.told = true;
        if !std::mem::replace(&mut state.queued, true) {
            self.queue.push_back(tap);
        }
    }

    /// Says so of every tap.
    pub(super) fn wake_all(&mut self) {
        self.taps.iter_mut().for_each(|tap| tap.queued = true);
        self.queue = (0..self.taps.len()).collect();
    }

    /// When a stuck output is tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry.map(|(at, _)| at).filter(|_| !self.queue.is_empty())
    }

    /// When its closed files are to be looked at again.
    pub(super) fn retire_at(&self) -> Option<Instant> {
        match &self.destination {
            Destination::File(file) => file.retire_at(),
            Destination::Console { .. } => None,
        }
    }

    /// Deletes closed files that have become too old.
    pub(super) fn retire(&mut self, now: Instant) {
        if let Destination::File(file) = &mut self.destination
            && file.retire_at().is_some_and(|at| at <= now)
        {
            file.retire();
        }
    }

    /// Writes what its taps have, up to one turn, and stages the commit.
    pub(super) fn advance(
        &mut self,
        buffers: &mut Buffers,
        cursors: &mut Cursors,
        now: Instant,
    ) -> Left {
        if self.retry.is_some_and(|(at, _)| at > now) {
            return Left::Nothing;
        }
        let advanced = match self.destination {
            Destination::File(_) => self.advance_file(buffers, cursors),
            Destination::Console { .. } => self.advance_console(buffers),
        };
        match advanced {
            Ok(left) => {
                self.retry = None;
                let trouble = self.unreadable.take();
                if self.troubled || trouble.is_some() {
                    self.troubled = trouble.is_some();
                    self.counters.set_stuck(trouble.as_ref());
                }
                left
            }
            Err(error) => {
                self.undo(cursors);
                self.stick(&error, now);
                Left::Nothing
            }
        }
    }

    /// Notes that the output cannot be written at present.
    pub(super) fn stick(&mut self, error: &LogError, now: Instant) {
        let rest = self.retry.map_or(FIRST_REST, |(_, rest)| (rest * 2).min(LONGEST_REST));
        self.retry = Some((now + rest, rest));
        self.troubled = true;
        self.counters.set_stuck(Some(error));
        self.wake_all();
    }

    fn advance_file(
        &mut self,
        buffers: &mut Buffers,
        cursors: &mut Cursors,
    ) -> Result<Left, LogError> {
        if self.queue.is_empty() {
            return Ok(Left::Nothing);
        }
        let mut written = 0;
        let mut prepared = false;
        while written < TURN {
            let Destination::File(file) = &mut self.destination else {
                break;
            };
            let room = usize::try_from(file.room()).unwrap_or(usize::MAX);
            self.gather(buffers, CHUNK.min(room).max(1));
            let Destination::File(file) = &mut self.destination else {
                break;
            };
            let lines = buffers.out.as_slice();
            if lines.is_empty() {
                return Ok(Left::Nothing);
            }
            if !prepared {
                // Only now: an output without lines makes no file.
                if !self.recovered {
                    file.recover(cursors)?;
                    self.recovered = true;
                }
                file.prepare(cursors)?;
                prepared = true;
            }
            if lines.len() as u64 > file.room() && !file.is_empty() {
                // What was staged before is flushed with the rotation.
                file.rotate(cursors)?;
            }
            file.write(lines)?;
            written += lines.len();
            let mark = file.mark();
            self.stage(mark, cursors);
        }
        Ok(Left::More)
    }

    fn stage(&mut self, mark: Mark, cursors: &mut Cursors) {
        self.moved.sort_unstable();
        self.moved.dedup();
        let moved = self.moved.iter().filter_map(|at| self.taps.get(*at));
        let offsets = moved.map(|tap| (tap.name.as_str(), tap.offset));
        cursors.stage(&self.name, mark, offsets);
    }

    /// Renders lines of the taps in turn, until the chunk is full or nothing is left.
    fn gather(&mut self, buffers: &mut Buffers, limit: usize) {
        let Buffers { block, out } = buffers;
        out.clear();
        while let Some(&at) = self.queue.front() {
            let Some(tap) = self.taps.get_mut(at) else {
                self.queue.pop_front();
                continue;
            };
            let before = tap.offset;
            let pulled = tap.pull(block, limit, out);
            if tap.offset != before {
                self.moved.push(at);
            }
            match pulled {
                Ok(Pulled::Some) if out.len() < limit => {}
                Ok(Pulled::Some | Pulled::NoRoom) => {
                    // The others have their turn in the next chunk.
                    self.queue.rotate_left(1);
                    return;
                }
                Ok(Pulled::End) => {
                    tap.queued = false;
                    self.queue.pop_front();
                }
                Err(error) => {
                    // One spool that cannot be read does not hold up the others.
                    tap.queued = false;
                    self.queue.pop_front();
                    self.unreadable = Some(error);
                }
            }
        }
    }

    fn advance_console(&mut self, buffers: &mut Buffers) -> Result<Left, LogError> {
        while let Destination::Console { in_flight, .. } = &self.destination {
            if *in_flight >= QUEUE {
                self.skip(&mut buffers.block)?;
                break;
            }
            self.gather(buffers, CHUNK / 4);
            if buffers.out.is_empty() {
                break;
            }
            let lines = buffers.out.clone();
            let moved = std::mem::take(&mut self.moved);
            let moved = moved.into_iter().filter_map(|at| self.taps.get(at));
            let upto = moved.map(|tap| (tap.name.clone(), tap.offset)).collect();
            let Destination::Console { thread, in_flight } = &mut self.destination else {
                break;
            };
            if thread.offer(lines, upto) {
                *in_flight += 1;
            }
        }
        Ok(Left::Nothing)
    }

    /// Leaves out lines of a console that does not keep up.
    fn skip(&mut self, block: &mut Block) -> Result<(), LogError> {
        for at in self.queue.iter().copied() {
            let Some(tap) = self.taps.get_mut(at) else {
                continue;
            };
            let (lag, last_lines) = tap.lag(CONSOLE_KEEP, block)?;
            if lag > CONSOLE_LAG {
                tap.skip_to(last_lines, "were not shown");
                tap.committed = tap.offset;
                self.counters.add_missed(lag);
            }
        }
        Ok(())
    }

    /// A console has written a chunk.
    pub(super) fn shown(&mut self, upto: &[(String, u64)], cursors: &mut Cursors) {
        let Destination::Console { in_flight, .. } = &mut self.destination else {
            return;
        };
        *in_flight = in_flight.saturating_sub(1);
        let offsets = upto.iter().map(|(name, offset)| (name.as_str(), *offset));
        cursors.stage(&self.name, Mark::default(), offsets);
        for tap in &mut self.taps {
            let shown = upto.iter().rev().find(|(name, _)| *name == tap.name);
            if let Some((_, offset)) = shown {
                self.counters.add_consumed(offset.saturating_sub(tap.committed));
                tap.committed = tap.committed.max(*offset);
            }
        }
    }

    /// What was staged counts now. Answers the taps that moved.
    pub(super) fn settle(&mut self) -> Vec<usize> {
        let moved = std::mem::take(&mut self.moved);
        if matches!(self.destination, Destination::File(_)) {
            for at in &moved {
                let Some(tap) = self.taps.get_mut(*at) else {
                    continue;
                };
                self.counters.add_consumed(tap.offset.saturating_sub(tap.committed));
                self.counters.add_missed(std::mem::take(&mut tap.missed));
                tap.committed = tap.offset;
            }
        }
        moved
    }

    /// Goes back to what counts: cuts the file and rewinds the taps.
    pub(super) fn undo(&mut self, cursors: &Cursors) {
        let Destination::File(file) = &mut self.destination else {
            return;
        };
        let committed = cursors.committed(&self.name).cloned().unwrap_or_default();
        if self.recovered && file.mark().base == committed.file.base {
            file.roll_back(committed.file.length);
        } else {
            file.close();
            self.recovered = false;
        }
        for tap in &mut self.taps {
            let offset = committed.offsets.get(&tap.name).copied();
            tap.roll_back(offset.unwrap_or(tap.committed));
        }
        self.moved.clear();
    }

    /// Whether a console has chunks that it has not shown.
    pub(super) fn is_showing(&self) -> bool {
        matches!(self.destination, Destination::Console { in_flight: 1.., .. })
    }

    /// Whether whole lines may be left: it is stuck, or a console has not shown all.
    pub(super) fn is_behind(&self) -> bool {
        let waiting = !self.queue.is_empty() || self.retry.is_some();
        waiting || self.taps.iter().any(|tap| tap.committed != tap.offset)
    }

    /// Closes descriptors until they are needed again.
    pub(super) fn close(&mut self) {
        self.taps.iter_mut().for_each(Tap::close);
        if let Destination::File(file) = &mut self.destination {
            file.close();
        }
    }
}
