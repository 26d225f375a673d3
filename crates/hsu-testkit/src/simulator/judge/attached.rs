//! What must hold of workers that somebody else starts.

use hsu_core::effect::{Effect, ServiceVerb};
use hsu_core::fleet::{Fleet, Grip};
use hsu_model::discovery::Matches;
use hsu_model::event::{Event, EventKind};
use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::status::WorkerState;
use hsu_model::time::Tick;
use hsu_model::worker::Unit;

use super::Judge;
use crate::simulator::master::Master;
use crate::simulator::nature::outside::FITTING;
use crate::simulator::os::{Hold, Os, What};

const SIGKILL: i32 = 9;

impl Judge {
    /// Whether somebody else starts the worker in this place.
    pub(super) fn is_watched(&self, place: usize) -> bool {
        let spec = self.specs.get(place).and_then(Option::as_deref);
        spec.is_some_and(|spec| matches!(spec.unit, Unit::Unmanaged(_)))
    }

    /// I2: the process that is held is the one that was found, and somebody else's.
    pub(crate) fn i2_attached(&mut self, run: RunId, (wanted, got): (Hold, Hold), what: What) {
        if wanted != got || what != What::Foreign {
            self.object("I2", || format!("{run} was to be {wanted:?}, and is {got:?}, {what:?}"));
        }
    }

    /// I22: what the kernel tells of the end of a process, if anything.
    pub(crate) fn expect_exit(&mut self, run: RunId, exit: Option<Exit>) {
        self.expected = Some((run, exit));
    }

    /// I22: an end of such a process is told as it was seen.
    pub(super) fn i22_attached(&mut self, event: &Event, run: RunId, exit: Exit) {
        let seen = self.expected.filter(|(of, _)| *of == run).and_then(|(_, exit)| exit);
        if !matches!(exit, Exit::Unknown(_)) && seen != Some(exit) {
            let worker = &event.worker;
            self.object("I22", || format!("{run} of {worker:?} ended as {seen:?}, not {exit:?}"));
        }
    }

    /// I5, I9, I10: nothing is taken after a stop, none is killed before its grace is over,
    /// and none is taken before everything is known.
    pub(super) fn follow_attached(&mut self, now: Tick, effects: &[Effect], fleet: &Fleet) {
        if !self.has_outside {
            return;
        }
        for effect in effects {
            match effect {
                Effect::Attach { worker, run, .. } => self.i5_attach(worker, *run),
                // A limit that kills at once is no wish to wait.
                Effect::Event {
                    worker: Some(worker),
                    kind: EventKind::LimitAction { action, .. },
                    ..
                } => self.note_sentence(worker, action),
                Effect::Service { worker, verb: ServiceVerb::Stop } => {
                    let sight = fleet.sight(worker);
                    for (run, ..) in sight.into_iter().flat_map(|sight| sight.runs) {
                        self.fate(run).asked_to_end.get_or_insert(now);
                    }
                }
                Effect::Signal { run, signal: SIGKILL, .. } => self.i9_attached(now, *run, fleet),
                _ => {}
            }
        }
    }

    fn i5_attach(&mut self, worker: &WorkerId, run: RunId) {
        // What an earlier master held is held again, to see its end.
        let is_news = !std::mem::replace(&mut self.fate(run).is_taken, true);
        if is_news && self.wishes[self.index(worker)].is_stopped {
            self.object("I5", || format!("{run} of {worker} is taken after its stop was done"));
        }
        if !self.was_settled && !self.settles {
            self.object("I10", || format!("{run} is taken before the inventory is known"));
        }
    }

    fn i9_attached(&mut self, now: Tick, run: RunId, fleet: &Fleet) {
        let Some(place) = fleet.worker_of(run).map(|worker| self.index(worker)) else { return };
        let Some(spec) = self.specs[place].clone() else { return };
        let Unit::Unmanaged(unit) = &spec.unit else { return };
        let asked = self.fate_of(run).asked_to_end;
        let is_over = asked.is_some_and(|asked| now >= asked.after(unit.rights.graceful_timeout));
        if !unit.rights.can_terminate {
            self.object("I2", || format!("{run} is killed, and may not be ended"));
        }
        if !is_over && !self.wishes[place].is_forced {
            self.object("I9", || format!("{run} is killed before its grace is over"));
        }
    }

    /// L1: what can be watched is, and exactly that.
    pub(super) fn l1_attached(&mut self, master: &Master, os: &Os) {
        let names: Vec<_> = master.fleet.watched().cloned().collect();
        let [name] = names.as_slice() else {
            // Several that look for the same: the first one takes it.
            return;
        };
        let place = self.index(name);
        let (Some(spec), Some(sight)) = (self.specs[place].clone(), master.fleet.sight(name))
        else {
            return;
        };
        let Unit::Unmanaged(unit) = &spec.unit else { return };
        let many = unit.discovery.matches == Matches::Many;
        let fitting: Vec<_> = os
            .processes
            .iter()
            .filter(|process| process.what == What::Foreign && process.program == FITTING)
            .map(|process| process.hold.pid)
            .collect();
        let mut held: Vec<_> = sight
            .runs
            .iter()
            .filter(|(.., grip)| *grip != Grip::Asked)
            .map(|(_, key, _)| key.pid)
            .collect();
        held.sort_unstable();
        let is_asked = sight.runs.iter().any(|(.., grip)| *grip == Grip::Asked);
        let mut sorted = fitting.clone();
        sorted.sort_unstable();
        let is_right = match (sight.wanted && self.ending.is_none(), fitting.len()) {
            (false, _) => self.ending.is_some() || held.is_empty(),
            (true, 0) => held.is_empty() && sight.state == WorkerState::Searching,
            (true, _) if many => held == sorted,
            (true, 1) => held == sorted && sight.state == WorkerState::Running,
            // None of several is taken; one that was held before is kept.
            (true, _) => held.len() <= 1 && held.iter().all(|pid| fitting.contains(pid)),
        };
        if !is_right || is_asked {
            self.object("L1", || format!("{name} ends as {sight:?}, fitting are {fitting:?}"));
        }
    }
}
