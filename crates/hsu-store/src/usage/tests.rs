//! Tests of the ring of usage records.

use std::time::Duration;

use super::*;

const SECOND: i64 = 1_000_000_000;

fn worker() -> WorkerId {
    WorkerId::new("web").unwrap()
}

fn record(second: i64) -> UsageRecord {
    UsageRecord {
        at: WallTime(second * SECOND),
        cpu: Some(500),
        resident: 1 << 20,
        read: None,
        written: Some(0),
        processes: 3,
        threads: 7,
    }
}

fn history(interval: u64, retention: u64) -> UsageHistory {
    UsageHistory {
        interval: Duration::from_secs(interval),
        retention: Duration::from_secs(retention),
    }
}

fn seconds(folder: &Path, since: i64) -> Vec<i64> {
    let records = usage_records(folder, &worker(), WallTime(since * SECOND)).unwrap();
    records.iter().map(|record| record.at.0 / SECOND).collect()
}

#[test]
fn one_record_of_each_interval_is_kept_and_the_oldest_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = UsageFile::open(folder.path(), &worker(), history(10, 50)).unwrap();
    for second in 1000..1100 {
        file.note(WallTime(second * SECOND), &record(second)).unwrap();
    }
    assert_eq!(seconds(folder.path(), 0), [1050, 1060, 1070, 1080, 1090]);
    assert_eq!(seconds(folder.path(), 1080), [1080, 1090]);
    let records = usage_records(folder.path(), &worker(), WallTime(1090 * SECOND)).unwrap();
    assert_eq!(records, [record(1090)]);
    assert_eq!(std::fs::metadata(path(folder.path(), &worker())).unwrap().len(), 5 * 64);
}

#[test]
fn a_damaged_record_is_lost_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = UsageFile::open(folder.path(), &worker(), history(1, 4)).unwrap();
    for second in 0..4 {
        file.note(WallTime(second * SECOND), &record(second)).unwrap();
    }
    let path = path(folder.path(), &worker());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[64 + 9] ^= 1;
    bytes.truncate(4 * 64 - 1);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(seconds(folder.path(), 0), [0, 2]);
}

#[test]
fn a_worker_that_was_never_looked_at_has_no_records() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(usage_records(folder.path(), &worker(), WallTime(0)).unwrap(), []);
}

#[test]
fn a_shorter_memory_gives_its_bytes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = UsageFile::open(folder.path(), &worker(), history(1, 100)).unwrap();
    file.note(WallTime(99 * SECOND), &record(99)).unwrap();
    drop(UsageFile::open(folder.path(), &worker(), history(1, 10)).unwrap());
    assert_eq!(std::fs::metadata(path(folder.path(), &worker())).unwrap().len(), 640);
}
