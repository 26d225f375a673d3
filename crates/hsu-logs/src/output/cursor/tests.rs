//! Commits survive; what was not committed never happened.

use super::*;

fn committed(path: &Path) -> Committed {
    Cursor::open(path.to_path_buf(), "/l/a.log")
        .unwrap()
        .committed()
        .clone()
}

#[test]
fn the_last_commit_is_read_back_whatever_was_torn_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.cursor");
    let mut cursor = Cursor::open(path.clone(), "/l/a.log").unwrap();
    cursor
        .commit(
            Mark {
                base: 0,
                length: 10,
                tail: 7,
            },
            [("a/stdout", 5), ("b/stderr", 6)].into_iter(),
        )
        .unwrap();
    let first = std::fs::read(&path).unwrap();
    let before = committed(&path);
    assert_eq!(before.offsets["b/stderr"], 6);
    cursor
        .commit(
            Mark {
                base: 0,
                length: 20,
                tail: 8,
            },
            [("c/stdout", 1), ("a/stdout", 9)].into_iter(),
        )
        .unwrap();
    let whole = std::fs::read(&path).unwrap();
    let after = committed(&path);
    assert_eq!(
        (
            after.file.length,
            after.offsets["a/stdout"],
            after.offsets["b/stderr"]
        ),
        (20, 9, 6)
    );
    for length in first.len()..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let read = committed(&path);
        assert_eq!(
            (read.file.length, read.offsets["a/stdout"]),
            (10, 5),
            "cut at {length}"
        );
    }
}

#[test]
fn commits_go_on_after_a_torn_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.cursor");
    let mut cursor = Cursor::open(path.clone(), "/l/a.log").unwrap();
    cursor
        .commit(
            Mark {
                base: 0,
                length: 10,
                tail: 7,
            },
            [("a/stdout", 5)].into_iter(),
        )
        .unwrap();
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend_from_slice(b"c 0 99 1 0=99 00");
    std::fs::write(&path, torn).unwrap();
    let mut cursor = Cursor::open(path.clone(), "/l/a.log").unwrap();
    cursor
        .commit(
            Mark {
                base: 0,
                length: 30,
                tail: 7,
            },
            [("a/stdout", 6), ("b/stdout", 1)].into_iter(),
        )
        .unwrap();
    cursor.rotating().unwrap();
    let read = committed(&path);
    assert_eq!((read.file.length, read.rotating), (30, true));
    assert_eq!((read.offsets["a/stdout"], read.offsets["b/stdout"]), (6, 1));
}

#[test]
fn a_cursor_of_another_output_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.cursor");
    let mut other = Cursor::open(path.clone(), "/l/b.log").unwrap();
    other
        .commit(
            Mark {
                base: 0,
                length: 10,
                tail: 7,
            },
            [("a/stdout", 5)].into_iter(),
        )
        .unwrap();
    assert_eq!(committed(&path), Committed::default());
}

#[test]
fn a_long_history_is_written_anew_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.cursor");
    let mut cursor = Cursor::open(path.clone(), "/l/a.log").unwrap();
    for number in 0..20_000 {
        let name = if number % 2 == 0 {
            "a/stdout"
        } else {
            "b/stdout"
        };
        cursor
            .commit(
                Mark {
                    base: 3,
                    length: number,
                    tail: 7,
                },
                [(name, number)].into_iter(),
            )
            .unwrap();
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 2 * COMPACT_AT);
    let read = committed(&path);
    assert_eq!((read.file.base, read.file.length), (3, 19_999));
    assert_eq!(
        (read.offsets["a/stdout"], read.offsets["b/stdout"]),
        (19_998, 19_999)
    );
}
