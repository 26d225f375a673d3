//! The journal's near end: stamps events and says what became durable.
//!
//! Everything one input changed goes to the store as one batch. What must not
//! happen before a batch is durable (an answer to an operator, an
//! acknowledgement to the keeper, an operator's spawn) waits here for its
//! number. A restart after an exit waits for nothing: the wish that the worker
//! shall run was durable before.

use std::collections::VecDeque;

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

    /// Goes on after an event that somebody else has written.
    pub(crate) fn pass(&mut self, last: u64) {
        self.next = self.next.max(last + 1);
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

/// Things that wait for a batch to be durable, oldest first.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    queue: VecDeque<(u64, T)>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new() }
    }
}

impl<T> Waiting<T> {
    /// Holds a thing until `number` is durable, and whatever was held before it is released.
    pub(crate) fn hold(&mut self, number: u64, thing: T) {
        self.queue.push_back((number, thing));
    }

    /// Takes out everything that waited for `durable` or less.
    pub(crate) fn release(&mut self, durable: u64) -> Vec<T> {
        let count = self.queue.iter().take_while(|(number, _)| *number <= durable).count();
        self.queue.drain(..count).map(|(_, thing)| thing).collect()
    }

    /// Whether something waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_after_what_another_master_wrote() {
        let mut stamper = Stamper::after(3);
        stamper.pass(7);
        stamper.pass(5);
        let kind = EventKind::MasterStarted { adopted: 0 };
        assert_eq!(stamper.stamp(WallTime(0), None, Actor::Master, kind).sequence, 8);
    }

    #[test]
    fn a_thing_is_released_when_its_batch_is_durable_and_not_before() {
        let mut waiting = Waiting::default();
        waiting.hold(1, "a");
        waiting.hold(3, "b");
        waiting.hold(3, "c");
        assert_eq!(waiting.release(0), Vec::<&str>::new());
        assert_eq!(waiting.release(2), ["a"]);
        assert_eq!(waiting.release(3), ["b", "c"]);
        assert!(waiting.is_empty());
    }
}
