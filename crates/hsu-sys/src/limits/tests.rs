//! Tests of the enforcer where this host has nothing to offer, and where it has.

use std::time::Duration;

use hsu_model::limits::{Alert, Brake, Raise, Shares};

use super::*;

mod trees;

fn rule(kind: LimitKind, hold: Hold) -> Rule {
    Rule {
        kind,
        paths: Vec::new(),
        most: 64 << 20,
        warning: 1,
        critical: 64 << 20,
        hold,
        spike_tolerance: Duration::ZERO,
        ladder: Vec::new(),
        raise: Raise { percent: 150, cap: 1 },
        brake: Brake::Hold,
    }
}

fn limits(rules: Vec<Rule>) -> Limits {
    Limits {
        rules,
        shares: Shares::default(),
        check_interval: None,
        hysteresis: 5,
        history: None,
        alert: Alert::default(),
    }
}

fn worker() -> WorkerId {
    WorkerId::new("w").unwrap()
}

#[test]
fn without_cgroups_everything_but_limits_of_processes_is_watched_with_the_reason() {
    let survey = Survey::look(Cgroups::None);
    for (kind, is_enforced, words) in [
        (LimitKind::Resident, false, "no memory cgroup: cgroups are switched off"),
        (LimitKind::Cpu, false, "no CPU cgroup"),
        (LimitKind::Processes, false, "no process cgroup"),
        (LimitKind::Children, false, "no kernel limits this"),
        (LimitKind::OpenFiles, cfg!(unix), "limit of each process (`open_files`)"),
    ] {
        let held = rule(kind, Hold::Kernel);
        let mechanism = survey.mechanism(&limits(vec![held.clone()]), &held);
        assert_eq!(mechanism.is_enforced, is_enforced, "{kind:?}");
        assert!(mechanism.detail.contains(words), "{}", mechanism.detail);
    }
    let watched = rule(LimitKind::OpenFiles, Hold::Watch);
    assert!(!survey.mechanism(&limits(vec![watched.clone()]), &watched).is_enforced);
    let prepared = Enforcer::detect("none", Cgroups::None).prepare(&worker(), &limits(Vec::new()));
    assert_eq!(prepared, Prepared::default());
}

#[test]
fn where_threads_are_limited_the_kernel_holds_them_and_not_the_processes() {
    let survey = Survey::look(Cgroups::None);
    let both = [LimitKind::Processes, LimitKind::Threads].map(|kind| rule(kind, Hold::Kernel));
    let all = limits(both.to_vec());
    assert!(survey.mechanism(&all, &both[0]).detail.contains("holds `max_threads`"));
}

/// On a host with cgroups: the limit is in the group that the worker would enter, a
/// second start begins afresh, and nothing is left at the end.
#[test]
fn a_group_holds_the_limit_from_before_the_start_and_goes_with_its_master() {
    hold_and_go(Cgroups::Version1, "memory.limit_in_bytes");
}

#[test]
#[ignore = "needs every controller of cgroup v2: cargo xtask limits-v2"]
fn a_group_of_version_2_holds_the_limit_from_before_the_start_and_goes_with_its_master() {
    assert!(hold_and_go(Cgroups::Version2, "memory.max"), "nothing holds it");
}

/// Whether the kernel holds it.
fn hold_and_go(which: Cgroups, file: &str) -> bool {
    let name = format!("test-{}-{file}", std::process::id());
    let mut enforcer = Enforcer::detect(&name, which);
    let all = limits(vec![rule(LimitKind::Resident, Hold::Kernel)]);
    let prepared = enforcer.prepare(&worker(), &all);
    let folders: Vec<PathBuf> =
        prepared.entrances.iter().filter_map(|file| Some(file.parent()?.to_owned())).collect();
    assert!(folders.iter().all(|folder| folder.is_dir()));
    assert_eq!(prepared.failures, Vec::<String>::new());
    let held = folders.iter().map(|folder| folder.join(file));
    let held: Vec<_> = held.filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    let is_enforced = enforcer.survey().mechanism(&all, &all.rules[0]).is_enforced;
    assert_eq!(held.len(), usize::from(is_enforced));
    assert!(held.iter().all(|text| text.trim() == (64 << 20).to_string()), "{held:?}");
    let unlimited = limits(vec![rule(LimitKind::Resident, Hold::Watch)]);
    let again = enforcer.prepare(&worker(), &unlimited);
    assert_eq!(again.entrances, prepared.entrances);
    drop(enforcer);
    assert!(folders.iter().all(|folder| !folder.exists()));
    is_enforced
}
