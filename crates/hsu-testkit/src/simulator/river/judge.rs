//! The judge of a river: I21, that bytes of a spool are where they belong.
//!
//! A byte that a run wrote is in its pipe, in its spool, dropped and counted, retired when
//! the plan allows it and every reader has read it, or somebody took it; never in two of
//! these, and never in none. Places of the stream are for ever, and without gap or overlap.
//! What the pump adds is where it belongs, and the index says so.

use std::path::Path;

use hsu_model::spool::index::Mark;
use hsu_model::spool::plan::{Readers, SpoolPlan};

use super::super::judge::Finding;
use super::disk::{Loss, Store};
use super::ledger::{Fate, Ledger, Tag};
use super::reader::{Piece, View};

/// How long a file that was moved away may be written to, in milliseconds: the pump looks
/// once a second.
const MOVED_FOR: u64 = 1_500;

/// No stream of a schedule comes so far.
const FARTHEST: usize = 1 << 20;

/// What the pump writes where bytes were dropped.
const MARKER: &[u8] = b"[hsu-master] dropped ";

/// What is known of one spool.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// What was seen at each place of the stream.
    archive: Vec<Option<Tag>>,
    /// Somebody else did something to its files.
    pub(crate) is_hurt: bool,
    /// Somebody deleted what the pump knew of it.
    pub(crate) is_beheaded: bool,
    /// So many bytes may be counted as dropped twice, because a pump was killed.
    allowance: u64,
    /// The count of a pump that was killed could not be written.
    in_doubt: bool,
    /// Another plan named another log file, and what is in the earlier one stays.
    pub(crate) has_moved: bool,
    /// Some plan said that what has no room is dropped.
    pub(crate) may_drop: bool,
    /// How far an output has read, and said so.
    pub(crate) cursor: u64,
    pub(crate) committed: Option<u64>,
}

/// The judge.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    pub(crate) findings: Vec<Finding>,
    pub(crate) stories: Vec<Story>,
    /// Whether a pump was killed.
    pub(crate) was_killed: bool,
    /// By how many seconds the wall clock was corrected in all: by what is believed at once,
    /// and by what a pump believes that starts.
    blur: (u64, u64),
}

impl Story {
    /// Somebody changed what is at these places, and after.
    pub(crate) fn forget_from(&mut self, place: u64) {
        self.archive.truncate(usize::try_from(place).unwrap_or(usize::MAX));
        self.is_hurt = true;
    }
}

impl Judge {
    pub(crate) fn object(&mut self, what: impl FnOnce() -> String) {
        if self.findings.is_empty() {
            self.findings.push(Finding { invariant: "I21", what: what() });
        }
    }

    /// The wall clock jumps.
    pub(crate) fn on_jump(&mut self, seconds: u64) {
        // Source: the limits of `hsu_model::calendar`. A pump that starts compares with what
        // was made last, which may be of after the jump.
        self.blur.0 += if seconds <= 60 { seconds } else { 0 };
        self.blur.1 += seconds;
    }

    /// What can be seen in the middle of a turn.
    pub(crate) fn i21_seen(&mut self, spool: usize, view: &View) {
        self.i21_places(spool, view);
    }

    /// Everything that can be seen of a spool between two turns.
    pub(crate) fn on_view(&mut self, spool: usize, view: &View, ledger: &Ledger) {
        self.i21_places(spool, view);
        // Without its place file a log file is taken up as if it were from before the spool.
        if !self.stories[spool].is_beheaded {
            self.i21_once(spool, view, ledger);
        }
        if !self.stories[spool].is_hurt {
            self.i21_whole(spool, view, ledger);
            self.i21_lines(spool, view);
            self.i21_index(spool, view);
        }
    }

    /// Places are for ever, and without gap or overlap.
    fn i21_places(&mut self, spool: usize, view: &View) {
        let story = &mut self.stories[spool];
        let mut strange = None;
        let mut end: Option<u64> = None;
        for piece in &view.pieces {
            let may_miss = story.is_hurt || story.has_moved;
            if end.is_some_and(|end| piece.base < end || (piece.base > end && !may_miss)) {
                strange = strange.or(Some((piece.base, "follows on another place than it says")));
            }
            end = Some(piece.end());
            let from = usize::try_from(piece.base).unwrap_or(usize::MAX);
            if from > FARTHEST {
                strange = strange.or(Some((piece.base, "is where nobody has written")));
                break;
            }
            let to = from + piece.tags.len();
            if story.archive.len() < to {
                story.archive.resize(to, None);
            }
            for ((slot, tag), place) in
                story.archive[from..to].iter_mut().zip(&piece.tags).zip(from..)
            {
                let stays = |seen: Tag| seen == *tag || seen == Tag::People;
                if slot.is_some_and(|seen| !stays(seen)) && !story.is_beheaded {
                    strange = strange.or(Some((place as u64, "was another byte before")));
                }
                *slot = Some(*tag);
                if *tag == Tag::Hole {
                    strange = strange.or(Some((place as u64, "is a hole")));
                }
            }
        }
        if let Some((place, what)) = strange {
            self.object(|| format!("spool {spool}: {place} in the stream {what}"));
        }
    }

    /// Every byte of a run once, and in order.
    fn i21_once(&mut self, spool: usize, view: &View, ledger: &Ledger) {
        let mut next = vec![0; ledger.runs.len()];
        for piece in &view.pieces {
            for (tag, place) in piece.tags.iter().zip(piece.base..) {
                let Tag::Run(run, byte) = *tag else { continue };
                let next = &mut next[usize::from(run)];
                if byte < *next || ledger.book(run).spool != spool {
                    let run = run + 1;
                    return self.object(|| {
                        format!("spool {spool}: byte {byte} of run {run} is at {place} again")
                    });
                }
                *next = byte + 1;
            }
        }
    }

    /// Whatever is kept can be read.
    fn i21_whole(&mut self, spool: usize, view: &View, ledger: &Ledger) {
        if view.head.is_some_and(|head| head.cut != 0) {
            return;
        }
        let is_run = |tag: &&Tag| matches!(tag, Tag::Run(..));
        let seen: usize =
            view.pieces.iter().map(|piece| piece.tags.iter().filter(is_run).count()).sum();
        let kept = ledger.count(spool, Fate::Kept);
        if seen != kept {
            self.object(|| format!("spool {spool}: {kept} bytes are kept, {seen} can be read"));
        }
    }

    /// Lines of two runs are never glued, and what the pump adds is where it belongs.
    fn i21_lines(&mut self, spool: usize, view: &View) {
        let insert = view.head.and_then(|head| head.insert).map(|insert| insert.at);
        let mut before: Option<(u8, Tag)> = None;
        // What is left of a line that tells what was dropped.
        let mut left: usize = 0;
        let mut end = None;
        for piece in &view.pieces {
            if end != Some(piece.base) {
                before = None;
            }
            end = Some(piece.end());
            for ((byte, tag), place) in piece.bytes.iter().zip(&piece.tags).zip(piece.base..) {
                if insert.is_some_and(|at| place >= at) {
                    return;
                }
                let is_open = before.is_some_and(|(byte, _)| byte != b'\n');
                let told = match (before.map(|(_, tag)| tag), *tag) {
                    (Some(Tag::Run(one, _)), Tag::Run(other, _)) if one != other && is_open => {
                        Err(format!("lines of runs {} and {} are glued", one + 1, other + 1))
                    }
                    (_, Tag::Own) if left > 0 => Ok(left - 1),
                    (_, Tag::Own) => own_line(piece, place, is_open),
                    _ => Ok(0),
                };
                match told {
                    Ok(rest) => left = rest,
                    Err(what) => {
                        return self.object(|| format!("spool {spool}: {what} at {place}"));
                    }
                }
                before = Some((*byte, *tag));
            }
        }
    }

    /// The index says which run wrote a byte.
    fn i21_index(&mut self, spool: usize, view: &View) {
        for piece in &view.pieces {
            let mut records = piece.records.iter().peekable();
            let mut run = None;
            for (tag, at) in piece.tags.iter().zip(0..) {
                while let Some(record) = records.next_if(|record| record.at <= at) {
                    if let Mark::Run(of) = record.mark {
                        run = Some(of.0);
                    }
                }
                if let Tag::Run(wrote, _) = tag
                    && run != Some(u64::from(*wrote) + 1)
                {
                    let place = piece.base + at;
                    return self.object(|| {
                        format!("spool {spool}: run {} wrote what is at {place}, and the index says {run:?}", wrote + 1)
                    });
                }
            }
        }
    }

    /// A pump took away what nothing else holds.
    pub(crate) fn i21_retired(
        &mut self,
        found: Option<(usize, u64)>,
        plan: &SpoolPlan,
        loss: &Loss,
    ) {
        let Some((spool, base)) = found else {
            if self.stories.iter().any(|story| story.is_hurt) {
                // Somebody took the other copy of a tail, while it had two.
                return;
            }
            let path = loss.path.display();
            return self.object(|| format!("bytes that nothing else holds went with {path:?}"));
        };
        let rotation = plan.rotation;
        let most = usize::try_from(rotation.max_files).unwrap_or(usize::MAX);
        let is_surplus = most != 0 && loss.segments > most;
        let blur = if self.was_killed { self.blur.1 } else { self.blur.0 };
        let age = u64::try_from(rotation.max_age.map_or(u128::MAX, |age| age.as_millis()));
        let is_old = age.is_ok_and(|age| loss.age + 1_000 + blur * 1_000 >= age);
        let end = base + loss.length;
        let is_hurt = self.stories[spool].is_hurt;
        if !is_surplus && !is_old && !is_hurt {
            let (segments, age) = (loss.segments, loss.age);
            self.object(|| {
                format!("spool {spool}: the segment at {base} was deleted, one of {segments}, {age} ms old")
            });
        }
        let story = &self.stories[spool];
        let is_read = story.committed.is_some_and(|read| read >= end);
        // Where somebody cut the stream, readers begin anew before what they had read.
        if plan.readers != Readers::None && !is_read && !is_hurt {
            let read = story.committed;
            self.object(|| {
                format!("spool {spool}: {base} to {end} were deleted, and read to {read:?}")
            });
        }
    }

    /// What waits is in the pipe.
    pub(crate) fn i21_waits(&mut self, spool: usize, waits: usize, ledger: &Ledger) {
        let lost = ledger.count(spool, Fate::Waits).checked_sub(waits);
        if lost != Some(0) {
            self.object(|| {
                format!("spool {spool}: {lost:?} bytes left their pipe and are nowhere")
            });
        }
    }

    /// What was dropped is counted once.
    pub(crate) fn i21_counted(
        &mut self,
        spool: usize,
        view: &View,
        ledger: &Ledger,
        has_faults: bool,
    ) {
        let dropped = ledger.count(spool, Fate::Dropped) as u64;
        let story = &self.stories[spool];
        if dropped > 0 && !story.may_drop {
            return self
                .object(|| format!("spool {spool}: {dropped} bytes were dropped that shall wait"));
        }
        // What a disk refuses to correct is corrected later.
        if !has_faults {
            self.counted_once(spool, view, dropped);
        }
    }

    fn counted_once(&mut self, spool: usize, view: &View, dropped: u64) {
        let story = &self.stories[spool];
        let counted = view.head.map_or(0, |head| head.dropped);
        if counted > dropped + story.allowance && !story.is_beheaded && !story.in_doubt {
            self.object(|| {
                format!("spool {spool}: {dropped} bytes were dropped, {counted} counted")
            });
        }
    }

    /// A pump was killed while so many bytes waited.
    pub(crate) fn on_killed(
        &mut self,
        spool: usize,
        view: &View,
        ledger: &Ledger,
        (waits, has_faults): (u64, bool),
    ) {
        let dropped = ledger.count(spool, Fate::Dropped) as u64;
        let counted = view.head.map_or(0, |head| head.dropped);
        let story = &mut self.stories[spool];
        story.allowance += waits;
        if story.is_hurt {
            // What somebody took while no pump knew of it may be taken for never written.
            story.forget_from(0);
        }
        if counted < dropped && !story.is_beheaded {
            if has_faults || view.head.is_none() {
                // It could not be written, or the pump did not know yet where the spool stands.
                story.in_doubt = true;
            } else if !story.in_doubt {
                self.object(|| {
                    format!("spool {spool}: {dropped} bytes were dropped, {counted} counted")
                });
            }
        }
    }

    /// Whoever moved a file away has it for himself.
    pub(crate) fn i21_moved(&mut self, store: &Store) {
        let late = |moved: u64, touched: u64| touched > moved + MOVED_FOR;
        let is_late =
            |node: &super::disk::Node| node.moved.is_some_and(|at| late(at, node.touched));
        if store.nodes.iter().any(is_late) {
            self.object(|| "a file that was moved away is still written to".to_owned());
        }
    }

    /// An output reads on; answers what it has reached.
    pub(crate) fn i21_read(&mut self, spool: usize, view: &View, most: u64) {
        let story = &mut self.stories[spool];
        let cursor = story.cursor;
        let Some(piece) = view.pieces.iter().find(|piece| piece.end() > cursor) else {
            // Nothing follows. The stream may have been begun again.
            let end = view.end();
            if view.head.is_some_and(|head| head.cut != 0) {
                // A tail that is being copied is not seen meanwhile.
                return;
            }
            if end < cursor && !story.is_hurt {
                self.object(|| format!("spool {spool}: it ended at {cursor}, and ends at {end}"));
            }
            self.stories[spool].cursor = cursor.min(end);
            return;
        };
        if piece.base > cursor && !story.is_hurt {
            let base = piece.base;
            self.object(|| format!("spool {spool}: who has read to {cursor} finds {base} next"));
            return;
        }
        story.cursor = piece.end().min(cursor.max(piece.base).saturating_add(most));
    }

    /// Nothing is wrong any more, and the pump had its time.
    pub(crate) fn i21_at_rest(
        &mut self,
        spool: usize,
        view: &View,
        ledger: &Ledger,
        (plan, segments): (&SpoolPlan, usize),
    ) {
        let waits = ledger.count(spool, Fate::Waits);
        if waits > 0 {
            self.object(|| format!("spool {spool}: {waits} bytes still wait"));
        }
        self.counted_once(spool, view, ledger.count(spool, Fate::Dropped) as u64);
        let story = &self.stories[spool];
        if story.is_beheaded || story.in_doubt {
            return;
        }
        let head = view.head.unwrap_or_default();
        let dropped = ledger.count(spool, Fate::Dropped) as u64;
        if head.dropped < dropped || head.announced != head.dropped {
            let (counted, told) = (head.dropped, head.announced);
            self.object(|| {
                format!(
                    "spool {spool}: {dropped} bytes were dropped, {counted} counted, {told} told"
                )
            });
        }
        let most = usize::try_from(plan.rotation.max_files).unwrap_or(usize::MAX);
        if most != 0 && segments > most && !self.stories[spool].is_hurt {
            self.object(|| format!("spool {spool}: {segments} closed segments stay, of {most}"));
        }
    }
}

/// What the pump has begun to write at a place: how many bytes of it follow.
fn own_line(piece: &Piece, place: u64, is_open: bool) -> Result<usize, String> {
    let at = usize::try_from(place - piece.base).unwrap_or(usize::MAX);
    let rest = &piece.bytes[at..];
    if is_open && rest.first() == Some(&b'\n') {
        let is_marked = is_marked(piece, place);
        return if is_marked { Ok(0) } else { Err("a line end is not marked".to_owned()) };
    }
    match marker(rest) {
        Some((count, length)) if dropped_at(piece, place) == Some(count) => Ok(length - 1),
        Some((count, _)) => Err(format!("that {count} bytes were dropped is not marked")),
        None => Err("nobody knows why a byte of the pump is".to_owned()),
    }
}

/// Whether the index says that the pump added the line end at a place.
fn is_marked(piece: &Piece, place: u64) -> bool {
    let at = place - piece.base;
    piece.records.iter().any(|record| match record.mark {
        Mark::LineEndAdded => record.at == at,
        // It belongs to the line that follows.
        Mark::Dropped(_) => record.at == at + 1,
        Mark::Arrived(_) | Mark::Run(_) => false,
    })
}

/// How many bytes the index says were dropped at a place.
fn dropped_at(piece: &Piece, place: u64) -> Option<u64> {
    let at = place - piece.base;
    piece.records.iter().rev().find_map(|record| match record.mark {
        Mark::Dropped(count) if record.at == at => Some(count),
        Mark::Dropped(_) | Mark::LineEndAdded | Mark::Arrived(_) | Mark::Run(_) => None,
    })
}

/// The count in a line that says what was dropped, and the length of the line.
fn marker(bytes: &[u8]) -> Option<(u64, usize)> {
    let rest = bytes.strip_prefix(MARKER)?;
    let line = &rest[..rest.iter().position(|byte| *byte == b'\n')?];
    let count = std::str::from_utf8(line).ok()?.strip_suffix(" bytes")?.parse().ok()?;
    Some((count, MARKER.len() + line.len() + 1))
}

/// The spool, and the place in its stream, of a closed segment of this name.
pub(crate) fn closed_segment(
    path: &Path,
    data_paths: &[Vec<std::path::PathBuf>],
) -> Option<(usize, u64)> {
    let name = path.file_name()?.to_str()?;
    data_paths.iter().enumerate().find_map(|(spool, paths)| {
        paths.iter().filter(|data| data.parent() == path.parent()).find_map(|data| {
            let stem = data.file_name()?.to_str()?;
            Some((spool, hsu_model::spool::base_in_name(stem, name)?))
        })
    })
}
