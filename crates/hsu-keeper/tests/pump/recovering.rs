//! A pump that starts finds any state that a killed one can leave, and goes on.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use hsu_model::id::RunId;
use hsu_model::logs::OnFull;
use hsu_model::spool::head::{Head, Insert, InsertKind};
use hsu_model::spool::index::{Mark, Record};
use hsu_model::spool::plan::SpoolPlan;
use hsu_model::spool::{HEAD_FILE, PLACE_FILE, closed_path, index_name, next_path};
use hsu_model::time::WallTime;

use crate::fixture::{Folder, attach, settle};

/// What a pump leaves that moved `content` from run 1.
fn lay(folder: &Folder, head: Head, content: &[u8]) {
    let spool = folder.spool_folder();
    fs::create_dir_all(&spool).unwrap();
    fs::write(spool.join(HEAD_FILE), head.encode()).unwrap();
    fs::write(spool.join(PLACE_FILE), format!("{}\n", folder.log().display())).unwrap();
    let records = [Mark::Run(RunId(1)), Mark::Arrived(WallTime(1))];
    let records = records.map(|mark| Record { at: 0, mark }.encode()).concat();
    fs::write(spool.join(index_name(head.base)), records).unwrap();
    fs::write(folder.log(), content).unwrap();
}

/// Starts a pump whose worker, still in run 1, writes `more`.
fn go_on(folder: &Folder, plan: SpoolPlan, more: &[u8]) {
    let mut pump = folder.pump(plan);
    attach(&mut pump, 1).write_all(more).unwrap();
    assert_eq!(settle(&mut pump), [1]);
}

#[test]
fn a_rotation_that_stopped_at_any_step_is_completed() {
    for step in 0..=7 {
        let folder = Folder::new();
        let path = folder.log().to_str().unwrap().to_owned();
        let (closed, next) = (closed_path(&path, 0), next_path(&path));
        lay(&folder, Head { cut: 13, ..Head::default() }, b"first\nsecond\ntail");
        match step {
            0 => {
                fs::write(folder.spool_folder().join(HEAD_FILE), Head::default().encode()).unwrap()
            }
            1 => {}
            2 => fs::write(&next, b"ta").unwrap(),
            _ => fs::write(&next, b"tail").unwrap(),
        }
        if step > 3 {
            fs::rename(&path, &closed).unwrap();
        }
        if step > 4 {
            fs::rename(&next, &path).unwrap();
        }
        if step > 5 {
            OpenOptions::new().write(true).open(&closed).unwrap().set_len(13).unwrap();
        }
        if step > 6 {
            let head = Head { base: 13, ..Head::default() };
            fs::write(folder.spool_folder().join(HEAD_FILE), head.encode()).unwrap();
        }
        go_on(&folder, folder.plan(15, 0), b"more\n");
        let segments = folder.segments();
        assert_eq!(segments[0], (Some(0), b"first\nsecond\n".to_vec()), "step {step}");
        assert_eq!(segments[1], (None, b"tailmore\n".to_vec()), "step {step}");
        assert!(!fs::exists(&next).unwrap());
    }
}

#[test]
fn a_segment_whose_rotation_was_completed_by_another_pump_is_one_segment() {
    let folder = Folder::new();
    let path = folder.log().to_str().unwrap().to_owned();
    lay(&folder, Head { cut: 13, ..Head::default() }, b"first\nsecond\n");
    // It had come so far that the old one has its name.
    fs::write(next_path(&path), b"").unwrap();
    fs::rename(&path, closed_path(&path, 0)).unwrap();
    go_on(&folder, folder.plan(1 << 20, 1), b"more\n");
    assert_eq!(folder.content(), b"first\nsecond\nmore\n", "one closed segment may stay");
}

#[test]
fn what_an_earlier_pump_dropped_is_told_by_the_next() {
    let folder = Folder::new();
    lay(&folder, Head { dropped: 9, ..Head::default() }, b"before\n");
    let plan = SpoolPlan { on_full: OnFull::Drop, ..folder.plan(1 << 20, 0) };
    go_on(&folder, plan, b"more\n");
    assert_eq!(folder.content(), b"before\n[hsu-master] dropped 9 bytes\nmore\n");
}

#[test]
fn what_the_index_says_of_a_tail_goes_with_it_to_the_next_segment() {
    let folder = Folder::new();
    lay(&folder, Head::default(), b"a line\nhalf\nof run two\n");
    let index = folder.spool_folder().join(index_name(0));
    let marks = [(11, Mark::LineEndAdded), (12, Mark::Run(RunId(2)))];
    let more = marks.map(|(at, mark)| Record { at, mark }.encode()).concat();
    OpenOptions::new().append(true).open(index).unwrap().write_all(&more).unwrap();
    let mut pump = folder.pump(folder.plan(10, 0));
    attach(&mut pump, 2).write_all(b"more\n").unwrap();
    settle(&mut pump);
    assert_eq!(folder.segments()[0].1, b"a line\n");
    let base = folder.segments()[1].0.unwrap();
    assert_eq!((base, folder.added_line_ends(base)), (7, vec![4]));
    let runs: Vec<_> = folder
        .records(base)
        .into_iter()
        .filter_map(|record| match record.mark {
            Mark::Run(run) => Some((record.at, run.0)),
            Mark::Arrived(_) | Mark::LineEndAdded | Mark::Dropped(_) => None,
        })
        .collect();
    assert_eq!(runs, [(0, 1), (5, 2)]);
}

#[test]
fn a_line_end_that_was_begun_is_written_once() {
    for written in [&b"half"[..], b"half\n"] {
        let folder = Folder::new();
        let insert = Some(Insert { at: 4, kind: InsertKind::LineEnd });
        lay(&folder, Head { insert, ..Head::default() }, written);
        go_on(&folder, folder.plan(1 << 20, 0), b"more\n");
        assert_eq!(folder.content(), b"half\nmore\n");
    }
}

#[test]
fn a_marker_that_was_begun_is_written_once() {
    let marker = b"half\n[hsu-master] dropped 9 bytes\n";
    for written in 4..=marker.len() {
        let folder = Folder::new();
        let insert = Some(Insert { at: 4, kind: InsertKind::DropMarker });
        let head = Head { insert, dropped: 9, ..Head::default() };
        lay(&folder, head, &marker[..written]);
        let plan = SpoolPlan { on_full: OnFull::Drop, ..folder.plan(1 << 20, 0) };
        go_on(&folder, plan, b"more\n");
        let expected = [&marker[..], b"more\n"].concat();
        assert_eq!(folder.content(), expected, "{written} bytes were there");
    }
}

#[test]
fn a_stream_whose_head_is_lost_goes_on_after_its_last_closed_segment() {
    let folder = Folder::new();
    fs::write(closed_path(folder.log().to_str().unwrap(), 40), b"ten bytes\n").unwrap();
    fs::write(folder.log(), b"current\n").unwrap();
    go_on(&folder, folder.plan(1 << 20, 0), b"more\n");
    let head = fs::read(folder.spool_folder().join(HEAD_FILE)).unwrap();
    assert_eq!(Head::decode(head.first_chunk().unwrap()).unwrap().base, 50);
    assert_eq!(folder.segments()[1].1, b"current\nmore\n");
}

#[test]
fn a_torn_head_is_no_obstacle() {
    let folder = Folder::new();
    lay(&folder, Head::default(), b"kept\n");
    fs::write(folder.spool_folder().join(HEAD_FILE), b"torn").unwrap();
    go_on(&folder, folder.plan(1 << 20, 0), b"more\n");
    assert_eq!(folder.content(), b"kept\nmore\n");
}

#[test]
fn the_same_run_goes_on_in_its_line_after_the_pump_was_replaced() {
    let folder = Folder::new();
    let mut pump = folder.pump(folder.plan(1 << 20, 0));
    let mut worker = attach(&mut pump, 1);
    worker.write_all(b"half").unwrap();
    settle(&mut pump);
    drop(pump);
    // The keeper has the pipe; here its stand-in is a second one of the same run.
    go_on(&folder, folder.plan(1 << 20, 0), b" line\n");
    assert_eq!(folder.content(), b"half line\n");
    assert_eq!(folder.added_line_ends(0), []);
}

#[test]
fn two_pumps_never_write_at_once() {
    let folder = Folder::new();
    let first = folder.pump(folder.plan(1 << 20, 0));
    let options = folder.options();
    let (opened, waiting) = std::sync::mpsc::channel();
    let second = std::thread::spawn(move || {
        let pump = hsu_keeper::pump::Pump::open(&options);
        opened.send(()).unwrap();
        drop(pump);
    });
    let brief = std::time::Duration::from_millis(50);
    assert!(waiting.recv_timeout(brief).is_err(), "the lock is held");
    drop(first);
    waiting.recv().unwrap();
    second.join().unwrap();
}
