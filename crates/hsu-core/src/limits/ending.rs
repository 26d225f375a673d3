//! Endings: what the kernel refused a run, or ended it for, and no look has seen.
//!
//! A worker that dies of a refused fork within a second is never looked at after it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::exit::Exit;
use hsu_model::id::RunId;
use hsu_model::limits::{Action, Hold, LimitKind, Rule};
use hsu_model::severity::Severity;
use hsu_model::time::Tick;

use super::Watch;
use super::episode::{Finding, Level};
use crate::effect::Effect;
use crate::input::Toll;

/// What the kernel sends to a process whose CPU time is over.
const SIGXCPU: i32 = 24;

const SIGKILL: i32 = 9;
/// What a shell adds to the signal that ended its command.
const BY_SIGNAL: i32 = 128;

/// Whether a run was killed, or tells that what it ran was.
pub(super) fn is_killed(exit: Exit) -> bool {
    is_by(exit, SIGKILL)
}

/// Whether a run ended by this signal, or as a shell whose command did.
fn is_by(exit: Exit, signal: i32) -> bool {
    match exit {
        Exit::Signal { number, .. } => number == signal,
        Exit::Code(code) => code == BY_SIGNAL + signal,
        Exit::Unknown(_) => false,
    }
}

impl Watch {
    /// Judges the limits that the kernel has held the run to until its end.
    pub(super) fn at_its_end(
        &mut self,
        now: Tick,
        run: RunId,
        toll: Toll,
        out: &mut Vec<Effect>,
    ) -> Option<(usize, Action, Severity)> {
        let limits = Arc::clone(&self.limits);
        let mut sentence = None;
        for (place, rule) in limits.rules.iter().enumerate() {
            if rule.hold != Hold::Kernel || !self.was_held(place, rule, toll) {
                continue;
            }
            let Some(episode) = self.episodes.get_mut(place) else { continue };
            // A run that fails of it leaves no time to see whether it lasts.
            let at_once = Rule { spike_tolerance: Duration::ZERO, ..rule.clone() };
            let rule = if toll.exit.is_success() { rule } else { &at_once };
            let level = Level { value: rule.most, held: true };
            let mut findings = Vec::new();
            episode.see(rule, limits.hysteresis, now, self.grace, level, &mut findings);
            for finding in findings {
                let is_idle = match finding {
                    // Nothing of it is left to be slowed down.
                    Finding::Do(Action::Throttle) => true,
                    Finding::Do(action) if action.ends_the_run() => {
                        self.is_over || sentence.is_some()
                    }
                    Finding::Do(_)
                    | Finding::Near
                    | Finding::Exceeded
                    | Finding::Vain
                    | Finding::Eased { .. } => false,
                };
                if is_idle {
                    continue;
                }
                let action = self.report(run, place, rule, level, finding, out);
                if sentence.is_none() {
                    sentence = action.map(|action| (place, action, Severity::Critical));
                }
            }
        }
        sentence
    }

    /// Whether the kernel has held the run to a limit since it was looked at last.
    fn was_held(&self, place: usize, rule: &Rule, toll: Toll) -> bool {
        match rule.kind {
            LimitKind::Processes | LimitKind::Threads => {
                let last = self.last.as_ref().and_then(|last| last.readings.get(place));
                toll.refusals > last.map_or(0, |reading| reading.held)
            }
            LimitKind::CpuTime => is_by(toll.exit, SIGXCPU),
            // Of memory see [`Watch::count_kills`]; what else it holds ends nothing.
            LimitKind::Resident
            | LimitKind::Virtual
            | LimitKind::Swap
            | LimitKind::Heap
            | LimitKind::Cpu
            | LimitKind::ReadBytes
            | LimitKind::WriteBytes
            | LimitKind::ReadOperations
            | LimitKind::WriteOperations
            | LimitKind::Children
            | LimitKind::OpenFiles
            | LimitKind::Connections
            | LimitKind::Directory
            | LimitKind::Temporary
            | LimitKind::Logs => false,
        }
    }
}
