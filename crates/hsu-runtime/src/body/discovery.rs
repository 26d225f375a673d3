//! Discovery: processes that somebody else started, looked for, held and watched.
//!
//! Two threads, started with the first worker of the kind: one looks for processes, one
//! sleeps until one that is held ends. Both tell the loop, which decides nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use hsu_core::effect::{Scope, ServiceVerb};
use hsu_core::input::Input;
use hsu_discovery::Searching;
use hsu_discovery::hold::{HoldError, hold};
use hsu_model::discovery::ProgramId;
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::time::{Now, Tick, WallTime};
use hsu_model::worker::Unit;
use hsu_sys::census;
use hsu_sys::exits::ExitWatch;
use hsu_sys::process::ProcessHandle;
use tracing::{error, info, warn};

use super::Body;
use crate::chores::Chore;
use crate::request::{Request, Requests};
use crate::steward::{self, Question};

/// Processes that somebody else started.
#[derive(Debug, Default)]
pub(crate) struct Discovering {
    hands: Option<Hands>,
    held: BTreeMap<RunId, Held>,
    /// The workers that are looked for.
    looked_for: BTreeSet<WorkerId>,
    keeper: u32,
}

/// A process that is held.
#[derive(Debug)]
struct Held {
    worker: WorkerId,
    process: ProcessKey,
    handle: Arc<ProcessHandle>,
}

/// The threads.
#[derive(Debug)]
struct Hands {
    searching: Searching,
    exits: Exits,
}

/// The thread that sleeps until a process ends.
#[derive(Debug)]
struct Exits {
    watch: Arc<ExitWatch>,
    handles: Arc<Handles>,
    thread: Option<JoinHandle<()>>,
}

/// What is asked how it ended; the lock is held for a look into the map only.
type Handles = Mutex<BTreeMap<u64, Arc<ProcessHandle>>>;

impl Exits {
    fn start(requests: Requests) -> std::io::Result<Self> {
        let watch = Arc::new(ExitWatch::new()?);
        let handles = Arc::new(Handles::default());
        let (theirs, known) = (Arc::clone(&watch), Arc::clone(&handles));
        let thread = std::thread::Builder::new()
            .name("hsu-exits".to_owned())
            .stack_size(128 << 10)
            .spawn(move || wait(&theirs, &known, &requests))?;
        Ok(Self { watch, handles, thread: Some(thread) })
    }

    fn add(&self, run: RunId, handle: &Arc<ProcessHandle>) -> std::io::Result<()> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.insert(run.0, Arc::clone(handle));
        drop(handles);
        self.watch.add(handle, run.0)
    }

    fn remove(&self, run: RunId, handle: &ProcessHandle) {
        self.watch.remove(handle);
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).remove(&run.0);
    }
}

impl Drop for Exits {
    fn drop(&mut self) {
        self.watch.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that waits for the ends of processes had crashed");
        }
    }
}

fn wait(watch: &ExitWatch, handles: &Handles, requests: &Requests) {
    let mut ended = Vec::new();
    loop {
        match watch.wait(&mut ended) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return error!(%error, "ends of attached processes are not noticed"),
        }
        for run in ended.drain(..) {
            let known = handles.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
            let Some(handle) = known else { continue };
            let unknown = Exit::Unknown(UnknownExit::NotOurChild);
            let exit = handle.exit_status().unwrap_or(unknown);
            requests.insist(Request::Gone { run: RunId(run), exit });
        }
    }
}

impl Discovering {
    /// Everything below this keeper is ours, and never found.
    pub(super) fn set_keeper(&mut self, pid: u32) {
        self.keeper = pid;
        if let Some(hands) = &self.hands {
            hands.searching.set_keeper(pid);
        }
    }

    /// Whether this run is a process that somebody else started.
    pub(super) fn holds(&self, run: RunId) -> bool {
        self.held.contains_key(&run)
    }

    /// The workers that are looked for.
    pub(super) fn looked_for(&self) -> Vec<WorkerId> {
        self.looked_for.iter().cloned().collect()
    }

    /// The process of a run that is held.
    pub(super) fn process(&self, run: RunId) -> Option<ProcessKey> {
        self.held.get(&run).map(|held| held.process)
    }

    /// Lets go of a process; the worker that it was of.
    fn release(&mut self, run: RunId) -> Option<WorkerId> {
        let held = self.held.remove(&run)?;
        if let Some(hands) = &self.hands {
            hands.exits.remove(run, &held.handle);
            hands.searching.released(held.worker.clone(), held.process);
        }
        Some(held.worker)
    }

    fn hands(&mut self, requests: &Requests) -> std::io::Result<&Hands> {
        if self.hands.is_none() {
            let told = requests.clone();
            let searching =
                Searching::start(move |told_of| told.insist(Request::Sighted(told_of)))?;
            searching.set_keeper(self.keeper);
            let exits = Exits::start(requests.clone())?;
            self.hands = Some(Hands { searching, exits });
        }
        self.hands.as_ref().ok_or_else(|| std::io::ErrorKind::Unsupported.into())
    }
}

impl Body {
    /// Lets go of a process that somebody else started.
    pub(super) fn release_attached(&mut self, run: RunId) {
        if let Some(worker) = self.discovery.release(run) {
            self.let_out(worker, run);
        }
    }

    /// Looks for the process of a worker, or not any more.
    pub(super) fn search(&mut self, worker: WorkerId, wanted: bool) {
        let spec = self.fleet.spec(&worker).filter(|_| wanted);
        let what = spec.and_then(|spec| match &spec.unit {
            Unit::Unmanaged(unmanaged) => Some(unmanaged.discovery.clone()),
            Unit::Managed(_) | Unit::Departed(_) | _ => None,
        });
        let again = match wanted {
            true => !self.discovery.looked_for.insert(worker.clone()),
            false => !self.discovery.looked_for.remove(&worker),
        };
        if again && !wanted {
            return;
        }
        if !again {
            self.follow_files(&worker, wanted);
        }
        match (what, self.discovery.hands(&self.told)) {
            (Some(_), Ok(hands)) if again => hands.searching.look_now(worker),
            (Some(what), Ok(hands)) => hands.searching.look_for(worker, what),
            (None, Ok(hands)) => hands.searching.forget(worker),
            (_, Err(error)) => error!(%worker, %error, "its process cannot be looked for"),
        }
    }

    /// Takes hold of a process that somebody else started.
    pub(super) fn attach(
        &mut self,
        now: Now,
        worker: WorkerId,
        run: RunId,
        process: ProcessKey,
        program: ProgramId,
    ) {
        let held = hold(process, program).and_then(|handle| {
            let handle = Arc::new(handle);
            let pid = process.pid;
            let refused =
                |error: std::io::Error| HoldError::Refused { pid, reason: error.to_string() };
            let hands = self.discovery.hands(&self.told).map_err(refused)?;
            hands.exits.add(run, &handle).map_err(refused)?;
            hands.searching.attached(worker.clone(), process);
            Ok(handle)
        });
        self.inputs.push_back(match held {
            Ok(handle) => {
                self.attribute_lines(&worker, run);
                self.enclose(&worker, run, process);
                self.discovery.held.insert(run, Held { worker, process, handle });
                Input::Attached { run, started: start_of(process, now) }
            }
            Err(HoldError::Gone) => Input::AttachFailed { run, error: None },
            Err(error) => Input::AttachFailed { run, error: Some(error.to_string()) },
        });
    }

    /// Sends a signal to exactly the process that is held.
    pub(super) fn signal_attached(&self, run: RunId, signal: i32, scope: Scope) {
        let Some(held) = self.discovery.held.get(&run) else { return };
        match scope {
            Scope::Tree => {
                let (process, handle) = (held.process, Arc::clone(&held.handle));
                self.chores.add(Chore::KillFamily { process, handle });
            }
            Scope::Process => {
                // It may have ended by the signal before.
                if let Err(error) = held.handle.signal(signal)
                    && !held.handle.has_exited()
                {
                    warn!(worker = %held.worker, %run, signal, %error, "a signal was not taken");
                }
            }
        }
    }

    /// A process that is held has ended.
    pub(super) fn on_gone(&mut self, now: Now, run: RunId, exit: Exit) {
        let Some(held) = self.discovery.held.get(&run) else { return };
        let worker = held.worker.clone();
        self.before_exit(now, &worker, run, exit);
        self.step(now, Input::Exited { worker, run, exit, at: now.tick, wall: now.wall });
    }

    /// Asks whoever manages the process of a worker.
    pub(super) fn ask_manager(&mut self, worker: WorkerId, verb: ServiceVerb) {
        let spec = self.fleet.spec(&worker);
        let rights = spec.and_then(|spec| match &spec.unit {
            Unit::Unmanaged(unmanaged) => Some(unmanaged.rights.clone()),
            Unit::Managed(_) | Unit::Departed(_) | _ => None,
        });
        let pid = self.fleet.status(&worker).and_then(|status| status.process).map(|key| key.pid);
        let asked = match rights {
            Some(rights) => {
                info!(%worker, ?verb, "whoever starts it is asked");
                let question = Question { worker: worker.clone(), verb, rights, pid };
                steward::put(question, self.told.clone()).map_err(|error| error.to_string())
            }
            None => Err("it is not configured any more".to_owned()),
        };
        if let Err(error) = asked {
            self.inputs.push_back(Input::Serviced { worker, error: Some(error) });
        }
    }
}

/// When a process started, on both clocks.
fn start_of(process: ProcessKey, now: Now) -> (Tick, WallTime) {
    let age = census::uptime().saturating_sub(census::started_after(process));
    let nanoseconds = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
    let tick = Tick(now.tick.0.saturating_sub(nanoseconds));
    let wall = WallTime(now.wall.0.saturating_sub(i64::try_from(nanoseconds).unwrap_or(i64::MAX)));
    (tick, wall)
}
