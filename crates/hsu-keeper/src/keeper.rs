//! The keeper: parent of every worker, holder of pipes and exit statuses.
//!
//! One thread waits and never blocks; the starts of a burst go to a few others,
//! because a start blocks its caller until the program runs. It decides nothing
//! about workers: who is started, signalled or forgotten is the master's word.
//! Only SIGKILL or its master's goodbye ends it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;

use crate::inventory::{Inventory, SLOTS};
use crate::kernel::{self, Epoll};
use crate::masters::{Masters, Which};
use crate::policy::Policy;
use crate::spawn::DescriptorLimits;
use crate::table::Table;
use crate::table::slot::Slot;
use crate::{KeeperPlan, at};

mod connections;
mod door;
mod holding;
mod masters;
mod pumps;
mod shelf;
mod workshop;

use connections::Connections;
use door::take_lock;
use masters::Processes;
use pumps::Pumps;
use shelf::Shelf;
use workshop::Workshop;

/// What a token of the event loop stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Listener,
    Children,
    Workshop,
    Connection(usize),
    Slot(usize),
    Master(Which),
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
            Self::Master(Which::Serving) => (5, 0),
            Self::Master(Which::Candidate) => (5, 1),
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
            5 if place == 0 => Self::Master(Which::Serving),
            5 => Self::Master(Which::Candidate),
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
    /// When the status of an ended stranger is given up, which its own parent
    /// has to reap before the kernel tells it.
    overdue: Option<Instant>,
}

/// Whether a process is our child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kin {
    /// We are its parent and reap it.
    Child,
    /// An earlier keeper was its parent.
    Stranger,
    /// Its worker has named it: another of its processes is its parent, or we are, since
    /// that one has ended.
    Named,
}

/// The keeper at work.
#[derive(Debug)]
struct Keeper {
    plan: KeeperPlan,
    epoll: Epoll,
    children: OwnedFd,
    slots: &'static [Slot],
    table: Table<&'static [Slot]>,
    holds: Vec<Option<Hold>>,
    pipes: BTreeMap<(RunId, Stream), (WorkerId, OwnedFd)>,
    /// The read ends at which runs say that they are ready.
    ready: BTreeMap<RunId, OwnedFd>,
    shelf: Shelf,
    connections: Connections,
    workshop: Workshop,
    masters: Masters,
    processes: Processes,
    pumps: Pumps,
    /// When strangers that have ended are looked at again.
    strangers_due: Option<Instant>,
    over: bool,
    lock: File,
}

/// Datagrams that are heard of one connection before others have their turn.
const MOST_AT_ONCE: usize = 64;

/// Runs the keeper until its master says that everything is stopped.
///
/// # Errors
/// The kernel's, when the runtime folder cannot be used, or another keeper has it.
pub fn keeper_main(arguments: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    let workers = crate::spawn::descriptor_limit();
    kernel::close_strays();
    crate::spawn::reserve_low_descriptors()?;
    let starter = kernel::take_standard_socket();
    let plan = KeeperPlan::from_arguments(arguments).map_err(io::Error::other)?;
    let children = kernel::take_signals()?;
    kernel::become_session_leader();
    let limits = DescriptorLimits { workers, own: kernel::raise_descriptor_limit() };
    kernel::become_subreaper()?;
    let policy = Policy::read()?;
    let lock = take_lock(&plan)?;
    let mut keeper = Keeper::new(plan, children, limits, policy, lock)?;
    if let Some(starter) = starter {
        keeper.connections.admit(starter, &keeper.epoll)?;
    }
    while !keeper.over {
        keeper.turn()?;
    }
    Ok(())
}

impl Keeper {
    fn new(
        plan: KeeperPlan,
        children: OwnedFd,
        limits: DescriptorLimits,
        policy: Option<Policy>,
        lock: File,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(children.as_fd(), Token::Children.number())?;
        let (inventory, found) =
            Inventory::open(&plan.inventory()).map_err(at(&plan.inventory()))?;
        let connections = Connections::listen(&plan.socket(), &epoll)?;
        let workshop = Workshop::open(limits, policy, &epoll)?;
        let mut keeper = Self {
            pumps: Pumps::new(found),
            plan,
            epoll,
            children,
            slots: inventory.slots(),
            table: Table::new(inventory.slots()),
            holds: std::iter::repeat_with(|| None).take(SLOTS).collect(),
            pipes: BTreeMap::new(),
            ready: BTreeMap::new(),
            shelf: Shelf::default(),
            connections,
            workshop,
            masters: Masters::default(),
            processes: Processes::default(),
            strangers_due: None,
            over: false,
            lock,
        };
        keeper.adopt_all();
        Ok(keeper)
    }

    fn turn(&mut self) -> io::Result<()> {
        let mut tokens = Vec::new();
        self.epoll.wait(self.next_deadline(), &mut tokens)?;
        let mut children = false;
        for token in tokens.into_iter().filter_map(Token::from_number) {
            match token {
                Token::Listener => {
                    self.accept();
                }
                Token::Connection(place) => self.hear(place, MOST_AT_ONCE),
                Token::Slot(place) => self.see_end(place),
                Token::Children => {
                    kernel::drain(self.children.as_fd());
                    children = true;
                }
                Token::Workshop => self.collect_starts(),
                Token::Master(which) => self.see_master_end(which),
                Token::Pump => self.see_pump_end(),
            }
        }
        if children {
            // After the workers, which are found by their slots and not by a search.
            self.reap_strangers();
        }
        let now = Instant::now();
        self.start_waiting(now);
        self.tend_strangers(now);
        self.tend_masters(kernel::now().tick);
        self.tend_pump(now);
        self.connections.tend(now, &self.epoll);
        self.flush();
        self.end_when_empty();
        Ok(())
    }

    /// How long until something is due.
    fn next_deadline(&self) -> Option<Duration> {
        let all = [self.pumps.deadline(), self.connections.deadline(), self.strangers_due];
        let now = Instant::now();
        let due = all.into_iter().flatten().map(|due| due.saturating_duration_since(now));
        let of_masters = self.masters.deadline().map(|due| due.since(kernel::now().tick));
        due.chain(of_masters).min()
    }

    fn end_when_empty(&mut self) {
        let is_empty = || self.table.is_empty() && self.pipes.is_empty();
        if self.masters.is_over(kernel::now().tick, is_empty) {
            self.table.forget_ended();
            self.dismiss_pump();
            self.over = true;
        }
    }
}
