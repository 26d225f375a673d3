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
    use super::*;

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
