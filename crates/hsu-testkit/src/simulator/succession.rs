//! Succession: workers that go on as another process, which they have named.
//!
//! Real: which end is the end of a run ([`hsu_core::parting`]), and the table of the keeper. A
//! model, by name: `hsu-runtime/src/body/succession.rs`. How names are heard: `words.rs`.

use std::collections::BTreeMap;

use hsu_core::input::Input;
use hsu_core::parting::{End, Parting, Words};
use hsu_keeper::ToKeeper;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::time::Tick;

use super::master::Live;
use super::os::Hold;
use super::words::Hearing;
use super::world::World;

/// Changes under way in one master.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    pub(crate) parting: Parting,
    /// The processes that the keeper is asked to hold.
    named: BTreeMap<RunId, (WorkerId, ProcessKey)>,
    /// The end of the first inventory waits for ends that are not settled.
    settles_later: bool,
    /// Whether workers are listened to yet.
    pub(crate) listens: bool,
    pub(crate) hearing: Option<Hearing>,
    /// When the end of a process was told first.
    told: BTreeMap<RunId, Tick>,
}

impl World {
    /// Has the keeper hold the process that was named, if it is there.
    pub(crate) fn follow(&mut self, worker: WorkerId, run: RunId, process: ProcessKey) {
        let hold = Hold { pid: process.pid, start: process.started_at };
        let is_there = self.os.find(hold).is_some();
        let Some(master) = &mut self.master else { return };
        if is_there {
            master.succession.parting.name(run, process);
            master.succession.named.insert(run, (worker, process));
            master.outgoing.push(ToKeeper::Follow { run, process, handle: None });
        } else {
            let error = Some("it cannot be held: it is gone".to_owned());
            master.inputs.push_back(Input::Followed { worker, run, process, error });
            master.say_the_rest(run);
        }
    }

    /// Whether the keeper was asked to hold this process.
    pub(crate) fn is_followed(&self, run: RunId, process: ProcessKey) -> bool {
        let named = self.master.as_ref().and_then(|master| master.succession.named.get(&run));
        named.is_some_and(|(_, of)| *of == process)
    }

    /// The keeper has answered, or its inventory has.
    pub(crate) fn followed(&mut self, run: RunId, process: ProcessKey, is_held: bool) {
        if !self.is_followed(run, process) {
            // An earlier master asked, and this one knows it by the inventory.
            return;
        }
        let Some(master) = &mut self.master else { return };
        let Some((worker, _)) = master.succession.named.remove(&run) else { return };
        master.say_the_rest(run);
        if is_held {
            master.succession.parting.followed(run, process);
            master.succession.told.remove(&run);
            master.live.insert(run, Live { worker: worker.clone(), process });
            self.tell(Input::Followed { worker, run, process, error: None });
        } else {
            let end = master.succession.parting.refused(run, process);
            let error = Some("its run was over, or it is the process of another run".to_owned());
            self.tell(Input::Followed { worker, run, process, error });
            self.all_end(end);
        }
        self.settle_late();
    }

    /// A process has ended, and its run with it, unless another one was named.
    pub(crate) fn process_ends(&mut self, end: End) {
        let now = self.now;
        let words = match self.may_have_said(&end.worker, end.run) {
            true => Words::MayCome,
            false => Words::None,
        };
        let Some(master) = &mut self.master else { return };
        master.succession.told.entry(end.run).or_insert(now);
        let end = master.succession.parting.end(end, words, now);
        self.all_end(end);
    }

    /// Everything is heard that a worker had said when it was asked.
    pub(crate) fn heard_out(&mut self, worker: &WorkerId) {
        let Some(master) = &mut self.master else { return };
        let ends = master.succession.parting.heard_out(worker);
        self.all_end(ends);
        self.settle_late();
    }

    /// Ends that have waited for long enough.
    pub(crate) fn part(&mut self) {
        let now = self.now;
        let Some(master) = &mut self.master else { return };
        let ends = master.succession.parting.due(now);
        self.all_end(ends);
        self.settle_late();
        self.settle();
    }

    fn all_end(&mut self, ends: impl IntoIterator<Item = End>) {
        for end in ends {
            self.run_ends(end);
        }
    }

    fn run_ends(&mut self, end: End) {
        let End { worker, run, process, exit, at, wall } = end;
        let told = self.master.as_mut().and_then(|master| master.succession.told.remove(&run));
        if self.is_on_its_way(run, process) {
            let waited = told.map_or_else(Default::default, |told| self.now.since(told));
            self.judge.i2_heard_out(&worker, run, waited);
        }
        let exit = self.own_sight(run, exit);
        self.tell_kills(run, exit);
        self.tell(Input::Exited { worker, run, exit, at, wall });
    }

    /// The inventory is complete: whatever the keeper was not asked, or has not answered, it
    /// is asked now, and workers are listened to from now on.
    pub(crate) fn ask_again(&mut self) {
        let Some(master) = &mut self.master else { return };
        let asked = master.succession.named.iter();
        let again = asked.map(|(run, (_, process))| (*run, *process));
        let again = again.map(|(run, process)| ToKeeper::Follow { run, process, handle: None });
        master.outgoing.extend(again);
        master.succession.listens = true;
        let waits: Vec<_> = master.succession.parting.listens().cloned().collect();
        for worker in waits {
            self.ask_for_silence(&worker);
        }
    }

    /// Ends an inventory, unless it is not known yet of a worker whether it goes on.
    pub(crate) fn end_inventory(&mut self) {
        let Some(master) = &mut self.master else { return };
        let succession = &mut master.succession;
        succession.settles_later = !master.is_settled && !succession.parting.is_empty();
        if !succession.settles_later {
            self.finish_inventory();
        }
    }

    fn settle_late(&mut self) {
        let Some(master) = &mut self.master else { return };
        let succession = &mut master.succession;
        if succession.settles_later && succession.parting.is_empty() {
            succession.settles_later = false;
            self.finish_inventory();
        }
    }
}
