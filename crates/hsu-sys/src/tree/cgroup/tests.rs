//! Tests of cgroups on the host; one that has none skips them and says so.
#![cfg(target_os = "linux")]

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use super::*;

/// A shell that goes on with each line it is sent, and says a word for it.
fn start(script: &str) -> (Child, ProcessKey) {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    let key = identify(child.id()).unwrap();
    (child, key)
}

fn go_on(child: &mut Child) {
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn of_base(base: Base) -> Cgroups {
    Cgroups { base: Ok(base) }
}

/// Groups of a name that only this test uses, for each mechanism of the host.
fn each_mechanism(name: &str) -> Vec<Cgroups> {
    let name = format!("test-{}-{name}", std::process::id());
    let found = Cgroups::detect(&name);
    let Ok(base) = &found.base else {
        drop(writeln!(io::stderr(), "skipped: {}", found.describe()));
        return Vec::new();
    };
    let mut all = Vec::new();
    if base.mechanism == Mechanism::Kill {
        let folder = base.folder.with_extension("held");
        all.push(of_base(Base { mechanism: Mechanism::Freeze, folder, freezer: None }));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let freezer = Hierarchies::parse(&mounts, &own).freezer;
    let legacy = freezer.and_then(|folder| try_base(&folder.join(name), true).ok());
    all.extend(legacy.map(of_base));
    all.push(found);
    all
}

#[test]
fn a_member_of_another_namespace_is_no_process_that_can_be_looked_at() {
    assert_eq!(pids_in("1\n0\n22\nx\n").collect::<Vec<_>>(), [1, 22]);
}

#[test]
fn everything_that_came_to_be_in_the_group_is_killed_and_the_group_is_gone() {
    for groups in each_mechanism("kill") {
        let text = groups.describe();
        let (mut child, key) = start("read x; sleep 1000 & echo; read y");
        assert!(groups.add(&worker("web"), &[key]));
        go_on(&mut child);
        assert_eq!(groups.members(&worker("web")).len(), 2, "{text}");
        groups.kill(&worker("web"));
        assert!(!child.wait().unwrap().success(), "{text}");
        while groups.folder(&worker("web")).is_some_and(|folder| folder.is_dir()) {
            std::thread::yield_now();
            groups.remove(&worker("web"));
        }
        let base = groups.base.as_ref().unwrap().folder.clone();
        drop(groups);
        assert!(!base.exists(), "{text}");
    }
}

#[test]
fn a_process_that_is_another_by_now_is_not_put_into_a_group() {
    for groups in each_mechanism("other") {
        let (mut child, mut key) = start("read x");
        key.started_at -= 1;
        assert!(groups.add(&worker("web"), &[key]));
        assert_eq!(groups.members(&worker("web")), []);
        groups.kill(&worker("web"));
        assert!(child.try_wait().unwrap().is_none());
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

#[test]
fn a_later_life_of_the_master_takes_up_the_groups_of_the_earlier_one() {
    let name = format!("test-{}-later", std::process::id());
    let earlier = Cgroups::detect(&name);
    if !earlier.is_available() {
        return;
    }
    let (mut child, key) = start("read x");
    earlier.add(&worker("web"), &[key]);
    earlier.add(&worker("left"), &[]);
    // Killed, it removes nothing.
    std::mem::forget(earlier);
    let later = Cgroups::detect(&name);
    let is_there = |name: &str| later.folder(&worker(name)).is_some_and(|folder| folder.is_dir());
    assert!(is_there("web") && !is_there("left"));
    assert!(later.is_populated(&worker("web")) && !later.is_populated(&worker("left")));
    later.kill(&worker("web"));
    assert!(!child.wait().unwrap().success());
    later.remove(&worker("web"));
}
