//! Tests of the bytes of folders.

use super::*;

#[test]
fn a_folder_takes_what_its_files_take_each_once() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(folder_bytes(folder.path()), Some(0));
    let deep = folder.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("one"), [1; 8192]).unwrap();
    let before = folder_bytes(folder.path()).unwrap();
    assert!(before >= 8192, "{before}");
    fs::hard_link(deep.join("one"), folder.path().join("same")).unwrap();
    assert_eq!(folder_bytes(folder.path()), Some(before), "two names of one file");
    assert_eq!(folder_bytes(&folder.path().join("none")), None);
}

#[cfg(unix)]
#[test]
fn a_link_to_elsewhere_is_not_followed_and_a_hole_takes_nothing() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(other.path().join("large"), [1; 1 << 16]).unwrap();
    std::os::unix::fs::symlink(other.path(), folder.path().join("elsewhere")).unwrap();
    fs::File::create(folder.path().join("hole")).unwrap().set_len(1 << 30).unwrap();
    assert!(folder_bytes(folder.path()).unwrap() < 1 << 16);
}

#[test]
fn the_files_of_a_log_are_those_that_begin_like_it() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["web-stdout.log", "web-stdout.1.log.zst", "web-stdout2.log", "other.log"] {
        fs::write(folder.path().join(name), [1; 4096]).unwrap();
    }
    let file = folder.path().join("web-stdout.log");
    let one = fs::metadata(&file).map(|about| taken(&about)).unwrap();
    assert_eq!(log_bytes(&file), Some(2 * one));
}

#[test]
fn what_was_not_looked_at_yet_is_not_known() {
    let storage = Storage::default();
    let paths = ["/nowhere/at/all".to_owned()];
    assert_eq!(storage.bytes(LimitKind::Directory, &paths), None);
    assert_eq!(storage.bytes(LimitKind::Directory, &[]), Some(0));
}
