//! Slowing: a worker that no limit of the kernel can slow down is held still for four
//! fifths of the time, by the freezer where there is one, else by signals.
//!
//! One thread serves every worker that is slowed down; it lives while there is one. It
//! lets everything go on when it ends, whatever becomes of the master's order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hsu_model::id::WorkerId;
use hsu_model::limits::LimitKind;
use hsu_model::process::ProcessKey;

use super::Group;
use super::look::children;
use super::places::{Controller, Version, write};
use crate::process::{ProcessHandle, identify};

const STILL: Duration = Duration::from_millis(80);
const FREE: Duration = Duration::from_millis(20);
const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;

/// The workers that are slowed down.
#[derive(Debug, Default)]
pub(super) struct Slowing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    workers: BTreeMap<WorkerId, Target>,
    is_over: bool,
}

/// How one worker is held still.
#[derive(Clone, Debug)]
enum Target {
    Freezer(Version, PathBuf),
    Signals(ProcessKey),
}

impl Slowing {
    /// Begins to hold a worker still most of the time; by what.
    pub(super) fn begin(
        &mut self,
        worker: &WorkerId,
        group: &Group,
        process: ProcessKey,
        kind: LimitKind,
    ) -> Result<String, String> {
        if matches!(kind, LimitKind::Virtual | LimitKind::CpuTime) && !cfg!(target_os = "linux") {
            return Err("nothing slows a worker down on this platform".to_owned());
        }
        let (target, how) = match group.folders.get(&Controller::Freezer) {
            Some((version, folder)) => {
                let how = format!("the freezer ({}), four fifths of the time", version.as_str());
                (Target::Freezer(*version, folder.clone()), how)
            }
            None => (
                Target::Signals(process),
                "SIGSTOP and SIGCONT, four fifths of the time".to_owned(),
            ),
        };
        self.lock().workers.insert(worker.clone(), target);
        if self.thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new()
                .name("hsu-slowing".to_owned())
                .stack_size(128 * 1024)
                .spawn(move || run(&shared))
                .map_err(|error| format!("no thread that slows it down: {error}"))?;
            self.thread = Some(thread);
        }
        self.shared.changed.notify_all();
        Ok(how)
    }

    /// Lets a worker go on, before this returns.
    pub(super) fn release(&mut self, worker: &WorkerId) {
        let target = self.lock().workers.remove(worker);
        if let Some(target) = target {
            target.go_on();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slowing {
    fn drop(&mut self) {
        self.lock().is_over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(shared: &Shared) {
    let lock = || shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    let mut state = lock();
    loop {
        while state.workers.is_empty() && !state.is_over {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // The lock is held while somebody changes, so that a release finds it settled.
        state.workers.values().for_each(Target::stand_still);
        state = rest(shared, state, STILL);
        state.workers.values().for_each(Target::go_on);
        if state.is_over {
            return;
        }
        state = rest(shared, state, FREE);
    }
}

fn rest<'s>(
    shared: &'s Shared,
    state: std::sync::MutexGuard<'s, State>,
    span: Duration,
) -> std::sync::MutexGuard<'s, State> {
    if state.is_over {
        return state;
    }
    let waited = shared.changed.wait_timeout(state, span);
    waited.unwrap_or_else(PoisonError::into_inner).0
}

impl Target {
    fn stand_still(&self) {
        match self {
            Self::Freezer(version, folder) => drop(freeze(*version, folder, true)),
            Self::Signals(process) => signal_all(*process, SIGSTOP),
        }
    }

    fn go_on(&self) {
        match self {
            Self::Freezer(version, folder) => drop(freeze(*version, folder, false)),
            Self::Signals(process) => signal_all(*process, SIGCONT),
        }
    }
}

fn freeze(version: Version, folder: &std::path::Path, still: bool) -> std::io::Result<()> {
    match version {
        Version::One => {
            write(&folder.join("freezer.state"), if still { "FROZEN" } else { "THAWED" })
        }
        Version::Two => write(&folder.join("cgroup.freeze"), u8::from(still)),
    }
}

/// Lets whatever an earlier master froze go on.
pub(super) fn thaw(group: &Group) {
    if let Some((version, folder)) = group.folders.get(&Controller::Freezer) {
        drop(freeze(*version, folder, false));
    }
}

/// Signals a process and what descends from it, each by a hold on it.
fn signal_all(process: ProcessKey, signal: i32) {
    let mut next = vec![process];
    while let Some(one) = next.pop() {
        let Ok(hold) = ProcessHandle::open(one) else { continue };
        // One that has ended needs no signal.
        drop(hold.signal(signal));
        next.extend(children(one.pid).into_iter().filter_map(|pid| identify(pid).ok()));
    }
}
