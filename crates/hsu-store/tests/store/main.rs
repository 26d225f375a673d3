//! The store on a real disk.
#![expect(clippy::unwrap_used, reason = "what a fixture cannot do fails its test")]

use std::path::Path;

use hsu_core::breaker::Breaker;
use hsu_core::record::WorkerRecord;
use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::BootId;
use hsu_model::status::{Desired, WorkerState};
use hsu_model::time::WallTime;
use hsu_model::worker::Departure;
use hsu_store::{Batch, Change, Durability, Life, Opened, Store, StoreError};

mod damage;
mod full;
mod golden;
mod kill;
mod visitor;

fn open(folder: &Path) -> Opened {
    Store::open(folder, Box::new(|| {})).unwrap()
}

fn worker(number: u64) -> WorkerId {
    WorkerId::new(&format!("worker-{number}")).unwrap()
}

fn event(sequence: u64) -> Event {
    Event {
        sequence,
        at: WallTime(1_700_000_000_000_000_000),
        worker: Some(worker(sequence % 10)),
        actor: Actor::Master,
        kind: EventKind::Spawned { run: RunId(sequence), pid: 4242 },
    }
}

/// A record that tells by `restarts` which event it belongs to.
fn record(sequence: u64) -> WorkerRecord {
    WorkerRecord {
        desired: Desired::Running,
        enabled: None,
        removed: false,
        state: WorkerState::Running,
        reason: "its process runs".to_owned(),
        run: Some(RunId(sequence)),
        accounted: None,
        started: None,
        restarts: sequence,
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

fn batch(sequence: u64, durability: Durability) -> Batch {
    Batch {
        workers: vec![(worker(sequence % 10), Change::Record(Box::new(record(sequence))))],
        events: vec![event(sequence)],
        next_run: Some(sequence + 1),
        durability,
        ..Batch::default()
    }
}

fn sequences(store: &Store) -> Vec<u64> {
    let events = store.reader().events(0, None, usize::MAX).unwrap();
    events.iter().map(|event| event.sequence).collect()
}

const BOOT: BootId = BootId([7; 16]);

#[test]
fn what_is_durable_is_there_after_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    assert_eq!((opened.recovered, opened.store.load().unwrap().next_run), (None, 1));
    (1..=100).for_each(|sequence| {
        opened.store.submit(batch(sequence, Durability::Synced));
    });
    let last = opened.store.mark(Life::Ended, BOOT);
    opened.store.flush();
    assert_eq!(opened.store.durable(), last);
    opened.store.close().unwrap();
    let store = open(folder.path()).store;
    let loaded = store.load().unwrap();
    assert_eq!((loaded.last_event, loaded.next_run), (100, 101));
    assert_eq!((loaded.life, loaded.boot), (Some(Life::Ended), Some(BOOT)));
    assert_eq!(loaded.workers.len(), 10);
    assert_eq!(loaded.workers.get(&worker(0)), Some(&record(100)));
    assert_eq!(store.reader().events(98, None, 10).unwrap(), [event(99), event(100)]);
    assert_eq!(store.reader().last_events(None, 1).unwrap(), [event(100)]);
}

#[test]
fn whoever_has_a_store_open_sees_what_another_process_has_written() {
    let folder = tempfile::tempdir().unwrap();
    let old = open(folder.path()).store;
    old.submit(batch(1, Durability::Lazy));
    old.mark(Life::Left, BOOT);
    assert!(old.flush());
    let left = old.bookmark().unwrap();
    assert_eq!((left.life, left.last_event), (Some(Life::Left), 1));
    let new = open(folder.path()).store;
    assert_eq!(old.bookmark().unwrap(), left, "who only looks leaves no trace");
    new.mark(Life::Lasts, BOOT);
    new.submit(batch(2, Durability::Lazy));
    new.close().unwrap();
    let found = old.bookmark().unwrap();
    assert_eq!((found.life, found.last_event), (Some(Life::Lasts), 2));
    std::fs::rename(old.path(), folder.path().join("aside")).unwrap();
    open(folder.path()).store.mark(Life::Ended, BOOT);
    assert_eq!(old.bookmark().unwrap().life, Some(Life::Ended));
}

#[test]
fn a_worker_that_was_removed_stays_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).store;
    store.submit(batch(1, Durability::Lazy));
    store.submit(Batch { workers: vec![(worker(1), Change::Removed)], ..Batch::default() });
    store.close().unwrap();
    let loaded = open(folder.path()).store.load().unwrap();
    assert!(loaded.workers.get(&worker(1)).is_some_and(|record| record.removed));
}

#[test]
fn a_worker_that_was_forgotten_has_never_been() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).store;
    store.submit(batch(1, Durability::Lazy));
    store.submit(batch(2, Durability::Lazy));
    store.submit(Batch { workers: vec![(worker(1), Change::Forgotten)], ..Batch::default() });
    store.close().unwrap();
    let loaded = open(folder.path()).store.load().unwrap();
    assert_eq!(loaded.workers.into_keys().collect::<Vec<_>>(), [worker(2)]);
}

#[test]
fn events_of_one_worker_are_found_without_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).store;
    (1..=35).for_each(|sequence| {
        store.submit(batch(sequence, Durability::Lazy));
    });
    store.flush();
    let of = |events: Vec<Event>| events.iter().map(|event| event.sequence).collect::<Vec<_>>();
    let reader = store.reader();
    assert_eq!(of(reader.events(4, Some(&worker(3)), 2).unwrap()), [13, 23]);
    assert_eq!(of(reader.last_events(Some(&worker(3)), 2).unwrap()), [23, 33]);
    assert_eq!(of(reader.events(u64::MAX, None, 2).unwrap()), [0_u64; 0]);
    let nobody = WorkerId::new("none").ok();
    assert_eq!(of(reader.last_events(nobody.as_ref(), 2).unwrap()), [0_u64; 0]);
    let third = Some(worker(3));
    let before = |worker: &Option<_>, count| reader.before_last(worker.as_ref(), count).unwrap();
    assert_eq!(before(&third, 2), 22, "23 and 33 come after it");
    assert_eq!([before(&None, 1), before(&None, 35), before(&None, 1000)], [34, 0, 0]);
    assert_eq!([before(&None, 0), before(&third, 0), before(&nobody, 1)], [35, 35, 0]);
}

#[test]
fn after_a_loss_of_power_the_next_run_is_beyond_everything_that_may_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).store;
    // A life in another boot that did not end in order.
    store.mark(Life::Lasts, BOOT);
    store.submit(batch(1, Durability::Lazy));
    store.close().unwrap();
    let next_run = open(folder.path()).store.load().unwrap().next_run;
    assert!(next_run > 60_000, "{next_run}");
}

#[test]
fn whoever_waits_is_woken_after_each_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let wake = Box::new(move || {
        let _ = sender.send(());
    });
    let store = Store::open(folder.path(), wake).unwrap().store;
    let number = store.submit(batch(1, Durability::Synced));
    receiver.recv().unwrap();
    assert!(store.durable() >= number && store.health().is_none());
}

#[test]
fn a_later_format_is_refused_with_the_way_out_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let path = folder.path().join("state.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    connection.close().unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(folder.path(), Box::new(|| {})).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("hint: use the version"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Prints how fast events are taken; asserts only that they are.
#[test]
fn ten_thousand_events_are_taken_and_found() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).store;
    let begin = std::time::Instant::now();
    for round in 0..100 {
        let events = (1..=100).map(|number| event(round * 100 + number)).collect();
        store.submit(Batch { events, ..Batch::default() });
    }
    store.flush();
    let rate = 10_000.0 / begin.elapsed().as_secs_f64();
    drop(writeln!(std::io::stderr(), "{rate:.0} events a second"));
    assert_eq!(sequences(&store), (1..=10_000).collect::<Vec<_>>());
}
