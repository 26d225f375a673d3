//! Databases as released versions wrote them: every later version reads them.
//!
//! A format gets its text here when it is released, and the text is never changed.

use super::*;

/// Format 1: the first.
const FORMAT_1: &str = include_str!("golden/format-1.sql");

fn open_text(text: &str) -> (Opened, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    connection.execute_batch(text).unwrap();
    connection.close().unwrap();
    (open(folder.path()), folder)
}

#[test]
fn format_1_is_read_as_it_was_meant() {
    let (opened, _folder) = open_text(FORMAT_1);
    assert_eq!(opened.recovered, None);
    let loaded = opened.store.load().unwrap();
    assert_eq!((loaded.last_event, loaded.next_run, loaded.clean), (12, 13, Some(true)));
    assert_eq!(loaded.workers.get(&worker(2)), Some(&record(12)));
    assert_eq!(sequences(&opened.store), (1..=12).collect::<Vec<_>>());
    assert_eq!(opened.store.reader().last_events(None, 1).unwrap(), [event(12)]);
}

#[test]
fn what_a_later_minor_version_added_is_passed_over() {
    // The seals belong to the texts, so both are replaced through the store's own tables.
    let (opened, folder) = open_text(FORMAT_1);
    drop(opened);
    let connection = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    connection.execute_batch("ALTER TABLE event ADD COLUMN later TEXT").unwrap();
    connection.execute_batch("CREATE TABLE later (x)").unwrap();
    connection.close().unwrap();
    let opened = open(folder.path());
    assert_eq!(opened.recovered, None);
    assert_eq!(opened.store.load().unwrap().last_event, 12);
}
