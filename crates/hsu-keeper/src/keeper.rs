//! The keeper: parent of every worker, holder of pipes and exit statuses.
//!
//! One thread waits and never blocks; the starts of a burst go to a few others,
//! because a start blocks its caller until the program runs. It decides nothing
//! about workers: who is started, signalled or forgotten is the master's word.
//! Only SIGKILL or its master's goodbye ends it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;

use crate::KeeperPlan;
use crate::inventory::{Held, Inventory, SLOTS};
use crate::kernel::{self, Epoll};

mod connections;
mod holding;
mod masters;
mod pumps;
mod workshop;

use connections::Connections;
use masters::Masters;
use pumps::Pumps;
use workshop::Workshop;

/// What a token of the event loop stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Listener,
    Children,
    Workshop,
    Connection(usize),
    Slot(usize),
    Master(usize),
    Pump,
}

impl Token {
    fn number(self) -> u64 {
        let (kind, place) = match self {
            Self::Listener => (0, 0),
            Self::Children => (1, 0),
            Self::Workshop => (2, 0),
            Self::Connection(place) => (3, place),
            Self::Slot(place) => (4, place),
            Self::Master(place) => (5, place),
            Self::Pump => (6, 0),
        };
        kind << 32 | place as u64
    }

    fn from_number(number: u64) -> Option<Self> {
        let place = usize::try_from(number & 0xffff_ffff).ok()?;
        Some(match number >> 32 {
            0 => Self::Listener,
            1 => Self::Children,
            2 => Self::Workshop,
            3 => Self::Connection(place),
            4 => Self::Slot(place),
            5 => Self::Master(place),
            6 => Self::Pump,
            _ => return None,
        })
    }
}

/// A process in a slot.
#[derive(Debug)]
struct Hold {
    handle: OwnedFd,
    kin: Kin,
}

/// Whether a process is our child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kin {
    /// We are its parent and reap it.
    Child,
    /// An earlier keeper was its parent.
    Stranger,
}

/// The keeper at work.
#[derive(Debug)]
struct Keeper {
    plan: KeeperPlan,
    epoll: Epoll,
    children: OwnedFd,
    inventory: Inventory,
    holds: Vec<Option<Hold>>,
    places: BTreeMap<RunId, usize>,
    pipes: BTreeMap<(RunId, Stream), (WorkerId, OwnedFd)>,
    connections: Connections,
    workshop: Workshop,
    masters: Masters,
    pumps: Pumps,
    /// Set by the goodbye that stops everything.
    ending: Option<Instant>,
    over: bool,
    _lock: File,
}

/// How long the pump may take to drain what is left at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Runs the keeper until its master says that everything is stopped.
///
/// # Errors
/// The kernel's, when the runtime folder cannot be used, or another keeper has it.
pub fn keeper_main(arguments: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    let limit = crate::spawn::descriptor_limit();
    crate::spawn::reserve_low_descriptors()?;
    let plan = KeeperPlan::from_arguments(arguments).map_err(io::Error::other)?;
    let children = kernel::take_signals()?;
    kernel::raise_descriptor_limit();
    kernel::become_subreaper()?;
    let mut keeper = Keeper::new(plan, children, limit)?;
    while !keeper.over {
        keeper.turn()?;
    }
    Ok(())
}

impl Keeper {
    fn new(plan: KeeperPlan, children: OwnedFd, limit: libc::rlimit) -> io::Result<Self> {
        let lock = File::create(plan.runtime.join("keeper.lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("another keeper has this runtime folder"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let epoll = Epoll::new()?;
        epoll.add(children.as_fd(), Token::Children.number())?;
        let (inventory, found) = Inventory::open(&plan.runtime.join("inventory"))?;
        let connections = Connections::listen(&plan.socket(), &epoll)?;
        let workshop = Workshop::open(limit, &epoll)?;
        let mut keeper = Self {
            pumps: Pumps::new(found),
            plan,
            epoll,
            children,
            inventory,
            holds: std::iter::repeat_with(|| None).take(SLOTS).collect(),
            places: BTreeMap::new(),
            pipes: BTreeMap::new(),
            connections,
            workshop,
            masters: Masters::default(),
            ending: None,
            over: false,
            _lock: lock,
        };
        keeper.adopt_all();
        Ok(keeper)
    }

    fn turn(&mut self) -> io::Result<()> {
        let mut tokens = Vec::new();
        let timeout = self.next_deadline().map(|due| due.saturating_duration_since(Instant::now()));
        self.epoll.wait(timeout, &mut tokens)?;
        for token in tokens.into_iter().filter_map(Token::from_number) {
            match token {
                Token::Listener => self.accept(),
                Token::Connection(place) => self.hear(place),
                Token::Slot(place) => self.see_end(place),
                Token::Children => {
                    kernel::drain(self.children.as_fd());
                    self.reap_strangers();
                }
                Token::Workshop => self.collect_starts(),
                Token::Master(place) => self.see_master_end(place),
                Token::Pump => self.see_pump_end(),
            }
        }
        self.start_queued();
        self.tend_masters(Instant::now());
        self.tend_pump(Instant::now());
        self.flush();
        self.end_when_empty(Instant::now());
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let all = [self.masters.deadline(), self.pumps.deadline(), self.ending];
        all.into_iter().flatten().min()
    }

    fn end_when_empty(&mut self, now: Instant) {
        let Some(limit) = self.ending else { return };
        let is_empty = self.places.is_empty() && self.pipes.is_empty();
        if is_empty || now >= limit {
            for slot in self.inventory.slots().iter().filter(|slot| slot.held() == Held::Ended) {
                slot.free();
            }
            self.dismiss_pump();
            self.over = true;
        }
    }
}
