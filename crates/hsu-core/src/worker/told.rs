//! What a worker tells of itself, and what follows from its silence.
//!
//! Words are those of the run that goes on: each run begins with none. A worker
//! that must say that it is ready, or that it lives, and does not, is stopped and
//! then treated as after failed health checks.
// Source: sd_notify(3); systemd.service(5).

use alloc::string::String;
use core::time::Duration;

use hsu_model::event::EventKind;
use hsu_model::id::RunId;
use hsu_model::notify::{Notify, Said};
use hsu_model::restart::RestartPolicy;
use hsu_model::status::{ToldPhase, ToldStatus};
use hsu_model::time::Tick;
use hsu_model::worker::Unit;

use super::succession::Refused;
use super::{Context, Ladder, State, Then, Worker};
use crate::input::Severity;
use crate::reason::Reason;
use crate::restart::Cause;

/// The longest text about itself that is kept of a worker, in characters.
const LONGEST_STATUS: usize = 256;

/// The words of the present run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    phase: ToldPhase,
    text: String,
    /// Until when it must be ready.
    ready_by: Option<Tick>,
    /// How often it must say that it lives, and until when next.
    alive: Option<(Duration, Tick)>,
    /// The process that it has named last and that was refused, with the reason.
    refused: Option<(u32, Refused)>,
}

impl Told {
    fn begin(notify: &Notify, is_known_ready: bool, now: Tick) -> Self {
        let phase = match notify.ready && !is_known_ready {
            true => ToldPhase::Starting,
            false => ToldPhase::Ready,
        };
        let waits = phase == ToldPhase::Starting && !notify.startup_timeout.is_zero();
        let alive =
            (!notify.watchdog.is_zero()).then(|| (notify.watchdog, now.after(notify.watchdog)));
        Self {
            phase,
            text: String::new(),
            ready_by: waits.then(|| now.after(notify.startup_timeout)),
            alive,
            refused: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Tick> {
        let alive = self.alive.map(|(_, due)| due);
        self.ready_by.into_iter().chain(alive).min()
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.phase, ToldPhase::Ready | ToldPhase::Reloading)
    }
}

impl Worker {
    pub(super) fn notify(&self) -> Option<&Notify> {
        match &self.spec.unit {
            Unit::Managed(managed) => Some(&managed.notify).filter(|notify| notify.is_on()),
            Unit::Departed(_) | _ => None,
        }
    }

    /// A run begins, or is taken over: what it said to an earlier master is in the record.
    pub(super) fn begin_listening(&mut self, run: RunId, now: Tick) {
        let is_known_ready = self.ready_run == Some(run);
        let begin = |notify| Told::begin(notify, is_known_ready, now);
        self.told = self.notify().map(begin);
    }

    /// Whether it said what it must say before it does its job.
    pub(super) fn has_said_ready(&self) -> bool {
        self.told.as_ref().is_none_or(Told::is_ready)
    }

    pub(super) fn told_status(&self) -> Option<ToldStatus> {
        let told = self.told.as_ref().filter(|_| self.process().is_some())?;
        Some(ToldStatus { phase: told.phase, text: told.text.clone() })
    }

    /// The process of the run that is not over says something.
    pub(crate) fn on_told(&mut self, context: &mut Context<'_>, run: RunId, said: Said) {
        if let Said::MainProcess(named) = said {
            return self.on_named(context, run, named);
        }
        let longer = match (&mut self.state, &said) {
            (State::Running(_), _) => None,
            (State::Stopping(stopping), Said::NeedsLonger(span)) => {
                Some((&mut stopping.ladder, *span))
            }
            // Stale, or of no consequence for a worker that ends.
            (
                State::Registered
                | State::Starting { .. }
                | State::Stopping(_)
                | State::Clearing { .. }
                | State::Stopped
                | State::BackingOff { .. }
                | State::Tripped
                | State::Failed
                | State::Unsettled { .. },
                _,
            ) => return,
        };
        match longer {
            Some((Ladder::Asked { kill_at }, span)) => {
                *kill_at = (*kill_at).max(context.now.tick.after(span));
            }
            Some((Ladder::Killed { .. } | Ladder::Unkillable, _)) => {}
            None => self.hear(context, run, said),
        }
    }

    fn hear(&mut self, context: &mut Context<'_>, run: RunId, said: Said) {
        let now = context.now.tick;
        let Some(told) = &mut self.told else {
            return;
        };
        match said {
            Said::Ready => {
                told.ready_by = None;
                self.enter_phase(context, run, ToldPhase::Ready);
                if self.ready_run != Some(run) {
                    self.ready_run = Some(run);
                    self.persist(context);
                }
            }
            Said::Reloading => self.enter_phase(context, run, ToldPhase::Reloading),
            Said::Stopping => self.enter_phase(context, run, ToldPhase::Stopping),
            Said::Status(text) => told.text = text.chars().take(LONGEST_STATUS).collect(),
            Said::Alive => told.alive = told.alive.map(|(span, _)| (span, now.after(span))),
            Said::AliveEvery(span) => {
                told.alive = (!span.is_zero()).then(|| (span, now.after(span)));
            }
            Said::NeedsLonger(span) => {
                told.ready_by = told.ready_by.map(|due| due.max(now.after(span)));
            }
            Said::Broken => self.give_up_on(context, Reason::SaidBroken),
            // It is told apart from the others, because it counts in other states too.
            Said::MainProcess(_) => {}
        }
    }

    /// Whether a refusal is another one than the last of this run: a worker may say the same
    /// for ever.
    pub(super) fn is_news(&mut self, pid: u32, refused: Refused) -> bool {
        let last = self.told.as_mut().map(|told| told.refused.replace((pid, refused)));
        last.is_none_or(|last| last != Some((pid, refused)))
    }

    fn enter_phase(&mut self, context: &mut Context<'_>, run: RunId, phase: ToldPhase) {
        let Some(told) = self.told.as_mut().filter(|told| told.phase != phase) else {
            return;
        };
        told.phase = phase;
        self.tell(context, EventKind::Told { run, phase });
    }

    /// Whether the silence of the worker is what is due.
    pub(super) fn notice_silence(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick;
        let Some(told) = &self.told else { return };
        if told.ready_by.is_some_and(|due| due <= now) {
            self.give_up_on(context, Reason::NotReadyInTime);
        } else if told.alive.is_some_and(|(_, due)| due <= now) {
            self.give_up_on(context, Reason::Silent);
        }
    }

    /// Restarts it as after failed health checks. Its grace after a start is none of
    /// this: a worker that tells of itself has times of its own.
    fn give_up_on(&mut self, context: &mut Context<'_>, reason: Reason) {
        if let Some(told) = &mut self.told {
            told.ready_by = None;
            told.alive = None;
        }
        let may_restart = self.restart().is_some_and(|r| r.policy != RestartPolicy::Never);
        if context.phase.is_end() {
            return;
        }
        let cause = Cause::Health(Severity::Critical);
        let then = if may_restart { Then::Decide(cause) } else { Then::Stay };
        self.begin_stop(context, then, reason);
    }
}
