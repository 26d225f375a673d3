//! Tests of small files.

use proptest::prelude::*;

use super::*;

#[test]
fn only_one_decimal_number_greater_than_one_is_a_pid() {
    // Rows of the catalogue of bad inputs.
    for (row, bad) in [
        (71, ""),
        (71, " "),
        (71, "0"),
        (72, "1"),
        (71, "-1"),
        (71, "abc"),
        (71, "12 34"),
        (71, "99999999999999999999"),
        (71, "0x10"),
        (71, "12\0"),
        (71, "12\r\n"),
        (71, "\n12"),
        (71, "12\n\n"),
        (71, "+12"),
        (71, "2147483648"),
        (71, "4294967295"),
        (71, "\u{0661}\u{0662}"),
    ] {
        assert_eq!(parse_pid(bad.as_bytes()), None, "row {row}: {bad:?}");
    }
    assert_eq!(parse_pid(b"12"), Some(12));
    assert_eq!(parse_pid(b"12\n"), Some(12));
    assert_eq!(parse_pid(b"2147483647"), Some(2_147_483_647));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_of_pids_panic(bytes: Vec<u8>) {
        parse_pid(&bytes);
    }

    #[test]
    fn every_pid_is_read_back_as_it_was_written(pid in 2..=i32::MAX.unsigned_abs()) {
        prop_assert_eq!(parse_pid(format!("{pid}\n").as_bytes()), Some(pid));
    }
}

#[test]
fn a_written_pid_file_is_read_back_and_replaced_as_a_whole() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("deep/er/web.pid");
    write_pid_file(&path, 41).unwrap();
    write_pid_file(&path, 42).unwrap();
    assert_eq!(read_pid_file(&path).unwrap(), 42);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    remove_pid_file(&path).unwrap();
    remove_pid_file(&path).unwrap();
    assert!(matches!(read_pid_file(&path), Err(PidFileError::Io(_))));
}

#[test]
fn a_synced_file_is_replaced_and_its_draft_of_an_earlier_life_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a");
    fs::write(root.path().join("a.draft"), "torn").unwrap();
    replace(&path, b"whole", 0o600, Persistence::Synced).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"whole");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_cannot_be_replaced_stays_and_leaves_no_draft() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "").unwrap();
    assert!(replace(&path, b"x", 0o600, Persistence::Volatile).is_err());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_private_folder_is_made_once_and_taken_again() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/b/state");
    private_folder(&path).unwrap();
    private_folder(&path).unwrap();
    assert!(path.is_dir());
    fs::write(root.path().join("file"), "").unwrap();
    assert!(private_folder(&root.path().join("file")).is_err());
}

#[cfg(unix)]
mod on_unix {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_link_a_pipe_a_folder_and_a_device_are_no_pid_files() {
        let root = tempfile::tempdir().unwrap();
        let [secret, link, dangling, pipe] =
            ["secret", "link", "dangling", "pipe"].map(|name| root.path().join(name));
        fs::write(&secret, "42\n").unwrap();
        symlink(&secret, &link).unwrap();
        symlink(root.path().join("none"), &dangling).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [&link, &dangling, &pipe, root.path(), Path::new("/dev/zero")] {
            let refused = read_pid_file(path);
            assert!(matches!(refused, Err(PidFileError::NotAFile)), "{path:?}: {refused:?}");
        }
    }

    #[test]
    fn a_huge_file_is_refused_without_being_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("huge");
        fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
        assert!(matches!(read_pid_file(&path), Err(PidFileError::Malformed)));
    }

    #[test]
    fn a_file_that_others_own_or_write_is_not_believed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("web.pid");
        write_pid_file(&path, 42).unwrap();
        set_mode(&path, 0o666);
        assert!(matches!(read_pid_file(&path), Err(PidFileError::Writable)));
        set_mode(&path, 0o644);
        // Only root can give a file away.
        if chown(&path, Some(12_345), None).is_ok() {
            let refused = read_pid_file(&path);
            assert!(matches!(refused, Err(PidFileError::Foreign { uid: 12_345 })), "{refused:?}");
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_pid_file_is_replaced_and_its_target_untouched() {
        let root = tempfile::tempdir().unwrap();
        let [secret, path, draft] =
            ["secret", "web.pid", "web.pid.draft"].map(|name| root.path().join(name));
        fs::write(&secret, "secret").unwrap();
        symlink(&secret, &path).unwrap();
        symlink(&secret, &draft).unwrap();
        write_pid_file(&path, 42).unwrap();
        assert_eq!(fs::read(&secret).unwrap(), b"secret");
        assert_eq!(read_pid_file(&path).unwrap(), 42);
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn whoever_may_write_a_file_is_known_when_it_is_opened_and_a_pipe_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let [path, link, pipe] = ["file", "link", "pipe"].map(|name| root.path().join(name));
        fs::write(&path, "text").unwrap();
        set_mode(&path, 0o602);
        symlink(&path, &link).unwrap();
        let (_, ownership) = open_with_ownership(&link).unwrap();
        let ownership = ownership.unwrap();
        assert_eq!(ownership.mode & 0o777, 0o602);
        assert_eq!(ownership.owner, ownership.reader);
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(open_with_ownership(&pipe).unwrap().1.is_some());
    }

    #[test]
    fn a_private_folder_is_for_us_and_our_group_only() {
        let root = tempfile::tempdir().unwrap();
        let (path, link) = (root.path().join("state"), root.path().join("link"));
        private_folder(&path).unwrap();
        assert_eq!(mode(&path) & 0o027, 0);
        symlink(&path, &link).unwrap();
        let refused = private_folder(&link).unwrap_err();
        assert!(refused.to_string().ends_with("it is a link"), "{refused}");
        set_mode(&path, 0o777);
        let refused = private_folder(&path).unwrap_err();
        assert!(refused.to_string().contains("everybody may write it"), "{refused}");
        set_mode(&path, 0o750);
        if chown(&path, Some(12_345), None).is_ok() {
            let refused = private_folder(&path).unwrap_err();
            assert!(refused.to_string().contains("belongs to user 12345 (hint: "), "{refused}");
        }
    }
}

#[cfg(unix)]
#[test]
fn only_a_plain_file_with_one_name_is_opened_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("log"), folder.path().join("other"));
    assert_eq!(open_own(&path, false).unwrap_err().kind(), io::ErrorKind::NotFound);
    open_own(&path, true).unwrap();
    open_own(&path, false).unwrap();
    fs::remove_file(&path).unwrap();
    let symlink = |from: &Path, to: &Path| std::os::unix::fs::symlink(from, to);
    let hard_link = |from: &Path, to: &Path| fs::hard_link(from, to);
    for link in [&symlink as &dyn Fn(&Path, &Path) -> io::Result<()>, &hard_link] {
        fs::write(&other, "of somebody else").unwrap();
        link(&other, &path).unwrap();
        for make in [false, true] {
            let refused = open_own(&path, make).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "of somebody else");
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(open_own(folder.path(), false).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[cfg(unix)]
#[test]
fn of_somebody_else_only_a_plain_file_is_read_and_known_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("log"), folder.path().join("link"));
    fs::write(&path, "one").unwrap();
    let id = file_id(&open_plain(&path).unwrap()).unwrap();
    assert_eq!(file_id_at(&path).unwrap(), id);
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_ne!(file_id_at(&link).unwrap(), id, "a link is a file of its own");
    for refused in [&link, folder.path()] {
        let error = open_plain(refused).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    fs::rename(&path, folder.path().join("other")).unwrap();
    assert_eq!(file_id_at(&folder.path().join("other")).unwrap(), id);
    assert_eq!(open_plain(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
}
