//! The script: what a process does to the store while it is watched.
//!
//! Operation number `i` writes the event `i` and the record of one of
//! [`WORKERS`] workers, so that whoever reads the store knows of each moment
//! what must be there. Each acknowledgement is a line on standard output, and so
//! has its place among the calls that the process makes.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hsu_core::breaker::Breaker;
use hsu_core::record::WorkerRecord;
use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::BootId;
use hsu_model::status::{Desired, WorkerState};
use hsu_model::time::WallTime;
use hsu_model::worker::Departure;
use hsu_store::{Batch, Change, Durability, Life, Store};

use crate::random::Random;

/// Workers that the operations are about, in turn.
pub const WORKERS: u64 = 10;
/// A boot that is not the present one: whoever opens the store must take its end for
/// a loss of power.
pub const BOOT: BootId = BootId([7; 16]);
/// How long a disk that refuses is given to take again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The worker of an operation.
///
/// # Panics
/// Never: the name is a valid one.
#[must_use]
pub fn worker(operation: u64) -> WorkerId {
    WorkerId::new(&format!("worker-{}", operation % WORKERS)).expect("a valid name")
}

/// The event of an operation.
#[must_use]
pub fn event(operation: u64) -> Event {
    Event {
        sequence: operation,
        at: WallTime(1_700_000_000_000_000_000),
        worker: Some(worker(operation)),
        actor: Actor::Master,
        kind: EventKind::Spawned { run: RunId(operation), pid: 4242 },
    }
}

/// The record of an operation; its number is in `restarts`.
#[must_use]
pub fn record(operation: u64) -> WorkerRecord {
    WorkerRecord {
        desired: Desired::Running,
        enabled: None,
        removed: false,
        state: WorkerState::Running,
        reason: "its process runs".to_owned(),
        run: Some(RunId(operation)),
        accounted: None,
        started: None,
        restarts: operation,
        counts_as_restart: false,
        attempts: 0,
        breaker: Breaker::Closed,
        next_attempt: None,
        last_exit: None,
        history: std::collections::VecDeque::new(),
        departure: Departure::default(),
        attached: None,
        started_as: None,
        ready_run: None,
        raised: Vec::new(),
    }
}

/// The batch of an operation.
#[must_use]
pub fn batch(operation: u64, durability: Durability) -> Batch {
    Batch {
        workers: vec![(worker(operation), Change::Record(Box::new(record(operation))))],
        events: vec![event(operation)],
        next_run: Some(operation + 1),
        durability,
        ..Batch::default()
    }
}

/// What a process shall do.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Script {
    /// Repeats the same operations.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many operations.
    #[arg(long, default_value_t = 40)]
    pub operations: u64,
}

/// Does the operations in a folder, after those that the store knows, and says on `out`
/// what is acknowledged: `lazy N` outlives the process, `synced N` a loss of power.
///
/// # Errors
/// The store cannot be opened, or `out` not be written.
pub fn run(script: Script, folder: &Path, out: &mut impl Write) -> Result<()> {
    let mut random = Random(script.seed);
    let (sender, woken) = channel();
    let wake = Box::new(move || {
        let _ = sender.send(());
    });
    let store = Store::open(folder, wake).context("open the store")?.store;
    let first = store.load().context("load the store")?.last_event + 1;
    store.mark(Life::Lasts, BOOT);
    let last = first + script.operations;
    let mut next = first;
    while next < last {
        let until = last.min(next + 1 + u64::try_from(random.below(4))?);
        let mut synced = None;
        let mut number = 0;
        for operation in next..until {
            let is_wish = random.once_in(4);
            synced = if is_wish { Some(operation) } else { synced };
            let durability = if is_wish { Durability::Synced } else { Durability::Lazy };
            number = store.submit(batch(operation, durability));
        }
        if !is_durable(&store, number, &woken) {
            writeln!(out, "refused {}", store.health().unwrap_or_default())?;
            break;
        }
        writeln!(out, "lazy {}", until - 1)?;
        if let Some(synced) = synced {
            writeln!(out, "synced {synced}")?;
        }
        next = until;
    }
    // What could not be written was told already.
    drop(store.close());
    writeln!(out, "ended")?;
    Ok(())
}

fn is_durable(store: &Store, number: u64, woken: &Receiver<()>) -> bool {
    let begun = Instant::now();
    while store.durable() < number && begun.elapsed() < PATIENCE {
        // Told or not, the store is asked again.
        let _ = woken.recv_timeout(Duration::from_millis(100));
    }
    store.durable() >= number
}
