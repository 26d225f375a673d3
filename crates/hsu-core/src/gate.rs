//! The gate: what must be durable before which effect is carried out.
//!
//! Everything that one input changed goes to the store as one numbered batch. What must
//! not happen before a batch is durable (an answer to an operator, an acknowledgement to
//! the keeper, an operator's start) waits here for its number. A restart after an exit
//! waits for nothing: the wish that the worker shall run was durable before.
//! Nor does an order that only ends something wait for a disk that takes nothing: it is
//! carried out, and its answer says that it is not written.
//! Pure: who writes batches and who performs effects is the caller's business.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use hsu_model::id::{RunId, WorkerId};

use crate::answer::Answer;
use crate::effect::{Effect, ServiceVerb};
use crate::input::Ticket;

/// What waits until a batch is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// An effect of an operator's wish.
    Effect(Effect),
    /// An exit that the keeper may forget.
    Acknowledge(RunId),
    /// A worker that the store may forget: the keeper was told that its exits are accounted.
    Forget(WorkerId),
}

/// An order that only ends something, until it is answered.
#[derive(Debug)]
struct ToEnd {
    /// Its batch; none when it changed nothing.
    number: Option<u64>,
    /// Whether it is carried out before it is durable.
    is_hurried: bool,
}

/// What waits for the disk, and for which batch.
#[derive(Debug, Default)]
pub struct Gate {
    /// Oldest first.
    held: VecDeque<(u64, Held)>,
    /// The batches that hold the latest wishes of operators, until they are durable.
    wishes: BTreeMap<WorkerId, u64>,
    /// Orders that a disk that takes nothing does not hold up.
    to_end: BTreeMap<Ticket, ToEnd>,
}

impl Gate {
    /// A wish was written in this batch; its deeds wait for it, in their order.
    pub fn wish(&mut self, worker: WorkerId, number: u64, deeds: impl IntoIterator<Item = Effect>) {
        self.wishes.insert(worker, number);
        for deed in deeds {
            self.hold(number, deed);
        }
    }

    /// The order behind this wish only ends something ([`Gate::hurry_orders`]); none is the number of
    /// one that changed nothing.
    pub fn order_to_end(&mut self, ticket: Ticket, number: Option<u64>) {
        self.to_end.insert(ticket, ToEnd { number, is_hurried: false });
    }

    /// The disk takes nothing: orders that only end something wait no longer for it. What of
    /// them was held is to be done now.
    pub fn hurry_orders(&mut self) -> Vec<Effect> {
        let mut numbers = BTreeSet::new();
        for order in self.to_end.values_mut() {
            order.is_hurried = true;
            numbers.extend(order.number);
        }
        let to_end = &self.to_end;
        take_held(&mut self.held, |number, effect| {
            if let Effect::Reply { ticket, .. } = effect {
                to_end.contains_key(ticket)
            } else {
                effect.is_end() && numbers.contains(&number)
            }
        })
    }

    /// What whoever gave an order is told: that it is done, and that this is not written when
    /// it is not.
    pub fn tell(&mut self, ticket: Ticket, answer: Answer, durable: u64, reason: &str) -> Answer {
        let order = self.to_end.remove(&ticket).filter(|order| order.is_hurried);
        let is_unwritten = order.and_then(|order| order.number).is_some_and(|n| n > durable);
        if let (true, Answer::Done { state, message }) = (is_unwritten, &answer) {
            return Answer::Unwritten {
                state: *state,
                message: message.clone(),
                reason: reason.into(),
            };
        }
        answer
    }

    /// Holds an effect until a batch is durable, and whatever was held before it is released.
    pub fn hold(&mut self, number: u64, effect: Effect) {
        self.held.push_back((number, Held::Effect(effect)));
    }

    /// The exit of a run is accounted in this batch.
    pub fn acknowledge_after(&mut self, number: u64, run: RunId) {
        self.held.push_back((number, Held::Acknowledge(run)));
    }

    /// A worker has departed, and its last exits are accounted in this batch or before.
    pub fn forget_after(&mut self, number: u64, worker: WorkerId) {
        self.held.push_back((number, Held::Forget(worker)));
    }

    /// The batch that must be durable before an effect, unless it is: one that tells of a
    /// wish, or starts what was wished for, in a later step than the wish itself.
    #[must_use]
    pub fn awaits(&self, effect: &Effect, durable: u64) -> Option<u64> {
        let number = match effect {
            Effect::Reply { ticket, .. }
                if self.to_end.get(ticket).is_some_and(|order| order.is_hurried) =>
            {
                None
            }
            Effect::Reply { .. } => self.wishes.values().max(),
            Effect::Spawn { worker, .. } => self.wishes.get(worker),
            Effect::Signal { .. }
            | Effect::KillTree { .. }
            | Effect::Follow { .. }
            | Effect::Check { .. }
            | Effect::Event { .. }
            | Effect::Persist { .. }
            | Effect::Forget { .. }
            | Effect::Acknowledge { .. }
            | Effect::Search { .. }
            | Effect::Attach { .. }
            | Effect::Release { .. }
            | Effect::Service { .. }
            | Effect::Measure { .. }
            | Effect::Throttle { .. }
            | Effect::Alert { .. }
            | Effect::AllStopped => None,
        };
        number.copied().filter(|number| *number > durable)
    }

    /// Takes out everything that waited for `durable` or less. Each effect is to be asked
    /// about once more: a later wish may hold it.
    pub fn release(&mut self, durable: u64) -> Vec<Held> {
        self.wishes.retain(|_, number| *number > durable);
        let count = self.held.iter().take_while(|(number, _)| *number <= durable).count();
        self.held.drain(..count).map(|(_, held)| held).collect()
    }

    /// A master that ends and stops its workers wants everything ended, whatever becomes of
    /// the wish, and a disk that takes nothing must not keep a worker alive whose kill is
    /// counted as done. What of that was held is to be done now.
    #[must_use]
    pub fn hurry_ends(&mut self) -> Vec<Effect> {
        take_held(&mut self.held, |_, effect| effect.is_end())
    }

    /// The batch that is waited for first.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.held.front().map(|(number, _)| *number)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Another master tells what we had begun: nothing of ours waits any more.
    pub fn clear(&mut self) {
        self.held.clear();
        self.wishes.clear();
        self.to_end.clear();
    }
}

/// Takes effects out of what waits, whatever they wait for.
fn take_held(
    held: &mut VecDeque<(u64, Held)>,
    is_taken: impl Fn(u64, &Effect) -> bool,
) -> Vec<Effect> {
    let mut taken = Vec::new();
    held.retain(|(number, held)| match held {
        Held::Effect(effect) if is_taken(*number, effect) => {
            taken.push(effect.clone());
            false
        }
        Held::Effect(_) | Held::Acknowledge(_) | Held::Forget(_) => true,
    });
    taken
}

impl Effect {
    /// Whether all that it can do is to end something, or to tell it something.
    fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Signal { .. }
                | Self::KillTree { .. }
                | Self::Service { verb: ServiceVerb::Stop, .. }
        )
    }

    /// Whether it only writes books, so that it comes before the deeds that wait for it.
    #[must_use]
    pub fn is_bookkeeping(&self) -> bool {
        match self {
            Self::Event { .. }
            | Self::Persist { .. }
            | Self::Forget { .. }
            | Self::Acknowledge { .. } => true,
            Self::Spawn { .. }
            | Self::Signal { .. }
            | Self::KillTree { .. }
            | Self::Check { .. }
            | Self::Reply { .. }
            | Self::Search { .. }
            | Self::Attach { .. }
            | Self::Release { .. }
            | Self::Follow { .. }
            | Self::Service { .. }
            | Self::Measure { .. }
            | Self::Throttle { .. }
            | Self::Alert { .. }
            | Self::AllStopped => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn(worker: &str, run: u64) -> Effect {
        Effect::Spawn { worker: WorkerId::new(worker).unwrap(), run: RunId(run) }
    }

    #[test]
    fn a_thing_is_released_when_its_batch_is_durable_and_not_before() {
        let mut gate = Gate::default();
        gate.acknowledge_after(1, RunId(1));
        gate.hold(3, spawn("web", 2));
        gate.acknowledge_after(3, RunId(3));
        assert_eq!(gate.release(0), []);
        assert_eq!(gate.release(2), [Held::Acknowledge(RunId(1))]);
        let rest = [Held::Effect(spawn("web", 2)), Held::Acknowledge(RunId(3))];
        assert_eq!(gate.release(3), rest);
        assert!(gate.is_empty());
    }

    #[test]
    fn a_worker_is_forgotten_after_its_exits_are_acknowledged() {
        let (mut gate, web) = (Gate::default(), WorkerId::new("web").unwrap());
        gate.acknowledge_after(2, RunId(1));
        gate.forget_after(2, web.clone());
        assert_eq!(gate.release(1), []);
        assert_eq!(gate.release(2), [Held::Acknowledge(RunId(1)), Held::Forget(web)]);
    }

    #[test]
    fn a_start_waits_for_the_wish_of_its_own_worker_only_and_an_answer_for_all() {
        let mut gate = Gate::default();
        gate.wish(WorkerId::new("web").unwrap(), 4, []);
        let ticket = Ticket(1);
        let answer = Answer::Refused(crate::answer::Refusal::ShuttingDown);
        let reply = Effect::Reply { ticket, answer };
        assert_eq!(gate.awaits(&spawn("web", 2), 3), Some(4));
        assert_eq!(gate.awaits(&spawn("job", 2), 3), None);
        assert_eq!(gate.awaits(&reply, 3), Some(4));
        assert_eq!(gate.awaits(&Effect::AllStopped, 3), None);
        assert_eq!(gate.awaits(&reply, 4), None);
    }

    #[test]
    fn a_wish_is_waited_for_until_it_is_durable_and_then_forgotten() {
        let mut gate = Gate::default();
        gate.wish(WorkerId::new("web").unwrap(), 4, []);
        gate.wish(WorkerId::new("job").unwrap(), 6, []);
        gate.release(4);
        assert_eq!(gate.awaits(&spawn("web", 2), 0), None);
        assert_eq!(gate.awaits(&spawn("job", 3), 0), Some(6));
    }

    #[test]
    fn nothing_of_ours_waits_when_another_master_tells_it() {
        let mut gate = Gate::default();
        gate.wish(WorkerId::new("web").unwrap(), 4, [spawn("web", 2)]);
        assert!(!gate.is_empty());
        gate.clear();
        assert!(gate.is_empty());
        assert_eq!(gate.awaits(&spawn("web", 3), 0), None);
        assert_eq!(gate.release(9), []);
    }

    #[test]
    fn a_master_that_ends_waits_with_no_kill_for_the_disk() {
        let mut gate = Gate::default();
        let web = WorkerId::new("web").unwrap();
        let kill = Effect::KillTree { worker: web.clone(), run: RunId(1), whole: true };
        gate.acknowledge_after(1, RunId(1));
        gate.wish(web, 2, [kill.clone(), spawn("web", 2)]);
        assert_eq!(gate.hurry_ends(), [kill]);
        assert_eq!(gate.hurry_ends(), []);
        let rest = [Held::Acknowledge(RunId(1)), Held::Effect(spawn("web", 2))];
        assert_eq!(gate.release(2), rest);
    }

    fn done(ticket: u64) -> Effect {
        let message = "stopped".into();
        let answer = Answer::Done { state: hsu_model::status::WorkerState::Stopped, message };
        Effect::Reply { ticket: Ticket(ticket), answer }
    }

    fn told(gate: &mut Gate, effect: Effect, durable: u64) -> Answer {
        let Effect::Reply { ticket, answer } = effect else { panic!("{effect:?} is no answer") };
        gate.tell(ticket, answer, durable, "full")
    }

    #[test]
    fn a_disk_that_takes_nothing_holds_up_no_stop_and_its_answer_says_so() {
        let mut gate = Gate::default();
        let (web, job) = (WorkerId::new("web").unwrap(), WorkerId::new("job").unwrap());
        let kill = Effect::KillTree { worker: web.clone(), run: RunId(1), whole: true };
        let other = Effect::KillTree { worker: job.clone(), run: RunId(2), whole: true };
        // A restart of one worker, and a stop of another.
        gate.wish(job, 1, [other]);
        gate.wish(web, 2, [kill.clone()]);
        gate.order_to_end(Ticket(2), Some(2));
        assert_eq!(gate.awaits(&done(2), 0), Some(2), "the disk may take it");
        assert_eq!(
            gate.hurry_orders(),
            [kill],
            "whoever is restarted runs until it can be started"
        );
        assert_eq!(gate.awaits(&done(2), 0), None);
        assert_eq!(gate.awaits(&done(1), 0), Some(2));
        assert_eq!(gate.awaits(&spawn("web", 3), 0), Some(2));
        assert!(matches!(told(&mut gate, done(2), 1), Answer::Unwritten { .. }));
        assert!(matches!(told(&mut gate, done(1), 1), Answer::Done { .. }));
    }

    #[test]
    fn an_answer_that_was_held_is_given_when_the_disk_takes_nothing() {
        let mut gate = Gate::default();
        let web = WorkerId::new("web").unwrap();
        gate.order_to_end(Ticket(1), Some(3));
        gate.wish(web, 3, [done(1), done(2)]);
        assert_eq!(gate.hurry_orders(), [done(1)]);
        assert!(matches!(told(&mut gate, done(1), 2), Answer::Unwritten { .. }));
    }

    #[test]
    fn a_stop_that_the_disk_took_after_all_is_told_as_written() {
        let mut gate = Gate::default();
        gate.wish(WorkerId::new("web").unwrap(), 2, []);
        gate.order_to_end(Ticket(1), Some(2));
        gate.order_to_end(Ticket(2), None);
        gate.hurry_orders();
        assert!(matches!(told(&mut gate, done(2), 0), Answer::Done { .. }), "nothing to write");
        gate.release(2);
        assert_eq!(gate.awaits(&done(1), 2), None);
        assert!(matches!(told(&mut gate, done(1), 2), Answer::Done { .. }));
    }

    #[test]
    fn a_stop_that_is_written_waits_for_no_wish_of_others_when_the_disk_takes_nothing_by_then() {
        let mut gate = Gate::default();
        gate.order_to_end(Ticket(1), Some(2));
        assert_eq!(gate.release(2), []);
        gate.wish(WorkerId::new("web").unwrap(), 3, []);
        assert_eq!(gate.hurry_orders(), []);
        assert_eq!(gate.awaits(&done(1), 2), None);
        assert!(matches!(told(&mut gate, done(1), 2), Answer::Done { .. }));
        assert_eq!(gate.awaits(&done(1), 2), Some(3), "it was answered");
    }

    #[test]
    fn what_an_order_ends_by_a_manager_waits_for_the_disk_no_longer_than_a_kill() {
        let mut gate = Gate::default();
        let web = WorkerId::new("web").unwrap();
        let ask = |verb| Effect::Service { worker: web.clone(), verb };
        gate.wish(web.clone(), 1, [ask(ServiceVerb::Start), ask(ServiceVerb::Stop)]);
        assert_eq!(gate.hurry_ends(), [ask(ServiceVerb::Stop)]);
        assert_eq!(gate.release(1), [Held::Effect(ask(ServiceVerb::Start))]);
    }

    #[test]
    fn a_stop_that_is_written_by_the_time_it_is_answered_is_told_as_written() {
        let mut gate = Gate::default();
        gate.order_to_end(Ticket(1), Some(2));
        gate.hurry_orders();
        assert!(matches!(told(&mut gate, done(1), 2), Answer::Done { .. }));
    }

    #[test]
    fn books_are_told_from_deeds() {
        assert!(Effect::Acknowledge { run: RunId(1) }.is_bookkeeping());
        assert!(Effect::Persist { workers: [].into() }.is_bookkeeping());
        assert!(!spawn("web", 1).is_bookkeeping());
        assert!(!Effect::AllStopped.is_bookkeeping());
    }

    #[test]
    fn the_oldest_batch_is_waited_for_first() {
        let mut gate = Gate::default();
        assert_eq!(gate.first(), None);
        gate.hold(3, spawn("web", 2));
        gate.acknowledge_after(5, RunId(1));
        assert_eq!(gate.first(), Some(3));
        gate.release(3);
        assert_eq!((gate.first(), gate.is_empty()), (Some(5), false));
    }
}
