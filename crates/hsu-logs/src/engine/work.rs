//! The engine's thread: what it does between two sleeps.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use hsu_model::spool::{CONSUMED_FILE, SpoolId, encode_consumed};

use super::outputs::{Buffers, Destination, Left, Output};

use super::outfit::{NextPlan, folder_of};
use super::tap::Block;
use super::{Console, EngineOptions, Flushed, Inbox, Shared, Trouble};
use crate::error::LogError;
use crate::format::Zone;

use crate::output::cursors::Cursors;
use crate::output::file::OpenFile;

/// How much further a spool must be consumed before the pump is told.
pub(super) const CONSUMED_STEP: u64 = 2 << 20;
/// When the pump is told of less, where it keeps files of a user for readers alone.
const TELL_AFTER: Duration = Duration::from_secs(1);
/// With more taps than this, files are closed while nothing is written.
const OPEN_TAPS: usize = 1024;

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) spools: PathBuf,
    pub(super) zone: Zone,
    pub(super) trouble: Trouble,
    pub(super) open: OpenFile,
    pub(super) consoles: BTreeMap<&'static str, Console>,
    pub(super) cursors: Cursors,
    pub(super) outputs: Vec<Output>,
    /// By spool: its taps, as numbers of output and tap.
    pub(super) feeds: HashMap<SpoolId, Feed>,
    /// Outputs with something to do.
    queue: VecDeque<usize>,
    pub(super) buffers: Buffers,
    /// Consoles that the plan does not use at present.
    pub(super) parked: Vec<Output>,
    /// When the pump is told how far the files of users were consumed.
    tell_at: Option<Instant>,
}

/// Who reads a spool, and how far the pump was told.
#[derive(Debug, Default)]
pub(super) struct Feed {
    pub(super) taps: Vec<(usize, usize)>,
    pub(super) told: u64,
    /// How much further it must be consumed before the pump is told.
    pub(super) step: u64,
    /// Whether a user's file is behind it, of which only so many segments shall stay.
    pub(super) is_file: bool,
}

impl Work {
    pub(super) fn new(
        options: EngineOptions,
        plan: &NextPlan,
        shared: Arc<Shared>,
    ) -> Result<Self, LogError> {
        let consoles = [("stdout", options.stdout), ("stderr", options.stderr)];
        let mut work = Self {
            shared,
            spools: options.spools,
            zone: options.zone,
            trouble: options.trouble,
            open: options.open,
            consoles: consoles.into_iter().collect(),
            cursors: Cursors::open(&options.cursors)?,
            outputs: Vec::new(),
            feeds: HashMap::new(),
            queue: VecDeque::new(),
            buffers: Buffers { block: Block::new(), out: Vec::new() },
            parked: Vec::new(),
            tell_at: None,
        };
        work.take_up(plan);
        Ok(work)
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) -> Flushed {
        self.wake_all();
        let mut stop_by: Option<Instant> = None;
        loop {
            let idle = self.queue.is_empty();
            if let Some(by) = stop_by {
                let showing = self.outputs.iter().any(Output::is_showing);
                if (idle && !showing) || Instant::now() >= by {
                    return self.end(by);
                }
            }
            let inbox = self.sleep(idle, stop_by);
            if let Some(by) = inbox.stop_by {
                stop_by = Some(by);
                self.wake_all();
            }
            self.take_in(inbox);
            self.turn();
            self.keep_house(Instant::now());
        }
    }

    /// Takes what the others said, after waiting for it when there is nothing to do.
    fn sleep(&self, idle: bool, stop_by: Option<Instant>) -> Inbox {
        let mut inbox = self.shared.inbox();
        let retry = self.outputs.iter().filter_map(Output::retry_at).min();
        let retire = self.outputs.iter().filter_map(Output::retire_at).min();
        let until = retry.into_iter().chain(stop_by).chain(retire).chain(self.tell_at).min();
        while idle && inbox.is_empty() {
            let Some(until) = until else {
                inbox = self.shared.bell.wait(inbox).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let time = until.saturating_duration_since(Instant::now());
            if time.is_zero() {
                break;
            }
            let waited = self.shared.bell.wait_timeout(inbox, time);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut inbox)
    }

    fn take_in(&mut self, inbox: Inbox) {
        for (name, upto) in inbox.shown {
            let shown = self.outputs.iter().position(|output| output.name == name);
            if let Some(output) = shown.and_then(|at| self.outputs.get_mut(at)) {
                output.shown(&upto, &mut self.cursors);
                self.queue.extend(shown);
            }
        }
        if let Some(plan) = inbox.plan {
            self.replan(&plan);
        }
        if inbox.all {
            self.wake_all();
        }
        for spool in inbox.grew {
            let feed = self.feeds.get(&spool);
            for (output, tap) in feed.into_iter().flat_map(|feed| feed.taps.clone()) {
                if let Some(output) = self.outputs.get_mut(output) {
                    output.wake(tap);
                }
                self.queue.push_back(output);
            }
        }
        let now = Instant::now();
        let due = |output: &Output| output.retry_at().is_some_and(|at| at <= now);
        let due = self.outputs.iter().zip(0..).filter(|(output, _)| due(output));
        self.queue.extend(due.map(|(_, at)| at));
    }

    pub(super) fn wake_all(&mut self) {
        self.outputs.iter_mut().for_each(Output::wake_all);
        self.queue = (0..self.outputs.len()).collect();
    }

    /// Gives every output with work one turn, and makes all of it count at once.
    pub(super) fn turn(&mut self) {
        let now = Instant::now();
        let turns: BTreeSet<usize> = std::mem::take(&mut self.queue).into_iter().collect();
        for at in turns.iter().copied() {
            let Some(output) = self.outputs.get_mut(at) else {
                continue;
            };
            if output.advance(&mut self.buffers, &mut self.cursors, now) == Left::More {
                self.queue.push_back(at);
            }
        }
        let flushed = self.cursors.flush();
        let mut moved = BTreeSet::new();
        for at in turns {
            let Some(output) = self.outputs.get_mut(at) else {
                continue;
            };
            match &flushed {
                Ok(()) => {
                    let taps = output.settle();
                    moved.extend(
                        taps.iter()
                            .filter_map(|tap| output.taps.get(*tap))
                            .map(|tap| tap.spool.clone()),
                    );
                }
                Err(error) => {
                    output.undo(&self.cursors);
                    output.stick(error, now);
                }
            }
            if self.feeds.len() > OPEN_TAPS {
                output.close();
            }
        }
        for spool in moved {
            let Some(feed) = self.feeds.get(&spool) else {
                continue;
            };
            if feed.is_file && self.tell_at.is_none() {
                self.tell_at = now.checked_add(TELL_AFTER);
            }
            self.tell_consumed(&spool, feed.step);
        }
    }

    /// Does what is due and has no output to wait for it.
    fn keep_house(&mut self, now: Instant) {
        if self.tell_at.is_some_and(|at| at <= now) {
            self.tell_at = None;
            let files = self.feeds.iter().filter(|(_, feed)| feed.is_file);
            let spools: Vec<SpoolId> = files.map(|(spool, _)| spool.clone()).collect();
            for spool in spools {
                self.tell_consumed(&spool, 1);
            }
        }
        self.outputs.iter_mut().for_each(|output| output.retire(now));
    }

    /// Tells the pump how far every output of a spool has come, once in `step` bytes.
    fn tell_consumed(&mut self, spool: &SpoolId, step: u64) {
        let Some(feed) = self.feeds.get_mut(spool) else {
            return;
        };
        let taps =
            feed.taps.iter().filter_map(|(output, tap)| self.outputs.get(*output)?.taps.get(*tap));
        let Some(consumed) = taps.map(|tap| tap.committed).min() else {
            return;
        };
        if consumed < feed.told.saturating_add(step) {
            return;
        }
        feed.told = consumed;
        let first = feed.taps.first().copied();
        let folder = folder_of(&self.spools, spool);
        // A spool that never had a byte has no folder, and nothing to be told.
        let _ = write_consumed(&folder.join(CONSUMED_FILE), consumed);
        let tap = first.and_then(|(output, tap)| self.outputs.get_mut(output)?.taps.get_mut(tap));
        if let Some(tap) = tap {
            // Segments that stay are deleted by the pump.
            let _ = tap.reader.retire_internal(consumed);
        }
    }

    /// Tells the pump of every spool of which it was never told: without a word it takes
    /// nothing for read, also what was there before anybody read.
    pub(super) fn tell_first(&mut self) {
        let untold = self.feeds.iter().filter(|(spool, feed)| {
            feed.told == 0 && !folder_of(&self.spools, spool).join(CONSUMED_FILE).exists()
        });
        let untold: Vec<SpoolId> = untold.map(|(spool, _)| spool.clone()).collect();
        for spool in untold {
            self.tell_consumed(&spool, 1);
        }
    }

    /// Another plan: what the old one still has is written first.
    fn replan(&mut self, plan: &NextPlan) {
        self.wake_all();
        self.turn();
        self.take_up(plan);
        self.wake_all();
    }

    /// Stops the consoles, tells the pump the last word, and says how far it came.
    fn end(mut self, deadline: Instant) -> Flushed {
        for output in self.outputs.iter_mut().chain(&mut self.parked) {
            if let Destination::Console { thread, .. } = &mut output.destination {
                thread.stop(deadline);
            }
        }
        let inbox = std::mem::take(&mut *self.shared.inbox());
        for (name, upto) in inbox.shown {
            if let Some(output) = self.outputs.iter_mut().find(|output| output.name == name) {
                output.shown(&upto, &mut self.cursors);
            }
        }
        let flushed = self.cursors.flush();
        let spools: Vec<SpoolId> = self.feeds.keys().cloned().collect();
        for spool in spools {
            self.tell_consumed(&spool, 1);
        }
        let behind = self.outputs.iter().any(Output::is_behind);
        if behind || flushed.is_err() { Flushed::Behind } else { Flushed::All }
    }
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.grew.is_empty()
            && !self.all
            && self.plan.is_none()
            && self.shown.is_empty()
            && self.stop_by.is_none()
    }
}

/// Writes how far a spool was consumed in place, so that whoever reads it meanwhile, or after
/// a full disk, finds what was there before or what is there now.
fn write_consumed(path: &Path, consumed: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.write_all(&encode_consumed(consumed))
}
