//! What is seen: which process is taken, and what its end means.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hsu_model::discovery::{Candidate, Matches, Sighting};
use hsu_model::event::EventKind;
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::status::LastExit;
use hsu_model::time::{Tick, WallTime};

use super::mending::{Mending, Seen};
use super::{Attached, Hold, Source, Watched};
use crate::effect::Effect;
use crate::input::Command;
use crate::reason::Reason;
use crate::worker::Context;

/// So many candidates are listed by name.
const LISTED: usize = 5;

impl Watched {
    /// Everything of an earlier life is known: hints are verified, and the search begins.
    pub(crate) fn settle(&mut self, context: &mut Context<'_>, unknown: UnknownExit) {
        // The search comes first: it has to hear of what is attached.
        self.follow_wish(context);
        let hints: Vec<_> = self.attached.iter().map(|(run, a)| (*run, a.clone())).collect();
        for (run, attached) in hints {
            if unknown == UnknownExit::Reboot {
                self.lose(context, run, Exit::Unknown(unknown), context.now.tick, context.now.wall);
            } else {
                self.ask(context, run, &attached);
            }
        }
    }

    /// Asks for the search when it is wanted and not under way, and ends it when it is not.
    pub(super) fn follow_wish(&mut self, context: &mut Context<'_>) {
        let wanted = self.is_wanted() && !context.phase.is_end();
        if wanted == self.searching || context.phase == crate::worker::Phase::Settling {
            return;
        }
        self.searching = wanted;
        if wanted {
            self.reason = Reason::Looking;
            self.told = None;
        }
        context.out.push(Effect::Search { worker: self.id().clone(), wanted });
    }

    fn ask(&self, context: &mut Context<'_>, run: RunId, attached: &Attached) {
        let (process, program) = (attached.process, attached.program);
        let worker = self.id().clone();
        context.out.push(Effect::Attach { worker, run, process, program });
    }

    /// A search is over. `claimed` tells which processes other workers have.
    pub(crate) fn on_sighted(
        &mut self,
        context: &mut Context<'_>,
        sighting: Sighting,
        claimed: impl Fn(ProcessKey) -> Option<WorkerId>,
    ) {
        if !self.searching || context.phase.is_end() {
            // A stale report: nobody looks any more.
            return;
        }
        let Sighting { candidates, strayed, mut note, is_blind } = sighting;
        for process in strayed {
            self.release_process(context, process, "it runs another program now");
        }
        let may_be_there = is_blind || !candidates.is_empty();
        let mut free = Vec::new();
        for candidate in candidates {
            match claimed(candidate.process) {
                Some(other) => {
                    let pid = candidate.process.pid;
                    add(&mut note, &format!("PID {pid} is attached to the worker {other}"));
                }
                None => free.push(candidate),
            }
        }
        let many = self.unit().is_some_and(|unit| unit.discovery.matches == Matches::Many);
        if many {
            self.take_all(context, &free)
        } else {
            self.take_one(context, &free, &mut note)
        }
        let seen = if may_be_there { Seen::Untaken(&note) } else { Seen::Nothing };
        self.go_on_starting(context, seen);
        self.tell_note(context, note);
    }

    fn take_all(&mut self, context: &mut Context<'_>, free: &[Candidate]) {
        for candidate in free {
            if !self.has(candidate.process) {
                self.take(context, candidate);
            }
        }
    }

    fn take_one(&mut self, context: &mut Context<'_>, free: &[Candidate], note: &mut String) {
        let others: Vec<_> = free.iter().filter(|c| !self.has(c.process)).collect();
        let keeps = free.len() > others.len();
        let ends = self.attached.values().any(|attached| attached.hold != Hold::Held);
        match others.as_slice() {
            [] => {}
            // What is held fits no longer, and exactly one other does.
            [candidate] if !keeps && !ends => {
                for (run, _) in self.runs().collect::<Vec<_>>() {
                    self.release(context, run, "another process fits now, and this one does not");
                }
                self.take(context, candidate);
            }
            [_] if !keeps => {}
            others if keeps => {
                add(note, &format!("others fit as well and are not taken: {}", list(others)));
            }
            others => {
                let count = others.len();
                add(note, &format!("{count} processes fit, and none is taken: {}", list(others)));
            }
        }
    }

    fn has(&self, process: ProcessKey) -> bool {
        self.attached.values().any(|attached| attached.process == process)
    }

    fn take(&mut self, context: &mut Context<'_>, candidate: &Candidate) {
        let run = RunId(*context.next_run);
        *context.next_run += 1;
        let Candidate { process, program, .. } = *candidate;
        let hold = Hold::Asked(Source::Search);
        let attached = Attached { process, program, started: None, hold };
        self.ask(context, run, &attached);
        self.attached.insert(run, attached);
    }

    /// Says once why no process, or no other, is taken.
    fn tell_note(&mut self, context: &mut Context<'_>, note: String) {
        if self.told.as_ref() == Some(&note) {
            return;
        }
        if !note.is_empty() {
            self.tell(context, EventKind::NotFound { reason: note.clone() });
        }
        if !self.is_attached() {
            self.reason = match note.is_empty() {
                true => Reason::Looking,
                false => Reason::Sought(note.clone()),
            };
        }
        self.told = Some(note);
    }

    /// A process is held.
    pub(crate) fn on_attached(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        started: (Tick, WallTime),
    ) {
        let Some(attached) = self.attached.get_mut(&run) else {
            // It was let go meanwhile, and its hold with it.
            return context.out.push(Effect::Release { run });
        };
        let Hold::Asked(source) = attached.hold else {
            return;
        };
        attached.hold = Hold::Held;
        attached.started = Some(started);
        self.unheld = None;
        let was_looking = self.mending == Mending::Looking;
        if was_looking {
            self.mending = Mending::Idle;
        }
        let pid = attached.process.pid;
        if source == Source::Search {
            self.latest_run = Some(run);
        }
        self.reason = match source {
            Source::Search => Reason::Sought("its process was found".into()),
            Source::Record => Reason::Adopted,
        };
        self.tell(context, EventKind::Adopted { run, pid });
        self.persist(context);
        if !self.is_wanted() || context.phase.is_end() {
            return self.release(context, run, "it shall not be watched");
        }
        let waits = self.pending.is_some_and(|p| p.until.is_some() && p.command.starts());
        if waits && (was_looking || source == Source::Search) {
            self.settle_reason();
            let answer = self.done("its process runs");
            self.resolve(context, answer);
        }
    }

    /// A process cannot be held; none as error means that it is gone.
    pub(crate) fn on_attach_failed(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        error: Option<String>,
    ) {
        let Some(Hold::Asked(source)) = self.attached.get(&run).map(|attached| attached.hold)
        else {
            return;
        };
        match source {
            Source::Record => {
                let exit = Exit::Unknown(UnknownExit::Unwatched);
                self.lose(context, run, exit, context.now.tick, context.now.wall);
            }
            Source::Search => {
                self.attached.remove(&run);
            }
        }
        self.go_on_starting(context, error.as_deref().map_or(Seen::Nothing, Seen::Untaken));
        // It is tried again with each search, and told once.
        if let Some(reason) = error
            && self.unheld.as_ref() != Some(&reason)
        {
            self.tell(context, EventKind::NotFound { reason: reason.clone() });
            if !self.is_attached() {
                self.reason = Reason::Sought(reason.clone());
            }
            self.unheld = Some(reason);
        }
    }

    /// A process that is watched has ended.
    pub(crate) fn on_exited(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        exit: Exit,
        at: Tick,
        wall: WallTime,
    ) {
        let ended = self.attached.get(&run).map(|attached| attached.hold);
        let Some(hold) = ended else {
            // A stale report: it was let go.
            return;
        };
        self.lose(context, run, exit, at, wall);
        if let Hold::Ending(_) = hold
            && !self.is_wanted()
            && self.attached.is_empty()
        {
            self.reason = Reason::Ended(exit);
            let answer = self.done("stopped");
            self.resolve(context, answer);
        } else if self.searching {
            context.out.push(Effect::Search { worker: self.id().clone(), wanted: true });
        }
    }

    /// Accounts for the end of a process.
    fn lose(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        exit: Exit,
        at: Tick,
        wall: WallTime,
    ) {
        let Some(attached) = self.attached.remove(&run) else {
            return;
        };
        let lasted = attached.started.map(|(started, _)| at.since(started)).unwrap_or_default();
        self.give_up_mending(Some(run));
        self.last_exit = Some(LastExit { run, exit, at: wall, lasted });
        self.reason = Reason::Lost(exit);
        self.told = None;
        self.tell(context, EventKind::Exited { run, exit, lasted });
        context.out.push(Effect::Release { run });
        self.persist(context);
    }

    fn release_process(
        &mut self,
        context: &mut Context<'_>,
        process: ProcessKey,
        why: &'static str,
    ) {
        let found = self.runs().find(|(_, attached)| *attached == process);
        if let Some((run, _)) = found {
            self.release(context, run, why);
        }
    }

    /// Lets go of a process, which goes on.
    pub(super) fn release(&mut self, context: &mut Context<'_>, run: RunId, why: &'static str) {
        let Some(attached) = self.attached.remove(&run) else {
            return;
        };
        self.give_up_mending(Some(run));
        if !matches!(attached.hold, Hold::Asked(Source::Search)) {
            self.tell(context, EventKind::Released { run, reason: why.into() });
            self.reason = Reason::Sought(why.into());
        }
        context.out.push(Effect::Release { run });
        self.persist(context);
    }

    /// After a start that an operator asked for, that is what people want to read.
    pub(super) fn settle_reason(&mut self) {
        if let Some(verb) = self.pending.map(|pending| pending.command) {
            match verb {
                Command::Restart { .. } => self.reason = Reason::Operator("restart"),
                Command::Start => self.reason = Reason::Operator("start"),
                Command::Stop { .. }
                | Command::Signal(_)
                | Command::Remove
                | Command::Enable
                | Command::Disable
                | Command::ResetBreaker => {}
            }
        }
    }
}

/// Adds a sentence to a note.
fn add(note: &mut String, more: &str) {
    if !note.is_empty() {
        note.push_str("; ");
    }
    note.push_str(more);
}

/// The candidates by PID and name.
fn list(candidates: &[&Candidate]) -> String {
    let mut text = String::new();
    for candidate in candidates.iter().take(LISTED) {
        let comma = if text.is_empty() { "" } else { ", " };
        text.push_str(&format!("{comma}PID {} {}", candidate.process.pid, candidate.what));
    }
    match candidates.len().checked_sub(LISTED) {
        Some(more) if more > 0 => format!("{text} and {more} more"),
        _ => text,
    }
}
