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
    assert_eq!((loaded.last_event, loaded.next_run, loaded.life), (12, 13, Some(Life::Ended)));
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
    let events = vec![event(13)];
    opened.store.submit(Batch { events, durability: Durability::Synced, ..Batch::default() });
    assert!(opened.store.flush());
    assert_eq!((opened.store.renewals(), sequences(&opened.store).len()), (0, 13));
}

#[test]
fn fields_that_a_later_version_added_to_a_record_are_kept_when_it_is_written_again() {
    let (opened, folder) = open_text(FORMAT_1);
    drop(opened);
    let path = folder.path().join("state.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let text: String = connection
        .query_row("SELECT record FROM worker WHERE id = 'worker-2'", [], |row| row.get(0))
        .unwrap();
    let later = text.replace("\"run\":12", "\"run\":12,\"zone\":{\"name\":\"a}b\"}");
    connection
        .execute(
            "UPDATE worker SET record = ?1, seal = ?2 WHERE id = 'worker-2'",
            rusqlite::params![later, seal("worker-2", &later)],
        )
        .unwrap();
    connection.close().unwrap();
    let opened = open(folder.path());
    assert_eq!((&opened.recovered, opened.store.load().unwrap().workers.len()), (&None, 10));
    opened.store.submit(batch(22, Durability::Synced));
    opened.store.close().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let text: String = connection
        .query_row("SELECT record FROM worker WHERE id = 'worker-2'", [], |row| row.get(0))
        .unwrap();
    assert!(text.contains("\"run\":22") && text.contains("\"zone\":{\"name\":\"a}b\"}"), "{text}");
    assert_eq!(open(folder.path()).store.load().unwrap().workers[&worker(2)], record(22));
}

fn seal(name: &str, text: &str) -> i64 {
    let bytes = [name.as_bytes(), b"\0", text.as_bytes()].concat();
    hsu_model::spool::checksum(&bytes).cast_signed()
}

/// What the first version of the format executes, word for word.
const FIRST_VERSION: &str = "
    INSERT OR REPLACE INTO meta VALUES ('next_run', '99', 0);
    INSERT OR REPLACE INTO worker VALUES ('worker-2', '{}', 0);
    INSERT OR REPLACE INTO event VALUES (2000, 'worker-2', '{}', 0);
    DELETE FROM event WHERE sequence <=
        (SELECT sequence FROM event ORDER BY sequence DESC LIMIT 1 OFFSET 100);
";

#[test]
fn an_earlier_version_of_the_format_reads_and_writes_what_this_one_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).store;
    (1..=1200).for_each(|number| {
        store.submit(batch(number, Durability::Lazy));
    });
    store.close().unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    let format: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(format, 1);
    connection.execute_batch(FIRST_VERSION).unwrap();
}
