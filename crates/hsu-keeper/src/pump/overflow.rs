//! A spool that cannot take more: the disk is full, the path is refused, or
//! formatted outputs are too far behind.
//!
//! `block` leaves the bytes in the pipe, where the worker waits. `drop` takes them
//! and counts them: the count is saved *before* the bytes are taken, so a pump that
//! is killed in between may count a pipe's content twice but never misses a byte.
//! When there is room again a marker line tells the count.

use std::io;
use std::time::{Duration, Instant};

use hsu_model::spool::head::Head;
use hsu_model::spool::notice::Stuck;

use super::disk::{Disk, Pipe};
use super::ledger::{read_head, write_head};
use super::spool::{Moment, Spool};

/// The longest rest between two attempts; room is used within twice this.
const MAX_REST: Duration = Duration::from_millis(500);
/// How often the master is told of a spool that stays stuck.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// The first rest while readers catch up, which takes them milliseconds.
const UNREAD_REST: Duration = Duration::from_millis(2);

/// A spool in distress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overflow {
    /// Why.
    pub(super) why: Stuck,
    /// When it is tried again.
    pub(super) retry_at: Instant,
    rest: Duration,
    /// When the master was told; it may be another one by now, so it is told again.
    pub(super) told: Option<Instant>,
}

/// What was dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropped {
    /// How many bytes.
    pub(super) count: usize,
    /// Whether the last of them ended a line.
    pub(super) line_ended: bool,
}

impl<D: Disk> Spool<D> {
    /// Notes a failed attempt; answers whether the master is to be told.
    pub(super) fn note_overflow(&mut self, why: Stuck, now: Moment) -> bool {
        let before = self.overflow.filter(|before| before.why == why);
        let rest = match (before, why) {
            (Some(before), _) => (before.rest * 2).min(MAX_REST),
            (None, Stuck::Unread) => UNREAD_REST,
            (None, Stuck::NotAFile | Stuck::System(_)) => MAX_REST / 4,
        };
        let told = before.and_then(|before| before.told);
        // Readers that are only busy catch up before the longest rest: no news.
        let is_worth_it = why != Stuck::Unread || rest == MAX_REST;
        let is_old = told.is_none_or(|told| now.tick.duration_since(told) >= TELL_AGAIN);
        let is_news = is_worth_it && is_old;
        let told = if is_news { Some(now.tick) } else { told };
        self.overflow = Some(Overflow { why, retry_at: now.tick + rest, rest, told });
        is_news
    }

    /// Takes everything that waits in a pipe and drops it; none when nothing waited.
    pub(super) fn discard<P: Pipe<D::File>>(
        &mut self,
        pipe: &P,
        sink: &mut Sink<P::Scratch>,
    ) -> io::Result<Option<Dropped>> {
        let count = pipe.waiting()?;
        if count == 0 {
            return Ok(None);
        }
        let line_ended = self.discard_exactly(pipe, count, &mut sink.buffer)?;
        Ok(Some(Dropped { count, line_ended }))
    }

    fn discard_exactly<P: Pipe<D::File>>(
        &mut self,
        pipe: &P,
        count: usize,
        buffer: &mut [u8],
    ) -> io::Result<bool> {
        self.count_dropped(signed(count));
        let mut left = count;
        let mut last = b'\n';
        while left > 0 {
            let size = left.min(buffer.len());
            let part = buffer.get_mut(..size).unwrap_or_default();
            let taken = match pipe.take(part) {
                Ok(0) => break,
                Ok(taken) => taken,
                Err(error) => {
                    self.count_dropped(-signed(left));
                    return Err(error);
                }
            };
            last = part.get(taken - 1).copied().unwrap_or(last);
            left -= taken;
        }
        if left > 0 {
            self.count_dropped(-signed(left));
        }
        Ok(last == b'\n')
    }

    /// Counts bytes that are dropped, or takes back that they were. On a disk so full that
    /// even this cannot be written, the count lives in memory.
    fn count_dropped(&mut self, count: i64) {
        self.uncounted += count;
        if self.opened {
            self.head.dropped = self.head.dropped.saturating_add_signed(count);
            let _ = self.save_head();
        } else if let Ok(Some(head)) = read_head(&self.disk, &self.folder) {
            // What is in memory is not what is on disk: only the count in there changes.
            let dropped = head.dropped.saturating_add_signed(self.uncounted);
            if write_head(&self.disk, &self.folder, &Head { dropped, ..head }).is_ok() {
                self.uncounted = 0;
            }
        }
    }

    /// Drops the rest of a line whose beginning was dropped, so that the spool goes
    /// on with a whole line. Looks at most at one buffer of bytes.
    pub(super) fn discard_line<P: Pipe<D::File>>(
        &mut self,
        pipe: &P,
        sink: &mut Sink<P::Scratch>,
    ) -> io::Result<()> {
        let peeked = match pipe.peek(&mut sink.scratch, &mut sink.buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            peeked => peeked?,
        };
        let seen = sink.buffer.get(..peeked).unwrap_or_default();
        let count = seen.iter().position(|byte| *byte == b'\n').map_or(peeked, |at| at + 1);
        if count > 0 {
            self.discard_exactly(pipe, count, &mut sink.buffer)?;
        }
        Ok(())
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Where dropped bytes go, and how the pump looks at bytes without taking them.
#[derive(Debug)]
pub(super) struct Sink<S> {
    buffer: Vec<u8>,
    scratch: S,
}

impl<S> Sink<S> {
    pub(super) fn new(scratch: S) -> Self {
        Self { buffer: vec![0; 64 << 10], scratch }
    }
}
