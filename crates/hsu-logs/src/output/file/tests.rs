//! Files are written once, whatever was done to them or to their writer.

use std::time::Duration;

use hsu_model::units::ByteSize;
use tempfile::TempDir;

use super::*;

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> String {
        self.folder.path().join("logs/out.log").to_str().unwrap().to_owned()
    }

    /// What a fresh engine has after recovery.
    fn open(&self) -> (LogFile, Cursors) {
        let mut cursors = Cursors::open(self.folder.path()).unwrap();
        let rotation = Rotation { max_size: ByteSize(10), max_files: 2, max_age: None };
        let mut file = LogFile::new(self.path(), rotation, open_any);
        file.recover(&mut cursors).unwrap();
        (file, cursors)
    }

    fn content(&self) -> String {
        fs::read_to_string(self.path()).unwrap_or_default()
    }
}

fn put(file: &mut LogFile, cursors: &mut Cursors, lines: &str) {
    file.prepare(cursors).unwrap();
    file.write(lines.as_bytes()).unwrap();
    file.commit(cursors).unwrap();
}

#[test]
fn lines_after_the_last_commit_are_cut_off() {
    let bench = Bench::new();
    let (mut file, mut cursors) = bench.open();
    put(&mut file, &mut cursors, "one\n");
    file.write(b"two\nthr").unwrap();
    assert_eq!(bench.content(), "one\ntwo\nthr");
    let (mut file, mut cursors) = bench.open();
    assert_eq!(bench.content(), "one\n");
    put(&mut file, &mut cursors, "two\n");
    assert_eq!(bench.content(), "one\ntwo\n");
}

#[test]
fn a_rotation_that_stopped_anywhere_is_completed() {
    for steps in 0..4 {
        let bench = Bench::new();
        let (mut file, mut cursors) = bench.open();
        put(&mut file, &mut cursors, "12345678\n");
        let closed = closed_path(&bench.path(), 0);
        if steps > 0 {
            cursors.stage_rotation(&bench.path());
            cursors.flush().unwrap();
        }
        if steps > 1 {
            fs::rename(bench.path(), &closed).unwrap();
        }
        if steps > 2 {
            File::create(bench.path()).unwrap();
        }
        let (mut file, mut cursors) = bench.open();
        if steps == 0 {
            file.rotate(&mut cursors).unwrap();
        }
        put(&mut file, &mut cursors, "next\n");
        assert_eq!(fs::read_to_string(&closed).unwrap(), "12345678\n", "{steps} steps");
        assert_eq!(bench.content(), "next\n");
        assert_eq!(file.mark().base, 9);
    }
}

#[test]
fn only_so_many_closed_files_stay() {
    let bench = Bench::new();
    let (mut file, mut cursors) = bench.open();
    for _ in 0..5 {
        put(&mut file, &mut cursors, "12345678\n");
        file.rotate(&mut cursors).unwrap();
    }
    let closed = closed_files(Path::new(&bench.path()));
    assert_eq!(closed, [27, 36].map(|base| PathBuf::from(closed_path(&bench.path(), base))));
    file.set_rotation(Rotation { max_age: Some(Duration::ZERO), ..file.rotation });
    file.retire();
    assert_eq!(closed_files(Path::new(&bench.path())), Vec::<PathBuf>::new());
}

#[test]
fn a_clock_that_jumps_makes_no_file_old() {
    let bench = Bench::new();
    let (mut file, mut cursors) = bench.open();
    put(&mut file, &mut cursors, "12345678\n");
    file.rotate(&mut cursors).unwrap();
    let now = SystemTime::now();
    let before = file.reckon(now);
    let year = Duration::from_secs(366 * 86_400);
    for jumped in [now + year, now - year, SystemTime::UNIX_EPOCH] {
        let drift = file.reckon(jumped).0 - before.0;
        assert!((0..60_000_000_000).contains(&drift), "{drift} after a jump to {jumped:?}");
    }
}

#[test]
fn a_deleted_file_or_folder_is_made_again() {
    let bench = Bench::new();
    let (mut file, mut cursors) = bench.open();
    put(&mut file, &mut cursors, "one\n");
    fs::remove_file(bench.path()).unwrap();
    put(&mut file, &mut cursors, "two\n");
    assert_eq!(bench.content(), "two\n");
    fs::remove_dir_all(bench.folder.path().join("logs")).unwrap();
    put(&mut file, &mut cursors, "three\n");
    assert_eq!(bench.content(), "three\n");
}

#[test]
fn an_emptied_or_moved_file_gets_no_hole() {
    let bench = Bench::new();
    let (mut file, mut cursors) = bench.open();
    put(&mut file, &mut cursors, "one\n");
    File::create(bench.path()).unwrap();
    put(&mut file, &mut cursors, "two\n");
    assert_eq!(bench.content(), "two\n");
    fs::rename(bench.path(), bench.folder.path().join("logs/moved")).unwrap();
    fs::write(bench.path(), "new: ").unwrap();
    put(&mut file, &mut cursors, "three\n");
    assert_eq!(bench.content(), "new: three\n");
}

#[test]
fn a_file_that_is_not_ours_is_never_shortened() {
    let bench = Bench::new();
    let (mut file, mut cursors) = bench.open();
    put(&mut file, &mut cursors, "one\n");
    drop(file);
    fs::write(bench.path(), "somebody's own text\n").unwrap();
    let (mut file, mut cursors) = bench.open();
    put(&mut file, &mut cursors, "two\n");
    assert_eq!(bench.content(), "somebody's own text\ntwo\n");
}

#[test]
fn a_link_is_refused() {
    let bench = Bench::new();
    let (mut file, mut cursors) = bench.open();
    fs::create_dir_all(bench.folder.path().join("logs")).unwrap();
    std::os::unix::fs::symlink("/dev/null", bench.path()).unwrap();
    assert!(matches!(file.prepare(&mut cursors), Err(LogError::NotAFile { .. })));
}

#[test]
fn what_is_no_plain_file_is_refused_whoever_comes_to_it() {
    let bench = Bench::new();
    let (mut file, mut cursors) = bench.open();
    file.open = |_, _| Err(io::ErrorKind::InvalidInput.into());
    assert!(matches!(file.recover(&mut cursors), Err(LogError::NotAFile { .. })));
    assert!(matches!(file.prepare(&mut cursors), Err(LogError::NotAFile { .. })));
}
