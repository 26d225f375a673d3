//! Damaged databases: the store opens, believes nothing that was changed, and
//! keeps what was there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A small random number generator, so that every failure can be repeated.
// Source: Sebastiano Vigna, "splitmix64".
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from(mixed ^ (mixed >> 31)).unwrap_or(0) % limit
    }
}

const EVENTS: u64 = 500;

/// The files of a store that ended in order (no log) or was killed (with one).
fn files(killed: bool) -> BTreeMap<&'static str, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).store;
    store.mark(Life::Lasts, BOOT);
    for sequence in 1..=EVENTS {
        store.submit(batch(sequence, Durability::Lazy));
        if sequence % 50 == 0 {
            store.flush();
        }
    }
    store.flush();
    let read = |name: &'static str| (name, fs::read(folder.path().join(name)).unwrap_or_default());
    if killed {
        // What the disk holds while the store lives is what a kill leaves.
        return [read("state.db"), read("state.db-wal")].into();
    }
    store.close().unwrap();
    [read("state.db")].into()
}

/// Puts files where a store is opened; the length 0 stands for a file that is missing.
fn place(files: &BTreeMap<&str, Vec<u8>>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn put_aside(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("state.db.broken-")).collect()
}

/// Opens damaged files: whatever is still there is what was written, run numbers
/// are not used again, and the store works.
fn check(files: &BTreeMap<&str, Vec<u8>>, what: &str) -> bool {
    let folder = place(files);
    let opened = open(folder.path());
    let loaded = opened.store.load().unwrap();
    for (id, found) in &loaded.workers {
        let sequence = found.restarts;
        assert_eq!((id, found), (&worker(sequence % 10), &record(sequence)), "{what}");
    }
    for found in opened.store.reader().events(0, None, usize::MAX).unwrap() {
        assert_eq!(found, event(found.sequence), "{what}");
    }
    let is_put_aside = !put_aside(folder.path()).is_empty();
    assert_eq!(opened.recovered.is_some(), is_put_aside, "{what}: {:?}", opened.recovered);
    let next = loaded.last_event + 1;
    opened.store.submit(batch(next, Durability::Synced));
    opened.store.flush();
    assert_eq!(opened.store.health(), None, "{what}");
    opened.store.close().unwrap();
    let again = open(folder.path());
    assert_eq!(again.recovered, None, "{what}");
    assert_eq!(again.store.load().unwrap().last_event, next, "{what}");
    is_put_aside
}

#[test]
fn whatever_bits_flip_nothing_false_is_believed() {
    let mut random = Random(1);
    for killed in [false, true] {
        let whole = files(killed);
        for name in whole.keys() {
            for round in 0..60 {
                let mut files = whole.clone();
                let bytes = files.get_mut(name).unwrap();
                // Half of the rounds hit the header and the first page.
                let reach = if round % 2 == 0 { bytes.len() } else { bytes.len().min(4096) };
                let place = random.below(reach);
                bytes[place] ^= 1 << random.below(8);
                check(&files, &format!("{name} killed={killed} bit in byte {place}"));
            }
        }
    }
}

#[test]
fn a_file_that_was_cut_at_any_length_is_opened() {
    let mut random = Random(2);
    for killed in [false, true] {
        let whole = files(killed);
        for (name, bytes) in &whole {
            let mut lengths = vec![0, 1, 50, 99, 100, 511, 4095, 4096, 4097, bytes.len() - 1];
            lengths.extend((0..20).map(|_| random.below(bytes.len())));
            for length in lengths.into_iter().filter(|length| *length <= bytes.len()) {
                let mut files = whole.clone();
                files.insert(name, bytes[..length].to_vec());
                check(&files, &format!("{name} killed={killed} cut at {length}"));
            }
        }
    }
}

#[test]
fn pages_of_zeroes_or_of_others_are_not_believed() {
    let whole = files(false);
    let pages = whole["state.db"].len() / 4096;
    assert!(pages > 10);
    for page in 0..pages {
        let mut zeroes = whole.clone();
        let bytes = zeroes.get_mut("state.db").unwrap();
        bytes[page * 4096..(page + 1) * 4096].fill(0);
        check(&zeroes, &format!("page {page} of zeroes"));
        let mut swapped = whole.clone();
        let bytes = swapped.get_mut("state.db").unwrap();
        let other = bytes[4096..8192].to_vec();
        bytes[page * 4096..(page + 1) * 4096].copy_from_slice(&other);
        check(&swapped, &format!("page {page} replaced by the second"));
    }
}

#[test]
fn a_file_that_is_no_database_is_put_aside() {
    for bytes in [b"garbage".to_vec(), vec![0; 8192], vec![0xff; 5000]] {
        assert!(check(&[("state.db", bytes)].into(), "no database"));
    }
    let log_alone = [("state.db-wal", files(true)["state.db-wal"].clone())];
    assert!(check(&log_alone.into(), "a log without a database"));
}

#[test]
fn a_database_of_another_program_is_put_aside_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE precious (x); INSERT INTO precious VALUES (42)").unwrap();
    other.close().unwrap();
    let before = fs::read(&path).unwrap();
    let opened = open(folder.path());
    assert!(opened.recovered.is_some());
    assert_eq!(fs::read(&put_aside(folder.path())[0]).unwrap(), before);
}

#[test]
fn what_is_sound_in_a_broken_database_is_carried_over() {
    let mut files = files(false);
    let bytes = files.get_mut("state.db").unwrap();
    // One letter in the text of one record: its page is sound, its seal is not.
    let text = b"\"restarts\":497";
    let place = bytes.windows(text.len()).position(|window| window == text).unwrap();
    bytes[place + text.len() - 1] = b'8';
    let folder = place_and_open(&files);
    let (opened, _folder) = folder;
    let recovered = opened.recovered.unwrap();
    assert!(recovered.contains("9 workers and 500 events saved"), "{recovered}");
    let loaded = opened.store.load().unwrap();
    assert_eq!((loaded.workers.len(), loaded.last_event), (9, EVENTS));
    assert!(!loaded.workers.contains_key(&worker(7)));
    assert!(loaded.next_run > EVENTS, "{}", loaded.next_run);
    assert_eq!((loaded.life, loaded.boot), (Some(Life::Lasts), Some(BOOT)));
}

fn place_and_open(files: &BTreeMap<&str, Vec<u8>>) -> (Opened, tempfile::TempDir) {
    let folder = place(files);
    (open(folder.path()), folder)
}

#[test]
fn numbers_that_were_lost_with_the_database_are_not_given_again() {
    let (opened, _folder) = place_and_open(&[("state.db", b"garbage".to_vec())].into());
    let loaded = opened.store.load().unwrap();
    // A thousand for each second since 1970.
    assert!(loaded.next_run > 1_700_000_000_000, "{}", loaded.next_run);
    assert!(loaded.last_event > 1_700_000_000_000, "{}", loaded.last_event);
}

#[test]
fn a_value_whose_name_rotted_is_damage_and_no_value_that_was_never_written() {
    let mut files = files(false);
    let bytes = files.get_mut("state.db").unwrap();
    let text = b"next_run";
    for place in 0..bytes.len() - text.len() {
        if bytes[place..].starts_with(text) {
            bytes[place] ^= 0x10;
        }
    }
    let (opened, _folder) = place_and_open(&files);
    assert!(opened.recovered.is_some());
    let loaded = opened.store.load().unwrap();
    assert!(loaded.next_run > EVENTS, "run {} would be given again", loaded.next_run);
}

#[test]
fn a_change_to_another_database_that_a_crash_interrupted_is_completed() {
    // The database was put aside, its log and its replacement were not moved yet.
    let (killed, whole) = (files(true), files(false));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("state.db-wal"), &killed["state.db-wal"]).unwrap();
    fs::write(folder.path().join("state.db.next"), &whole["state.db"]).unwrap();
    let opened = open(folder.path());
    assert!(opened.recovered.unwrap().contains("interrupted"));
    assert_eq!(opened.store.load().unwrap().last_event, EVENTS);
    assert!(!folder.path().join("state.db.next").exists());
}

#[test]
fn of_many_databases_that_were_put_aside_the_latest_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..8 {
        fs::write(folder.path().join("state.db"), b"garbage").unwrap();
        assert!(open(folder.path()).recovered.is_some());
    }
    assert_eq!(put_aside(folder.path()).len(), 5);
}

#[test]
fn what_followed_a_damaged_transaction_does_not_come_back_when_that_one_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let read = |folder: &Path| {
        let read = |name| (name, fs::read(folder.join(name)).unwrap());
        BTreeMap::from(["state.db", "state.db-wal"].map(read))
    };
    let store = open(folder.path()).store;
    let write = |store: &Store, sequence| {
        store.submit(batch(sequence, Durability::Lazy));
        store.flush();
    };
    write(&store, 1);
    let second = read(folder.path())["state.db-wal"].len();
    write(&store, 2);
    write(&store, 3);
    let mut files = read(folder.path());
    // Past the head of the frame: a byte of its page.
    files.get_mut("state.db-wal").unwrap()[second + 1000] ^= 1;
    let (opened, folder) = place_and_open(&files);
    assert_eq!(sequences(&opened.store), [1]);
    // The same bytes in the same place: the third transaction would fit behind them.
    write(&opened.store, 2);
    let (again, _folder) = place_and_open(&read(folder.path()));
    assert_eq!(sequences(&again.store), [1, 2]);
    assert!(!again.store.load().unwrap().workers.contains_key(&worker(3)));
}
