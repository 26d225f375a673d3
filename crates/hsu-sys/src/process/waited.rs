//! Children that somebody of ours waits for, so that nobody else reaps them.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held while a child is started, so that it is on the list before anybody can notice
/// its end.
static WAITED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A child that is reaped by its owner.
#[derive(Debug)]
pub(crate) struct Waited {
    pub(crate) child: Child,
}

impl Waited {
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let started = {
            let mut waited = WAITED.lock().unwrap_or_else(PoisonError::into_inner);
            command.spawn().inspect(|child| {
                waited.insert(child.id());
            })
        };
        // Those that ended meanwhile were left alone.
        super::reap_children();
        started.map(|child| Self { child })
    }
}

impl Drop for Waited {
    /// Nothing of it is left behind, whatever has become of its owner.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        WAITED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.child.id());
        super::reap_children();
    }
}

/// The children that are waited for; none while one is being started.
pub(super) fn present() -> Option<MutexGuard<'static, BTreeSet<u32>>> {
    WAITED.try_lock().ok()
}
