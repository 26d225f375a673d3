//! Tests of finding and killing trees, on real processes.
#![cfg(target_os = "linux")]

use hsu_model::environment::{MASTER_VARIABLE, RUN_VARIABLE};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::process::identify;

/// A shell in a session of its own, marked with a run and a master.
fn start(script: &str, run: &str, master: Option<&str>) -> Child {
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", script]).env(RUN_VARIABLE, run).env_remove(MASTER_VARIABLE);
    command.envs(master.map(|master| (MASTER_VARIABLE, master)));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for_line(child)
}

/// Every script says a word when it is set up.
fn wait_for_line(mut child: Child) -> Child {
    use std::io::Read as _;
    let mut byte = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
    child
}

/// Trees without cgroups whose keeper is this very process.
fn trees(master: &str) -> Trees {
    let mut family = Family::new(master);
    family.set_keeper(std::process::id());
    Trees { family, cgroups: Cgroups::none() }
}

fn kill_of(run: u64, process: Option<ProcessKey>) -> Kill {
    let worker = WorkerId::new("x").unwrap();
    Kill { worker, run: RunId(run), process, whole: true, is_enclosed: false }
}

/// What is found of a run.
fn members(trees: &mut Trees, run: u64, first: ProcessKey) -> Vec<ProcessKey> {
    let (runs, roots) = ([RunId(run)].into(), [(first, RunId(run))].into());
    let found = trees.family.find(&runs, &roots);
    found.into_values().flat_map(BTreeMap::into_keys).collect()
}

fn lives(key: &ProcessKey) -> bool {
    ProcessHandle::open(*key).is_ok_and(|handle| !handle.has_exited())
}

/// Kills what a test started, also when the test fails.
struct Guard(Vec<Child>);

impl Drop for Guard {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

const IDLE: &str = "echo x; exec sleep 1000";

#[test]
fn a_marked_process_in_its_own_session_is_killed_and_no_other() {
    let (ours, other) = (start(IDLE, "918273645", None), start(IDLE, "918273646", None));
    let mut guard = Guard(vec![ours, other]);
    let left = trees("t1").kill(&[kill_of(918_273_645, None)]);
    assert_eq!(left, [Fate { run: RunId(918_273_645), killed: 1, survivors: vec![] }]);
    assert!(guard.0[0].try_wait().unwrap().is_some());
    assert!(guard.0[1].try_wait().unwrap().is_none());
}

#[test]
fn a_child_that_cleared_its_environment_and_left_its_session_is_killed_with_its_parent() {
    let script = "setsid env -i sleep 1000 & echo x; wait";
    let guard = Guard(vec![start(script, "918273650", Some("t2"))]);
    let parent = identify(guard.0[0].id()).unwrap();
    let mut trees = trees("t2");
    let all = members(&mut trees, 918_273_650, parent);
    assert!(all.len() >= 2, "{all:?}");
    let left = trees.kill(&[kill_of(918_273_650, Some(parent))]);
    assert_eq!(left[0].survivors, Vec::<u32>::new());
    assert_eq!(all.into_iter().find(lives), None);
}

#[test]
fn of_a_contained_run_the_group_tells_what_is_left() {
    let name = format!("test-{}-contained", std::process::id());
    let mut trees = Trees { cgroups: Cgroups::detect(&name), ..trees(&name) };
    if !trees.is_complete() {
        return;
    }
    let run = 918_273_710;
    let script = "setsid env -i sleep 1000 & echo x; wait";
    let mut guard = Guard(vec![start(script, &run.to_string(), None)]);
    let first = identify(guard.0[0].id()).unwrap();
    let all = members(&mut trees, run, first);
    let worker = kill_of(run, None).worker;
    let contained = Tree { worker: worker.clone(), run: RunId(run), process: first };
    let enclosures = trees.contain(&[contained]);
    let enclosure = &enclosures[0];
    assert_eq!(
        (&enclosure.worker, enclosure.run, enclosure.is_empty()),
        (&worker, RunId(run), false)
    );
    guard.0[0].kill().unwrap();
    guard.0[0].wait().unwrap();
    let ended = Kill { whole: false, is_enclosed: true, ..kill_of(run, None) };
    let left_behind = all.len() - 1;
    let fate = Fate { run: RunId(run), killed: left_behind, survivors: vec![] };
    assert_eq!(trees.kill(&[ended]), [fate], "what the first one left behind is counted");
    assert_eq!(all.into_iter().find(lives), None);
    assert!(enclosure.is_empty() && enclosure.of_next(RunId(run + 1)).is_empty());
    trees.kill(&[kill_of(run, None)]);
}

#[test]
fn a_run_of_another_master_with_the_same_number_is_left_alone() {
    let mut guard = Guard(vec![start(IDLE, "918273660", Some("theirs"))]);
    trees("ours").kill(&[kill_of(918_273_660, None)]);
    assert!(guard.0[0].try_wait().unwrap().is_none());
}

#[test]
fn after_the_loss_of_a_keeper_its_processes_are_found_by_name_and_nothing_unnamed_is() {
    let (named, unnamed) = (start(IDLE, "918273670", Some("t4")), start(IDLE, "918273670", None));
    let mut guard = Guard(vec![named, unnamed]);
    let mut trees = trees("t4");
    // A process that holds nothing stands for the keeper that came after.
    let mut later = start(IDLE, "0", Some("none"));
    trees.set_keeper(later.id());
    trees.kill(&[kill_of(918_273_670, None)]);
    later.kill().unwrap();
    later.wait().unwrap();
    assert!(guard.0[0].try_wait().unwrap().is_some());
    assert!(guard.0[1].try_wait().unwrap().is_none());
}

#[test]
fn a_keeper_that_has_just_ended_hides_nobody() {
    let script = "HSU_RUN_ID=918273720 HSU_MASTER_ID=t8 sh -c 'echo x; exec sleep 1000' & wait";
    let mut guard = Guard(vec![start(script, "0", Some("none"))]);
    let keeper = identify(guard.0[0].id()).unwrap();
    let mut trees = trees("t8");
    trees.set_keeper(keeper.pid);
    let all = members(&mut trees, 918_273_720, keeper);
    trees.kill(&[kill_of(918_273_729, None)]);
    // Nobody has asked how it ended: its PID is still there, without children.
    guard.0[0].kill().unwrap();
    trees.kill(&[kill_of(918_273_720, None)]);
    let left: Vec<_> = all.iter().filter(|key| **key != keeper && lives(key)).collect();
    left.iter().for_each(|key| kill_exactly(**key));
    assert_eq!((all.len(), left), (2, vec![]));
}

#[test]
fn a_tree_that_multiplies_as_it_is_killed_is_ended() {
    // Each generation starts the next one and ends; the last ends by itself.
    let script = "again() { [ $1 = 0 ] || (sleep 0.02; again $(($1 - 1))) & }; \
                  again 200; again 200; again 200; echo x; exec sleep 1000";
    let guard = Guard(vec![start(script, "918273680", Some("t5"))]);
    let first = identify(guard.0[0].id()).unwrap();
    // Nobody takes the orphans, as after the loss of a keeper: all of the host is looked at.
    let mut trees = Trees { family: Family::new("t5"), cgroups: Cgroups::none() };
    let left = trees.kill(&[kill_of(918_273_680, None)]);
    assert_eq!(left[0].survivors, Vec::<u32>::new());
    assert_eq!(members(&mut trees, 918_273_680, first), [], "none was overlooked");
    drop(guard);
}

#[test]
fn a_pid_that_became_another_process_is_not_killed() {
    let mut guard = Guard(vec![start(IDLE, "0", Some("none"))]);
    let mut key = identify(guard.0[0].id()).unwrap();
    key.started_at -= 1;
    trees("t6").kill(&[kill_of(918_273_690, Some(key))]);
    assert!(guard.0[0].try_wait().unwrap().is_none());
}

#[test]
fn the_second_look_for_the_same_keeper_finds_what_came_meanwhile() {
    let mut trees = trees("t7");
    let mut guard = Guard(vec![start(IDLE, "918273700", Some("t7"))]);
    trees.kill(&[kill_of(918_273_799, None)]);
    guard.0.push(start(IDLE, "918273701", Some("t7")));
    trees.kill(&[kill_of(918_273_701, None)]);
    assert!(guard.0[0].try_wait().unwrap().is_none());
    assert!(guard.0[1].try_wait().unwrap().is_some());
    trees.kill(&[kill_of(918_273_700, None)]);
    assert!(guard.0[0].try_wait().unwrap().is_some());
}
