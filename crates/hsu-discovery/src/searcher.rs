//! The searcher: one pass over the processes of the host for all workers.
//!
//! A process is looked at closely once, and again only when it runs another program, or
//! what a strategy goes by has changed: a PID file, a socket. While no process was
//! started since the last pass, there is no pass at all.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::Duration;

use hsu_model::discovery::{Discovery, Sighting};
use hsu_model::id::WorkerId;
use hsu_model::process::ProcessKey;
use hsu_sys::census::{self, Face};

use crate::kin::Kin;
use crate::query::{Query, Scope};
use crate::strategy::{InvalidPattern, Scene};

/// Until this age a process is looked at closely in each pass: between its start and the
/// start of its program it looks like its parent, and then it has the name of its program
/// for a moment before it has its command line.
// Source: linux fs/exec.c, begin_new_exec; fs/binfmt_elf.c, load_elf_binary.
const YOUNG: Duration = Duration::from_secs(5);
/// After so many quiet passes everybody is looked at again: a program may have started
/// another one in its own place long after its start.
const QUIET_PASSES: u32 = 10;

/// Looks for the processes of all workers.
#[derive(Debug)]
pub struct Searcher {
    kin: Kin,
    queries: BTreeMap<WorkerId, Query>,
    known: HashMap<u32, Known>,
    /// The PID that the kernel had given last when everybody was looked at.
    latest: Option<u64>,
    quiet: u32,
    young: bool,
    pids: Vec<u32>,
    round: u32,
}

#[derive(Debug)]
struct Known {
    face: Face,
    round: u32,
}

impl Searcher {
    /// A searcher for no worker yet; `kin` is what it never finds.
    #[must_use]
    pub fn new(kin: Kin) -> Self {
        Self {
            kin,
            queries: BTreeMap::new(),
            known: HashMap::new(),
            latest: None,
            quiet: 0,
            young: false,
            pids: Vec::new(),
            round: 0,
        }
    }

    /// Processes below another keeper are ours from now on.
    pub fn set_kin(&mut self, kin: Kin) {
        self.kin = kin;
    }

    /// Looks for a worker's process from the next pass on.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn look_for(&mut self, worker: WorkerId, what: &Discovery) -> Result<(), InvalidPattern> {
        let mut query = Query::new(what)?;
        if let Some(before) = self.queries.remove(&worker) {
            query.attached = before.attached;
        }
        self.queries.insert(worker, query);
        // Everybody is looked at with it.
        self.latest = None;
        Ok(())
    }

    /// Looks for a worker's process no more.
    pub fn forget(&mut self, worker: &WorkerId) {
        self.queries.remove(worker);
    }

    /// A process is attached to a worker: it is valid, and is missed when it changes.
    pub fn attach(&mut self, worker: &WorkerId, process: ProcessKey) {
        if let Some(query) = self.queries.get_mut(worker) {
            query.attached.insert(process);
        }
    }

    /// A process is attached to a worker no more.
    pub fn release(&mut self, worker: &WorkerId, process: ProcessKey) {
        if let Some(query) = self.queries.get_mut(worker) {
            query.attached.remove(&process);
        }
    }

    /// Whether a search saw a process that fits and is not attached to its worker.
    pub(crate) fn is_open(&self, worker: &WorkerId, sighting: &Sighting) -> bool {
        let attached = self.queries.get(worker).map(|query| &query.attached);
        let is_free = |process| attached.is_none_or(|attached| !attached.contains(process));
        sighting.candidates.iter().any(|candidate| is_free(&candidate.process))
    }

    /// Looks, and tells what each of these workers' searches came to.
    pub fn pass(&mut self, workers: &[WorkerId]) -> Vec<(WorkerId, Sighting)> {
        self.try_pass(workers).unwrap_or_else(|error| {
            let note = format!("no process of this host can be looked at: {error}");
            let blind = Sighting { note, is_blind: true, ..Sighting::default() };
            workers.iter().map(|worker| (worker.clone(), blind.clone())).collect()
        })
    }

    /// Fails when nobody can be seen, which says nothing about who is there.
    fn try_pass(&mut self, workers: &[WorkerId]) -> io::Result<Vec<(WorkerId, Sighting)>> {
        // Whoever cannot see itself sees nobody.
        census::face(std::process::id())?;
        let mut scene = Scene::default();
        let mut stale = Vec::new();
        for worker in workers {
            if let Some(query) = self.queries.get_mut(worker)
                && query.prepare(&mut scene)
            {
                stale.push(worker.clone());
            }
        }
        // Those that can only be certain PIDs need no pass.
        let needs_everybody =
            self.queries.values().any(|query| matches!(query.scope(), Scope::Everybody));
        if needs_everybody && let Err(error) = self.look_at_everybody() {
            // Everybody is looked at with the next pass.
            self.latest = None;
            return Err(error);
        }
        for worker in &stale {
            self.evaluate_again(worker);
        }
        let mut sightings = Vec::with_capacity(workers.len());
        for worker in workers {
            self.look_at_named(worker);
            let (known, kin) = (&self.known, &self.kin);
            if let Some(query) = self.queries.get_mut(worker) {
                let parent = |pid: u32| parent_of(known, pid);
                sightings.push((worker.clone(), query.judge(kin, parent)));
            }
        }
        Ok(sightings)
    }

    /// How many processes were looked at.
    #[must_use]
    pub fn population(&self) -> usize {
        self.known.len()
    }

    fn look_at_everybody(&mut self) -> io::Result<()> {
        let latest = census::latest_pid();
        let is_quiet = latest.is_some() && latest == self.latest && !self.young;
        if is_quiet && self.quiet < QUIET_PASSES {
            self.quiet += 1;
            return Ok(());
        }
        census::pids(&mut self.pids)?;
        self.quiet = 0;
        let is_first = self.latest.is_none();
        self.latest = latest;
        self.young = false;
        self.round = self.round.wrapping_add(1);
        let pids = std::mem::take(&mut self.pids);
        let uptime = census::uptime();
        for pid in &pids {
            if let Ok(Some(face)) = census::face(*pid) {
                let age = uptime.saturating_sub(census::started_after(face.process));
                let is_young = age < YOUNG;
                self.young |= is_young;
                self.meet(face, is_first || is_young);
            }
        }
        self.pids = pids;
        let round = self.round;
        let queries = &mut self.queries;
        self.known.retain(|_, known| {
            let lives = known.round == round;
            if !lives {
                queries.values_mut().for_each(|query| query.forget(known.face.process));
            }
            lives
        });
        Ok(())
    }

    /// Looks closely at a process that is not known as it is, or that may not stay so.
    fn meet(&mut self, face: Face, again: bool) {
        let round = self.round;
        let before = self.known.get_mut(&face.process.pid);
        let is_same = before.is_some_and(|known| {
            known.round = round;
            if known.face == face {
                return true;
            }
            let queries = self.queries.values_mut();
            if known.face.process != face.process {
                queries.for_each(|query| query.forget(known.face.process));
            } else if known.face.program != face.program || known.face.name != face.name {
                queries.for_each(|query| query.on_other_program(face.process));
            }
            false
        });
        if is_same && !again {
            return;
        }
        self.queries.values_mut().for_each(|query| query.evaluate(&face));
        self.known.insert(face.process.pid, Known { face, round });
    }

    /// What a strategy goes by has changed.
    fn evaluate_again(&mut self, worker: &WorkerId) {
        if let Some(query) = self.queries.get_mut(worker)
            && matches!(query.scope(), Scope::Everybody)
        {
            query.clear();
            self.known.values().for_each(|known| query.evaluate(&known.face));
        }
    }

    /// The processes that can fit are known by their PIDs.
    fn look_at_named(&mut self, worker: &WorkerId) {
        if let Some(query) = self.queries.get_mut(worker)
            && let Scope::These(pids) = query.scope()
        {
            query.clear();
            for pid in pids {
                if let Ok(Some(face)) = census::face(pid) {
                    query.evaluate(&face);
                }
            }
        }
    }
}

/// The parent of a process, by the table or by a look.
fn parent_of(known: &HashMap<u32, Known>, pid: u32) -> Option<u32> {
    match known.get(&pid) {
        Some(known) => Some(known.face.parent),
        None => census::face(pid).ok().flatten().map(|face| face.parent),
    }
}
