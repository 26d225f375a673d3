//! Limits: what is done about a process of somebody else that exceeds one.

use hsu_model::event::EventKind;
use hsu_model::id::RunId;
use hsu_model::status::Desired;
use hsu_model::time::Tick;

use super::command::MAY_NOT_END;
use super::{Hold, Watched};
use crate::answer::{Answer, Refusal};
use crate::limits::Sentence;
use crate::reason::Reason;
use crate::restart::Cause;
use crate::worker::Context;

impl Watched {
    /// Its runs whose usage is looked at, and since when each runs: those that are held,
    /// and not about to end.
    pub(crate) fn limited(&self) -> impl Iterator<Item = (RunId, Tick)> + '_ {
        self.attached.iter().filter_map(|(run, attached)| match attached.hold {
            Hold::Held => Some((*run, attached.started?.0)),
            Hold::Asked(_) | Hold::Ending(_) => None,
        })
    }

    /// How long nothing restarts it after its start.
    pub(crate) fn startup_grace(&self) -> core::time::Duration {
        self.unit().map_or_else(Default::default, |unit| unit.restart.startup_grace)
    }

    /// It exceeded a limit whose policy ends it: that is done where it is allowed, and
    /// else told. It stays watched, since it may go on.
    pub(crate) fn on_sentence(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        sentence: Sentence,
    ) {
        let force = match sentence {
            Sentence::Restart(severity) => {
                return self.on_finding(context, run, Cause::Resource(severity));
            }
            Sentence::Stop => false,
            Sentence::Kill => true,
        };
        let held = self.attached.get(&run).is_some_and(|attached| attached.hold == Hold::Held);
        if !held || context.phase.is_end() {
            return;
        }
        if !self.rights().is_some_and(|rights| rights.can_terminate) {
            let reason = Reason::OverLimit;
            let reason = alloc::format!("{reason}, and it is not ended: {MAY_NOT_END}");
            return self.tell(context, EventKind::RestartRefused { reason });
        }
        if self.pending.is_some_and(|pending| pending.command.starts()) {
            // Whoever wants it to run is not told that it was stopped, as if that were it.
            let reason = alloc::format!("{}, and its policy ends it", Reason::OverLimit);
            self.resolve(context, Answer::Refused(Refusal::Failed { reason }));
        }
        self.give_up_mending(None);
        self.desired = Desired::Stopped;
        self.reason = Reason::OverLimit;
        self.end_all(context, force);
        self.follow_wish(context);
        self.persist(context);
    }
}
