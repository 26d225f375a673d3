//! Tests of the tables of settings.

use hsu_model::limits::{Alert, Brake, Raise};

use super::*;

fn rule(kind: LimitKind, most: u64) -> Rule {
    Rule {
        kind,
        paths: Vec::new(),
        most,
        warning: most,
        critical: most,
        hold: Hold::Kernel,
        spike_tolerance: std::time::Duration::ZERO,
        ladder: Vec::new(),
        raise: Raise { percent: 150, cap: most },
        brake: Brake::Hold,
    }
}

fn written(kind: LimitKind, most: u64, version: Version, strength: Strength) -> String {
    let devices = ["8:0".to_owned(), "8:16".to_owned()];
    let all = of_rule(&rule(kind, most), version, strength, &devices);
    let lines: Vec<_> = all.iter().map(|one| format!("{}={}", one.file, one.value)).collect();
    lines.join("; ")
}

#[test]
fn each_limit_is_written_in_the_words_of_each_version() {
    use LimitKind::{Cpu, Processes, ReadBytes, Resident, Swap, Threads, WriteOperations};
    use Strength::{Hard, Off, Soft};
    use Version::{One, Two};
    for (kind, most, version, strength, expected) in [
        (Resident, 7, Two, Hard, "memory.max=7"),
        (Resident, 7, Two, Soft, "memory.high=7"),
        (Resident, 7, Two, Off, "memory.max=max"),
        (Resident, 7, One, Hard, "memory.limit_in_bytes=7"),
        (Resident, 7, One, Off, "memory.limit_in_bytes=-1"),
        (Resident, 7, One, Soft, ""),
        (Swap, 0, Two, Hard, "memory.swap.max=0"),
        (Swap, 0, One, Hard, ""),
        (Cpu, 1500, Two, Hard, "cpu.max=150000 100000"),
        (Cpu, 1500, Two, Off, "cpu.max=max 100000"),
        (Cpu, 250, One, Soft, "cpu.cfs_quota_us=25000"),
        (Cpu, 1, One, Hard, "cpu.cfs_quota_us=1000"),
        (Cpu, 1, One, Off, "cpu.cfs_quota_us=-1"),
        (ReadBytes, 9, Two, Hard, "io.max=8:0 rbps=9; io.max=8:16 rbps=9"),
        (WriteOperations, 9, Two, Off, "io.max=8:0 wiops=max; io.max=8:16 wiops=max"),
        (
            ReadBytes,
            9,
            One,
            Hard,
            "blkio.throttle.read_bps_device=8:0 9; blkio.throttle.read_bps_device=8:16 9",
        ),
        (
            WriteOperations,
            9,
            One,
            Off,
            "blkio.throttle.write_iops_device=8:0 0; blkio.throttle.write_iops_device=8:16 0",
        ),
        (Processes, 5, Two, Hard, "pids.max=5"),
        (Threads, 5, One, Off, "pids.max=max"),
    ] {
        assert_eq!(written(kind, most, version, strength), expected, "{kind:?} {version:?}");
    }
}

#[test]
fn what_no_controller_counts_is_written_nowhere() {
    for kind in [
        LimitKind::Virtual,
        LimitKind::Heap,
        LimitKind::CpuTime,
        LimitKind::Children,
        LimitKind::OpenFiles,
        LimitKind::Connections,
        LimitKind::Directory,
        LimitKind::Temporary,
        LimitKind::Logs,
    ] {
        for version in [Version::One, Version::Two] {
            assert_eq!(written(kind, 7, version, Strength::Hard), "", "{kind:?}");
        }
    }
}

#[test]
fn a_weight_of_one_hundred_is_what_everybody_has() {
    let shares = Shares { cpu_weight: Some(100), io_weight: Some(200), nice: None };
    for (controller, version, expected) in [
        (Controller::Cpu, Version::Two, "cpu.weight=100"),
        (Controller::Cpu, Version::One, "cpu.shares=1024"),
        (Controller::Io, Version::Two, "io.weight=default 200"),
        (Controller::Io, Version::One, "blkio.bfq.weight=200"),
        (Controller::Memory, Version::Two, ""),
    ] {
        let all = of_shares(&shares, controller, version);
        let got: Vec<_> = all.iter().map(|one| format!("{}={}", one.file, one.value)).collect();
        assert_eq!(got.join(""), expected);
    }
    assert_eq!(of_shares(&Shares::default(), Controller::Cpu, Version::Two), []);
}

#[test]
fn limits_of_a_process_are_those_that_the_kernel_is_to_hold() {
    let mut rules = vec![
        rule(LimitKind::Virtual, 9),
        rule(LimitKind::CpuTime, 1500),
        rule(LimitKind::OpenFiles, 90_000),
        rule(LimitKind::Resident, 1),
    ];
    rules.push(Rule { hold: Hold::Watch, ..rule(LimitKind::Heap, 5) });
    let limits = Limits {
        rules,
        shares: Shares::default(),
        check_interval: None,
        hysteresis: 5,
        history: None,
        alert: Alert::default(),
    };
    let of = |resource, soft, hard| ResourceLimit { resource, soft, hard };
    let expected = [
        of(Resource::AddressSpace, 9, 9),
        // A second to begin with, and five to say goodbye.
        of(Resource::Cpu, 2, 7),
        of(Resource::OpenFiles, 20_000, 20_000),
    ];
    assert_eq!(of_process(&limits, 20_000), expected);
}
