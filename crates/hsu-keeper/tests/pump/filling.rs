//! A full disk, and readers that do not keep up.

use std::ffi::CString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hsu_keeper::pump::Pump;
use hsu_model::logs::OnFull;
use hsu_model::spool::head::Head;
use hsu_model::spool::plan::{Readers, SpoolPlan};
use hsu_model::spool::{CONSUMED_FILE, HEAD_FILE, encode_consumed};
use hsu_model::units::ByteSize;

use crate::fixture::{Folder, attach, segments, turn_for, turn_until};

/// Runs a test in a thread with mounts of its own and a small disk at `disk`, which
/// is gone with the thread. Says why when the system does not let it.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn on_small_disk(size: u64, test: impl FnOnce(&Folder, &Path) + Send + 'static) {
    let body = move || {
        let folder = Folder::new();
        let disk = folder.0.join("disk");
        fs::create_dir(&disk).unwrap();
        if let Err(error) = mount_small(&disk, size) {
            eprintln!("skipped: cannot mount a small disk: {error}");
            return;
        }
        test(&folder, &disk);
        unmount(&disk);
    };
    thread::spawn(body).join().unwrap();
}

#[expect(unsafe_code, reason = "mount has no safe form in the standard library")]
fn mount_small(at: &Path, size: u64) -> std::io::Result<()> {
    let text = |text: &str| CString::new(text).unwrap();
    let (at, kind) = (text(at.to_str().unwrap()), text("tmpfs"));
    let (root, options) = (text("/"), text(&format!("size={size}")));
    let private = libc::MS_REC | libc::MS_PRIVATE;
    let null = std::ptr::null();
    // SAFETY: the call takes no pointers; only this thread gets other mounts.
    let mut result = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    if result == 0 {
        // SAFETY: the text outlives the call, and null is allowed where it is given.
        result = unsafe { libc::mount(null, root.as_ptr(), null, private, null.cast()) };
    }
    if result == 0 {
        let options = options.as_ptr().cast();
        // SAFETY: every text outlives the call.
        result = unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, options) };
    }
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[expect(unsafe_code, reason = "umount has no safe form in the standard library")]
fn unmount(at: &Path) {
    let at = CString::new(at.to_str().unwrap()).unwrap();
    // SAFETY: the text outlives the call.
    let _ = unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
}

fn plan_on(disk: &Path, folder: &Folder, max_size: u64, on_full: OnFull) -> (SpoolPlan, PathBuf) {
    let log = disk.join("w.log");
    let log_file = Some(log.to_str().unwrap().to_owned());
    (SpoolPlan { log_file, on_full, ..folder.plan(max_size, 0) }, log)
}

fn lines(count: u32) -> Vec<u8> {
    (0..count).flat_map(|n| format!("line {n:06} {}\n", "z".repeat(80)).into_bytes()).collect()
}

/// Writes in a thread, as a worker would; tells when it is through.
fn write_in_thread(
    mut worker: std::io::PipeWriter,
    bytes: Vec<u8>,
) -> (thread::JoinHandle<std::io::PipeWriter>, &'static AtomicBool) {
    let through: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let thread = thread::spawn(move || {
        worker.write_all(&bytes).unwrap();
        through.store(true, Ordering::Relaxed);
        worker
    });
    (thread, through)
}

fn content(log: &Path) -> Vec<u8> {
    segments(log).into_iter().flat_map(|(_, bytes)| bytes).collect()
}

#[test]
fn block_on_a_full_disk_makes_the_worker_wait_and_loses_nothing() {
    // Small segments, so that the disk is also full in the middle of rotations.
    for max_size in [1 << 30, 200_000] {
        on_small_disk(4 << 20, move |folder, disk| {
            fs::write(disk.join("filler"), vec![0; 3 << 20]).unwrap();
            let (plan, log) = plan_on(disk, folder, max_size, OnFull::Block);
            let mut pump = folder.pump(plan);
            let bytes = lines(25_000);
            let (writer, through) = write_in_thread(attach(&mut pump, 1), bytes.clone());
            turn_for(&mut pump, Duration::from_millis(700));
            assert!(!through.load(Ordering::Relaxed), "the worker waits");
            assert!(quiet_turns(&mut pump) < 10, "the pump is idle meanwhile");
            fs::remove_file(disk.join("filler")).unwrap();
            turn_until(&mut pump, || content(&log).len() == bytes.len());
            assert_eq!(content(&log), bytes);
            drop(writer.join().unwrap());
        });
    }
}

/// How often a pump wakes in half a second.
fn quiet_turns(pump: &mut Pump) -> u32 {
    let end = std::time::Instant::now() + Duration::from_millis(500);
    let mut turns = 0;
    while std::time::Instant::now() < end {
        pump.turn(Some(Duration::from_millis(500))).unwrap();
        turns += 1;
    }
    turns
}

#[test]
fn a_full_disk_of_the_spools_themselves_loses_nothing_either() {
    on_small_disk(4 << 20, |folder, disk| {
        fs::create_dir_all(folder.spools()).unwrap();
        fs::write(disk.join("filler"), vec![0; 3 << 20]).unwrap();
        std::os::unix::fs::symlink(disk, folder.spools().join("w")).unwrap();
        let mut pump = folder.pump(SpoolPlan::fallback());
        let bytes = lines(25_000);
        let (writer, through) = write_in_thread(attach(&mut pump, 1), bytes.clone());
        turn_for(&mut pump, Duration::from_millis(500));
        assert!(!through.load(Ordering::Relaxed), "the worker waits");
        fs::remove_file(disk.join("filler")).unwrap();
        turn_until(&mut pump, || content(&disk.join("stdout/data")) == bytes);
        drop(writer.join().unwrap());
    });
}

#[test]
fn drop_on_a_full_disk_counts_every_byte_and_says_so_in_a_line() {
    on_small_disk(4 << 20, |folder, disk| {
        fs::write(disk.join("filler"), vec![0; 3 << 20]).unwrap();
        let (plan, log) = plan_on(disk, folder, 1 << 30, OnFull::Drop);
        let mut pump = folder.pump(plan);
        let bytes = lines(40_000);
        let (writer, through) = write_in_thread(attach(&mut pump, 1), bytes.clone());
        turn_until(&mut pump, || through.load(Ordering::Relaxed));
        fs::remove_file(disk.join("filler")).unwrap();
        let mut worker = writer.join().unwrap();
        turn_until(&mut pump, || content(&log).ends_with(b" bytes\n"));
        worker.write_all(b"after\n").unwrap();
        turn_until(&mut pump, || content(&log).ends_with(b"after\n"));
        let text = String::from_utf8(content(&log)).unwrap();
        check_marker(&text, bytes.len() + 6);
        let head = fs::read(folder.spool_folder().join(HEAD_FILE)).unwrap();
        let head = Head::decode(head.first_chunk().unwrap()).unwrap();
        assert_eq!(head.dropped, head.announced);
    });
}

/// Every byte is in a line or in the count of a marker; only the line that the disk
/// cut is no whole line.
fn check_marker(text: &str, written: usize) {
    let (mut kept, mut dropped, mut broken) = (0, 0, 0);
    for line in text.split_inclusive('\n') {
        if let Some(count) = line.strip_prefix("[hsu-master] dropped ") {
            dropped += count.trim_end_matches(" bytes\n").parse::<usize>().unwrap();
        } else if line.len() == 93 || line == "after\n" {
            kept += line.len();
        } else {
            // The line end is the marker's.
            kept += line.len() - 1;
            broken += 1;
        }
    }
    assert!(dropped > 0 && broken <= 1, "{dropped} dropped, {broken} broken");
    assert_eq!(kept + dropped, written);
}

#[test]
fn a_worker_waits_for_readers_that_are_too_far_behind() {
    let folder = Folder::new();
    let readers = Readers::Outputs { unread_limit: ByteSize(300_000) };
    let mut pump = folder.pump(SpoolPlan { readers, ..folder.plan(100_000, 1) });
    let bytes = lines(25_000);
    let (writer, through) = write_in_thread(attach(&mut pump, 1), bytes.clone());
    turn_for(&mut pump, Duration::from_millis(200));
    assert!(!through.load(Ordering::Relaxed), "the worker waits");
    let unread = folder.content().len();
    assert!((300_000..700_000).contains(&unread), "{unread} bytes");
    let mut seen = folder.content();
    turn_until(&mut pump, || {
        // A reader that copies what is there, as the engine does.
        let base = seen.len() as u64;
        let fresh = folder.segments().into_iter().flat_map(|(at, part)| {
            let at = at.unwrap_or_else(|| folder_base(&folder));
            let known = usize::try_from(base.saturating_sub(at)).unwrap().min(part.len());
            part[known..].to_vec()
        });
        let fresh: Vec<u8> = fresh.collect();
        seen.extend(fresh);
        let consumed = encode_consumed(seen.len() as u64);
        fs::write(folder.spool_folder().join(CONSUMED_FILE), consumed).unwrap();
        seen.len() == bytes.len()
    });
    assert_eq!(seen, bytes);
    assert!(folder.segments().len() <= 5, "consumed segments are retired");
    drop(writer.join().unwrap());
}

fn folder_base(folder: &Folder) -> u64 {
    let head = fs::read(folder.spool_folder().join(HEAD_FILE)).unwrap_or_default();
    head.first_chunk().and_then(Head::decode).map_or(0, |head| head.base)
}

#[test]
fn a_run_that_begins_while_its_spool_is_stuck_waits_as_the_others_do() {
    let folder = Folder::new();
    // A folder is where the log file should be, and the policy is to wait.
    fs::create_dir(folder.log()).unwrap();
    let mut pump = folder.pump(folder.plan(1 << 20, 0));
    let mut first = attach(&mut pump, 1);
    first.write_all(b"first\n").unwrap();
    turn_for(&mut pump, Duration::from_millis(100));
    let mut second = attach(&mut pump, 2);
    second.write_all(b"second\n").unwrap();
    turn_for(&mut pump, Duration::from_millis(100));
    fs::remove_dir(folder.log()).unwrap();
    turn_until(&mut pump, || folder.content().len() == 13);
    assert_eq!(folder.content(), b"first\nsecond\n");
}

#[test]
fn what_no_output_has_read_stays_though_none_has_said_a_word_before_the_pump_was_replaced() {
    let folder = Folder::new();
    let readers = Readers::Outputs { unread_limit: ByteSize(1 << 20) };
    let plan = SpoolPlan { readers, ..folder.plan(100, 1) };
    let bytes = lines(10);
    let mut pump = folder.pump(plan.clone());
    let mut worker = attach(&mut pump, 1);
    for part in bytes.chunks(93) {
        worker.write_all(part).unwrap();
        turn_for(&mut pump, Duration::from_millis(30));
    }
    drop(pump);
    let mut next = folder.pump(plan);
    attach(&mut next, 2).write_all(b"next\n").unwrap();
    turn_until(&mut next, || folder.content().ends_with(b"next\n"));
    assert_eq!(folder.content(), [&bytes[..], b"next\n"].concat());
}
