//! The hands of a master: what its other threads have under way, and lose with it.
//!
//! Models, by name: the prober (`hsu-probe`), the warden that measures (`hsu-runtime`), the
//! search for processes of others (`hsu-discovery`) and whoever asks service managers. Each
//! answers when the schedule says so, in any order, as of any moment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hsu_core::effect::{Effect, ServiceVerb};
use hsu_model::discovery::Sighting;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::Limits;
use hsu_model::process::ProcessKey;
use hsu_model::time::Tick;

use super::os::Hold;

/// A look that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) worker: WorkerId,
    pub(crate) run: RunId,
    pub(crate) check: usize,
    pub(crate) sequence: u64,
}

/// Something to be done to a process of somebody else, at once.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Attach { worker: WorkerId, run: RunId, process: ProcessKey, inode: u64 },
    Release(RunId),
    Follow { worker: WorkerId, run: RunId, process: ProcessKey },
    Signal(RunId, i32),
}

/// Everything that is under way.
#[derive(Debug, Default)]
pub(crate) struct Hands {
    pub(crate) looks: Vec<Look>,
    pub(crate) measures: VecDeque<(WorkerId, RunId, Arc<Limits>)>,
    /// Who is looked for, and when next.
    pub(crate) searched: BTreeMap<WorkerId, Tick>,
    pub(crate) sightings: VecDeque<(WorkerId, Sighting)>,
    pub(crate) services: VecDeque<(WorkerId, ServiceVerb)>,
    /// Processes of others that are held.
    pub(crate) attached: BTreeMap<RunId, (WorkerId, Hold)>,
    pub(crate) deeds: VecDeque<Deed>,
}

impl Hands {
    /// Takes what is theirs; an effect that is not comes back.
    pub(crate) fn take(&mut self, now: Tick, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Check { worker, run, check, sequence } => {
                self.looks.push(Look { worker, run, check, sequence });
            }
            Effect::Measure { worker, run, limits } => {
                self.measures.push_back((worker, run, limits));
            }
            Effect::Search { worker, wanted: true } => drop(self.searched.insert(worker, now)),
            Effect::Search { worker, wanted: false } => drop(self.searched.remove(&worker)),
            Effect::Service { worker, verb } => self.services.push_back((worker, verb)),
            Effect::Attach { worker, run, process, program } => {
                let inode = program.inode;
                self.deeds.push_back(Deed::Attach { worker, run, process, inode });
            }
            Effect::Follow { worker, run, process } => {
                self.deeds.push_back(Deed::Follow { worker, run, process });
            }
            Effect::Release { run } => self.deeds.push_back(Deed::Release(run)),
            Effect::Signal { run, signal, .. } if self.holds(run) => {
                self.deeds.push_back(Deed::Signal(run, signal));
            }
            // What is slowed down goes on in this world, and nobody is there to be told.
            Effect::Throttle { .. } | Effect::Alert { .. } => {}
            other => return Some(other),
        }
        None
    }

    fn holds(&self, run: RunId) -> bool {
        let is_asked = |deed: &Deed| matches!(deed, Deed::Attach { run: of, .. } if *of == run);
        self.attached.contains_key(&run) || self.deeds.iter().any(is_asked)
    }
}
