//! Succession: a worker goes on as another of its processes, which it names.
//!
//! A program that puts itself into the background, or that replaces itself by a newer
//! one, ends as the process that was started and goes on as another. It says so with
//! `MAINPID=`; from then on the run ends with that one. Nobody is believed who cannot
//! be shown to be of the worker: what is shown is in [`Named`], found by whoever has
//! heard the word. The keeper has to hold the process before it counts, so that its end
//! is seen whoever is lost. When the first process ends before the word was heard:
//! [`crate::parting`].
// Source: sd_notify(3), `MAINPID=`.

use alloc::string::{String, ToString as _};
use core::fmt;

use hsu_model::event::EventKind;
use hsu_model::id::RunId;
use hsu_model::notify::Named;
use hsu_model::process::ProcessKey;

use super::{Context, Ladder, State, Worker};
use crate::effect::{Effect, Scope};

/// Wakes a stopped process, so that it sees the signal that it shall end by.
const SIGCONT: i32 = 18;

/// Why a process that was named does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NotThere,
    Stranger,
    Ending,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotThere => "no such process runs",
            Self::Stranger => {
                "it is no process of this worker: neither in its cgroup nor below its process"
            }
            Self::Ending => "the worker is being stopped",
        })
    }
}

/// What becomes of a process that was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// It counts already.
    Same,
    /// It shall be held.
    Follow(ProcessKey),
    /// It does not count.
    Refused(Refused),
}

/// Judges a process that is named, by what is known of it.
fn judge(main: Option<ProcessKey>, named: Named) -> Judged {
    match (named.process, named.bond) {
        (Some(process), _) if main == Some(process) => Judged::Same,
        (None, _) => Judged::Refused(Refused::NotThere),
        (Some(_), None) => Judged::Refused(Refused::Stranger),
        (Some(process), Some(_)) => Judged::Follow(process),
    }
}

impl Worker {
    /// The process of the run that is not over names another one.
    pub(super) fn on_named(&mut self, context: &mut Context<'_>, run: RunId, named: Named) {
        let judged = match &self.state {
            State::Running(running) => judge(Some(running.process), named),
            State::Stopping(stopping) => match judge(Some(stopping.process), named) {
                // It would be killed with the rest, whatever it is.
                Judged::Follow(_) => Judged::Refused(Refused::Ending),
                judged @ (Judged::Same | Judged::Refused(_)) => judged,
            },
            // The process that was started has ended while there was no master.
            State::Unsettled { .. } if self.accounted != Some(run) => judge(None, named),
            // Stale.
            State::Registered
            | State::Starting { .. }
            | State::Clearing { .. }
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. } => return,
        };
        match judged {
            Judged::Same => {}
            Judged::Follow(process) => {
                let worker = self.id().clone();
                context.out.push(Effect::Follow { worker, run, process });
            }
            Judged::Refused(refused) => {
                if self.is_news(named.pid, refused) {
                    self.refuse_named(context, run, named.pid, refused.to_string());
                }
            }
        }
    }

    fn refuse_named(&self, context: &mut Context<'_>, run: RunId, pid: u32, reason: String) {
        self.tell(context, EventKind::MainProcessRefused { run, pid, reason });
    }

    /// The keeper holds the process that was named, or not.
    pub(crate) fn on_followed(
        &mut self,
        context: &mut Context<'_>,
        run: RunId,
        process: ProcessKey,
        error: Option<String>,
    ) {
        let pid = process.pid;
        if let Some(reason) = error {
            return self.refuse_named(context, run, pid, reason);
        }
        let is_open = self.accounted.is_none_or(|accounted| run > accounted);
        match &mut self.state {
            State::Running(running) if running.run == run => running.process = process,
            State::Stopping(stopping) if stopping.run == run => {
                stopping.process = process;
                // Only the one before it was asked to end.
                if let Ladder::Asked { .. } = stopping.ladder {
                    for signal in [self.stop_settings().signal, SIGCONT] {
                        context.out.push(Effect::Signal { run, signal, scope: Scope::Tree });
                    }
                }
            }
            State::Unsettled { run: unsettled, started, .. } if *unsettled == run && is_open => {
                let started = started.unwrap_or((context.now.tick, context.now.wall));
                self.on_adopted(context, run, process, started);
            }
            // The run is over: nobody else would ever end what goes on of it.
            State::Registered
            | State::Starting { .. }
            | State::Running(_)
            | State::Stopping(_)
            | State::Clearing { .. }
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. } => {
                let worker = self.id().clone();
                return context.out.push(Effect::KillTree { worker, run, whole: false });
            }
        }
        self.tell(context, EventKind::MainProcess { run, pid });
        self.persist(context);
    }
}
