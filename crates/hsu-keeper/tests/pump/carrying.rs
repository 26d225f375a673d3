//! Bytes arrive as they were written, whatever they are.

use std::fs;
use std::io::Write as _;
use std::thread;

use hsu_model::spool::head::Head;
use hsu_model::spool::index::Mark;
use hsu_model::spool::plan::{Readers, SpoolPlan};
use hsu_model::spool::{CONSUMED_FILE, HEAD_FILE, encode_consumed};
use hsu_model::units::ByteSize;

use crate::fixture::{Folder, attach, settle, turn_until};

#[test]
fn every_byte_value_arrives_once_and_in_order() {
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(1 << 20, 0));
    let mut worker = attach(&mut pump, 1);
    let bytes: Vec<u8> = (0..=255).chain([0; 64]).chain(*b"\r\n\n").collect();
    for byte in &bytes {
        worker.write_all(&[*byte]).unwrap();
    }
    drop(worker);
    assert_eq!(settle(&mut pump), [1]);
    assert_eq!(folder.content(), bytes);
}

#[test]
fn a_flood_is_rotated_at_line_ends_and_nothing_is_missing() {
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(100_000, 0));
    let mut worker = attach(&mut pump, 1);
    let writer = thread::spawn(move || {
        let lines: Vec<u8> = (0..60_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        // Blocks that cut lines, as stdio leaves them.
        lines.chunks(4093).for_each(|block| worker.write_all(block).unwrap());
        lines
    });
    let mut drained = Vec::new();
    while drained.is_empty() {
        drained = pump.turn(None).unwrap().drained;
    }
    let lines = writer.join().unwrap();
    assert_eq!(folder.content(), lines);
    let segments = folder.segments();
    assert!(segments.len() > 5);
    let mut offset = 0;
    for (base, bytes) in &segments {
        assert!(base.is_none_or(|base| base == offset), "the name tells the place");
        assert!(bytes.len() <= 100_000 && bytes.last() == Some(&b'\n'));
        offset += bytes.len() as u64;
    }
}

#[test]
fn a_line_longer_than_a_segment_stays_whole() {
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(1000, 0));
    let mut worker = attach(&mut pump, 1);
    let long = [vec![b'x'; 50_000], b"\nshort\n".to_vec()].concat();
    worker.write_all(&long).unwrap();
    settle(&mut pump);
    worker.write_all(b"next\n").unwrap();
    settle(&mut pump);
    let segments = folder.segments();
    assert_eq!(segments[0].1.len(), 50_001);
    assert_eq!(segments[1].1, b"short\nnext\n");
}

#[test]
fn each_line_longer_than_a_segment_has_one_of_its_own() {
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(100_000, 0));
    let mut worker = attach(&mut pump, 1);
    let line = [vec![b'x'; 150_000], vec![b'\n']].concat();
    let writer = thread::spawn(move || (0..8).for_each(|_| worker.write_all(&line).unwrap()));
    turn_until(&mut pump, || folder.content().len() == 8 * 150_001);
    writer.join().unwrap();
    settle(&mut pump);
    let sizes: Vec<usize> = folder.segments().iter().map(|(_, bytes)| bytes.len()).collect();
    assert!(sizes.iter().all(|size| *size <= 150_001), "{sizes:?}");
}

#[test]
fn only_so_many_closed_segments_stay_and_their_indexes_go_with_them() {
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(100, 2));
    let mut worker = attach(&mut pump, 1);
    for number in 0..50 {
        writeln!(worker, "a line with the number {number:30}").unwrap();
        settle_quickly(&mut pump);
    }
    assert_eq!(folder.segments().len(), 3);
    let names = fs::read_dir(folder.spool_folder()).unwrap();
    let index = |name: &str| name.starts_with("index.");
    let indexes = names.filter(|name| index(name.as_ref().unwrap().file_name().to_str().unwrap()));
    assert_eq!(indexes.count(), 3);
}

#[test]
fn a_surplus_segment_goes_when_its_readers_have_read_it_though_nobody_writes_any_more() {
    let folder = Folder::new();
    let readers = Readers::Outputs { unread_limit: ByteSize(1 << 20) };
    let mut pump = folder.pump(SpoolPlan { readers, ..folder.plan(100, 2) });
    let mut worker = attach(&mut pump, 1);
    for number in 0..20 {
        writeln!(worker, "a line with the number {number:30}").unwrap();
        settle_quickly(&mut pump);
    }
    assert!(folder.segments().len() > 5, "nobody has read them");
    let end = folder.content().len() as u64;
    fs::write(folder.spool_folder().join(CONSUMED_FILE), encode_consumed(end)).unwrap();
    turn_until(&mut pump, || folder.segments().len() == 3);
}

#[test]
fn a_segment_goes_when_it_is_too_old_though_nobody_writes_any_more() {
    let folder = Folder::new();
    let mut plan = folder.plan(100, 0);
    plan.rotation.max_age = Some(std::time::Duration::from_secs(2));
    let mut pump = folder.pump(plan);
    let mut worker = attach(&mut pump, 1);
    for number in 0..9 {
        writeln!(worker, "a line with the number {number:30}").unwrap();
        settle_quickly(&mut pump);
    }
    assert!(folder.segments().len() > 1, "they are young");
    turn_until(&mut pump, || folder.segments().len() == 1);
    assert_eq!(pump.carried().count(), 1);
}

fn settle_quickly(pump: &mut hsu_keeper::pump::Pump) {
    pump.turn(Some(std::time::Duration::from_millis(60))).unwrap();
    pump.turn(Some(std::time::Duration::ZERO)).unwrap();
}

#[test]
fn lines_of_two_runs_are_never_glued() {
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(1 << 20, 0));
    let mut first = attach(&mut pump, 1);
    first.write_all(b"whole\nunfinished").unwrap();
    drop(first);
    assert_eq!(settle(&mut pump), [1]);
    let mut second = attach(&mut pump, 2);
    second.write_all(b"second\n").unwrap();
    settle(&mut pump);
    assert_eq!(folder.content(), b"whole\nunfinished\nsecond\n");
    assert_eq!(folder.added_line_ends(0), [16]);
    let runs = folder.records(0).into_iter().filter_map(|record| match record.mark {
        Mark::Run(run) => Some((record.at, run.0)),
        Mark::Arrived(_) | Mark::LineEndAdded | Mark::Dropped(_) => None,
    });
    assert_eq!(runs.collect::<Vec<_>>(), [(0, 1), (17, 2)]);
}

#[test]
fn a_grandchild_that_keeps_the_pipe_does_not_break_into_a_line_of_the_next_run() {
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(1 << 20, 0));
    let mut old = attach(&mut pump, 1);
    let mut new = attach(&mut pump, 2);
    new.write_all(b"half").unwrap();
    settle(&mut pump);
    old.write_all(b"old\n").unwrap();
    settle(&mut pump);
    new.write_all(b" line\n").unwrap();
    settle(&mut pump);
    assert_eq!(folder.content(), b"half\nold\n line\n");
    assert_eq!(folder.added_line_ends(0), [4]);
}

#[test]
fn a_worker_that_says_nothing_leaves_no_files() {
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(1 << 20, 0));
    drop(attach(&mut pump, 1));
    assert_eq!(settle(&mut pump), [1]);
    assert!(!folder.spool_folder().exists() && !folder.log().exists());
}

#[test]
fn a_stream_without_a_plan_is_kept_in_its_own_folder() {
    let folder = Folder::new();
    fs::create_dir_all(folder.spools()).unwrap();
    let mut pump = hsu_keeper::pump::Pump::open(&folder.options()).unwrap();
    attach(&mut pump, 1).write_all(b"kept\n").unwrap();
    settle(&mut pump);
    assert_eq!(fs::read(folder.spool_folder().join("data")).unwrap(), b"kept\n");
}

#[test]
fn another_log_file_is_taken_up_while_the_worker_writes_and_the_old_one_stays() {
    let folder = Folder::new();
    let mut pump = folder.pump(SpoolPlan::fallback());
    let mut worker = attach(&mut pump, 1);
    worker.write_all(b"inside\n").unwrap();
    settle(&mut pump);
    folder.write_plan(folder.plan(1 << 20, 0));
    turn_until(&mut pump, || {
        worker.write_all(b"x").unwrap();
        folder.log().exists()
    });
    let old = folder.spool_folder().join("data.00000000000000000000");
    assert!(fs::read(old).unwrap().starts_with(b"inside\n"));
    assert!(!folder.spool_folder().join("data").exists());
    let place = fs::read_to_string(folder.spool_folder().join("place")).unwrap();
    assert_eq!(place, format!("{}\ndata\n", folder.log().display()), "readers find both");
    let head = fs::read(folder.spool_folder().join(HEAD_FILE)).unwrap();
    let old = fs::read(folder.spool_folder().join("data.00000000000000000000")).unwrap();
    assert_eq!(Head::decode(head.first_chunk().unwrap()).unwrap().base, old.len() as u64);
}

#[test]
fn a_line_that_is_unfinished_when_the_log_file_changes_is_ended() {
    let folder = Folder::new();
    let mut pump = folder.pump(SpoolPlan::fallback());
    let mut first = attach(&mut pump, 1);
    first.write_all(b"unfinished").unwrap();
    settle(&mut pump);
    folder.write_plan(folder.plan(1 << 20, 0));
    let mut second = attach(&mut pump, 2);
    second.write_all(b"second\n").unwrap();
    settle(&mut pump);
    let old = fs::read(folder.spool_folder().join("data.00000000000000000000")).unwrap();
    assert_eq!((old, folder.content()), (b"unfinished\n".to_vec(), b"second\n".to_vec()));
}

#[test]
fn fewer_segments_stay_once_the_plan_says_so_though_nobody_writes() {
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(100, 0));
    let mut worker = attach(&mut pump, 1);
    for number in 0..20 {
        writeln!(worker, "a line with the number {number:30}").unwrap();
        settle_quickly(&mut pump);
    }
    assert!(folder.segments().len() > 5);
    folder.write_plan(folder.plan(100, 2));
    turn_until(&mut pump, || folder.segments().len() == 3);
}

#[test]
fn a_worker_that_changes_its_pipe_is_carried_all_the_same() {
    use std::os::fd::AsRawFd as _;
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(1 << 20, 0));
    let mut worker = attach(&mut pump, 1);
    worker.write_all(b"before\n").unwrap();
    set_pipe(worker.as_raw_fd());
    worker.write_all(b"after\n").unwrap();
    settle(&mut pump);
    assert_eq!(folder.content(), b"before\nafter\n");
}

/// Makes the pipe small and non-blocking, as a worker may.
#[expect(unsafe_code, reason = "fcntl has no safe form in the standard library")]
fn set_pipe(fd: i32) {
    // SAFETY: the command takes an int and the descriptor is open.
    let size = unsafe { libc::fcntl(fd, libc::F_SETPIPE_SZ, 4096) };
    // SAFETY: the command takes an int and the descriptor is open.
    let flags = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
    assert_eq!((size, flags), (4096, 0));
}
