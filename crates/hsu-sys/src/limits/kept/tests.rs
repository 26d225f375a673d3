//! Tests of kept files: what a look sees of a group whose members come and go.

use std::fs;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::super::places::Version;
use super::*;

/// A process that sleeps; it ends with this value.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A folder with the files of a group.
fn group(folder: &TempDir) -> Group {
    let place = (Version::Two, folder.path().to_owned());
    Group { folders: [(Controller::Pids, place)].into(), ..Group::default() }
}

fn kept(room: usize) -> Kept {
    let own = crate::process::identify(std::process::id()).unwrap();
    Kept::new(own, Room::of(room))
}

/// Who is seen.
fn seen(kept: &mut Kept, counted: u64) -> (bool, Vec<u32>) {
    let mut pids = Vec::new();
    let is_all = kept.each(Some(counted), |pid, stat| {
        pids.push(pid);
        stat.number(20).unwrap()
    });
    (is_all, pids)
}

#[test]
fn the_members_are_known_for_as_long_as_the_kernel_counts_as_many_tasks() {
    for room in [0, 10] {
        let (one, other) = (Sleeper::start(), Sleeper::start());
        let mut kept = kept(room);
        assert!(!kept.may_know_all(Some(0)), "nothing was looked at");
        kept.set_members(vec![one.0.id()]);
        assert_eq!(seen(&mut kept, 1), (true, vec![one.0.id()]));
        assert!(kept.may_know_all(Some(1)));
        // It has forked.
        assert!(!kept.may_know_all(Some(2)) && !kept.may_know_all(None));
        kept.set_members(vec![one.0.id(), other.0.id()]);
        assert_eq!(seen(&mut kept, 2), (true, vec![one.0.id(), other.0.id()]));
        // One has ended, and somebody who is not known is there in its place.
        let first = one.0.id();
        drop(one);
        assert_eq!(seen(&mut kept, 2), (false, vec![other.0.id()]));
        assert!(!kept.may_know_all(Some(2)), "the members are {first} no more");
    }
}

#[test]
fn a_member_that_has_ended_counts_until_somebody_waits_for_it() {
    let mut one = Sleeper::start();
    let pid = one.0.id();
    let mut kept = kept(10);
    kept.set_members(vec![pid]);
    assert!(seen(&mut kept, 1).0);
    let ended =
        crate::process::ProcessHandle::open(crate::process::identify(pid).unwrap()).unwrap();
    one.0.kill().unwrap();
    while !ended.has_exited() {
        std::thread::yield_now();
    }
    assert_eq!(seen(&mut kept, 1), (true, vec![pid]));
    one.0.wait().unwrap();
    assert_eq!(seen(&mut kept, 0), (true, vec![]));
}

#[test]
fn somebody_else_with_the_number_of_a_member_is_none_until_it_is_listed() {
    let one = Sleeper::start();
    let mut kept = kept(0);
    kept.set_members(vec![one.0.id()]);
    kept.members[0].is_listed = false;
    kept.members[0].started_at = 1;
    assert_eq!(seen(&mut kept, 1), (false, vec![]));
    kept.set_members(vec![one.0.id()]);
    assert_eq!(seen(&mut kept, 1), (true, vec![one.0.id()]));
}

#[test]
fn a_file_of_a_group_says_what_is_in_it_by_now_whether_it_stays_open_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids.current");
    let group = group(&folder);
    for room in [0, 1] {
        let mut kept = kept(room);
        assert_eq!(kept.count(&group), None, "there is no such file");
        for count in [1, 20, 3] {
            fs::write(&file, format!("{count}\n")).unwrap();
            assert_eq!(kept.count(&group), Some(count));
        }
        assert_eq!(kept.of_groups.len(), room);
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_place_is_free_again_when_its_run_is_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pids.current"), "1\n").unwrap();
    let own = crate::process::identify(std::process::id()).unwrap();
    let group = group(&folder);
    let mut shelf = Shelf { runs: BTreeMap::new(), room: Room::of(1) };
    let workers = ["a", "b"].map(|id| WorkerId::new(id).unwrap());
    let keeps = |shelf: &mut Shelf, worker| {
        let kept = shelf.of(worker, own).unwrap();
        assert_eq!(kept.count(&group), Some(1));
        kept.of_groups.len()
    };
    assert_eq!(keeps(&mut shelf, &workers[0]), 1);
    assert_eq!(keeps(&mut shelf, &workers[1]), 0, "there was one place");
    shelf.close(&workers[0]);
    assert_eq!(keeps(&mut shelf, &workers[1]), 1);
    // Its next run begins with another process.
    let next = ProcessKey { started_at: own.started_at + 1, ..own };
    assert!(shelf.of(&workers[1], next).unwrap().of_groups.is_empty());
    assert_eq!(keeps(&mut shelf, &workers[0]), 1);
}
