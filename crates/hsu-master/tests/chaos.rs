//! The short form of the chaos campaigns: each question, at least 30 kills.
//!
//! The long form is `cargo xtask chaos --campaign NAME --kills N`.

use std::time::Duration;

use hsu_testkit::chaos::{
    Families, Frozen, Hangs, Host, Load, Manner, Pids, Report, Roles, Side, Slots, Upgrades,
};
use hsu_testkit::{Role, TestError};

const KILLS: u32 = 30;
const PAUSE: Duration = Duration::from_millis(100);
const SEED: u64 = 7;

#[track_caller]
fn expect_clean(result: Result<Report, TestError>) {
    let report = result.expect("the campaign runs");
    assert!(report.is_clean(), "{}\n{:#?}", report.totals, report.findings);
}

fn kill(victim: Role) -> Result<Report, TestError> {
    let victims = vec![victim];
    Roles { victims, kills: KILLS, load: Load::default(), pause: PAUSE, seed: SEED }.run()
}

#[test]
fn killing_the_master_disturbs_no_worker_and_loses_nothing() {
    expect_clean(kill(Role::Master));
}

#[test]
fn killing_the_keeper_disturbs_no_worker_and_loses_nothing() {
    expect_clean(kill(Role::Keeper));
}

#[test]
fn killing_the_pump_disturbs_no_worker_and_loses_nothing() {
    expect_clean(kill(Role::Pump));
}

fn upgrade(manners: Vec<Manner>, slots: u32) -> Result<Report, TestError> {
    let load = Load::default();
    Upgrades { upgrades: KILLS, manners, load, slots, pause: PAUSE, seed: SEED }.run()
}

#[test]
fn upgrading_and_downgrading_disturbs_no_worker_and_loses_nothing() {
    expect_clean(upgrade(vec![Manner::Orderly], 0));
}

#[test]
fn killing_every_master_in_an_upgrade_disturbs_no_worker_and_loses_nothing() {
    expect_clean(upgrade(vec![Manner::Killed(Side::Both)], 0));
}

#[test]
fn an_upgrade_that_is_disturbed_in_any_way_loses_no_order() {
    expect_clean(upgrade(Manner::all(), 2));
}

#[test]
fn where_pids_come_back_at_once_no_stranger_is_signalled_or_adopted() {
    let pause = Duration::from_millis(10);
    expect_clean(Pids { kills: 3 * KILLS, workers: 6, strangers: 20, pause, seed: SEED }.run());
}

fn end_families(host: Host) -> Result<Report, TestError> {
    let load = Load { writers: 1, enders: 0, ..Load::default() };
    Families { kills: KILLS, bombs: 1, size: 3000, host, load, seed: SEED }.run()
}

#[test]
fn nothing_of_a_family_survives_a_stop_and_nobody_else_dies() {
    expect_clean(end_families(Host::AsItIs));
}

#[test]
fn without_cgroups_nothing_of_a_family_survives_a_stop_and_nobody_else_dies() {
    expect_clean(end_families(Host::WithoutCgroups));
}

#[test]
fn no_worker_has_two_processes_whatever_is_ordered_and_killed() {
    let load = Load { writers: 2, servers: 1, ..Load::default() };
    let victims = Role::ALL.to_vec();
    expect_clean(Slots { victims, kills: KILLS, workers: 3, load, pause: PAUSE, seed: SEED }.run());
}

#[test]
fn what_was_frozen_goes_on_or_ends_and_nothing_is_lost() {
    let (victims, load) = (Role::ALL.to_vec(), Load::default());
    expect_clean(Frozen { victims, kills: KILLS, load, pause: PAUSE, seed: SEED }.run());
}

#[test]
fn a_master_that_hangs_is_replaced_within_40_seconds() {
    let rest = Duration::from_millis(100);
    let load = Load { writers: 1, rate: 10, servers: 1, rest, enders: 0 };
    expect_clean(Hangs { hangs: KILLS, side_by_side: KILLS, load, seed: SEED }.run());
}
