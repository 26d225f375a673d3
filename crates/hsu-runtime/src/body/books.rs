//! The books: what workers were after which event, and what becomes of the state itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hsu_core::answer::{Answer, Begun, Refusal, Want};
use hsu_core::effect::Effect;
use hsu_core::input::Ticket;
use hsu_model::event::{Actor, EventKind};
use hsu_model::id::WorkerId;
use hsu_model::status::WorkerStatus;
use hsu_model::time::Now;
use hsu_store::{Moment, Store};
use tracing::{info, warn};

use super::Body;

/// What was written of the past, so that only changes are.
#[derive(Debug, Default)]
pub(crate) struct Books {
    written: BTreeMap<WorkerId, Arc<WorkerStatus>>,
    /// Workers that changed before the processes of the earlier life were known, or without
    /// an event: what was written with the latest event is what they were then.
    unwritten: BTreeSet<WorkerId>,
    /// The event that begins this life.
    begun: Option<u64>,
    /// Generations of the database that were told.
    renewals: u64,
    /// Why the state cannot be written, as far as that was told.
    trouble: Option<String>,
    /// Orders whose batch may never become durable.
    orders: Vec<(u64, Ticket)>,
}

impl Books {
    /// This life begins with an event: every status is written after it.
    pub(crate) fn begin(&mut self, sequence: u64) {
        self.begun = Some(sequence);
    }

    /// What a worker is, as it was written; none when it has changed since.
    pub(crate) fn status(&self, worker: &WorkerId) -> Option<Arc<WorkerStatus>> {
        let written = self.written.get(worker).filter(|_| !self.unwritten.contains(worker));
        written.cloned()
    }

    /// An order whose answer waits for a batch.
    pub(crate) fn order(&mut self, number: u64, ticket: Ticket) {
        self.orders.push((number, ticket));
    }
}

/// Why an order cannot be made durable at present.
pub(crate) fn not_durable(store: &Store, reason: String, begun: Begun) -> Answer {
    let want = if store.is_full() { Want::Room } else { Want::Health };
    Answer::Refused(Refusal::NotDurable { reason, want, begun })
}

impl Body {
    /// Notes what the workers are that changed, each after its latest event of this round, or
    /// the latest of anybody. Without any it waits: earlier events knew nothing of the change.
    pub(super) fn write_statuses(&mut self, now: Now) {
        let last = self.batch.events.last().filter(|_| self.settled);
        let Some(last) = last.map(|event| event.sequence) else {
            self.books.unwritten.extend(self.changed.iter().cloned());
            return;
        };
        if self.changed.is_empty() && self.books.unwritten.is_empty() {
            return;
        }
        let mut latest = BTreeMap::new();
        for event in &self.batch.events {
            if let Some(worker) = &event.worker {
                latest.insert(worker.clone(), event.sequence);
            }
        }
        let begun = self.books.begun.take().unwrap_or(0);
        let early = std::mem::take(&mut self.books.unwritten);
        for worker in early.union(&self.changed) {
            let status = self.fleet.status(worker);
            if self.books.written.get(worker).map(|written| &**written) == status.as_ref() {
                continue;
            }
            let status = status.map(Arc::new);
            match &status {
                Some(status) => self.books.written.insert(worker.clone(), Arc::clone(status)),
                None => self.books.written.remove(worker),
            };
            let sequence = latest.get(worker).copied().unwrap_or(last).max(begun);
            let moment = Moment { sequence, at: now, worker: worker.clone(), status };
            self.batch.statuses.push(moment);
        }
    }

    /// Tells what became of the state: that it cannot be written, is written again, or had to
    /// be begun anew.
    pub(super) fn watch_state(&mut self, now: Now) {
        let trouble = self.store.health();
        self.answer_orders(trouble.as_deref());
        if trouble.is_some() {
            self.hurry_orders(now);
        }
        if trouble.is_some() != self.books.trouble.is_some() {
            let kind = match &trouble {
                Some(reason) => {
                    warn!("{reason}");
                    EventKind::StateUnwritable { reason: reason.clone() }
                }
                None => {
                    info!("the state is written again");
                    EventKind::StateWritable
                }
            };
            self.record(now, None, Actor::Master, kind);
        }
        self.books.trouble.clone_from(&trouble);
        self.board.set_degraded(trouble);
        let renewals = self.store.renewals();
        if renewals > self.books.renewals {
            self.books.renewals = renewals;
            self.tell_replaced(now, self.store.renewed_because());
            // The disk may have dropped what it had taken: memory has all of it.
            let workers = self.fleet.statuses().map(|status| status.id).collect();
            self.perform(now, Effect::Persist { workers });
        }
    }

    /// The state was begun anew.
    pub(crate) fn tell_replaced(&mut self, now: Now, reason: String) {
        warn!("the state was broken and a new one is begun: {reason}");
        self.board.set_replaced(reason.clone());
        self.record(now, None, Actor::Master, EventKind::StateReplaced { reason });
    }

    /// Whoever gave an order that the disk does not take is told so at once.
    fn answer_orders(&mut self, trouble: Option<&str>) {
        let durable = self.store.durable();
        self.books.orders.retain(|(number, _)| *number > durable);
        let Some(reason) = trouble else { return };
        for (_, ticket) in std::mem::take(&mut self.books.orders) {
            let answer = not_durable(&self.store, reason.to_owned(), Begun::Waits);
            self.answer(ticket, answer);
        }
    }
}
