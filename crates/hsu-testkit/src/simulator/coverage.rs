//! Coverage: which inputs met which states, after which faults.
//!
//! A simulator is blind where its generator never goes. The table has a cell for each state of
//! a worker, each input and each fault that happened before; a campaign says which were hit.
// Source: the analysis of what TigerBeetle's fuzzers missed, Jepsen, "TigerBeetle 0.16.11".

use hsu_core::fleet::Fleet;
use hsu_core::input::{Command, Input};
use hsu_model::status::WorkerState;

use super::nature::Fault;

/// The kinds of input, commands one by one.
pub(crate) const INPUTS: [&str; 21] = [
    "start",
    "stop",
    "stop --force",
    "restart",
    "restart --force",
    "signal",
    "remove",
    "enable",
    "disable",
    "reset",
    "spawned",
    "spawn failed",
    "exited",
    "adopted",
    "pending",
    "survivors",
    "settled",
    "health failed",
    "limit exceeded",
    "wake",
    "shutdown",
];
/// The states of a worker, and whether its run is unsettled.
const STATES: usize = WorkerState::ALL.len() + 1;

/// The faults that each pair of state and input was seen after; the last bit is none.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    cells: [[u32; INPUTS.len()]; STATES],
}

fn place(input: &Input) -> Option<usize> {
    Some(match input {
        Input::Command { command, .. } => match command {
            Command::Start => 0,
            Command::Stop { force: false } => 1,
            Command::Stop { force: true } => 2,
            Command::Restart { force: false } => 3,
            Command::Restart { force: true } => 4,
            Command::Signal(_) => 5,
            Command::Remove => 6,
            Command::Enable => 7,
            Command::Disable => 8,
            Command::ResetBreaker => 9,
        },
        Input::Spawned { .. } => 10,
        Input::SpawnFailed { .. } => 11,
        Input::Exited { .. } => 12,
        Input::Adopted { .. } => 13,
        Input::Pending { .. } => 14,
        Input::Survivors { .. } => 15,
        Input::Settled { .. } => 16,
        Input::HealthFailed { .. } => 17,
        Input::ResourceViolation { .. } => 18,
        Input::Wake => 19,
        Input::Shutdown { .. } | Input::ForceShutdown => 20,
        Input::Sighted { .. }
        | Input::Attached { .. }
        | Input::AttachFailed { .. }
        | Input::Serviced { .. }
        | Input::Told { .. }
        | Input::Followed { .. }
        | Input::Checked { .. }
        | Input::Used { .. }
        | Input::OutOfMemory { .. }
        | Input::LimitFailed { .. } => return None,
    })
}

impl Coverage {
    /// An input meets a fleet.
    pub(crate) fn mark(&mut self, fleet: &Fleet, input: &Input, happened: u32) {
        let Some(column) = place(input) else { return };
        let bits = happened | 1 << Fault::ALL.len();
        let concerned = match input {
            Input::Command { worker, .. }
            | Input::Exited { worker, .. }
            | Input::Adopted { worker, .. }
            | Input::Pending { worker, .. }
            | Input::Survivors { worker, .. } => Some(worker),
            Input::Spawned { run, .. }
            | Input::SpawnFailed { run, .. }
            | Input::HealthFailed { run, .. }
            | Input::ResourceViolation { run, .. } => {
                // A stale one is about whoever had the run: any may have been.
                match fleet.worker_of(*run) {
                    Some(worker) => Some(worker),
                    None => fleet.glances().next().map(|(id, _)| id),
                }
            }
            Input::Sighted { .. }
            | Input::Attached { .. }
            | Input::AttachFailed { .. }
            | Input::Serviced { .. }
            | Input::Told { .. }
            | Input::Followed { .. }
            | Input::Checked { .. }
            | Input::Used { .. }
            | Input::OutOfMemory { .. }
            | Input::LimitFailed { .. } => None,
            Input::Settled { .. } | Input::Wake | Input::Shutdown { .. } | Input::ForceShutdown => {
                for (_, glance) in fleet.glances() {
                    self.cells[row(&glance)][column] |= bits;
                }
                return;
            }
        };
        if let Some(glance) = concerned.and_then(|worker| fleet.glance(worker)) {
            self.cells[row(&glance)][column] |= bits;
        }
    }

    /// Takes in what another schedule has met.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (mine, theirs) in self.cells.iter_mut().flatten().zip(other.cells.iter().flatten()) {
            *mine |= theirs;
        }
    }

    /// Cells that were hit, cells that can be, and the names of those that were missed.
    #[must_use]
    pub fn count(&self) -> (usize, usize, Vec<String>) {
        let (mut hit, mut all, mut missed) = (0, 0, Vec::new());
        for (state, cells) in self.cells.iter().enumerate() {
            for (input, bits) in cells.iter().enumerate() {
                for fault in 0..=Fault::ALL.len() {
                    if unreachable(state, input, fault).is_some() {
                        continue;
                    }
                    all += 1;
                    if bits >> fault & 1 == 1 {
                        hit += 1;
                    } else {
                        missed.push(name(state, input, fault));
                    }
                }
            }
        }
        (hit, all, missed)
    }
}

fn row(glance: &hsu_core::fleet::Glance) -> usize {
    if glance.unsettled { WorkerState::ALL.len() } else { glance.state as usize }
}

fn name(state: usize, input: usize, fault: usize) -> String {
    let state = WorkerState::ALL.get(state).map_or("unsettled", |state| state.as_str());
    let fault =
        Fault::ALL.get(fault).map_or_else(|| "nothing".to_owned(), |fault| format!("{fault:?}"));
    format!("{state} x {} after {fault}", INPUTS[input])
}

/// Why a cell cannot be hit; none when it can.
fn unreachable(state: usize, input: usize, _fault: usize) -> Option<&'static str> {
    let unsettled = state == WorkerState::ALL.len();
    match (WorkerState::ALL.get(state), INPUTS[input]) {
        (Some(WorkerState::Searching), _) => Some("only of workers that somebody else starts"),
        (_, "spawned" | "survivors") if unsettled => {
            Some("nothing was asked for by this master before it was settled")
        }
        _ => None,
    }
}
