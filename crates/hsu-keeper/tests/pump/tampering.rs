//! Others delete, empty, move and replace log files; the stream goes on.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use hsu_keeper::pump::Pump;
use hsu_model::spool::HEAD_FILE;
use hsu_model::spool::head::Head;
use hsu_model::spool::notice::{Notice, Stuck};
use hsu_model::spool::plan::{Readers, SpoolPlan};
use hsu_model::units::ByteSize;

use crate::fixture::{Folder, attach, settle, spool, turn_for, turn_until};

fn base(folder: &Folder) -> u64 {
    let head = fs::read(folder.spool_folder().join(HEAD_FILE)).unwrap();
    Head::decode(head.first_chunk().unwrap()).unwrap().base
}

/// A pump that has moved `before\n`, seven bytes.
fn begun(folder: &Folder) -> (Pump, std::io::PipeWriter) {
    let mut pump = folder.pump(folder.plan(1 << 20, 0));
    let mut worker = attach(&mut pump, 1);
    worker.write_all(b"before\n").unwrap();
    settle(&mut pump);
    (pump, worker)
}

#[test]
fn a_deleted_log_file_is_made_again_at_the_same_place_in_the_stream() {
    let folder = Folder::new();
    let (mut pump, mut worker) = begun(&folder);
    fs::remove_file(folder.log()).unwrap();
    worker.write_all(b"after\n").unwrap();
    settle(&mut pump);
    assert_eq!(folder.content(), b"after\n");
    assert_eq!(base(&folder), 7);
}

#[test]
fn a_deleted_folder_is_made_again() {
    let folder = Folder::new();
    let deep = folder.0.join("logs/app/w.log");
    let mut plan = folder.plan(1 << 20, 0);
    plan.log_file = Some(deep.to_str().unwrap().to_owned());
    let mut pump = folder.pump(plan);
    let mut worker = attach(&mut pump, 1);
    worker.write_all(b"before\n").unwrap();
    settle(&mut pump);
    fs::remove_dir_all(folder.0.join("logs")).unwrap();
    worker.write_all(b"after\n").unwrap();
    settle(&mut pump);
    assert_eq!(fs::read(&deep).unwrap(), b"after\n");
}

#[test]
fn an_emptied_log_file_gets_no_hole() {
    let folder = Folder::new();
    let (mut pump, mut worker) = begun(&folder);
    File::create(folder.log()).unwrap();
    worker.write_all(b"after\n").unwrap();
    settle(&mut pump);
    assert_eq!(folder.content(), b"after\n");
    assert_eq!(base(&folder), 7);
}

#[test]
fn what_is_left_of_a_shortened_file_keeps_its_place() {
    let folder = Folder::new();
    let (mut pump, mut worker) = begun(&folder);
    File::options().write(true).open(folder.log()).unwrap().set_len(3).unwrap();
    worker.write_all(b"after\n").unwrap();
    settle(&mut pump);
    assert_eq!(folder.segments(), [(Some(0), b"bef".to_vec()), (None, b"after\n".to_vec())]);
    assert_eq!(base(&folder), 7);
}

#[test]
fn a_moved_log_file_keeps_what_was_in_it_and_a_fresh_one_is_begun() {
    let folder = Folder::new();
    let (mut pump, mut worker) = begun(&folder);
    let moved = folder.0.join("moved");
    fs::rename(folder.log(), &moved).unwrap();
    turn_until(&mut pump, || {
        worker.write_all(b"x\n").unwrap();
        folder.log().exists()
    });
    worker.write_all(b"after\n").unwrap();
    settle(&mut pump);
    let (old, new) = (fs::read(&moved).unwrap(), fs::read(folder.log()).unwrap());
    assert!(old.starts_with(b"before\n") && new.ends_with(b"after\n"));
    assert_eq!(base(&folder), old.len() as u64);
}

#[test]
fn a_deleted_spool_folder_is_made_again() {
    let folder = Folder::new();
    let (mut pump, mut worker) = begun(&folder);
    fs::remove_dir_all(folder.spool_folder()).unwrap();
    turn_until(&mut pump, || {
        worker.write_all(b"x\n").unwrap();
        folder.spool_folder().join("place").exists()
    });
    worker.write_all(b"after\n").unwrap();
    settle(&mut pump);
    let content = folder.content();
    assert!(content.starts_with(b"before\n") && content.ends_with(b"after\n"));
    assert_eq!(base(&folder), 0);
}

/// Runs a pump whose log path is something else than a file of its own; answers
/// what the master was told.
fn refused(make: impl FnOnce(&Folder)) -> Vec<Notice> {
    let folder = Folder::new();
    make(&folder);
    let master = UnixDatagram::bind(folder.options().notices).unwrap();
    let mut pump = folder.pump(folder.plan(1 << 20, 0));
    let mut worker = attach(&mut pump, 1);
    worker.write_all(b"kept in the pipe\n").unwrap();
    turn_for(&mut pump, Duration::from_millis(100));
    let mut datagram = [0; 2048];
    let length = master.recv(&mut datagram).unwrap();
    let mut notices: Vec<_> = Notice::parse_all(&datagram[..length]).collect();
    // Once the path is free, nothing is lost.
    fs::rename(folder.log(), folder.0.join("aside")).unwrap();
    turn_until(&mut pump, || folder.content() == b"kept in the pipe\n");
    turn_for(&mut pump, Duration::from_millis(50));
    let length = master.recv(&mut datagram).unwrap();
    notices.extend(Notice::parse_all(&datagram[..length]));
    notices
}

#[test]
fn a_link_a_pipe_a_folder_and_a_second_name_are_refused_and_reported() {
    let expected = [Notice::Stuck { spool: spool(), why: Stuck::NotAFile }, Notice::Flows(spool())];
    let secret = |folder: &Folder| folder.0.join("secret");
    assert_eq!(refused(|folder| symlink(secret(folder), folder.log()).unwrap()), expected);
    assert_eq!(refused(|folder| fs::create_dir(folder.log()).unwrap()), expected);
    assert_eq!(
        refused(|folder| {
            fs::write(secret(folder), b"").unwrap();
            fs::hard_link(secret(folder), folder.log()).unwrap();
        }),
        expected
    );
    assert_eq!(
        refused(|folder| {
            let made = std::process::Command::new("mkfifo").arg(folder.log()).status().unwrap();
            assert!(made.success());
        }),
        expected
    );
}

#[test]
fn the_master_is_told_only_of_spools_that_it_reads() {
    let folder = Folder::new();
    let master = UnixDatagram::bind(folder.options().notices).unwrap();
    master.set_nonblocking(true).unwrap();
    let readers = Readers::Outputs { unread_limit: ByteSize(1 << 20) };
    for (readers, expected) in [(Readers::None, None), (readers, Some(Notice::Grew(spool())))] {
        let mut pump = folder.pump(SpoolPlan { readers, ..folder.plan(1 << 20, 0) });
        attach(&mut pump, 1).write_all(b"line\n").unwrap();
        settle(&mut pump);
        let mut datagram = [0; 2048];
        let length = master.recv(&mut datagram).unwrap_or(0);
        assert_eq!(Notice::parse_all(&datagram[..length]).next(), expected);
    }
}

#[test]
fn a_pump_at_rest_is_not_woken() {
    let folder = Folder::new();
    let (mut pump, _worker) = begun(&folder);
    let before = std::time::Instant::now();
    pump.turn(Some(Duration::from_millis(300))).unwrap();
    assert!(before.elapsed() >= Duration::from_millis(300), "it woke with nothing to do");
}

#[test]
fn what_is_left_of_a_file_that_is_shortened_during_its_rotation_is_not_overwritten() {
    let folder = Folder::new();
    let (mut pump, mut worker) = begun(&folder);
    worker.write_all(b"second\ntail").unwrap();
    settle(&mut pump);
    drop(pump);
    // A pump was killed when it had copied the tail, and somebody shortened the file then.
    let spool = folder.spool_folder();
    fs::write(spool.join(HEAD_FILE), Head { cut: 14, ..Head::default() }.encode()).unwrap();
    fs::write(folder.0.join("w.log.next"), b"tail").unwrap();
    File::options().write(true).open(folder.log()).unwrap().set_len(3).unwrap();
    let mut pump = folder.pump(folder.plan(1 << 20, 0));
    attach(&mut pump, 1).write_all(b"after\n").unwrap();
    settle(&mut pump);
    let content = folder.content();
    assert!(content.starts_with(b"bef") && content.ends_with(b"after\n"), "{content:?}");
}

#[test]
fn readers_are_led_to_the_log_file_again_after_the_folder_of_its_spool_was_deleted() {
    let folder = Folder::new();
    let (mut pump, mut worker) = begun(&folder);
    fs::remove_dir_all(folder.spool_folder()).unwrap();
    // Another pump has made the folder and not all that belongs into it.
    fs::create_dir_all(folder.spool_folder()).unwrap();
    fs::write(folder.spool_folder().join("index.00000000000000000000"), b"").unwrap();
    turn_until(&mut pump, || {
        worker.write_all(b"x\n").unwrap();
        folder.spool_folder().join("place").exists()
    });
}
