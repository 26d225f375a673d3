//! Watching: the workers that somebody else starts, beside those that we start.
//!
//! They share ids, run numbers and deadlines with the others, and nothing else.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hsu_model::discovery::Sighting;
use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::UnknownExit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::time::Now;
use hsu_model::worker::WorkerSpec;

use super::ordering::tell_removal;
use super::{Fleet, scatter};
use crate::answer::{Answer, Refusal};
use crate::attachment::Watched;
use crate::effect::Effect;
use crate::input::{Command, Input, Ticket};
use crate::record::{Resume, WorkerRecord};
use crate::worker::{Context, Worker};

impl Fleet {
    /// Adds a worker that somebody else starts; whether it is one.
    pub(super) fn add_watched(
        &mut self,
        spec: &Arc<WorkerSpec>,
        record: Option<&WorkerRecord>,
        resume: Resume,
    ) -> bool {
        let Some(mut watched) = Watched::new(Arc::clone(spec)) else {
            return false;
        };
        if let Some(record) = record {
            watched.import(record, resume);
            record.run.into_iter().for_each(|run| self.see_run(run));
            if let Some(limits) = spec.limits() {
                self.watches.recall(&spec.id, limits, &record.raised);
            }
        }
        for (run, _) in watched.runs() {
            self.watched_runs.insert(run, spec.id.clone());
        }
        for (run, _) in watched.runs().collect::<Vec<_>>() {
            self.see_run(run);
        }
        self.watched.insert(spec.id.clone(), watched);
        true
    }

    /// Lets one watched worker change; whether it is known.
    pub(super) fn with_watched(
        &mut self,
        now: Now,
        entropy: u64,
        id: &WorkerId,
        actor: Actor,
        out: &mut Vec<Effect>,
        change: impl FnOnce(&mut Watched, &mut Context<'_>),
    ) -> bool {
        let phase = self.phase();
        let Some(watched) = self.watched.get_mut(id) else {
            return false;
        };
        let runs: Vec<RunId> = watched.runs().map(|(run, _)| run).collect();
        let old_deadline = watched.deadline();
        let mut context = Context {
            now,
            entropy,
            limiter: &mut self.limiter,
            looks: &mut self.looks,
            next_run: &mut self.next_run,
            phase,
            actor,
            out,
        };
        change(watched, &mut context);
        watched.follow_subject(&context);
        self.watches.follow(now.tick, watched, &runs);
        // Nothing has changed before it is known what an earlier master left.
        if self.settled {
            watched.settle_change(&mut context);
        }
        for run in runs {
            self.watched_runs.remove(&run);
        }
        for (run, _) in watched.runs() {
            self.watched_runs.insert(run, id.clone());
        }
        let deadline = watched.deadline();
        if deadline != old_deadline {
            if let Some(old) = old_deadline {
                self.deadlines.remove(&(old, id.clone()));
            }
            if let Some(due) = deadline {
                self.deadlines.insert((due, id.clone()));
            }
        }
        true
    }

    /// The same by a run; whether it is one of a watched worker.
    pub(super) fn with_watched_run(
        &mut self,
        now: Now,
        entropy: u64,
        run: RunId,
        out: &mut Vec<Effect>,
        change: impl FnOnce(&mut Watched, &mut Context<'_>),
    ) -> bool {
        let Some(id) = self.watched_runs.get(&run).cloned() else {
            return false;
        };
        self.with_watched(now, entropy, &id, Actor::Master, out, change)
    }

    /// Whether a run was one of a watched worker, and is over.
    pub(super) fn was_watched(&self, worker: &WorkerId, run: RunId) -> bool {
        let watched = self.watched.get(worker).filter(|_| !self.watched_runs.contains_key(&run));
        watched.is_some_and(|watched| watched.has_known(run)) || self.let_go.contains(worker)
    }

    /// An input that only they have.
    pub(super) fn step_watched(
        &mut self,
        now: Now,
        entropy: u64,
        input: Input,
        out: &mut Vec<Effect>,
    ) {
        if let Input::Sighted { worker, sighting } = input {
            self.sighted(now, entropy, &worker, sighting, out);
        } else if let Input::Attached { run, started } = input {
            let known = self
                .with_watched_run(now, entropy, run, out, |w, c| w.on_attached(c, run, started));
            if !known {
                // It was let go meanwhile.
                out.push(Effect::Release { run });
            }
        } else if let Input::AttachFailed { run, error } = input {
            self.with_watched_run(now, entropy, run, out, |w, c| w.on_attach_failed(c, run, error));
        } else if let Input::Serviced { worker, error } = input {
            self.with_watched(now, entropy, &worker, Actor::Master, out, |w, c| {
                w.on_serviced(c, error);
            });
        }
    }

    fn sighted(
        &mut self,
        now: Now,
        entropy: u64,
        worker: &WorkerId,
        sighting: Sighting,
        out: &mut Vec<Effect>,
    ) {
        let claims = self.claims(worker);
        self.with_watched(now, entropy, worker, Actor::Master, out, |watched, context| {
            watched.on_sighted(context, sighting, |process| claims.get(&process).cloned());
        });
    }

    /// The processes that belong to other workers than this one.
    fn claims(&self, worker: &WorkerId) -> BTreeMap<ProcessKey, WorkerId> {
        let others = self.watched.iter().filter(|(id, _)| *id != worker);
        let watched =
            others.flat_map(|(id, w)| w.runs().map(move |(_, process)| (process, id.clone())));
        let own = self.workers.iter().filter_map(|(id, worker): (_, &Worker)| {
            worker.process().map(|(process, _)| (process, id.clone()))
        });
        watched.chain(own).collect()
    }

    pub(super) fn settle_watched(
        &mut self,
        now: Now,
        mut entropy: u64,
        unknown: UnknownExit,
        out: &mut Vec<Effect>,
    ) {
        for id in self.watched.keys().cloned().collect::<Vec<_>>() {
            self.with_watched(now, entropy, &id, Actor::Configuration, out, |watched, context| {
                watched.settle(context, unknown);
            });
            entropy = scatter(entropy);
        }
        for worker in core::mem::take(&mut self.unwatched) {
            let actor = Actor::Configuration;
            let kind = EventKind::Removed;
            out.push(Effect::Event { worker: Some(worker.clone()), actor, kind });
            out.push(Effect::Forget { worker, last: None });
        }
    }

    /// A command for a watched worker; nothing when it is none.
    pub(super) fn command_watched(
        &mut self,
        now: Now,
        entropy: u64,
        (ticket, actor, id): (Ticket, Actor, &WorkerId),
        command: Command,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(watched) = self.watched.get(id) else {
            return false;
        };
        let (is_end, settled) = (self.phase().is_end(), self.settled);
        let refusal = if is_end && (command.starts() || command.stops()) {
            Some(Refusal::ShuttingDown)
        } else if !settled {
            let hint = "the master is still learning what runs; try again in a moment";
            let (state, operation) = (watched.visible(), command.verb());
            Some(Refusal::Conflict { state, operation, hint })
        } else if command == Command::Remove && watched.is_attached() {
            let hint = "`disable` lets go of its process first";
            Some(Refusal::Conflict { state: watched.visible(), operation: "remove", hint })
        } else {
            None
        };
        match refusal {
            Some(refusal) => {
                out.push(Effect::Reply { ticket, answer: Answer::Refused(refusal) });
            }
            None if command == Command::Remove => self.remove_watched(ticket, actor, id, out),
            None => {
                let from = out.len();
                self.with_watched(now, entropy, id, actor, out, |watched, context| {
                    watched.on_command(context, ticket, command);
                });
                self.lower_limits(id, (ticket, command), from, out);
            }
        }
        true
    }

    fn remove_watched(
        &mut self,
        ticket: Ticket,
        actor: Actor,
        id: &WorkerId,
        out: &mut Vec<Effect>,
    ) {
        let Some(watched) = self.watched.remove(id) else {
            return;
        };
        if let Some(due) = watched.deadline() {
            self.deadlines.remove(&(due, id.clone()));
        }
        if let Some(waits) = watched.waits() {
            let answer = Answer::Refused(Refusal::Superseded { by: "remove" });
            out.push(Effect::Reply { ticket: waits, answer });
        }
        for (run, _) in watched.runs() {
            self.watched_runs.remove(&run);
            out.push(Effect::Release { run });
        }
        self.let_go.insert(id.clone());
        out.push(Effect::Search { worker: id.clone(), wanted: false });
        tell_removal(id, &actor, out);
        out.push(Effect::Persist { workers: alloc::vec![id.clone()] });
        out.push(Effect::Reply { ticket, answer: watched.done("removed") });
    }
}
