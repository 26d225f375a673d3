//! What happens in a river, made of a seed.
//!
//! As in the other schedules, an act names what it is about by a number that is taken modulo
//! whatever is there: any part of a schedule is a schedule.

use std::time::Duration;

use hsu_model::logs::{OnFull, Rotation};
use hsu_model::spool::plan::{Readers, SpoolPlan};
use hsu_model::units::ByteSize;

use super::super::chance::Chance;
use super::people::Deed;

/// A world of spools, before anything happens.
#[derive(Clone, Debug)]
pub(crate) struct Waters {
    /// The plan of each spool.
    pub(crate) plans: Vec<Draft>,
    /// The most bytes that one splice moves.
    pub(crate) sip: Option<usize>,
    /// Whether the pump has so few descriptors that spools share them.
    pub(crate) few_descriptors: bool,
    /// Which misfortunes there are, a bit for each of [`MISFORTUNES`].
    misfortunes: u16,
}

/// What can go wrong.
const MISFORTUNES: usize = 9;
const KILLS: u16 = 1;
const REFUSALS: u16 = 2;
const NO_ROOM: u16 = 4;
const READ_ONLY: u16 = 8;
const SCARCE: u16 = 16;
const PEOPLE: u16 = 32;
const PLANS: u16 = 64;
const CLOCK: u16 = 128;
const LOOKS: u16 = 256;

/// A plan, small enough to be part of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    /// Which log file; none for the spool's own.
    pub(crate) log: Option<&'static str>,
    size: u16,
    files: u8,
    age: Option<u8>,
    on_full: OnFull,
    unread: Option<u16>,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A run begins, whose lines and pipe are about so long.
    Begin { spool: u8, every: u8, capacity: u8 },
    /// A run writes.
    Write { run: u8, count: u8 },
    /// A run ends.
    End { run: u8 },
    /// The pump turns, with a pause before each in milliseconds.
    Turn { times: u8, pause: u32 },
    /// The pump is killed after so many calls.
    Kill { after: u8 },
    /// Somebody reads after so many calls.
    Look { after: u8 },
    /// After so many calls so many fail.
    Refuse { after: u8, times: u8 },
    /// The disk has so many blocks left, or no end of them.
    Fill(Option<u8>),
    /// The disk takes nothing.
    ReadOnly(bool),
    /// So many files may be open.
    Descriptors(Option<u8>),
    /// The wall clock jumps, in seconds.
    Jump(i32),
    /// The master has another plan.
    Plan { spool: u8, plan: Draft },
    /// An output reads at most so much.
    Read { spool: u8, most: u8 },
    /// Somebody does something to a log file.
    Deed { spool: u8, deed: Deed },
}

impl Draft {
    fn by(chance: &mut Chance) -> Self {
        Self {
            log: chance.pick(&[None, Some("log"), Some("log"), Some("other")]),
            size: chance.pick(&[0, 32, 64, 64, 200]),
            files: chance.pick(&[0, 1, 1, 2, 5]),
            age: chance.pick(&[None, None, None, Some(3), Some(60)]),
            on_full: chance.pick(&[OnFull::Block, OnFull::Block, OnFull::Drop]),
            unread: chance.pick(&[None, None, Some(80), Some(300)]),
        }
    }

    /// The plan, with the path of the log file.
    pub(crate) fn plan(&self, path: impl FnOnce(&str) -> String) -> SpoolPlan {
        let unread = self.unread.map(|bytes| ByteSize(u64::from(bytes)));
        SpoolPlan {
            log_file: self.log.map(path),
            rotation: Rotation {
                max_size: ByteSize(u64::from(self.size)),
                max_files: u32::from(self.files),
                max_age: self.age.map(|seconds| Duration::from_secs(u64::from(seconds))),
            },
            on_full: self.on_full,
            readers: unread.map_or(Readers::None, |unread_limit| Readers::Outputs { unread_limit }),
        }
    }
}

/// What a seed makes.
pub(crate) fn chart(chance: &mut Chance) -> (Waters, Vec<Act>) {
    let all = u64::from(u16::MAX) >> (16 - MISFORTUNES);
    // One in eight has none, and half of the others half of them.
    let misfortunes = if chance.one_in(8) { 0 } else { chance.next() & all };
    let mut misfortunes = u16::try_from(misfortunes).unwrap_or(0);
    if !chance.one_in(3) {
        misfortunes &= !PEOPLE;
    }
    let waters = Waters {
        plans: (0..=chance.below(3)).map(|_| Draft::by(chance)).collect(),
        sip: chance.pick(&[None, None, Some(1), Some(7), Some(30)]),
        few_descriptors: chance.one_in(4),
        misfortunes,
    };
    let mut acts = Vec::new();
    for spool in 0..waters.plans.len() {
        acts.push(begin(chance, u8::try_from(spool).unwrap_or(0)));
    }
    for _ in 0..12 + chance.below(28) {
        acts.push(act(chance, &waters));
    }
    (waters, acts)
}

fn begin(chance: &mut Chance, spool: u8) -> Act {
    let every = chance.pick(&[0, 4, 11, 11, 30, 90, 255]);
    Act::Begin { spool, every, capacity: chance.pick(&[0, 64, 255]) }
}

fn byte(chance: &mut Chance, below: usize) -> u8 {
    u8::try_from(chance.below(below)).unwrap_or(0)
}

fn act(chance: &mut Chance, waters: &Waters) -> Act {
    let which = byte(chance, 251);
    match chance.below(100) {
        0..30 => Act::Write { run: which, count: 1 + byte(chance, 80) },
        30..60 => {
            let pause = chance.pick(&[0, 1, 5, 20, 60, 300, 1_100, 1_100, 5_000, 70_000]);
            Act::Turn { times: 1 + byte(chance, 4), pause }
        }
        60..65 => begin(chance, which),
        65..70 => Act::End { run: which },
        70..78 => Act::Read { spool: which, most: chance.pick(&[5, 40, 255]) },
        _ => misfortune(chance, waters, which)
            .unwrap_or(Act::Turn { times: 1 + which % 3, pause: 20 }),
    }
}

fn misfortune(chance: &mut Chance, waters: &Waters, which: u8) -> Option<Act> {
    let there: Vec<u16> = (0..MISFORTUNES)
        .map(|bit| 1 << bit)
        .filter(|kind| waters.misfortunes & kind != 0)
        .collect();
    if there.is_empty() {
        return None;
    }
    let kind = chance.pick(&there);
    Some(match kind {
        KILLS => Act::Kill { after: byte(chance, 60) },
        REFUSALS => Act::Refuse { after: byte(chance, 60), times: chance.pick(&[1, 1, 2, 20]) },
        NO_ROOM => Act::Fill(chance.pick(&[None, Some(0), Some(0), Some(1), Some(3), Some(9)])),
        READ_ONLY => Act::ReadOnly(chance.one_in(2)),
        SCARCE => Act::Descriptors(chance.pick(&[None, None, Some(0), Some(2), Some(3), Some(4)])),
        PEOPLE => Act::Deed { spool: which, deed: chance.pick(&Deed::ALL) },
        PLANS => Act::Plan { spool: which, plan: Draft::by(chance) },
        CLOCK => Act::Jump(chance.pick(&[-31_536_000, -3_600, -10, 10, 3_600, 31_536_000])),
        LOOKS => Act::Look { after: byte(chance, 60) },
        _ => return None,
    })
}
