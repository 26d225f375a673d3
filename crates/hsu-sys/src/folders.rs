//! Folders: one sleep until something changes in any of them.
//!
//! A hint and not a promise: network file systems tell nothing, a queue may run over, and
//! elsewhere than on Linux nobody tells. Whoever waits looks again after a time.

use std::ffi::OsString;

#[cfg(not(target_os = "linux"))]
#[path = "folders/elsewhere.rs"]
mod os;
#[cfg(target_os = "linux")]
#[path = "folders/linux.rs"]
mod os;

pub use os::FolderWatch;

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What may have changed is not known: look at everything.
    pub all: bool,
    /// The number of the folder, and the name in it.
    pub names: Vec<(i32, OsString)>,
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(20));

    #[test]
    fn what_is_written_made_renamed_or_gone_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let watch = FolderWatch::new().unwrap();
        let number = watch.watch(folder.path()).unwrap();
        let mut file = fs::File::create(folder.path().join("one")).unwrap();
        file.write_all(b"x").unwrap();
        fs::rename(folder.path().join("one"), folder.path().join("two")).unwrap();
        fs::remove_file(folder.path().join("two")).unwrap();
        let mut changes = Changes::default();
        while !changes.names.iter().any(|(_, name)| name == "two") {
            watch.wait(LONG, &mut changes).unwrap();
        }
        assert!(changes.names.iter().all(|(found, _)| *found == number));
        assert!(changes.names.iter().any(|(_, name)| name == "one"));
    }

    #[test]
    fn more_changes_than_the_kernel_keeps_are_told_as_changes_of_everything() {
        let folder = tempfile::tempdir().unwrap();
        let watch = FolderWatch::new().unwrap();
        watch.watch(folder.path()).unwrap();
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let most: usize = most.trim().parse().unwrap();
        let mut files = ["one", "two"].map(|n| fs::File::create(folder.path().join(n)).unwrap());
        // Two in turn: a change that is the same as the one before is kept once.
        for _ in 0..=most / 2 {
            files.iter_mut().for_each(|file| file.write_all(b"x").unwrap());
        }
        let mut changes = Changes::default();
        watch.wait(LONG, &mut changes).unwrap();
        assert!(changes.all);
        assert!(changes.names.len() <= most);
    }

    #[test]
    fn a_poke_ends_the_sleep_and_a_folder_that_is_not_there_is_refused() {
        let watch = FolderWatch::new().unwrap();
        watch.poke();
        let mut changes = Changes::default();
        watch.wait(None, &mut changes).unwrap();
        assert_eq!(changes, Changes::default());
        assert!(watch.watch(std::path::Path::new("/no/such/folder")).is_err());
    }
}
