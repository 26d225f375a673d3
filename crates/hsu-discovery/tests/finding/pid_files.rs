//! PID files: the rows 71 to 75 of the catalogue of bad input.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use hsu_discovery::Kin;
use hsu_model::discovery::Search;

use super::{by, found, look, look_with, sleep};

fn file(path: &Path) -> hsu_model::discovery::Discovery {
    by(&[Search::PidFile(path.to_str().unwrap().to_owned())])
}

/// What is said of a file that leads to nobody.
fn refused(path: &Path) -> String {
    let sighting = look(&file(path));
    assert!(found(&sighting).is_empty(), "{sighting:?}");
    sighting.note
}

fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn a_file_that_holds_one_pid_leads_to_its_process_and_anything_else_to_nobody() {
    // Row 71.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pid");
    let process = sleep(75001);
    for text in [format!("{}", process.pid()), format!("{}\n", process.pid())] {
        write(&path, text.as_bytes());
        assert_eq!(found(&look(&file(&path))), [process.pid()].into(), "{text:?}");
    }
    for content in [
        &b""[..],
        b" \n",
        b"0",
        b"1",
        b"-1",
        b"abc",
        b"12 34",
        b"99999999999999999999",
        b"0x10",
        b"12\0",
        b"12\r\n",
        b"12\n34\n",
    ] {
        write(&path, content);
        assert!(refused(&path).contains("does not hold one decimal PID"), "{content:?}");
    }
    // One of a gigabyte is not read.
    File::create(&path).unwrap().set_len(1 << 30).unwrap();
    assert!(refused(&path).contains("does not hold one decimal PID"));
    fs::remove_file(&path).unwrap();
    assert!(refused(&path).contains("there is no "));
}

#[test]
fn the_pid_of_our_own_of_the_kernel_or_of_nobody_is_refused() {
    // Row 72.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pid");
    let child = sleep(75002);
    // Everything below this process is our own here.
    for pid in [std::process::id(), child.pid()] {
        write(&path, pid.to_string().as_bytes());
        let sighting = look_with(Kin::new(0), &file(&path));
        assert!(found(&sighting).is_empty());
        assert_eq!(sighting.note, format!("PID {pid} is one of our own processes"));
    }
    // A thread of the kernel, and a PID that nobody has.
    for pid in ["2", "4194303"] {
        write(&path, pid.as_bytes());
        refused(&path);
    }
}

#[test]
fn a_file_that_is_no_plain_file_is_refused_without_waiting_and_without_its_content() {
    // Row 73.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pid");
    let secret = folder.path().join("secret");
    write(&secret, b"hunter2");
    symlink(&secret, &path).unwrap();
    let note = refused(&path);
    assert!(note.contains("is not a regular file") && !note.contains("hunter2"), "{note}");
    fs::remove_file(&path).unwrap();
    fs::hard_link(&secret, &path).unwrap();
    assert!(!refused(&path).contains("hunter2"));
    fs::remove_file(&path).unwrap();
    symlink("/nowhere", &path).unwrap();
    refused(&path);
    fs::remove_file(&path).unwrap();
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert!(refused(&path).contains("is not a regular file"));
    assert!(refused(folder.path()).contains("is not a regular file"));
    assert!(refused(Path::new("/dev/null")).contains("is not a regular file"));
    assert!(CString::new("a\0b").is_err(), "no path has a zero byte");
}

#[test]
fn a_file_that_others_may_have_written_is_refused() {
    // Row 74.
    let folder = tempfile::tempdir().unwrap();
    let process = sleep(75003);
    let path = folder.path().join("x.pid");
    write(&path, process.pid().to_string().as_bytes());
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    assert!(refused(&path).contains("can be written by others"));
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let open = format!("{} can be written by everybody", folder.path().display());
    assert!(refused(&path).contains(&open));
    // With the sticky bit nobody may replace it.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(found(&look(&file(&path))), [process.pid()].into());
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    if hsu_sys::users::effective() == 0 {
        chown(&path, Some(65_534), None).unwrap();
        assert!(refused(&path).contains("belongs to user 65534 and names PID"));
    }
}

#[test]
fn a_file_that_is_older_than_the_process_names_another_one() {
    // Row 75.
    let folder = tempfile::tempdir().unwrap();
    let process = sleep(75004);
    let path = folder.path().join("x.pid");
    write(&path, process.pid().to_string().as_bytes());
    let before = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    assert!(refused(&path).contains("is older than the process"));
}

#[test]
fn a_child_is_found_by_the_pid_file_of_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let child = sleep(75005);
    let path = folder.path().join("x.pid");
    write(&path, std::process::id().to_string().as_bytes());
    let parent = Search::ParentPidFile(path.to_str().unwrap().to_owned());
    let what = by(&[parent, super::name("sleep", &["75005"])]);
    assert_eq!(found(&look(&what)), [child.pid()].into());
}
