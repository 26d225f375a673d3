//! The short form of every fault: a host that lacks something for a while.
//!
//! The long form is `cargo xtask faults --long`.

use hsu_testkit::faults::{Fault, Form};

const SEED: u64 = 7;

#[track_caller]
fn expect_clean(fault: Fault) {
    let report = fault.run(Form::Short, SEED).expect("the fault can be tried here");
    assert!(report.is_clean(), "{}\n{:#?}", report.totals, report.findings);
}

#[test]
fn a_storm_of_failures_keeps_to_the_start_rate_and_every_worker_is_told_to_be_given_up() {
    expect_clean(Fault::STORM);
}

#[test]
fn a_disk_that_is_full_or_read_only_disturbs_no_worker_and_loses_nothing() {
    expect_clean(Fault::DISKS);
}

#[test]
fn without_free_descriptors_every_role_goes_on_and_answers() {
    expect_clean(Fault::DESCRIPTORS);
}

#[test]
fn a_master_that_the_kernel_ends_for_lack_of_memory_is_like_any_other_killed_one() {
    expect_clean(Fault::MEMORY);
}

#[test]
fn a_wall_clock_that_jumps_restarts_nothing_and_makes_no_file_old() {
    expect_clean(Fault::CLOCK);
}

#[test]
fn a_crowd_that_asks_and_never_reads_keeps_nobody_else_waiting() {
    expect_clean(Fault::READERS);
}

#[test]
fn a_half_written_configuration_changes_nothing_and_a_whole_one_everything() {
    expect_clean(Fault::FILES);
}

#[test]
fn folders_and_sockets_that_are_deleted_are_there_again() {
    expect_clean(Fault::FOLDERS);
}

#[test]
fn at_the_end_of_everything_nobody_is_killed_before_its_grace_is_over() {
    expect_clean(Fault::STOP);
}
