//! The journal's near end: stamps events. What waits until a batch is durable: `hsu_core::gate`.

use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::id::WorkerId;
use hsu_model::time::WallTime;

/// Numbers the events of one master life.
#[derive(Debug)]
pub(crate) struct Stamper {
    next: u64,
}

impl Stamper {
    /// Goes on after the last event that the store holds.
    pub(crate) fn after(last: u64) -> Self {
        Self { next: last + 1 }
    }

    /// The number of the latest event.
    pub(crate) fn last(&self) -> u64 {
        self.next - 1
    }

    /// Makes an event of a fact.
    pub(crate) fn stamp(
        &mut self,
        at: WallTime,
        worker: Option<WorkerId>,
        actor: Actor,
        kind: EventKind,
    ) -> Event {
        let sequence = self.next;
        self.next += 1;
        Event { sequence, at, worker, actor, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_after_the_last_one_of_the_store() {
        let mut stamper = Stamper::after(7);
        let kind = EventKind::MasterStarted { adopted: 0 };
        assert_eq!(stamper.stamp(WallTime(0), None, Actor::Master, kind).sequence, 8);
    }
}
