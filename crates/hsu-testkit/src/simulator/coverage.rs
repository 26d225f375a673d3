//! Coverage: which inputs met which states, after which faults.
//!
//! A simulator is blind where its generator never goes. The table has a cell for each state of
//! a worker, each input and each fault that happened before; a campaign says which were hit.
// Source: the analysis of what TigerBeetle's fuzzers missed, Jepsen, "TigerBeetle 0.16.11".

use hsu_core::fleet::{Fleet, Glance};
use hsu_core::input::{Command, Input};
use hsu_model::id::WorkerId;
use hsu_model::status::WorkerState;

use super::nature::Fault;

/// The kinds of input, commands one by one.
pub(crate) const INPUTS: [&str; 31] = [
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
    "checked",
    "told",
    "used",
    "out of memory",
    "limit failed",
    "sighted",
    "attached",
    "attach failed",
    "serviced",
    "followed",
];
/// The states of a worker that we start; one of which the run is unsettled; and those of a
/// worker that somebody else starts.
const OWN: usize = WorkerState::ALL.len() + 1;
const WATCHED: [WorkerState; 5] = [
    WorkerState::Registered,
    WorkerState::Searching,
    WorkerState::Running,
    WorkerState::Stopping,
    WorkerState::Stopped,
];
const ROWS: usize = OWN + WATCHED.len();

/// The faults that each pair of state and input was seen after; the last bit is none.
#[derive(Clone, Debug)]
pub struct Coverage {
    cells: [[u32; INPUTS.len()]; ROWS],
}

impl Default for Coverage {
    fn default() -> Self {
        Self { cells: [[0; INPUTS.len()]; ROWS] }
    }
}

fn place(input: &Input) -> usize {
    match input {
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
        Input::Checked { .. } => 21,
        Input::Told { .. } => 22,
        Input::Used { .. } => 23,
        Input::HeldBack { .. } => 24,
        Input::LimitFailed { .. } => 25,
        Input::Sighted { .. } => 26,
        Input::Attached { .. } => 27,
        Input::AttachFailed { .. } => 28,
        Input::Serviced { .. } => 29,
        Input::Followed { .. } => 30,
    }
}

/// The worker that an input is about; none when it is about all of them.
fn concerned<'a>(fleet: &'a Fleet, input: &'a Input) -> Option<Option<&'a WorkerId>> {
    match input {
        Input::Command { worker, .. }
        | Input::Exited { worker, .. }
        | Input::Adopted { worker, .. }
        | Input::Pending { worker, .. }
        | Input::Survivors { worker, .. }
        | Input::Followed { worker, .. }
        | Input::LimitFailed { worker, .. }
        | Input::Sighted { worker, .. }
        | Input::Serviced { worker, .. } => Some(Some(worker)),
        Input::Spawned { run, .. }
        | Input::SpawnFailed { run, .. }
        | Input::HealthFailed { run, .. }
        | Input::ResourceViolation { run, .. }
        | Input::Told { run, .. }
        | Input::Checked { run, .. }
        | Input::Used { run, .. }
        | Input::HeldBack { run, .. } => {
            // A stale one is about whoever had the run: any may have been.
            let first = || fleet.glances().next().map(|(id, _)| id);
            Some(fleet.worker_of(*run).or_else(first))
        }
        Input::Attached { run, .. } | Input::AttachFailed { run, .. } => {
            let first = || fleet.watched().next();
            Some(fleet.worker_of(*run).or_else(first))
        }
        Input::Settled { .. } | Input::Wake | Input::Shutdown { .. } | Input::ForceShutdown => None,
    }
}

impl Coverage {
    /// An input meets a fleet.
    pub(crate) fn mark(&mut self, fleet: &Fleet, input: &Input, happened: u32) {
        let bits = happened | 1 << Fault::ALL.len();
        let column = place(input);
        if let Some(worker) = concerned(fleet, input) {
            let row = worker.and_then(|worker| row_of(fleet, worker));
            if let Some(row) = row {
                self.cells[row][column] |= bits;
            }
            return;
        }
        for (_, glance) in fleet.glances() {
            self.cells[row(&glance)][column] |= bits;
        }
        for row in fleet.watched().filter_map(|worker| row_of(fleet, worker)) {
            self.cells[row][column] |= bits;
        }
    }

    /// Takes in what another schedule has met.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (mine, theirs) in self.cells.iter_mut().flatten().zip(other.cells.iter().flatten()) {
            *mine |= theirs;
        }
    }

    /// Cells that were hit, although they are said to be out of reach.
    #[must_use]
    pub fn misjudged(&self) -> Vec<String> {
        let hit = |(state, input): (usize, usize)| {
            let bits = self.cells[state][input];
            let names = (0..=Fault::ALL.len()).filter(move |fault| bits >> fault & 1 == 1);
            let out_of_reach =
                names.filter(move |fault| unreachable(state, input, *fault).is_some());
            out_of_reach.map(move |fault| name(state, input, fault))
        };
        let pairs = (0..ROWS).flat_map(|state| (0..INPUTS.len()).map(move |input| (state, input)));
        pairs.flat_map(hit).collect()
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

fn row(glance: &Glance) -> usize {
    if glance.unsettled { WorkerState::ALL.len() } else { glance.state as usize }
}

fn row_of(fleet: &Fleet, worker: &WorkerId) -> Option<usize> {
    if let Some(glance) = fleet.glance(worker) {
        return Some(row(&glance));
    }
    let state = fleet.sight(worker)?.state;
    WATCHED.iter().position(|watched| *watched == state).map(|place| OWN + place)
}

fn name(row: usize, input: usize, fault: usize) -> String {
    let own = WorkerState::ALL.get(row).map(|state| state.as_str().to_owned());
    let watched = row.checked_sub(OWN).and_then(|place| WATCHED.get(place));
    let state = match (own, watched) {
        (Some(own), _) => own,
        (None, Some(watched)) => format!("watched, {}", watched.as_str()),
        (None, None) => "unsettled".to_owned(),
    };
    let fault =
        Fault::ALL.get(fault).map_or_else(|| "nothing".to_owned(), |fault| format!("{fault:?}"));
    format!("{state} x {} after {fault}", INPUTS[input])
}

/// Why a cell cannot be hit; none when it can. The reasons are told in
/// docs/reference/simulation.md, and [`Coverage::misjudged`] says where one is wrong.
fn unreachable(row: usize, input: usize, _fault: usize) -> Option<&'static str> {
    let of_watched = ["sighted", "attached", "attach failed", "serviced"];
    let of_own = ["spawned", "spawn failed", "adopted", "pending", "survivors", "followed"];
    let input = INPUTS[input];
    if row >= OWN {
        return match (WATCHED.get(row - OWN), input) {
            (_, input) if of_own.contains(&input) => Some("the keeper does not know it"),
            (Some(WorkerState::Registered), "exited") => {
                Some("no process is held yet, and the end of no other is told")
            }
            (
                Some(WorkerState::Registered | WorkerState::Searching | WorkerState::Stopped),
                "checked" | "used" | "out of memory",
            ) => Some("no process is held: an answer is about a run that is nobody's any more"),
            (Some(WorkerState::Searching), "told" | "health failed" | "limit exceeded") => {
                Some("no process is held, and a hold is answered in the turn that asks for it")
            }
            _ => None,
        };
    }
    if of_watched.contains(&input) {
        return Some("only of workers that somebody else starts");
    }
    let unsettled = row == WorkerState::ALL.len();
    match (WorkerState::ALL.get(row), input) {
        (Some(WorkerState::Searching), _) => Some("only of workers that somebody else starts"),
        (_, "spawned" | "spawn failed" | "survivors" | "used") if unsettled => {
            Some("nothing was asked for by this master before it was settled")
        }
        _ => None,
    }
}
