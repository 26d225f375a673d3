//! Succession: workers that go on as another of their processes.
//!
//! The core decides who is believed and which end counts; here it is looked at who was
//! named, the keeper is asked to hold that one, and what was said beside waits for its
//! answer: it is heard again by the next master when this one is lost.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;

use hsu_core::effect::Effect;
use hsu_core::input::Input;
use hsu_core::parting::{End, Words};
use hsu_keeper::{Descriptor, ToKeeper};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::notify::{NotifyAccess, NotifyChannel, Said};
use hsu_model::process::ProcessKey;
use hsu_model::status::WorkerState;
use hsu_model::time::Now;
use hsu_model::worker::Unit;
use hsu_sys::listening::Owned;
use hsu_sys::process::ProcessHandle;
use hsu_sys::tree::Kinship;

use super::{Body, Live};
use crate::listening::Speaker;
use crate::notice::Notice;

/// What was said and is not done yet.
#[derive(Debug)]
pub(super) struct Unsaid {
    /// Of this run.
    pub(super) run: RunId,
    /// What.
    pub(super) notice: Notice,
    /// What came beside.
    pub(super) descriptors: Vec<Owned>,
    /// It is done.
    pub(super) done: SyncSender<()>,
}

/// A process that the keeper is asked to hold.
#[derive(Debug)]
struct Asked {
    worker: WorkerId,
    process: ProcessKey,
    handle: ProcessHandle,
}

/// Changes under way.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    /// What was said beside a name, until it is known who counts.
    unsaid: BTreeMap<RunId, (WorkerId, Unsaid)>,
    asked: BTreeMap<RunId, Asked>,
    /// The end of the first inventory waits for ends that are not settled.
    pub(super) settles_later: bool,
}

impl Body {
    /// What makes a process one of a run.
    pub(super) fn kinship<'a>(
        &'a self,
        worker: &WorkerId,
        run: RunId,
        process: Option<ProcessKey>,
    ) -> Kinship<'a> {
        let (master, keeper) = (self.name.as_str(), self.holding.keeper());
        Kinship { run, master, keeper, process, folder: self.clearing.folder(worker, run) }
    }

    /// A worker names a process as the one that counts.
    pub(super) fn on_named(&mut self, now: Now, worker: &WorkerId, pid: u32, said: Unsaid) {
        let run = said.run;
        let process = self.fleet.status(worker).and_then(|status| status.process);
        let named = self.kinship(worker, run, process).look(pid);
        self.step(now, Input::Told { run, said: Said::MainProcess(named) });
        let is_asked =
            |effect: &Effect| matches!(effect, Effect::Follow { run: of, .. } if *of == run);
        if self.effects.iter().any(is_asked) {
            self.succession.unsaid.insert(run, (worker.clone(), said));
        } else {
            self.say(worker, said);
        }
    }

    /// Has the keeper hold a process.
    pub(super) fn follow(&mut self, worker: WorkerId, run: RunId, process: ProcessKey) {
        match ProcessHandle::open(process) {
            Ok(handle) => {
                self.parting.name(run, process);
                self.succession.asked.insert(run, Asked { worker, process, handle });
                self.ask_to_follow(run);
            }
            Err(error) => {
                let error = Some(format!("it cannot be held: {error}"));
                self.inputs.push_back(Input::Followed { worker, run, process, error });
                self.say_the_rest(run);
            }
        }
    }

    fn ask_to_follow(&mut self, run: RunId) {
        let Some(Asked { process, handle, .. }) = self.succession.asked.get(&run) else { return };
        let handle = handle.copy().ok().map(Descriptor::new);
        self.holding.queue(ToKeeper::Follow { run, process: *process, handle });
    }

    fn say_the_rest(&mut self, run: RunId) {
        if let Some((worker, said)) = self.succession.unsaid.remove(&run) {
            self.say(&worker, said);
        }
    }

    /// The keeper has answered, or its inventory has.
    pub(super) fn on_followed(&mut self, now: Now, run: RunId, process: ProcessKey, is_held: bool) {
        let is_it = |asked: &Asked| asked.process == process;
        if !self.succession.asked.get(&run).is_some_and(is_it) {
            // Asked by an earlier master, whose successor knows it by the inventory.
            return;
        }
        let Some(Asked { worker, handle, .. }) = self.succession.asked.remove(&run) else { return };
        if is_held {
            self.parting.followed(run, process);
            let live = Live { worker: worker.clone(), process, handle: Some(handle) };
            if self.live.insert(run, live).is_none() {
                self.take_over(now, &worker, run);
            }
            self.step(now, Input::Followed { worker, run, process, error: None });
            self.say_the_rest(run);
        } else {
            let error = Some("its run was over, or it is the process of another run".to_owned());
            self.step(now, Input::Followed { worker, run, process, error });
            self.say_the_rest(run);
            let end = self.parting.refused(run, process);
            self.end_all(now, end);
        }
        self.settle_late(now);
    }

    /// Whether the keeper holds the process that it was asked to.
    pub(super) fn is_followed(&self, run: RunId, process: ProcessKey) -> bool {
        self.succession.asked.get(&run).is_some_and(|asked| asked.process == process)
    }

    /// A process has ended, and its run with it, unless another one was named.
    pub(super) fn on_end(&mut self, now: Now, end: End) {
        let words = self.words_of(&end.worker, end.run);
        let end = self.parting.end(end, words, now.tick);
        self.end_all(now, end);
    }

    /// Whether a worker may have said who goes on, and was not heard yet.
    fn words_of(&self, worker: &WorkerId, run: RunId) -> Words {
        let speaks = self.fleet.spec(worker).is_some_and(|spec| match &spec.unit {
            Unit::Managed(managed) => {
                managed.notify.access != NotifyAccess::None
                    && managed.notify.channel == NotifyChannel::Socket
            }
            Unit::Departed(_) | _ => false,
        });
        let status = self.fleet.status(worker).filter(|status| status.run == Some(run));
        let runs = status.is_some_and(|status| {
            matches!(status.state, WorkerState::Running | WorkerState::Starting)
        });
        // Before the first inventory ends, its socket is not there yet.
        let is_heard = || self.listening.ask(&Speaker::Worker(worker.clone())) || !self.settled;
        if speaks && runs && is_heard() { Words::MayCome } else { Words::None }
    }

    /// Everything is said that a worker had said when it was asked.
    pub(super) fn on_silence(&mut self, now: Now, worker: &WorkerId) {
        let ends = self.parting.heard_out(worker);
        self.end_all(now, ends);
        self.settle_late(now);
    }

    /// Ends that have waited for long enough.
    pub(super) fn part_due(&mut self, now: Now) {
        if self.parting.deadline().is_some_and(|due| due <= now.tick) {
            let ends = self.parting.due(now.tick);
            self.end_all(now, ends);
            self.settle_late(now);
        }
    }

    fn end_all(&mut self, now: Now, ends: impl IntoIterator<Item = End>) {
        for end in ends {
            self.on_exited(now, end);
        }
    }

    /// The inventory of a keeper is complete: whatever it was not asked, or has not
    /// answered, it is asked now.
    pub(super) fn ask_again(&mut self, now: Now) {
        let runs: Vec<RunId> = self.succession.asked.keys().copied().collect();
        for run in runs {
            self.ask_to_follow(run);
        }
        let workers: Vec<WorkerId> = self.parting.listens().cloned().collect();
        for worker in workers {
            if !self.listening.ask(&Speaker::Worker(worker.clone())) {
                let ends = self.parting.heard_out(&worker);
                self.end_all(now, ends);
            }
        }
    }

    /// Ends the first inventory, once no end of it is open.
    fn settle_late(&mut self, now: Now) {
        if self.succession.settles_later && self.parting.is_empty() {
            self.succession.settles_later = false;
            self.finish_inventory(now);
        }
    }
}
