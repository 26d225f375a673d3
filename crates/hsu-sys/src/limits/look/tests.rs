//! Tests of looks: the readers of small files, and this very process.

use hsu_model::limits::{Alert, Brake, Hold, Raise, Shares};

use super::*;

#[test]
fn numbers_are_found_by_their_labels() {
    let io = "rchar: 5\nwchar: 6\nread_bytes: 4096\nwrite_bytes: 8192\n";
    assert_eq!(labelled(io, "read_bytes:"), Some(4096));
    assert_eq!(labelled("VmSwap:\t      12 kB\n", "VmSwap:"), Some(12));
    assert_eq!(labelled(io, "nothing:"), None);
    let events = "low 0\nhigh 3\nmax 12\noom 1\noom_kill 2\noom_group_kill 0\n";
    assert_eq!(labelled_word(events, "oom_kill"), Some(2));
    assert_eq!(labelled_word(events, "high"), Some(3));
    let old = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n";
    assert_eq!(labelled_word(old, "oom_kill"), Some(7));
    assert_eq!(labelled_word("", "oom_kill"), None);
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_without_a_group_is_looked_at_with_what_descends_from_it() {
    let own = crate::process::identify(std::process::id()).unwrap();
    let kinds = [
        LimitKind::Resident,
        LimitKind::Virtual,
        LimitKind::Heap,
        LimitKind::Swap,
        LimitKind::CpuTime,
        LimitKind::Processes,
        LimitKind::Threads,
        LimitKind::OpenFiles,
        LimitKind::Connections,
    ];
    let rule = |kind| Rule {
        kind,
        paths: Vec::new(),
        most: 1,
        warning: 1,
        critical: 1,
        hold: Hold::Watch,
        spike_tolerance: std::time::Duration::ZERO,
        ladder: Vec::new(),
        raise: Raise { percent: 150, cap: 1 },
        brake: Brake::Hold,
    };
    let limits = Limits {
        rules: kinds.into_iter().map(rule).collect(),
        shares: Shares::default(),
        check_interval: None,
        hysteresis: 5,
        history: None,
        alert: Alert::default(),
    };
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let usage = measure(&mut Kept::nothing(own), None, own, &limits, &Storage::default()).unwrap();
    drop(socket);
    let of = |kind| {
        let place = kinds.iter().position(|other| *other == kind).unwrap();
        usage.readings[place].value.unwrap()
    };
    assert!(of(LimitKind::Resident) > 1 << 16 && of(LimitKind::Virtual) > of(LimitKind::Resident));
    assert!(of(LimitKind::Heap) > 0 && of(LimitKind::Heap) < of(LimitKind::Virtual));
    assert!(of(LimitKind::Processes) >= 1 && of(LimitKind::Threads) >= 1);
    assert!(of(LimitKind::OpenFiles) >= 3 && of(LimitKind::Connections) >= 1);
    assert_eq!(usage.oom_kills, 0);
    let gone = ProcessKey { started_at: own.started_at + 1, ..own };
    assert_eq!(measure(&mut Kept::nothing(gone), None, gone, &limits, &Storage::default()), None);
}
