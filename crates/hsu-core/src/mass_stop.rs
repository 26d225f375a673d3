//! The mass-stop guard: a configuration that would stop most of what runs is obeyed only
//! when that is confirmed. An empty file is mostly a mistake.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use hsu_model::id::WorkerId;
use hsu_model::worker::WorkerSpec;

use crate::record::WorkerRecord;

/// So many may leave without a word, unless they are all.
const FEW: usize = 5;
/// More of a hundred are a mass.
const SHARE: usize = 30;

/// Too many workers would be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Workers that run and shall not run any more.
    pub leaving: usize,
    /// Workers that run.
    pub running: usize,
}

impl core::error::Error for TooMany {}

impl fmt::Display for TooMany {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { leaving, running } = self;
        write!(
            out,
            "the configuration leaves out or disables {leaving} of the {running} workers that \
             run, and they would be stopped (hint: name them again, or confirm it with \
             `--confirm-mass-stop`)"
        )
    }
}

/// Refuses a configuration that leaves out or disables more than 30 % of what runs, but for five
/// workers, or all of it, but for one.
///
/// # Errors
/// [`TooMany`], with the counts.
pub fn guard(
    records: &BTreeMap<WorkerId, WorkerRecord>,
    configured: &[WorkerSpec],
) -> Result<(), TooMany> {
    let configured: BTreeMap<_, _> = configured.iter().map(|spec| (&spec.id, spec)).collect();
    let runs = |record: &WorkerRecord| {
        // What somebody else started is not stopped by us.
        !record.removed && record.attached.is_none() && record.run > record.accounted
    };
    let stays = |id: &WorkerId, record: &WorkerRecord| {
        configured.get(id).is_some_and(|spec| record.enabled.unwrap_or(spec.enabled))
    };
    let running: Vec<_> = records.iter().filter(|(_, record)| runs(record)).collect();
    let leaving = running.iter().filter(|(id, record)| !stays(id, record)).count();
    judge(leaving, running.len())
}

fn judge(leaving: usize, running: usize) -> Result<(), TooMany> {
    let is_all = leaving == running && leaving > 1;
    let is_mass = leaving > FEW && leaving * 100 > running * SHARE;
    if is_all || is_mass { Err(TooMany { leaving, running }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use hsu_model::id::RunId;
    use hsu_model::status::{Desired, WorkerState};
    use hsu_model::worker::Departure;

    use super::*;
    use crate::breaker::Breaker;

    fn id(name: &str) -> WorkerId {
        WorkerId::new(name).expect("an id")
    }

    /// A worker of an earlier life, whose latest run is over or is not.
    fn record(run: u64, accounted: Option<u64>) -> WorkerRecord {
        WorkerRecord {
            started_as: None,
            ready_run: None,
            raised: Vec::new(),
            desired: Desired::Running,
            enabled: None,
            removed: false,
            state: WorkerState::Running,
            reason: "started".to_string(),
            run: Some(RunId(run)),
            accounted: accounted.map(RunId),
            started: None,
            restarts: 0,
            counts_as_restart: false,
            attempts: 0,
            breaker: Breaker::Closed,
            next_attempt: None,
            last_exit: None,
            history: [].into(),
            departure: Departure::default(),
            attached: None,
        }
    }

    fn configured(name: &str, enabled: bool) -> WorkerSpec {
        WorkerSpec { enabled, ..WorkerSpec::departed(id(name), Departure::default()) }
    }

    fn two(first: WorkerRecord, second: WorkerRecord) -> BTreeMap<WorkerId, WorkerRecord> {
        BTreeMap::from([(id("a"), first), (id("b"), second)])
    }

    #[test]
    fn only_what_runs_and_was_not_removed_counts() {
        let running = || record(2, Some(1));
        let all = Err(TooMany { leaving: 2, running: 2 });
        assert_eq!(guard(&two(running(), running()), &[]), all);
        assert_eq!(guard(&two(running(), record(2, None)), &[]), all);
        // One is at rest, or was removed: a single worker may leave.
        assert_eq!(guard(&two(running(), record(2, Some(2))), &[]), Ok(()));
        // What somebody else started is not stopped.
        let theirs = WorkerRecord { attached: Some([].into()), ..running() };
        assert_eq!(guard(&two(running(), theirs), &[]), Ok(()));
        let removed = WorkerRecord { removed: true, ..running() };
        assert_eq!(guard(&two(running(), removed), &[]), Ok(()));
    }

    #[test]
    fn what_is_configured_stays_unless_it_is_disabled_there_or_by_an_operator() {
        let running = || record(2, Some(1));
        let both = two(running(), running());
        let all = Err(TooMany { leaving: 2, running: 2 });
        assert_eq!(guard(&both, &[configured("a", true), configured("b", true)]), Ok(()));
        assert_eq!(guard(&both, &[configured("a", true)]), Ok(()));
        assert_eq!(guard(&both, &[configured("a", false), configured("b", false)]), all);
        let enabled = || WorkerRecord { enabled: Some(true), ..running() };
        let disabled = [configured("a", false), configured("b", false)];
        assert_eq!(guard(&two(enabled(), enabled()), &disabled), Ok(()));
    }

    #[test]
    fn a_refusal_says_how_many_and_how_to_confirm() {
        let words = TooMany { leaving: 7, running: 9 }.to_string();
        assert!(words.contains("7 of the 9 workers"), "{words}");
        assert!(words.contains("--confirm-mass-stop"), "{words}");
    }

    #[test]
    fn a_refusal_needs_no_list() {
        assert_eq!(guard(&BTreeMap::new(), &[configured("a", true)]), Ok(()));
    }

    #[test]
    fn a_few_may_leave_and_a_mass_or_all_may_not() {
        for (leaving, running) in [(0, 0), (0, 9), (1, 1), (1, 2), (5, 6), (6, 20), (300, 1000)] {
            assert_eq!(judge(leaving, running), Ok(()), "{leaving} of {running}");
        }
        for (leaving, running) in [(2, 2), (6, 6), (6, 19), (301, 1000), (1000, 1000)] {
            let refused = Err(TooMany { leaving, running });
            assert_eq!(judge(leaving, running), refused, "{leaving} of {running}");
        }
    }
}
