//! A disk that takes nothing: the store says so, keeps what matters, and goes on by itself.

use std::io::Write as _;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use super::*;

fn open_with_waker(folder: &Path) -> (Store, Receiver<()>) {
    let (sender, receiver) = channel();
    let wake = Box::new(move || {
        let _ = sender.send(());
    });
    (Store::open(folder, wake).unwrap().store, receiver)
}

/// Waits for the writing thread until a condition holds.
fn wait_until(woken: &Receiver<()>, mut condition: impl FnMut() -> bool) {
    while !condition() {
        woken.recv().unwrap();
    }
}

#[test]
fn while_somebody_holds_the_database_the_store_is_degraded_and_then_everything_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (store, woken) = open_with_waker(folder.path());
    store.submit(batch(1, Durability::Lazy));
    store.flush();
    let holder = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    (2..=20_000).for_each(|sequence| {
        store.submit(batch(sequence, Durability::Lazy));
    });
    wait_until(&woken, || store.health().is_some());
    assert!(store.health().unwrap().contains("database is locked"), "{:?}", store.health());
    holder.execute_batch("COMMIT").unwrap();
    wait_until(&woken, || store.durable() == 20_000);
    assert_eq!(store.health(), None);
    assert!(store.events_given_up() > 0);
    let loaded = store.load().unwrap();
    assert_eq!((loaded.last_event, loaded.next_run), (20_000, 20_001));
    // No state is given up, only old events.
    for number in 19_991..=20_000 {
        assert_eq!(loaded.workers.get(&worker(number % 10)), Some(&record(number)));
    }
    let kept = u64::try_from(sequences(&store).len()).unwrap();
    assert_eq!(kept + store.events_given_up(), 20_000);
}

/// A small disk of its own, taken away at the end.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "hsu-store-test"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_degrades_the_store_and_space_heals_it() {
    let Some(disk) = Disk::mount("1m") else {
        drop(writeln!(std::io::stderr(), "skipped: only root can mount a small disk"));
        return;
    };
    let (store, woken) = open_with_waker(disk.0.path());
    store.submit(batch(1, Durability::Synced));
    wait_until(&woken, || store.durable() == 1);
    let ballast = disk.0.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let mut submitted = 1;
    wait_until(&woken, || {
        submitted += 1;
        store.submit(batch(submitted, Durability::Lazy));
        store.health().is_some()
    });
    let reason = store.health().unwrap();
    assert!(reason.contains("full"), "{reason}");
    // Reading goes on.
    assert!(store.reader().events(0, None, 1).is_ok());
    let wish = store.submit(batch(submitted + 1, Durability::Synced));
    assert!(store.durable() < wish);
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    wait_until(&woken, || store.durable() >= wish);
    assert_eq!((store.health(), store.events_given_up()), (None, 0));
    assert_eq!(sequences(&store), (1..=submitted + 1).collect::<Vec<_>>());
}

#[test]
fn a_store_that_is_closed_while_its_disk_is_full_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (store, woken) = open_with_waker(folder.path());
    store.flush();
    let holder = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.submit(batch(1, Durability::Lazy));
    wait_until(&woken, || store.health().is_some());
    assert!(matches!(store.close(), Err(StoreError::Database { .. })));
    holder.execute_batch("COMMIT").unwrap();
}
