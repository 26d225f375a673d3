//! Clearing: a start waits for the kills of what its worker left behind.
//!
//! No two runs of a worker ever live beside each other: a kill that is still on its way
//! would hit the next run, and what it is for would live beside it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use hsu_model::id::{RunId, WorkerId};

/// The kills under way, and the starts that wait for them.
#[derive(Debug, Default)]
pub struct Clearing {
    workers: BTreeMap<WorkerId, Open>,
}

#[derive(Debug, Default)]
struct Open {
    kills: u32,
    starts: Vec<RunId>,
}

impl Clearing {
    /// A kill is on its way.
    pub fn begin(&mut self, worker: &WorkerId) {
        match self.workers.get_mut(worker) {
            Some(open) => open.kills += 1,
            None => {
                drop(self.workers.insert(worker.clone(), Open { kills: 1, starts: Vec::new() }))
            }
        }
    }

    /// Whether this start has to wait; it is then kept here.
    #[must_use]
    pub fn keeps(&mut self, worker: &WorkerId, run: RunId) -> bool {
        let open = self.workers.get_mut(worker);
        open.map(|open| open.starts.push(run)).is_some()
    }

    /// A kill is reported; the starts that need not wait any longer.
    #[must_use]
    pub fn end(&mut self, worker: &WorkerId) -> Vec<RunId> {
        let Some(open) = self.workers.get_mut(worker) else {
            return Vec::new();
        };
        open.kills = open.kills.saturating_sub(1);
        if open.kills > 0 {
            return Vec::new();
        }
        self.workers.remove(worker).map(|open| open.starts).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_waits_for_the_last_kill_of_its_own_worker_only() {
        let (web, other) = (WorkerId::new("web").unwrap(), WorkerId::new("other").unwrap());
        let mut clearing = Clearing::default();
        assert!(!clearing.keeps(&web, RunId(1)));
        clearing.begin(&web);
        clearing.begin(&web);
        assert!(clearing.keeps(&web, RunId(2)));
        assert!(!clearing.keeps(&other, RunId(3)));
        assert_eq!(clearing.end(&web), []);
        assert_eq!(clearing.end(&web), [RunId(2)]);
        assert!(!clearing.keeps(&web, RunId(4)));
        assert_eq!(clearing.end(&web), []);
    }
}
