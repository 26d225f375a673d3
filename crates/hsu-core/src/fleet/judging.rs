//! Judging: what the fleet makes of what its workers use.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hsu_model::event::{Actor, EventKind};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::Limits;
use hsu_model::time::Now;
use hsu_model::usage::Usage;

use super::{Fleet, Limited};
use crate::answer::Answer;
use crate::effect::Effect;
use crate::input::{Command, Ticket, Toll};
use crate::limits::Owner;

impl Fleet {
    /// What a worker may use, with what was raised for it.
    #[must_use]
    pub fn limits_of(&self, id: &WorkerId) -> Option<&Arc<Limits>> {
        let declared = self.spec(id)?.limits()?;
        Some(self.watches.raised(id).unwrap_or(declared))
    }

    /// An operator lets the worker begin anew, and is not refused by what follows `from`: what
    /// was raised for it is as declared again.
    pub(super) fn lower_limits(
        &mut self,
        id: &WorkerId,
        (ticket, command): (Ticket, Command),
        from: usize,
        out: &mut Vec<Effect>,
    ) {
        let begins_anew =
            matches!(command, Command::Start | Command::Restart { .. } | Command::ResetBreaker);
        let is_refused = out.iter().skip(from).any(|effect| refuses(effect, ticket));
        if begins_anew && !is_refused && self.watches.lower(id) {
            out.push(Effect::Persist { workers: alloc::vec![id.clone()] });
        }
    }

    /// Watches the run of a worker that has limits, from the moment its process runs.
    pub(super) fn watch(&mut self, now: Now, id: &WorkerId) {
        let Some(worker) = self.workers.get(id) else { return };
        if let Some(limits) = worker.spec.limits()
            && let Some((run, started)) = worker.running_since()
        {
            let grace = worker.restart().map_or_else(Default::default, |r| r.startup_grace);
            let owner = Owner::We;
            let watched = Limited { worker: id, run, limits, started, grace, owner };
            self.watches.begin(now.tick, &watched);
        } else if let Some(run) = worker.run().filter(|_| worker.spec.limits().is_some()) {
            // It starts, or ends: nothing more follows from what it uses.
            self.watches.end(run);
        }
    }

    /// What a run uses was looked at.
    pub(super) fn on_used(
        &mut self,
        now: Now,
        entropy: u64,
        (run, usage): (RunId, Option<Usage>),
        out: &mut Vec<Effect>,
    ) {
        if let Some(sentence) = self.watches.see(now.tick, run, usage, out)
            && !self.with_watched_run(now, entropy, run, out, |watched, context| {
                watched.on_sentence(context, run, sentence);
            })
        {
            self.with_run(now, entropy, run, out, |worker, context| {
                worker.on_sentence(context, run, sentence);
            });
        }
    }

    /// The kernel has held a run to its limits, and the exit of the run follows.
    pub(super) fn on_held_back(
        &mut self,
        now: Now,
        entropy: u64,
        (run, toll): (RunId, Toll),
        out: &mut Vec<Effect>,
    ) {
        if let Some(sentence) = self.watches.held_back(now.tick, run, toll, out) {
            self.with_run(now, entropy, run, out, |worker, _| {
                worker.blamed = Some((run, sentence));
            });
        }
    }
}

/// Whether somebody is told that their command is not done.
fn refuses(effect: &Effect, ticket: Ticket) -> bool {
    matches!(effect, Effect::Reply { ticket: of, answer: Answer::Refused(_) } if *of == ticket)
}

/// A limit is not in force, and this is why.
pub(super) fn limit_failed(worker: WorkerId, reason: String) -> Effect {
    let kind = EventKind::LimitFailed { reason };
    Effect::Event { worker: Some(worker), actor: Actor::Master, kind }
}
