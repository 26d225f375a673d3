//! Trees that a test has made of plain folders: what is written into which file of each
//! generation, what is read of them, and what is said where a tree lacks something.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

const ALL: &str = "cpu io memory pids";

/// A host of plain folders.
struct Host {
    folder: TempDir,
    mounts: String,
    own: String,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, mounts: String::new(), own: String::new() }
    }

    /// A tree of version 2 that offers these controllers, all of them switched on.
    fn unified(mut self, controllers: &str) -> Self {
        let point = self.folder.path().join("unified");
        fs::create_dir(&point).unwrap();
        for file in ["cgroup.controllers", "cgroup.subtree_control"] {
            fs::write(point.join(file), controllers).unwrap();
        }
        self.mount(&point, "cgroup2", "rw");
        self.own.push_str("0::/\n");
        self
    }

    /// A tree of version 1.
    fn legacy(mut self, controllers: &str) -> Self {
        let point = self.folder.path().join(controllers);
        fs::create_dir(&point).unwrap();
        self.mount(&point, "cgroup", &format!("rw,{controllers}"));
        let number = self.own.lines().count() + 1;
        self.own.push_str(&format!("{number}:{controllers}:/\n"));
        self
    }

    fn mount(&mut self, point: &Path, kind: &str, options: &str) {
        let point = point.display();
        self.mounts.push_str(&format!("30 1 0:1 / {point} rw - {kind} {kind} {options}\n"));
    }

    /// The files that the kernel would make with the group of the worker.
    fn group(&self, tree: &str, files: &[&str]) -> PathBuf {
        let base = self.folder.path().join(tree).join("hsu-t");
        let group = base.join("w");
        fs::create_dir_all(&group).unwrap();
        if tree == "unified" {
            fs::write(base.join("cgroup.subtree_control"), ALL).unwrap();
        }
        for file in files {
            fs::write(group.join(file), "").unwrap();
        }
        group
    }

    fn enforcer(&self, which: Cgroups) -> Enforcer {
        let places = Places::find(&self.mounts, &self.own, "t", which, Touch::Yes);
        Enforcer {
            survey: Survey { places: Arc::new(places) },
            devices: vec!["8:0".to_owned()],
            groups: BTreeMap::new(),
            slowing: Slowing::default(),
            shelf: Shelf::new(),
        }
    }
}

fn content(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

fn with_shares(rules: Vec<Rule>) -> Limits {
    let shares = Shares { cpu_weight: Some(50), io_weight: Some(200), nice: None };
    Limits { shares, ..limits(rules) }
}

#[test]
fn each_limit_goes_into_its_file_of_a_version_2_tree() {
    let host = Host::new().unified(ALL);
    let files = [
        "memory.max",
        "memory.high",
        "memory.swap.max",
        "cpu.max",
        "cpu.weight",
        "io.max",
        "io.weight",
        "pids.max",
    ];
    let group = host.group("unified", &files);
    let kinds = [LimitKind::Resident, LimitKind::Swap, LimitKind::Cpu, LimitKind::ReadBytes];
    let mut rules: Vec<Rule> = kinds.map(|kind| rule(kind, Hold::Kernel)).to_vec();
    rules.push(Rule { most: 9, ..rule(LimitKind::Processes, Hold::Kernel) });
    let all = with_shares(rules);
    let mut enforcer = host.enforcer(Cgroups::Auto);
    let prepared = enforcer.prepare(&worker(), &all);
    assert_eq!(prepared.failures, Vec::<String>::new());
    assert_eq!(prepared.entrances, [group.join("cgroup.procs")]);
    let most = (64 << 20).to_string();
    assert_eq!(content(&group, "memory.max"), most);
    assert_eq!(content(&group, "memory.high"), "max");
    assert_eq!(content(&group, "memory.swap.max"), most);
    assert_eq!(content(&group, "cpu.max"), "6710886400 100000");
    assert_eq!(content(&group, "cpu.weight"), "50");
    assert_eq!(content(&group, "io.max"), format!("8:0 rbps={most}"));
    assert_eq!(content(&group, "io.weight"), "default 200");
    assert_eq!(content(&group, "pids.max"), "9");
    for rule in &all.rules {
        assert!(enforcer.survey().mechanism(&all, rule).is_enforced, "{:?}", rule.kind);
    }
}

#[test]
fn each_controller_is_taken_from_version_2_where_it_is_there_and_else_from_version_1() {
    for (host, which, memory, cpu) in [
        (Host::new().unified(ALL), Cgroups::Auto, "cgroup v2", "cgroup v2"),
        (Host::new().unified("memory").legacy("cpu,cpuacct"), Cgroups::Auto, "v2", "v1"),
        (Host::new().unified(ALL).legacy("memory").legacy("cpu"), Cgroups::Version1, "v1", "v1"),
        (Host::new().unified("").legacy("memory"), Cgroups::Auto, "v1", "no `cpu`"),
        (Host::new().unified("").legacy("memory"), Cgroups::Version2, "no `memory`", "no `cpu`"),
        (Host::new().legacy("memory"), Cgroups::Auto, "v1", "no version 2 tree"),
        (Host::new(), Cgroups::Auto, "no version 2 tree", "no hierarchy of `cpu`"),
        (Host::new().unified(ALL), Cgroups::None, "switched off", "switched off"),
    ] {
        let name = format!("{} {which:?}", host.own);
        let survey = match which {
            Cgroups::None => Survey::look(which),
            Cgroups::Auto | Cgroups::Version2 | Cgroups::Version1 => host.enforcer(which).survey(),
        };
        for (kind, expected) in [(LimitKind::Resident, memory), (LimitKind::Cpu, cpu)] {
            let rule = rule(kind, Hold::Kernel);
            let mechanism = survey.mechanism(&limits(vec![rule.clone()]), &rule);
            assert!(mechanism.detail.contains(expected), "{name}: {}", mechanism.detail);
            let is_there = !expected.starts_with("no ") && expected != "switched off";
            assert_eq!(mechanism.is_enforced, is_there, "{name}: {}", mechanism.detail);
        }
    }
}

#[test]
fn what_a_tree_does_not_take_is_told_with_the_value_and_the_reason() {
    let host = Host::new().unified(ALL);
    // A kernel without swap, and a disk that takes no weights.
    let group = host.group("unified", &["memory.max", "memory.high", "cpu.weight"]);
    let rules = [LimitKind::Resident, LimitKind::Swap].map(|kind| rule(kind, Hold::Kernel));
    let mut enforcer = host.enforcer(Cgroups::Auto);
    let prepared = enforcer.prepare(&worker(), &with_shares(rules.to_vec()));
    let told = prepared.failures.join("\n");
    assert_eq!(prepared.failures.len(), 2, "{told}");
    assert!(told.contains("`memory.swap.max` = 67108864 was refused"), "{told}");
    assert!(told.contains("`io.weight` = default 200 was refused"), "{told}");
    assert_eq!(content(&group, "memory.max"), "67108864");
}

#[test]
fn a_group_that_somebody_else_removed_costs_its_limits_and_not_the_look() {
    let host = Host::new().unified(ALL);
    let group = host.group("unified", &["memory.max", "memory.high", "memory.events"]);
    let all = limits(vec![rule(LimitKind::Resident, Hold::Kernel)]);
    let mut enforcer = host.enforcer(Cgroups::Auto);
    enforcer.prepare(&worker(), &all);
    fs::remove_dir_all(&group).unwrap();
    let own = crate::process::identify(std::process::id()).unwrap();
    let usage = enforcer.measure(&worker(), own, &all, &Storage::start()).unwrap();
    assert!(usage.totals.processes >= 1);
    assert_eq!((usage.oom_kills, usage.readings[0].held), (0, 0));
    let refused = enforcer.slow_down(&worker(), own, &all.rules[0]).unwrap_err();
    assert!(refused.contains("`memory.high` = 67108864 was refused"), "{refused}");
    assert_eq!(enforcer.let_go(&worker(), own, &all, &all.rules[0]).len(), 1);
}

#[test]
fn what_the_kernel_counts_in_a_group_is_read_as_what_held_the_worker_back() {
    let host = Host::new().unified(ALL);
    let files = ["memory.max", "memory.high", "pids.max"];
    let group = host.group("unified", &files);
    let own = std::process::id();
    fs::write(group.join("cgroup.procs"), format!("{own}\n")).unwrap();
    fs::write(group.join("cpu.stat"), "usage_usec 1234567\nuser_usec 1\n").unwrap();
    fs::write(group.join("memory.events"), "low 0\nhigh 3\nmax 9\noom 1\noom_kill 0\n").unwrap();
    fs::write(group.join("pids.events"), "max 2\n").unwrap();
    let kinds = [LimitKind::Resident, LimitKind::Processes, LimitKind::CpuTime];
    let all = limits(kinds.map(|kind| rule(kind, Hold::Kernel)).to_vec());
    let mut enforcer = host.enforcer(Cgroups::Auto);
    enforcer.prepare(&worker(), &all);
    let tally = enforcer.tally(&worker()).unwrap();
    // What was counted before belongs to another run.
    fs::write(group.join("memory.events"), "high 6\noom_kill 2\n").unwrap();
    fs::write(group.join("pids.events"), "max 7\n").unwrap();
    assert_eq!((tally.kills(), tally.refusals()), (2, 5));
    let key = crate::process::identify(own).unwrap();
    let usage = enforcer.measure(&worker(), key, &all, &Storage::start()).unwrap();
    assert_eq!((usage.totals.processes, usage.oom_kills), (1, 2));
    let held: Vec<u64> = usage.readings.iter().map(|reading| reading.held).collect();
    assert_eq!(held, [3, 5, 0]);
    assert_eq!(usage.readings[2].value, Some(1234));
}

#[test]
fn each_limit_goes_into_its_file_of_the_version_1_trees() {
    let host = Host::new().legacy("memory").legacy("cpu,cpuacct").legacy("pids");
    let memory = host.group("memory", &["memory.limit_in_bytes"]);
    let cpu = host.group("cpu,cpuacct", &["cpu.cfs_quota_us", "cpu.shares"]);
    let pids = host.group("pids", &["pids.max"]);
    let kinds = [LimitKind::Resident, LimitKind::Cpu, LimitKind::Threads];
    let all = limits(kinds.map(|kind| rule(kind, Hold::Kernel)).to_vec());
    let mut enforcer = host.enforcer(Cgroups::Auto);
    let prepared = enforcer.prepare(&worker(), &all);
    assert_eq!(prepared.failures, Vec::<String>::new());
    let entrances: Vec<_> =
        [&cpu, &memory, &pids].iter().map(|group| group.join("cgroup.procs")).collect();
    assert_eq!(prepared.entrances, entrances, "one for each tree");
    assert_eq!(content(&memory, "memory.limit_in_bytes"), "67108864");
    assert_eq!(content(&cpu, "cpu.cfs_quota_us"), "6710886400");
    assert_eq!(content(&pids, "pids.max"), "67108864");
}
