//! Presence: whether a file is still at its path, without looking again and again.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

#[cfg(target_os = "linux")]
#[path = "presence/linux.rs"]
mod os;
#[cfg(not(target_os = "linux"))]
#[path = "presence/elsewhere.rs"]
mod os;

/// A look at a file, for an async runtime. It wakes nobody while nothing happens; where the
/// kernel gives no watch, it does at every interval.
#[derive(Debug)]
pub struct Presence(How);

#[derive(Debug)]
enum How {
    Watched(os::Watch),
    Looked(Interval),
}

impl Presence {
    /// Watches the file that is at a path now, and the folder that it is in; without a watch
    /// it is to be looked at as often as this.
    ///
    /// Call it inside an async runtime.
    #[must_use]
    pub fn of(path: &Path, every: Duration) -> Self {
        let looked = |_| {
            let mut looks = tokio::time::interval(every);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first is over at once.
            looks.reset();
            How::Looked(looks)
        };
        Self(os::Watch::of(path).map_or_else(looked, How::Watched))
    }

    /// Waits until the file may be gone: it, or its folder, was deleted, moved or changed. Whoever
    /// hears of it looks, and watches anew.
    pub async fn may_be_gone(&mut self) {
        match &mut self.0 {
            How::Watched(watch) => watch.changed().await,
            How::Looked(looks) => drop(looks.tick().await),
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// Whether a change of the folder is told; an hour between looks means never.
    async fn is_told(change: impl FnOnce(&Path)) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let path = inner.join("control.sock");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut presence = Presence::of(&path, Duration::from_secs(3600));
        change(&path);
        // The kernel queues an event before the call that makes it returns.
        tokio::select! {
            biased;
            () = presence.may_be_gone() => true,
            () = tokio::time::sleep(Duration::from_millis(1)) => false,
        }
    }

    fn inside(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work);
    }

    #[test]
    fn a_socket_that_goes_is_told_and_others_beside_it_are_not() {
        inside(async {
            assert!(is_told(|path| std::fs::remove_file(path).unwrap()).await);
            assert!(
                is_told(|path| std::fs::rename(path, path.with_extension("old")).unwrap()).await
            );
            assert!(is_told(|path| std::fs::remove_dir_all(path.parent().unwrap()).unwrap()).await);
            let move_folder = |path: &Path| {
                let folder = path.parent().unwrap();
                std::fs::rename(folder, folder.with_extension("old")).unwrap();
            };
            assert!(is_told(move_folder).await);
            let other = |path: &Path| {
                std::fs::write(path.with_extension("pid"), "1").unwrap();
                std::fs::remove_file(path.with_extension("pid")).unwrap();
            };
            assert!(!is_told(other).await);
        });
    }

    #[test]
    fn what_was_never_there_is_looked_for() {
        inside(async {
            let mut presence = Presence::of(Path::new("/nowhere/at/all"), Duration::from_millis(1));
            presence.may_be_gone().await;
        });
    }
}
