//! Another process that looks into the database, such as an administrator's tool.

use std::os::unix::fs::MetadataExt as _;

use super::*;

/// The bytes that whoever uses a database has locked, so that nobody takes its log away.
// Source: sqlite.org, os_unix.c, SHARED_FIRST and SHARED_SIZE.
const SHARED: &str = "1073741826 1073742335";

/// A tool of an administrator that finds no lock takes itself for the last user, and removes
/// the log that the master goes on writing. SQLite before 3.46 looks at nothing else.
#[test]
fn a_new_database_stays_locked_when_its_first_wish_was_synced() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).store;
    store.submit(batch(1, Durability::Synced));
    assert!(store.flush());
    let inode = std::fs::metadata(folder.path().join("state.db")).unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let is_ours = |line: &&str| {
        line.contains(&format!(":{inode} ")) && line.contains("READ") && line.ends_with(SHARED)
    };
    assert!(locks.lines().any(|line| is_ours(&line)), "{locks}");
}
