//! The store under fire, in the short form that fits every run of the gate. The long one is
//! `cargo xtask store-faults`.
#![expect(clippy::unwrap_used, reason = "what a fixture cannot do fails its test")]

use std::path::Path;

use hsu_crash::image::Image;
use hsu_crash::power::{self, FailedSyncs, Plan};
use hsu_crash::refusal;
use hsu_crash::report::Report;
use hsu_crash::rot;
use hsu_crash::script::Script;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hsu-crash"))
}

/// Fails the power while a script runs on an image.
fn fail_power(image: Image, plan: Plan) -> Report {
    let (files, promise) = image.make().unwrap();
    power::run(program(), &files, promise, plan).unwrap()
}

/// A script and what is tried of it.
fn plan() -> Plan {
    let script = Script { seed: 1, operations: 10 };
    Plan { script, losses: 8, every: 2, forgotten_syncs: false, failed_syncs: None }
}

#[test]
fn whenever_the_power_fails_nothing_is_lost_that_was_acknowledged() {
    for image in Image::ALL {
        let report = fail_power(image, plan());
        assert!(report.tried > 50 && report.findings.is_empty(), "{image:?}: {report}");
    }
}

#[test]
fn a_disk_that_forgets_a_sync_is_found_out() {
    let report = fail_power(Image::Killed, Plan { forgotten_syncs: true, ..plan() });
    assert!(!report.findings.is_empty(), "{report}");
}

#[test]
fn a_sync_that_fails_once_takes_nothing_that_was_acknowledged() {
    for (image, number) in [(Image::Closed, 2), (Image::Closed, 5)] {
        let failed_syncs = Some(FailedSyncs { first: number, last: number, step: 1 });
        let report = fail_power(image, Plan { every: 1, losses: 5, failed_syncs, ..plan() });
        assert!(report.tried > 50 && report.findings.is_empty(), "{image:?}: {report}");
    }
}

#[test]
fn syncs_that_fail_while_a_database_is_replaced_take_nothing_that_was_acknowledged() {
    for (last, step) in [(9, 3), (13, 5)] {
        let failed_syncs = Some(FailedSyncs { first: 3, last, step });
        let report =
            fail_power(Image::Closed, Plan { every: 1, losses: 3, failed_syncs, ..plan() });
        assert!(report.tried > 50 && report.findings.is_empty(), "every {step}: {report}");
    }
}

#[test]
fn whatever_call_is_refused_nothing_is_lost_and_the_store_goes_on_by_itself() {
    let plan = refusal::Plan { script: Script { seed: 1, operations: 12 }, every: 12 };
    for image in [Image::Fresh, Image::Killed] {
        let (files, promise) = image.make().unwrap();
        let report = refusal::run(program(), &files, promise, plan).unwrap();
        assert!(report.tried > 50 && report.findings.is_empty(), "{image:?}: {report}");
    }
}

#[test]
fn whatever_rots_nothing_false_is_believed() {
    let report = rot::run(rot::Plan { seed: 1, every: 4000 }).unwrap();
    assert!(report.tried > 1000 && report.broken > 0, "{report}");
    assert!(report.findings.is_empty(), "{report}");
}
