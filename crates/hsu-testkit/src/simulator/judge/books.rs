//! What must hold when something is executed, told, written or restored.

use hsu_core::answer::{Answer, Refusal};
use hsu_core::fleet::{Fleet, Settings};
use hsu_core::record::{Resume, WorkerRecord};
use hsu_model::event::{Event, EventKind};
use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::status::{Desired, WorkerState};
use hsu_model::time::Tick;
use hsu_store::{Backlog, Batch, Bounds};

use super::{Asked, Judge, Wanted, starts, stops};
use crate::simulator::disk::{File, Row};
use crate::simulator::nature::CANARY;
use crate::simulator::os::{Os, Process, What};

impl Judge {
    /// I1, I27: a worker has one live process at most, and a run is executed once.
    pub(crate) fn on_executed(&mut self, run: RunId, worker: usize, now: Tick, os: &Os) {
        let live: Vec<_> = os.live(worker).map(|(run, _)| run).collect();
        if live.len() > 1 {
            self.object("I1", || format!("{live:?} live beside each other"));
        }
        let is_left = |process: &&Process| {
            let of = matches!(process.what, What::Descendant(of) if of != run);
            of && process.worker == worker && process.is_alive()
        };
        // A kill may be lost with its master, and is repeated later.
        let may_be = self.masters_lost > 0 || self.is_lost;
        if let Some(left) = os.processes.iter().find(is_left).filter(|_| !may_be) {
            let what = left.what;
            self.object("I1", || format!("{run} begins beside {what:?}"));
        }
        let fate = self.fate(run);
        fate.executed_at = Some(now);
        fate.worker = worker;
        if std::mem::replace(&mut fate.is_executed, true) {
            self.object("I27", || format!("{run} is executed twice"));
        }
    }

    /// I2: no signal ever reaches somebody who merely has the PID of a worker.
    pub(crate) fn i2_strangers(&mut self, os: &Os) {
        if os.strangers_hit > 0 {
            self.object("I2", || format!("{} signals to strangers", os.strangers_hit));
        }
    }

    /// I3, I11: the keeper may forget an exit only when it is accounted, and durable.
    pub(crate) fn on_acknowledged(&mut self, run: RunId, file: &File) {
        let is_configured = self.before.iter().flatten().any(|before| before.latest >= Some(run));
        // The journal may have had to give up the event; the record has the number.
        let in_record = self.ids.get(self.fate_of(run).worker).is_some_and(|id| {
            let row = file.workers.get(id);
            match row {
                Some(Row::Record(record)) => record.accounted >= Some(run),
                // It was removed: nobody waits for how it ended.
                Some(Row::Stone) | None => true,
            }
        });
        // Of a worker that nobody configures any more nothing is kept.
        let is_departed = self.specs.get(self.fate_of(run).worker).is_none_or(Option::is_none);
        let is_accounted = file.accounted(run) > 0 || in_record || is_departed;
        if is_configured && !is_accounted && !self.is_lost {
            self.object("I3", || format!("the exit of {run} is forgotten and not accounted"));
        }
    }

    /// I3: an exit is accounted exactly once, across masters too.
    pub(crate) fn on_commit(&mut self, file: &File, batch: &Batch) {
        for event in &batch.events {
            if let EventKind::Exited { run, .. } = event.kind
                && file.accounted(run) > 1
                && !self.is_lost
            {
                self.object("I3", || format!("the exit of {run} is accounted twice"));
            }
        }
    }

    /// I11: what was wished for is begun when the wish is durable, and not before.
    pub(crate) fn on_ordered(&mut self, now: Tick, worker: &WorkerId, run: RunId, durable: u64) {
        self.fate(run).ordered_at = Some(now);
        let number = self.wishes[self.index(worker)].number;
        if number > durable {
            self.object("I11", || format!("{run} begins before the wish {number} is durable"));
        }
    }

    /// I11: an answer that says that something is done is told when that is synced.
    pub(super) fn i11_answer(&mut self, asked: &Asked, answer: &Answer, synced: u64) {
        let is_done = matches!(answer, Answer::Done { .. });
        if is_done && asked.number > synced {
            let ticket = asked.ticket;
            self.object("I11", || format!("{ticket:?} is answered before it is durable"));
        }
    }

    /// L3: an answer says what is so.
    pub(super) fn l3_truthful(&mut self, asked: &Asked, answer: &Answer) {
        let (Answer::Done { state, message } | Answer::Unwritten { state, message, .. }) = answer
        else {
            return;
        };
        let command = asked.command;
        let ended = *state == WorkerState::Stopped && !message.starts_with("started");
        let runs = message.contains("runs and") && *state != WorkerState::Running;
        if starts(command) && (ended || runs) || stops(command) && *state == WorkerState::Running {
            self.object("L3", || format!("{command:?} is answered: {message}"));
        }
    }

    /// I13: to take up what was left, and to take up what that left, is the same.
    pub(super) fn i13_recovery(&mut self, fleet: &Fleet, settings: Settings, again: &Fleet) {
        if !fleet.glances().eq(again.glances()) {
            return self.object("I13", || "two masters take up different fleets".to_owned());
        }
        let mut third = Fleet::new(settings);
        for (id, _) in fleet.glances() {
            if let (Some(spec), Some(record)) = (fleet.spec(id), fleet.export(id)) {
                third.add(std::sync::Arc::clone(spec), Some(&record), Resume::Continue);
            }
        }
        let same = |left: (&WorkerId, hsu_core::fleet::Glance),
                    right: (&WorkerId, hsu_core::fleet::Glance)| {
            let same_numbers = left.1.attempts == right.1.attempts
                && left.1.accounted == right.1.accounted
                && left.1.latest == right.1.latest;
            left.0 == right.0
                && left.1.state == right.1.state
                && left.1.desired == right.1.desired
                && left.1.enabled == right.1.enabled
                && left.1.breaker == right.1.breaker
                && same_numbers
        };
        let pairs = fleet.glances().zip(third.glances());
        if fleet.glances().count() != third.glances().count()
            || !pairs.fold(true, |all, (l, r)| all && same(l, r))
        {
            self.object("I13", || "what is taken up again is not what was taken up".to_owned());
        }
    }

    /// I14: what is restored is what the acknowledged commands made of it, and perhaps some
    /// of those that followed, in their order.
    pub(super) fn i14_restored(&mut self, records: &[(WorkerId, WorkerRecord)], resume: Resume) {
        for place in 0..self.ids.len() {
            let id = self.ids[place].clone();
            let record = records.iter().find(|(of, _)| *of == id).map(|(_, record)| record);
            let is_so = |wanted: &Wanted| match record {
                Some(record) if record.removed => wanted.is_removed,
                Some(record) => {
                    !wanted.is_removed
                        && wanted.runs == (record.desired == Desired::Running)
                        && wanted.enabled == record.enabled
                }
                None => false,
            };
            // Whoever exceeds a limit may be stopped for good: nobody asked for that.
            let was_stopped = self.is_watched(place)
                && self.wishes[place].may_end
                && record.is_some_and(|r| !r.removed && r.desired == Desired::Stopped);
            let wish = &mut self.wishes[place];
            let is_right = wish.is_open || was_stopped || wish.durable.iter().any(is_so);
            let durable = wish.durable.clone();
            // What follows goes on from what was restored.
            if resume == Resume::Continue && is_right {
                wish.durable.retain(is_so);
            } else {
                wish.durable.clear();
                wish.is_open = true;
            }
            if !is_right && !durable.is_empty() {
                let found = record.map(|r| (r.removed, r.desired, r.enabled));
                self.object("I14", || format!("{id} is restored as {found:?}, of {durable:?}"));
            }
        }
    }

    /// I14: what was read is what is gone on with.
    pub(super) fn i14_taken_up(&mut self, records: &[(WorkerId, WorkerRecord)], fleet: &Fleet) {
        for (id, record) in records {
            let Some(glance) = fleet.glance(id).filter(|_| !record.removed) else { continue };
            let is_configured = self.specs[self.index(id)].is_some();
            let may_run = record.enabled.is_none_or(|enabled| enabled == glance.enabled);
            let same = glance.desired == record.desired
                && glance.attempts == record.attempts
                && glance.breaker == record.breaker
                && glance.accounted == record.accounted
                && glance.restarts == record.restarts
                && (glance.next_attempt == record.next_attempt || record.next_attempt.is_none());
            if !(same && (may_run || !is_configured)) {
                self.object("I14", || {
                    format!("{id} goes on as {glance:?}, written was {record:?}")
                });
            }
        }
    }

    /// I20: what waits for the disk stays within its bounds, and what is given up is counted.
    pub(crate) fn i20_bounds(&mut self, backlog: &Backlog, bounds: Bounds) {
        let (batches, events) = backlog.size();
        if batches > bounds.batches {
            self.object("I20", || format!("{batches} batches wait, and {events} events"));
        }
        if backlog.given_up() < self.given_up {
            self.object("I20", || "the count of events that were given up falls".to_owned());
        }
        self.given_up = backlog.given_up();
    }

    /// I22, I26, I27: a fact is true, holds no secret, and has the next number.
    pub(crate) fn on_fact(&mut self, event: &Event, os: &Os) {
        self.i22_exit_is_true(event, os);
        self.i26_no_secret(event);
        if event.sequence <= self.last_event {
            let (sequence, last) = (event.sequence, self.last_event);
            self.object("I27", || format!("event {sequence} follows event {last}"));
        }
        self.last_event = event.sequence;
    }

    /// I22: an exit status was seen, or it is unknown for a reason that is so.
    fn i22_exit_is_true(&mut self, event: &Event, os: &Os) {
        let EventKind::Exited { run, exit, .. } = event.kind else {
            return;
        };
        if event.worker.as_ref().is_some_and(|worker| self.is_watched(self.index(worker))) {
            return self.i22_attached(event, run, exit);
        }
        match exit {
            Exit::Code(_) | Exit::Signal { .. } => {
                if os.end_of(run) != Some(exit) {
                    let seen = os.end_of(run);
                    self.object("I22", || format!("{run} ended as {seen:?}, told is {exit:?}"));
                }
            }
            Exit::Unknown(_) => {
                // Of a process that is no child of the keeper nobody may tell.
                let is_named = self.fate_of(run).is_followed;
                let may_be = is_named
                    || self.keepers_lost > 0
                    || self.power_lost > 0
                    || self.exits_forgotten;
                if !may_be && !self.is_lost {
                    self.object("I22", || format!("the exit of {run} is not known: {exit:?}"));
                }
            }
        }
    }

    /// I26: what a worker is given in its environment is in no fact.
    fn i26_no_secret(&mut self, event: &Event) {
        let has = |text: &str| text.contains(CANARY);
        let found = match &event.kind {
            EventKind::StateChanged { reason, .. }
            | EventKind::RestartRefused { reason }
            | EventKind::MasterStopping { reason } => has(reason),
            EventKind::SpawnFailed { error, .. } => has(error),
            EventKind::Commanded { verb } => has(verb),
            EventKind::RoleLost { role, reason } => has(role) || has(reason),
            _ => false,
        };
        if found {
            self.object("I26", || format!("a secret is in the journal: {:?}", event.kind));
        }
    }

    /// I26: nor is it in an answer.
    pub(super) fn i26_no_secret_in_answer(&mut self, answer: &Answer) {
        let text = match answer {
            Answer::Done { message, .. } | Answer::Unwritten { message, .. } => message,
            Answer::Refused(Refusal::Failed { reason }) => reason,
            Answer::Refused(_) => return,
        };
        if text.contains(CANARY) {
            self.object("I26", || format!("a secret is in an answer: {text}"));
        }
    }

    /// I27: a new master goes on after the last event that anybody can have read.
    pub(crate) fn i27_numbers_after_boot(&mut self, durable: u64) {
        self.last_event = durable;
    }
}
