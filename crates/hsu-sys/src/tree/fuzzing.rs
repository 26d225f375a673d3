//! The readers of trees, as the fuzzers see them.

use std::path::PathBuf;

use super::cgroup::pids_in;
use super::family::Mark;
use super::hierarchy::Hierarchies;

pub(crate) fn hierarchies(mountinfo: &str, own: &str) -> Vec<PathBuf> {
    let found = Hierarchies::parse(mountinfo, own);
    found.unified.into_iter().chain(found.freezer).collect()
}

pub(crate) fn mark(environment: &[u8]) -> (Option<u64>, Option<&[u8]>) {
    let mark = Mark::of(environment);
    (mark.run.map(|run| run.0), mark.master)
}

pub(crate) fn pids(text: &str) -> Vec<u32> {
    pids_in(text).collect()
}
