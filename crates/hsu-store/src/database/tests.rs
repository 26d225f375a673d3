//! Tests of what is written.

use hsu_model::event::{Actor, EventKind};
use hsu_model::time::WallTime;

use super::*;
use crate::reading;

fn create() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let database = Database::create(connect(&path).unwrap(), &path).unwrap();
    (folder, database)
}

fn event(sequence: u64) -> Event {
    let (at, worker, actor) = (WallTime(0), WorkerId::new("web").ok(), Actor::Master);
    Event { sequence, at, worker, actor, kind: EventKind::Registered }
}

fn sequences(connection: &Connection) -> Vec<u64> {
    let events = reading::events(connection, 0, None, usize::MAX).unwrap();
    events.iter().map(|event| event.sequence).collect()
}

#[test]
fn only_the_latest_events_are_kept_even_when_their_numbers_jump() {
    let (_folder, database) = create();
    let numbers = (1..=1500).chain(1_000_000..1_001_500);
    let batch = Batch { events: numbers.map(event).collect(), ..Batch::default() };
    write_batch(&database.connection, &batch, &mut BTreeMap::new(), 100).unwrap();
    let left = sequences(&database.connection);
    // Trimmed at 1,001,000; what came after it is kept too.
    assert_eq!(left, (1_000_901..1_001_500).collect::<Vec<_>>());
}

#[test]
fn a_damaged_event_is_left_out_and_the_others_are_read() {
    let (_folder, database) = create();
    let batch = Batch { events: (1..=3).map(event).collect(), ..Batch::default() };
    write_batch(&database.connection, &batch, &mut BTreeMap::new(), 100).unwrap();
    let damage =
        "UPDATE event SET body = replace(body, 'registered', 'removed') WHERE sequence = 2";
    database.connection.execute(damage, []).unwrap();
    assert_eq!(sequences(&database.connection), [1, 3]);
}

#[test]
fn run_numbers_are_set_aside_on_the_disk_before_they_are_used() {
    let (_folder, mut database) = create();
    let next = |next| Batch { next_run: Some(next), ..Batch::default() };
    database.write(&next(1)).unwrap();
    assert_eq!((database.reserved, database.level), (1 + RUN_BLOCK, Durability::Synced));
    database.write(&next(2)).unwrap();
    assert_eq!((database.reserved, database.level), (1 + RUN_BLOCK, Durability::Lazy));
    assert_eq!(reading::reserved_runs(&database.connection).unwrap(), 1 + RUN_BLOCK);
    database.write(&next(1 + RUN_BLOCK)).unwrap();
    assert_eq!(database.reserved, 1 + 2 * RUN_BLOCK);
}

#[test]
fn after_a_disk_failure_another_generation_is_begun_and_holds_everything() {
    let (folder, mut database) = create();
    let write = |database: &mut Database, sequence| {
        database.write(&Batch { events: vec![event(sequence)], ..Batch::default() }).unwrap()
    };
    write(&mut database, 1);
    let path = folder.path().join("state.db");
    let reader = reading::connect(&path).unwrap();
    assert_eq!(sequences(&reader), [1]);
    let file = std::fs::File::open(&path).unwrap();
    let reason = "the disk failed".to_owned();
    database.suspicion = Some(Suspicion { reason, is_broken: false, attempts: 0 });
    write(&mut database, 2);
    assert_eq!(database.take_renewed(), Some("the disk failed".to_owned()));
    write(&mut database, 3);
    assert_eq!(database.take_renewed(), None);
    // The old file is another one, and its end takes nothing of the new one away.
    drop((file, reader));
    assert_eq!(sequences(&database.connection), [1, 2, 3]);
    assert_eq!(sequences(&reading::connect(&path).unwrap()), [1, 2, 3]);
    let files = std::fs::read_dir(folder.path()).unwrap();
    let names: std::collections::BTreeSet<_> =
        files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["state.db", "state.db-shm", "state.db-wal"]);
}

#[test]
fn a_new_file_is_synced_before_the_first_wish_is() {
    let (_folder, mut database) = create();
    database.write(&Batch { events: vec![event(1)], ..Batch::default() }).unwrap();
    assert!(database.is_new);
    let durability = Durability::Synced;
    database.write(&Batch { events: vec![event(2)], durability, ..Batch::default() }).unwrap();
    assert!(!database.is_new);
}

#[test]
fn a_page_that_broke_since_the_start_is_mended_by_the_next_write() {
    let (folder, mut database) = create();
    let path = folder.path().join("state.db");
    database.write(&Batch { events: vec![event(1)], ..Batch::default() }).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'event_by_worker'";
    let number = |question| database.connection.query_row(question, [], |row| row.get(0));
    let (root, size): (i64, i64) = (number(root).unwrap(), number("PRAGMA page_size").unwrap());
    database.close();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from((root - 1) * size).unwrap()] = 0xff;
    std::fs::write(&path, bytes).unwrap();
    let mut database = Database::take(connect(&path).unwrap(), &path, 0, false).unwrap();
    database.write(&Batch { events: vec![event(2)], ..Batch::default() }).unwrap();
    let reason = database.take_renewed().unwrap();
    assert!(reason.contains("malformed"), "{reason}");
    assert_eq!(sequences(&reading::connect(&path).unwrap()), [1, 2]);
}
