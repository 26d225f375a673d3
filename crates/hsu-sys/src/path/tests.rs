//! Tests of the search for programs.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A folder with a program `run`, a text `text` and a folder `folder`.
fn folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, mode) in [("run", 0o755), ("text", 0o644)] {
        let path = root.path().join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(root.path().join("folder")).unwrap();
    root
}

fn find(program: &str, search: Option<&Path>, current: &Path) -> Result<PathBuf, LookupError> {
    find_program(Path::new(program), search.map(Path::as_os_str), current)
}

#[test]
fn a_bare_name_comes_from_path_and_any_other_from_the_current_folder() {
    let root = folder();
    let here = root.path();
    assert_eq!(find("run", Some(here), Path::new("/")).unwrap(), here.join("run"));
    assert_eq!(find("./run", None, here).unwrap(), here.join("./run"));
    let absolute = here.join("run");
    assert_eq!(find(absolute.to_str().unwrap(), None, Path::new("/")).unwrap(), absolute);
    // A bare name is never taken from the current folder by itself.
    assert!(matches!(find("run", None, here), Err(LookupError::NotInPath { .. })));
    assert!(matches!(find("run/", Some(here), here), Err(LookupError::Missing { .. })));
}

#[test]
fn without_path_the_usual_folders_are_searched() {
    assert_eq!(find("sh", None, Path::new("/")).unwrap().file_name().unwrap(), "sh");
}

#[test]
fn each_reason_has_its_own_error() {
    let root = folder();
    let here = root.path();
    let pipe = here.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(matches!(find("./none", None, here), Err(LookupError::Missing { .. })));
    assert!(matches!(find("./run/below", None, here), Err(LookupError::Missing { .. })));
    assert!(matches!(find("./folder", None, here), Err(LookupError::Folder { .. })));
    assert!(matches!(find("./pipe", None, here), Err(LookupError::NotAFile { .. })));
    assert!(matches!(find("./text", None, here), Err(LookupError::NotExecutable { .. })));
    assert!(matches!(find("text", Some(here), here), Err(LookupError::NotExecutable { .. })));
    assert!(matches!(find("none", Some(here), here), Err(LookupError::NotInPath { .. })));
    assert!(matches!(find("", Some(here), here), Err(LookupError::NotInPath { .. })));
    assert!(matches!(find("a\0/b", None, here), Err(LookupError::Io { .. })));
}

#[test]
fn a_later_folder_wins_over_an_earlier_one_without_permission() {
    let (first, second) = (folder(), folder());
    fs::rename(second.path().join("run"), second.path().join("text")).unwrap();
    let both = std::env::join_paths([first.path(), second.path()]).unwrap();
    let found = find_program(Path::new("text"), Some(&both), Path::new("/"));
    assert_eq!(found.unwrap(), second.path().join("text"));
}

#[test]
fn a_text_becomes_a_program_for_whoever_may_read_it() {
    let root = folder();
    let text = root.path().join("text");
    fs::set_permissions(&text, fs::Permissions::from_mode(0o640)).unwrap();
    make_executable(&text).unwrap();
    assert_eq!(fs::metadata(&text).unwrap().permissions().mode() & 0o777, 0o750);
    assert!(find("./text", None, root.path()).is_ok());
}
