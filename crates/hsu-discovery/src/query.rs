//! Queries: what one worker looks for, and which processes fit so far.

use std::collections::{BTreeMap, BTreeSet};

use hsu_model::discovery::{Candidate, Combine, Discovery, Matches, Sighting};
use hsu_model::process::ProcessKey;
use hsu_sys::census::{self, Face};
use hsu_sys::users;

use crate::facts::{Facts, full_name};
use crate::kin::{Kin, heads};
use crate::strategy::{Fit, InvalidPattern, Only, Prepared, Scene, Strategy, compile};
use crate::validation;

/// So many reasons are told.
const MOST_REASONS: usize = 3;

/// What one worker looks for.
#[derive(Debug)]
pub(crate) struct Query {
    combine: Combine,
    matches: Matches,
    by: Vec<Box<dyn Strategy>>,
    include: Vec<Box<dyn Strategy>>,
    exclude: Vec<Box<dyn Strategy>>,
    validation: Vec<hsu_model::discovery::Validation>,
    /// The processes that any strategy fits, and which.
    fitting: BTreeMap<ProcessKey, u64>,
    /// Why processes that seem to be meant are not believed.
    refused: BTreeMap<ProcessKey, String>,
    /// The processes that may not be looked into.
    hidden: BTreeSet<ProcessKey>,
    /// The processes that are attached to this worker.
    pub(crate) attached: BTreeSet<ProcessKey>,
    /// Those among them that were seen to run another program.
    changed: BTreeSet<ProcessKey>,
}

/// Who can fit a query at all.
pub(crate) enum Scope {
    Everybody,
    These(Vec<u32>),
}

impl Query {
    pub(crate) fn new(discovery: &Discovery) -> Result<Self, InvalidPattern> {
        let all = |searches: &[_]| searches.iter().map(compile).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            combine: discovery.combine,
            matches: discovery.matches,
            by: all(&discovery.searches)?,
            include: all(&discovery.include)?,
            exclude: all(&discovery.exclude)?,
            validation: discovery.validation.clone(),
            fitting: BTreeMap::new(),
            refused: BTreeMap::new(),
            hidden: BTreeSet::new(),
            attached: BTreeSet::new(),
            changed: BTreeSet::new(),
        })
    }

    /// Looks at what does not belong to a single process; whether everybody has to be
    /// looked at again.
    pub(crate) fn prepare(&mut self, scene: &mut Scene) -> bool {
        let mut changed = false;
        let filters = self.include.iter_mut().chain(&mut self.exclude);
        for strategy in self.by.iter_mut().chain(filters) {
            changed |= strategy.prepare(scene) == Prepared::Changed;
        }
        changed || (self.attached.is_empty() && self.is_volatile())
    }

    fn is_volatile(&self) -> bool {
        let all = self.by.iter().chain(&self.include).chain(&self.exclude);
        all.into_iter().any(|strategy| strategy.is_volatile())
    }

    /// Who can fit.
    pub(crate) fn scope(&self) -> Scope {
        let mut pids = Vec::new();
        let mut anybody = false;
        for strategy in &self.by {
            match strategy.only() {
                Only::Anybody => anybody = true,
                Only::Nobody if self.combine == Combine::All => return Scope::These(Vec::new()),
                Only::Nobody => {}
                Only::Pid(pid) if self.combine == Combine::All => return Scope::These(vec![pid]),
                Only::Pid(pid) => pids.push(pid),
            }
        }
        if anybody { Scope::Everybody } else { Scope::These(pids) }
    }

    /// Forgets what was found.
    pub(crate) fn clear(&mut self) {
        self.fitting.clear();
        self.refused.clear();
        self.hidden.clear();
    }

    /// A process has ended.
    pub(crate) fn forget(&mut self, process: ProcessKey) {
        self.fitting.remove(&process);
        self.refused.remove(&process);
        self.hidden.remove(&process);
        self.changed.remove(&process);
    }

    /// A process runs another program than before.
    pub(crate) fn on_other_program(&mut self, process: ProcessKey) {
        if self.attached.contains(&process) {
            self.changed.insert(process);
        }
    }

    /// Looks at one process.
    pub(crate) fn evaluate(&mut self, face: &Face) {
        let process = face.process;
        if process.pid <= 1 {
            // The init of a host or a container is nobody's worker.
            return;
        }
        self.fitting.remove(&process);
        self.refused.remove(&process);
        self.hidden.remove(&process);
        let mut facts = Facts::of(face);
        let (mut mask, mut reason, mut hidden) = (0_u64, None, false);
        for (place, strategy) in self.by.iter().enumerate() {
            match strategy.fits(&mut facts) {
                Fit::Yes => {
                    mask |= 1_u64.checked_shl(u32::try_from(place).unwrap_or(64)).unwrap_or(0)
                }
                Fit::No => {}
                Fit::Refused(why) => reason = Some(why),
                Fit::Hidden => hidden = true,
            }
            if self.combine == Combine::All && mask.count_ones() as usize <= place {
                break;
            }
        }
        if mask != 0
            && (self.combine != Combine::All || mask.count_ones() as usize == self.by.len())
        {
            match self.filtered(&mut facts) {
                Fit::Yes => {
                    self.fitting.insert(process, mask);
                }
                Fit::No => {}
                Fit::Refused(why) => reason = Some(why),
                Fit::Hidden => {
                    self.hidden.insert(process);
                }
            }
        } else if hidden {
            self.hidden.insert(process);
        }
        if let Some(reason) = reason {
            self.refused.insert(process, reason);
        }
    }

    fn filtered(&self, facts: &mut Facts<'_>) -> Fit {
        for filter in &self.include {
            match filter.fits(facts) {
                Fit::Yes => {}
                other @ (Fit::No | Fit::Refused(_) | Fit::Hidden) => return other,
            }
        }
        for filter in &self.exclude {
            match filter.fits(facts) {
                Fit::No => {}
                Fit::Yes => return Fit::No,
                other @ (Fit::Refused(_) | Fit::Hidden) => return other,
            }
        }
        Fit::Yes
    }

    /// What the search comes to.
    pub(crate) fn judge(
        &mut self,
        kin: &Kin,
        parent: impl Fn(u32) -> Option<u32> + Copy,
    ) -> Sighting {
        let mut notes = Notes::default();
        let mut processes = BTreeMap::new();
        for process in self.chosen() {
            if kin.has(process.pid, parent) {
                notes.add(format!("PID {} is one of our own processes", process.pid));
            } else {
                processes.insert(process.pid, process);
            }
        }
        let mut candidates = Vec::new();
        let mut is_blind = self.by.iter().any(|strategy| strategy.is_blind());
        for process in heads(&processes, parent) {
            // A process that has ended meanwhile is nobody's candidate.
            let Ok(Some(face)) = census::face(process.pid) else { continue };
            if face.process != process {
                continue;
            }
            if !self.attached.contains(&process)
                && let Err(reason) = validation::check(process, &self.validation)
            {
                notes.add(format!("PID {} fits and is not valid: {reason}", process.pid));
                is_blind = true;
                continue;
            }
            candidates.push(candidate(&face));
        }
        let strayed = self.strayed();
        if candidates.is_empty() && self.attached.is_empty() {
            self.explain(&mut notes);
        }
        Sighting { candidates, strayed, note: notes.text(), is_blind }
    }

    /// The processes that fit, by how the strategies go together.
    fn chosen(&self) -> Vec<ProcessKey> {
        let first = self.fitting.values().map(|mask| mask.trailing_zeros()).min().unwrap_or(0);
        let fits = |mask: u64| self.combine != Combine::First || mask.trailing_zeros() == first;
        self.fitting.iter().filter(|(_, mask)| fits(**mask)).map(|(process, _)| *process).collect()
    }

    /// Attached processes that run another program and do not fit any more.
    fn strayed(&mut self) -> Vec<ProcessKey> {
        let fitting = &self.fitting;
        self.changed.retain(|process| !fitting.contains_key(process));
        self.changed.iter().copied().collect()
    }

    fn explain(&self, notes: &mut Notes) {
        for reason in self.refused.values() {
            notes.add(reason.clone());
        }
        let all = self.by.iter().chain(&self.include).chain(&self.exclude);
        for trouble in all.filter_map(|strategy| strategy.trouble()) {
            notes.add(trouble.to_owned());
        }
        if notes.is_empty() {
            let words: Vec<_> = self.by.iter().map(|strategy| strategy.describe()).collect();
            let glue = if self.combine == Combine::All { " and " } else { " or " };
            notes.add(format!("no process is {}", words.join(glue)));
        }
        if !self.hidden.is_empty() {
            let count = self.hidden.len();
            let processes = if count == 1 { "process" } else { "processes" };
            notes.add(format!("{count} {processes} may not be looked into by this user"));
        }
        if self.matches == Matches::One && census::hides_others() {
            notes.add("processes of other users are hidden from this user".to_owned());
        }
    }
}

/// The reasons that are told, each once.
#[derive(Debug, Default)]
struct Notes {
    told: Vec<String>,
    more: usize,
}

impl Notes {
    fn add(&mut self, reason: String) {
        if self.told.contains(&reason) {
            return;
        }
        if self.told.len() < MOST_REASONS { self.told.push(reason) } else { self.more += 1 }
    }

    fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    fn text(&self) -> String {
        let text = self.told.join("; ");
        match self.more {
            0 => text,
            more => format!("{text}; and {more} more reasons"),
        }
    }
}

fn candidate(face: &Face) -> Candidate {
    let pid = face.process.pid;
    let user = census::owner(pid).map_or_else(|_| "somebody".to_owned(), users::name);
    let name = full_name(&mut Facts::of(face));
    let name: String = String::from_utf8_lossy(&name).chars().map(shown).collect();
    Candidate {
        process: face.process,
        program: census::program(pid).unwrap_or_default(),
        what: format!("{name} ({user})"),
    }
}

/// A name is whatever its process wants it to be, and is shown on terminals.
fn shown(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}
