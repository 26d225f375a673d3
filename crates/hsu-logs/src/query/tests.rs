//! Answers about lines, from spools in every state.

use tempfile::TempDir;

use super::*;
use crate::spool::script::{Script, spool_id};
use hsu_model::spool::SpoolId;

struct Desk {
    folder: TempDir,
    spools: Spools,
    worker: WorkerId,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spools = Spools::new(folder.path());
        Self { folder, spools, worker: spool_id().worker }
    }

    fn script(&self, stream: Stream) -> Script {
        Script::new(self.folder.path(), &SpoolId { worker: self.worker.clone(), stream })
    }

    fn tail(&self, count: usize, since: Option<i64>) -> Vec<Line> {
        let since = since.map(|seconds| WallTime(seconds * 1_000_000_000));
        self.spools.tail(&self.worker, &Stream::ALL, count, since).unwrap()
    }

    fn texts(&self, count: usize, since: Option<i64>) -> Vec<String> {
        texts(&self.tail(count, since))
    }
}

fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect()
}

#[test]
fn a_worker_that_never_wrote_has_no_lines() {
    let desk = Desk::new();
    assert_eq!(desk.tail(10, None), []);
    let (lines, mut follower) = desk.spools.follow(&desk.worker, &Stream::ALL, 10, None).unwrap();
    assert_eq!((lines, follower.next_batch().unwrap()), (vec![], vec![]));
}

#[test]
fn the_last_lines_are_read_across_segments_with_their_origin() {
    let desk = Desk::new();
    let mut script = desk.script(Stream::Stdout);
    script.arrive(10, 1).write(b"one\ntwo\n").rotate();
    script.arrive(20, 2).write(b"three\n\nfive\r\n");
    assert_eq!(desk.texts(9, None), ["one", "two", "three", "", "five\r"]);
    for count in 0..5 {
        assert_eq!(desk.tail(count, None).len(), count);
    }
    let lines = desk.tail(4, None);
    assert_eq!((lines[0].at.0 / 1_000_000_000, lines[0].run), (10, Some(RunId(1))));
    assert_eq!((lines[3].at.0 / 1_000_000_000, lines[3].run), (20, Some(RunId(2))));
}

#[test]
fn streams_are_merged_by_arrival() {
    let desk = Desk::new();
    let mut out = desk.script(Stream::Stdout);
    out.arrive(1, 1).write(b"a\n").arrive(3, 1).write(b"c\n").arrive(5, 1).write(b"e\n");
    let mut err = desk.script(Stream::Stderr);
    err.arrive(2, 1).write(b"b\n").arrive(4, 1).write(b"d\n");
    assert_eq!(desk.texts(9, None), ["a", "b", "c", "d", "e"]);
    assert_eq!(desk.texts(2, None), ["d", "e"]);
    assert_eq!(desk.texts(9, Some(4)), ["d", "e"]);
    let last = desk.spools.last_lines(&desk.worker, Stream::Stderr, 1).unwrap();
    assert_eq!(texts(&last), ["d"]);
}

#[test]
fn since_reads_no_segment_that_is_too_old() {
    let desk = Desk::new();
    let mut script = desk.script(Stream::Stdout);
    for second in 1..=9 {
        script.arrive(second, 1).write(format!("{second}\n").as_bytes()).rotate();
    }
    assert_eq!(desk.texts(100, Some(7)), ["7", "8", "9"]);
    assert_eq!(desk.texts(2, Some(1)), ["8", "9"]);
}

#[test]
fn an_unfinished_line_is_shown_as_such_and_followed_as_a_whole() {
    let desk = Desk::new();
    let mut script = desk.script(Stream::Stdout);
    script.arrive(1, 1).write(b"one\nhal");
    let lines = desk.tail(2, None);
    assert_eq!((lines[1].bytes.as_slice(), lines[1].extent), (&b"hal"[..], Extent::Unfinished));
    let (lines, mut follower) = desk.spools.follow(&desk.worker, &Stream::ALL, 5, None).unwrap();
    assert_eq!(texts(&lines), ["one"]);
    assert_eq!(follower.next_batch().unwrap(), []);
    script.write(b"f\ntwo\nth").rotate_partly(13, 6);
    script.write(b"ree\n");
    assert_eq!(texts(&follower.next_batch().unwrap()), ["half", "two"]);
    assert_eq!(texts(&follower.next_batch().unwrap()), ["three"]);
    assert_eq!(follower.next_batch().unwrap(), []);
}

#[test]
fn a_line_without_end_costs_a_block_and_is_shortened() {
    let desk = Desk::new();
    let mut script = desk.script(Stream::Stdout);
    let (_, mut follower) = desk.spools.follow(&desk.worker, &Stream::ALL, 0, None).unwrap();
    let long = vec![b'x'; 3 << 20];
    script.arrive(1, 1).write(b"before\n").write(&long).write(b"\nafter\n");
    let lines = desk.tail(3, None);
    assert_eq!(lines[1].bytes.len(), LONGEST_LINE);
    assert_eq!(lines[1].extent, Extent::Shortened);
    assert_eq!(texts(&lines[2..]), ["after"]);
    let mut followed = Vec::new();
    while followed.len() < 3 {
        followed.extend(follower.next_batch().unwrap());
    }
    assert_eq!(followed, lines);
}

#[test]
fn what_is_gone_is_said() {
    let desk = Desk::new();
    let mut script = desk.script(Stream::Stdout);
    script.arrive(1, 1).write(b"one\n").rotate().write(b"two\n").rotate().write(b"three\n");
    let (_, mut follower) = desk.spools.follow(&desk.worker, &Stream::ALL, 0, None).unwrap();
    script.retire(4);
    let lines = desk.tail(9, None);
    let extents: Vec<_> = lines.iter().map(|line| line.extent).collect();
    assert_eq!(extents, [Extent::Whole, Extent::Missing(4), Extent::Whole]);
    script.rotate().write(b"four\n");
    script.retire(8);
    script.write(b"five\n");
    assert_eq!(texts(&follower.next_batch().unwrap()), ["four", "five"]);
}

#[test]
fn every_size_of_tail_is_the_end_of_every_other() {
    let desk = Desk::new();
    let mut script = desk.script(Stream::Stdout);
    script.arrive(1, 1);
    let mut expected = Vec::new();
    for number in 0..3000_usize {
        let line = format!("{number} {}", "y".repeat(number * 7 % 150));
        script.write(line.as_bytes()).write(b"\n");
        expected.push(line);
        if number % 500 == 499 {
            script.rotate();
        }
    }
    for count in [1, 2, 499, 500, 501, 1000, 2999, 3000, 9000] {
        let from = expected.len().saturating_sub(count);
        assert_eq!(desk.texts(count, None), expected[from..], "{count}");
    }
}

#[test]
fn a_head_that_promises_more_than_there_is_keeps_nobody_waiting() {
    let desk = Desk::new();
    let mut script = desk.script(Stream::Stdout);
    script.write(b"one\ntwo\n");
    script.head.cut = hsu_model::spool::LAST_OFFSET;
    script.save_head();
    assert_eq!(desk.texts(5, None), ["one", "two"]);
    let (lines, mut follower) = desk.spools.follow(&desk.worker, &Stream::ALL, 5, None).unwrap();
    assert_eq!(texts(&lines), ["one", "two"]);
    assert_eq!(follower.next_batch().unwrap(), []);
}
