//! A slot: one run in shared memory, and the word by which its child claims it.
//!
//! The last thing a child does before it executes the worker is to claim its slot, with
//! its PID and its start time in one atomic word. The next keeper withdraws every start
//! that is not claimed, by the same word: a child that comes too late ends itself. So a
//! worker never runs unrecorded, whenever the keeper is killed.

use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::time::{Now, Tick, WallTime};

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Free,
    /// A spawn is under way.
    Spawning,
    /// A process that lives.
    Live,
    /// An exit that is not acknowledged.
    Ended,
}

impl Held {
    fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Spawning,
            2 => Self::Live,
            3 => Self::Ended,
            _ => Self::Free,
        }
    }
}

/// One slot, in shared memory: every field is atomic, none is trusted to be valid.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Slot {
    held: AtomicU32,
    name_length: AtomicU32,
    claim: AtomicU64,
    run: AtomicU64,
    started_at: AtomicU64,
    started_tick: AtomicU64,
    started_wall: AtomicI64,
    ended_tick: AtomicU64,
    ended_wall: AtomicI64,
    exit_kind: AtomicU32,
    exit_number: AtomicI32,
    /// Why the program could not be executed after all: the error number, or 0.
    failure: AtomicI32,
    name: [AtomicU8; WorkerId::MAX_LENGTH],
}

/// Who a start belongs to, in one word: ten bits that tell the starts of a slot
/// apart, 22 bits of PID (0: not claimed), and the low half of the start time.
// Source: linux/threads.h, PID_MAX_LIMIT is 2^22.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim(u64);

impl Claim {
    fn pid(self) -> u32 {
        u32::try_from(self.0 >> 32 & 0x3f_ffff).unwrap_or(0)
    }

    /// Whether a process that started then may be the one that claimed.
    #[must_use]
    pub fn is_of(self, started_at: u64) -> bool {
        self.0 & 0xffff_ffff == started_at & 0xffff_ffff
    }

    fn by(self, pid: u32, started_at: u64) -> Self {
        Self(self.0 >> 54 << 54 | u64::from(pid & 0x3f_ffff) << 32 | started_at & 0xffff_ffff)
    }

    fn next(self) -> Self {
        Self((self.0 >> 54).wrapping_add(1) << 54)
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            held: AtomicU32::new(0),
            name_length: AtomicU32::new(0),
            claim: AtomicU64::new(0),
            run: AtomicU64::new(0),
            started_at: AtomicU64::new(0),
            started_tick: AtomicU64::new(0),
            started_wall: AtomicI64::new(0),
            ended_tick: AtomicU64::new(0),
            ended_wall: AtomicI64::new(0),
            exit_kind: AtomicU32::new(0),
            exit_number: AtomicI32::new(0),
            failure: AtomicI32::new(0),
            name: [const { AtomicU8::new(0) }; WorkerId::MAX_LENGTH],
        }
    }
}

impl Slot {
    /// What a child shows when it claims its start.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim(self.claim.load(Ordering::Acquire))
    }

    /// The child takes its start, unless a keeper has withdrawn it; whether it did.
    #[must_use]
    pub fn take(&self, offered: Claim, pid: u32, started_at: u64) -> bool {
        self.replace(offered, offered.by(pid, started_at))
    }

    /// Withdraws a start that is not claimed; whether that was in time.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        let offered = self.claim();
        offered.pid() == 0 && self.replace(offered, offered.next())
    }

    fn replace(&self, old: Claim, new: Claim) -> bool {
        self.claim.compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// A child that has claimed its start could not execute the program.
    pub fn fail(&self, errno: i32) {
        self.failure.store(errno, Ordering::Release);
    }

    /// Why the program could not be executed after all.
    #[must_use]
    pub fn failure(&self) -> Option<i32> {
        Some(self.failure.load(Ordering::Acquire)).filter(|errno| *errno != 0)
    }

    /// What it holds.
    #[must_use]
    pub fn held(&self) -> Held {
        Held::from_number(self.held.load(Ordering::Acquire))
    }

    /// Its run, unless it is free.
    #[must_use]
    pub fn run(&self) -> RunId {
        RunId(self.run.load(Ordering::Relaxed))
    }

    /// Its process, as far as the start is claimed and noted.
    #[must_use]
    pub fn process(&self) -> ProcessKey {
        ProcessKey { pid: self.claim().pid(), started_at: self.started_at.load(Ordering::Relaxed) }
    }

    /// When its start began.
    #[must_use]
    pub fn started(&self) -> (Tick, WallTime) {
        (
            Tick(self.started_tick.load(Ordering::Relaxed)),
            WallTime(self.started_wall.load(Ordering::Relaxed)),
        )
    }

    /// When its process ended.
    #[must_use]
    pub fn ended(&self) -> (Tick, WallTime) {
        (
            Tick(self.ended_tick.load(Ordering::Relaxed)),
            WallTime(self.ended_wall.load(Ordering::Relaxed)),
        )
    }

    /// The worker of its run; none when what is written there is no name.
    #[must_use]
    pub fn worker(&self) -> Option<WorkerId> {
        let length = usize::try_from(self.name_length.load(Ordering::Relaxed)).ok()?;
        let bytes: Vec<u8> =
            self.name.get(..length)?.iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
        WorkerId::new(std::str::from_utf8(&bytes).ok()?).ok()
    }

    /// How its process ended.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let number = self.exit_number.load(Ordering::Relaxed);
        match self.exit_kind.load(Ordering::Relaxed) {
            1 => Exit::Code(number),
            2 => Exit::Signal { number, core: false },
            3 => Exit::Signal { number, core: true },
            4 => Exit::Unknown(UnknownExit::NotOurChild),
            _ => Exit::Unknown(UnknownExit::KeeperLost),
        }
    }

    /// A spawn begins.
    pub fn reserve(&self, run: RunId, worker: &WorkerId, now: Now) {
        self.claim.store(self.claim().next().0, Ordering::Relaxed);
        self.failure.store(0, Ordering::Relaxed);
        self.started_at.store(0, Ordering::Relaxed);
        self.run.store(run.0, Ordering::Relaxed);
        let bytes = worker.as_str().as_bytes();
        for (place, byte) in self.name.iter().zip(bytes) {
            place.store(*byte, Ordering::Relaxed);
        }
        self.name_length.store(u32::try_from(bytes.len()).unwrap_or(0), Ordering::Relaxed);
        self.started_tick.store(now.tick.0, Ordering::Relaxed);
        self.started_wall.store(now.wall.0, Ordering::Relaxed);
        self.held.store(1, Ordering::Release);
    }

    /// The process lives.
    pub fn occupy(&self, started_at: u64) {
        self.started_at.store(started_at, Ordering::Relaxed);
        self.held.store(2, Ordering::Release);
    }

    /// Another process counts from now on. Whoever looks in between, after the end of this
    /// keeper, finds the one or the other: a start time that is not noted is that of the claim.
    pub fn follow(&self, process: ProcessKey) {
        let claim = self.claim().by(process.pid, process.started_at);
        self.started_at.store(0, Ordering::Release);
        self.claim.store(claim.0, Ordering::Release);
        self.occupy(process.started_at);
    }

    /// The process has ended.
    pub fn end(&self, exit: Exit, now: Now) {
        let (kind, number) = match exit {
            Exit::Code(code) => (1, code),
            Exit::Signal { number, core: false } => (2, number),
            Exit::Signal { number, core: true } => (3, number),
            Exit::Unknown(UnknownExit::NotOurChild) => (4, 0),
            Exit::Unknown(_) => (0, 0),
        };
        self.exit_kind.store(kind, Ordering::Relaxed);
        self.exit_number.store(number, Ordering::Relaxed);
        self.ended_tick.store(now.tick.0, Ordering::Relaxed);
        self.ended_wall.store(now.wall.0, Ordering::Relaxed);
        self.held.store(3, Ordering::Release);
    }

    /// The exit is accounted, or there was never a process.
    pub fn free(&self) {
        self.held.store(0, Ordering::Release);
    }
}
