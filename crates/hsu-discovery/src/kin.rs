//! Kin: the processes that are ours, and the families of those that are not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hsu_model::discovery::ProgramId;
use hsu_model::process::ProcessKey;
use hsu_sys::census;

/// So many ancestors are looked at.
const MOST_ANCESTORS: usize = 64;
/// Our programs, as they lie beside each other.
const PROGRAMS: [&str; 3] = ["hsu-master", "hsu-keeper", "hsu-master-cli"];

/// What is ours: our own process, the keeper with everything below it, and our programs
/// wherever they run.
#[derive(Clone, Debug, Default)]
pub struct Kin {
    roots: BTreeSet<u32>,
    programs: BTreeSet<ProgramId>,
}

impl Kin {
    /// This process and the keeper, and the programs that lie beside them.
    #[must_use]
    pub fn new(keeper: u32) -> Self {
        let own = std::env::current_exe().ok();
        let folder = own.as_deref().and_then(Path::parent);
        let paths = PROGRAMS.iter().filter_map(|name| Some(folder?.join(name)));
        let programs = paths.filter_map(|path| hsu_sys::files::program_id(&path).ok()).collect();
        Self {
            roots: [std::process::id(), keeper].into_iter().filter(|pid| *pid > 1).collect(),
            programs,
        }
    }

    /// Whether a process is ours, by itself or by an ancestor.
    pub(crate) fn has(&self, pid: u32, parent: impl Fn(u32) -> Option<u32>) -> bool {
        if census::program(pid).is_ok_and(|program| self.programs.contains(&program)) {
            return true;
        }
        ancestors(pid, parent).any(|pid| self.roots.contains(&pid))
    }
}

/// A process and those above it, as far as they are known.
pub(crate) fn ancestors(
    pid: u32,
    parent: impl Fn(u32) -> Option<u32>,
) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(pid), move |pid| parent(*pid).filter(|above| *above > 1))
        .take(MOST_ANCESTORS)
}

/// Of every family among these processes its head: who has no ancestor among them.
pub(crate) fn heads(
    processes: &BTreeMap<u32, ProcessKey>,
    parent: impl Fn(u32) -> Option<u32> + Copy,
) -> Vec<ProcessKey> {
    let is_head =
        |pid: u32| !ancestors(pid, parent).skip(1).any(|above| processes.contains_key(&above));
    let mut heads: Vec<_> =
        processes.iter().filter(|(pid, _)| is_head(**pid)).map(|(_, key)| *key).collect();
    heads.sort_unstable_by_key(|key| (key.started_at, key.pid));
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_family_its_head_is_taken_and_of_two_families_both() {
        let key = |pid| ProcessKey { pid, started_at: u64::from(pid) };
        let parents: BTreeMap<u32, u32> = [(10, 1), (11, 10), (12, 11), (13, 12), (20, 1)].into();
        let parent = |pid| parents.get(&pid).copied();
        let all = |pids: &[u32]| pids.iter().map(|pid| (*pid, key(*pid))).collect();
        // 11 does not fit, and 12 is of the family of 10 all the same.
        assert_eq!(heads(&all(&[10, 12, 13]), parent), [key(10)]);
        assert_eq!(heads(&all(&[20, 13]), parent), [key(13), key(20)]);
        assert_eq!(heads(&all(&[]), parent), []);
    }
}
