//! Ordering: what an operator asks of one worker, and what the fleet refuses before it is asked.

use alloc::vec::Vec;

use hsu_model::event::{Actor, EventKind};
use hsu_model::id::WorkerId;
use hsu_model::time::Now;

use super::Fleet;
use crate::answer::{Answer, Refusal};
use crate::effect::Effect;
use crate::input::{Command, Ticket};
use crate::worker::Phase;

impl Fleet {
    #[expect(clippy::too_many_arguments, reason = "one input, taken apart")]
    pub(super) fn command(
        &mut self,
        now: Now,
        entropy: u64,
        ticket: Ticket,
        actor: Actor,
        id: WorkerId,
        command: Command,
        out: &mut Vec<Effect>,
    ) {
        let refuse = |refusal, out: &mut Vec<Effect>| {
            out.push(Effect::Reply { ticket, answer: Answer::Refused(refusal) });
        };
        if self.command_watched(now, entropy, (ticket, actor.clone(), &id), command, out) {
            return;
        }
        let Some(worker) = self.workers.get(&id) else {
            return refuse(Refusal::Unknown { worker: id }, out);
        };
        let refused = match self.phase() {
            Phase::Settling | Phase::Serving => false,
            Phase::Stopping | Phase::Killing => command.starts(),
            // Nobody would be left to see it done.
            Phase::Leaving => command.starts() || command.stops(),
        };
        if refused {
            return refuse(Refusal::ShuttingDown, out);
        }
        if command == Command::Remove {
            if !self.settled {
                let state = worker.visible();
                let hint = "the master is still learning what runs; try again in a moment";
                return refuse(Refusal::Conflict { state, operation: "remove", hint }, out);
            }
            if worker.run().is_some() {
                let state = worker.visible();
                let hint = "`stop` it first";
                return refuse(Refusal::Conflict { state, operation: "remove", hint }, out);
            }
            return self.remove(ticket, actor, id, out);
        }
        let from = out.len();
        self.with(now, entropy, &id, actor, out, |w, c| w.on_command(c, ticket, command));
        self.lower_limits(&id, (ticket, command), from, out);
    }

    fn remove(&mut self, ticket: Ticket, actor: Actor, id: WorkerId, out: &mut Vec<Effect>) {
        let Some(worker) = self.take_out(&id) else {
            return;
        };
        tell_removal(&id, &actor, out);
        out.push(Effect::Persist { workers: alloc::vec![id] });
        out.push(Effect::Reply { ticket, answer: worker.done("removed") });
    }
}

/// That an operator asked for it, and that the worker is forgotten.
pub(super) fn tell_removal(id: &WorkerId, actor: &Actor, out: &mut Vec<Effect>) {
    let verb = Command::Remove.verb().into();
    for kind in [EventKind::Commanded { verb }, EventKind::Removed] {
        out.push(Effect::Event { worker: Some(id.clone()), actor: actor.clone(), kind });
    }
}
