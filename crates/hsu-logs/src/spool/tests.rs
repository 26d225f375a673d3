//! Readers see one stream, whatever happens to its files.

use tempfile::TempDir;

use super::index::Arrivals;
use super::script::{Script, spool_id};
use super::*;

fn scripted() -> (TempDir, Script, SpoolReader) {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::new(folder.path(), &spool_id());
    let reader = SpoolReader::new(script.folder.clone());
    (folder, script, reader)
}

/// Reads from `offset` until nothing comes, with a buffer of `step` bytes.
fn read_all(reader: &mut SpoolReader, offset: u64, step: usize) -> (Vec<u8>, Vec<(u64, u64)>) {
    let (mut bytes, mut gaps, mut offset) = (Vec::new(), Vec::new(), offset);
    let mut buffer = vec![0; step];
    loop {
        match reader.read_at(offset, &mut buffer).unwrap() {
            Read::Bytes(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                offset += count as u64;
            }
            Read::Gap { to } => {
                gaps.push((offset, to));
                offset = to;
            }
            Read::End | Read::Beyond { .. } => return (bytes, gaps),
        }
    }
}

#[test]
fn a_spool_that_does_not_exist_is_at_its_end() {
    let (_folder, script, _) = scripted();
    let mut reader = SpoolReader::new(script.folder.join("nowhere"));
    assert_eq!(reader.read_at(0, &mut [0; 8]).unwrap(), Read::End);
    assert_eq!((reader.start().unwrap(), reader.end().unwrap()), (0, 0));
}

#[test]
fn a_stream_reads_as_one_across_segments_at_any_step() {
    let (_folder, mut script, mut reader) = scripted();
    script.write(b"one\n").rotate().write(b"two\nthr");
    script.rotate_partly(8, 6);
    script.write(b"ee\n");
    for step in [1, 3, 100] {
        let (bytes, gaps) = read_all(&mut reader, 0, step);
        assert_eq!((bytes.as_slice(), gaps.as_slice()), (&b"one\ntwo\nthree\n"[..], &[][..]));
    }
    assert_eq!((reader.start().unwrap(), reader.end().unwrap()), (0, 14));
}

#[test]
fn a_rotation_that_stopped_anywhere_hides_and_doubles_nothing() {
    for steps in 0..=6 {
        for open_before in [false, true] {
            let (_folder, mut script, mut reader) = scripted();
            script.write(b"first\nsecond\ntail");
            if open_before {
                assert_eq!(reader.read_at(0, &mut [0; 2]).unwrap(), Read::Bytes(2));
            }
            script.rotate_partly(13, steps);
            let (before, _) = read_all(&mut reader, 0, 4);
            assert!(before.starts_with(b"first\nsecond\n"), "{steps} steps");
            let offset = before.len() as u64;
            (steps + 1..=6).for_each(|step| script.one_step(13, step));
            let (rest, gaps) = read_all(&mut reader, offset, 4);
            let all = [before, rest].concat();
            assert_eq!(all, b"first\nsecond\ntail", "{steps} steps, {open_before}");
            assert_eq!(gaps, []);
        }
    }
}

#[test]
fn a_reader_that_is_ahead_in_the_old_file_goes_on_in_the_new_one() {
    let (_folder, mut script, mut reader) = scripted();
    script.write(b"whole\nhal");
    let (bytes, _) = read_all(&mut reader, 0, 100);
    assert_eq!(bytes, b"whole\nhal");
    script.rotate_partly(6, 6);
    script.write(b"f\n");
    let (rest, gaps) = read_all(&mut reader, 9, 100);
    assert_eq!((rest.as_slice(), gaps), (&b"f\n"[..], vec![]));
}

#[test]
fn what_retention_took_is_a_gap_and_never_silence() {
    let (_folder, mut script, mut reader) = scripted();
    script
        .write(b"one\n")
        .rotate()
        .write(b"two\n")
        .rotate()
        .write(b"three\n")
        .rotate()
        .write(b"4\n");
    script.retire(4);
    let (bytes, gaps) = read_all(&mut reader, 0, 100);
    assert_eq!((bytes.as_slice(), gaps), (&b"one\nthree\n4\n"[..], vec![(4, 8)]));
    script.retire(0);
    assert_eq!(reader.start().unwrap(), 8);
}

#[test]
fn a_file_that_somebody_emptied_is_a_gap() {
    let (_folder, mut script, mut reader) = scripted();
    script.write(b"kept\n");
    read_all(&mut reader, 0, 100);
    script.write(b"lost\n");
    script.emptied();
    script.write(b"after\n");
    let (bytes, gaps) = read_all(&mut reader, 5, 100);
    assert_eq!((bytes.as_slice(), gaps), (&b"after\n"[..], vec![(5, 10)]));
}

#[test]
fn an_offset_beyond_the_stream_is_told() {
    let (_folder, mut script, mut reader) = scripted();
    script.write(b"short\n");
    assert_eq!(reader.read_at(100, &mut [0; 8]).unwrap(), Read::Beyond { end: 6 });
}

#[test]
fn internal_segments_go_when_consumed_and_the_latest_closed_one_stays() {
    let (_folder, mut script, mut reader) = scripted();
    script.write(b"1\n").rotate().write(b"2\n").rotate().write(b"3\n").rotate().write(b"4\n");
    reader.retire_internal(3).unwrap();
    assert_eq!(reader.start().unwrap(), 2, "only the first was consumed as a whole");
    reader.retire_internal(8).unwrap();
    assert_eq!(reader.start().unwrap(), 4);
    assert_eq!(reader.segment_before(6).unwrap(), Some((4, 6)));
    assert_eq!(reader.segment_before(4).unwrap(), None);
}

#[test]
fn the_index_tells_when_and_by_whom_every_byte_was_written() {
    let (_folder, mut script, _) = scripted();
    script.arrive(100, 1).write(b"aaaa").arrive(101, 1).write(b"bb").arrive(200, 2).write(b"cc");
    let told = |offset| {
        let mut arrivals = Arrivals::open(&script.folder, 0, offset, None).unwrap();
        let (origin, until) = arrivals.at(offset);
        (origin.at.unwrap().0 / 1_000_000_000, origin.run.unwrap().0, until)
    };
    assert_eq!(told(0), (100, 1, 4));
    assert_eq!(told(3), (100, 1, 4));
    assert_eq!(told(4), (101, 1, 6));
    assert_eq!(told(7), (200, 2, u64::MAX));
}

#[test]
fn an_index_that_grows_or_is_missing_is_no_obstacle() {
    let (_folder, mut script, _) = scripted();
    let mut missing = Arrivals::open(&script.folder, 0, 0, None).unwrap();
    assert_eq!(missing.at(5), (index::Origin::default(), u64::MAX));
    script.arrive(1, 1).write(b"a\n");
    let mut arrivals = Arrivals::open(&script.folder, 0, 0, None).unwrap();
    assert_eq!(arrivals.at(0).0.run.unwrap().0, 1);
    for run in 2..2000 {
        script.arrive(i64::try_from(run).unwrap(), run).write(b"b\n");
    }
    arrivals.refresh();
    assert_eq!(arrivals.at(2 * 1998).0.run.unwrap().0, 1999);
}
