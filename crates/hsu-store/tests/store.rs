//! The store on a real disk.

use std::path::Path;

use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::process::BootId;
use hsu_model::time::WallTime;
use hsu_store::{Batch, Durability, Store, StoreError};

fn open(folder: &Path) -> Store {
    Store::open(folder, Box::new(|| {})).expect("a folder that can be written").store
}

fn event(sequence: u64) -> Event {
    let kind = EventKind::MasterStarted { adopted: 0 };
    Event { sequence, at: WallTime(0), worker: None, actor: Actor::Master, kind }
}

fn batch(sequence: u64) -> Batch {
    Batch { events: vec![event(sequence)], durability: Durability::Synced, ..Batch::default() }
}

#[test]
fn what_is_durable_is_there_after_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for sequence in 1..=100 {
        store.submit(batch(sequence));
    }
    let boot = BootId([7; 16]);
    let last = store.mark(true, boot);
    store.flush();
    assert_eq!(store.durable(), last);
    store.close().unwrap();
    let store = open(folder.path());
    let loaded = store.load().unwrap();
    assert_eq!((loaded.last_event, loaded.clean, loaded.boot), (100, Some(true), Some(boot)));
    let events = store.reader().events(98, None, 10).unwrap();
    assert_eq!(events, [event(99), event(100)]);
    assert_eq!(store.reader().last_events(None, 1).unwrap(), [event(100)]);
}

#[test]
fn a_broken_database_is_put_aside_and_a_new_one_begun() {
    for damage in [b"garbage".to_vec(), vec![0; 4096]] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("state.db"), &damage).unwrap();
        let opened = Store::open(folder.path(), Box::new(|| {})).unwrap();
        if damage[0] == 0 {
            // A file of zeroes is an empty database to SQLite, or a broken one.
            continue;
        }
        assert!(opened.recovered.unwrap().contains("state.db.broken-"));
        opened.store.submit(batch(1));
        opened.store.flush();
        assert_eq!(opened.store.load().unwrap().last_event, 1);
    }
}

#[test]
fn a_database_cut_short_is_put_aside_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for sequence in 1..200 {
        store.submit(batch(sequence));
    }
    store.close().unwrap();
    let whole = std::fs::read(folder.path().join("state.db")).unwrap();
    for length in [1, 50, 99, 512, 4096, 5000, whole.len() / 2] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("state.db"), &whole[..length]).unwrap();
        let store = Store::open(folder.path(), Box::new(|| {})).unwrap().store;
        store.submit(batch(1000));
        store.flush();
        assert_eq!(store.load().unwrap().last_event, 1000, "cut at {length}");
    }
}

#[test]
fn a_later_format_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let connection = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Store::open(folder.path(), Box::new(|| {})).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}
