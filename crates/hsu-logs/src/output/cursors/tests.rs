//! Commits survive; what was not committed never happened.

use super::*;

const OUT: &str = "/l/a b.log";

fn mark(length: u64) -> Mark {
    Mark { base: 3, length, tail: 7 }
}

fn commit(cursors: &mut Cursors, length: u64, offsets: &[(&str, u64)]) {
    cursors.stage(OUT, mark(length), offsets.iter().copied());
    cursors.flush().unwrap();
}

fn read(folder: &Path) -> Committed {
    Cursors::open(folder).unwrap().committed(OUT).cloned().unwrap_or_default()
}

#[test]
fn the_last_commit_is_read_back_whatever_was_torn_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursors");
    let mut cursors = Cursors::open(folder.path()).unwrap();
    commit(&mut cursors, 10, &[("a/stdout", 5), ("b/stderr", 6)]);
    let first = std::fs::read(&path).unwrap();
    assert_eq!(read(folder.path()).offsets["b/stderr"], 6);
    commit(&mut cursors, 20, &[("c/stdout", 1), ("a/stdout", 9)]);
    let whole = std::fs::read(&path).unwrap();
    let after = read(folder.path());
    assert_eq!((after.file, after.offsets["a/stdout"]), (mark(20), 9));
    assert_eq!((after.offsets["b/stderr"], after.offsets["c/stdout"]), (6, 1));
    for length in first.len()..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let read = read(folder.path());
        assert_eq!((read.file, read.offsets["a/stdout"]), (mark(10), 5), "cut at {length}");
    }
}

#[test]
fn commits_go_on_after_a_torn_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursors");
    let mut cursors = Cursors::open(folder.path()).unwrap();
    commit(&mut cursors, 10, &[("a/stdout", 5)]);
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend_from_slice(b"c 0 0 99 1 1=99 00");
    std::fs::write(&path, torn).unwrap();
    let mut cursors = Cursors::open(folder.path()).unwrap();
    commit(&mut cursors, 30, &[("a/stdout", 6), ("b/stdout", 1)]);
    cursors.stage_rotation(OUT);
    cursors.flush().unwrap();
    let read = read(folder.path());
    assert_eq!((read.file, read.rotating), (mark(30), true));
    assert_eq!((read.offsets["a/stdout"], read.offsets["b/stdout"]), (6, 1));
}

#[test]
fn what_was_only_staged_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut cursors = Cursors::open(folder.path()).unwrap();
    commit(&mut cursors, 10, &[("a/stdout", 5)]);
    cursors.stage(OUT, mark(11), [("a/stdout", 6)]);
    assert_eq!(cursors.committed(OUT).unwrap().file, mark(10));
    assert_eq!(read(folder.path()).file, mark(10));
}

#[test]
fn an_output_that_is_gone_is_forgotten_and_a_strange_path_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let mut cursors = Cursors::open(folder.path()).unwrap();
    commit(&mut cursors, 10, &[("a/stdout", 5)]);
    let strange = "/l/\n\"x\"\\ \u{202e}\t\u{e9}";
    cursors.stage(strange, mark(1), [("a/stdout", 1)]);
    cursors.keep(&[strange].into_iter().collect());
    cursors.flush().unwrap();
    let cursors = Cursors::open(folder.path()).unwrap();
    assert_eq!(cursors.committed(OUT), None);
    assert_eq!(cursors.committed(strange).unwrap().file, mark(1));
}

#[test]
fn a_long_history_is_written_anew_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut cursors = Cursors::open(folder.path()).unwrap();
    for number in 0..20_000 {
        let name = if number % 2 == 0 { "a/stdout" } else { "b/stdout" };
        commit(&mut cursors, number, &[(name, number)]);
    }
    assert!(std::fs::metadata(folder.path().join("cursors")).unwrap().len() < 2 * COMPACT_AT);
    let read = read(folder.path());
    assert_eq!(read.file, mark(19_999));
    assert_eq!((read.offsets["a/stdout"], read.offsets["b/stdout"]), (19_998, 19_999));
}

#[test]
fn a_commit_that_was_torn_away_with_another_does_not_come_back_behind_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursors");
    let mut cursors = Cursors::open(folder.path()).unwrap();
    commit(&mut cursors, 10, &[("a/stdout", 5)]);
    let begin = std::fs::read(&path).unwrap().len();
    // Two commits of one length, and the loss of power damages the first of them.
    commit(&mut cursors, 20, &[("a/stdout", 6)]);
    commit(&mut cursors, 30, &[("a/stdout", 7)]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[begin] = b'?';
    std::fs::write(&path, bytes).unwrap();
    let mut cursors = Cursors::open(folder.path()).unwrap();
    assert_eq!(read(folder.path()).file, mark(10));
    commit(&mut cursors, 40, &[("a/stdout", 8)]);
    let after = read(folder.path());
    assert_eq!((after.file, after.offsets["a/stdout"]), (mark(40), 8));
}
