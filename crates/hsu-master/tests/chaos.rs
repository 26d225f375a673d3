//! The short form of the chaos campaigns: each question, at least 30 kills.
//!
//! The long form is `cargo xtask chaos --campaign NAME --kills N`.

use std::time::Duration;

use hsu_testkit::Role;
use hsu_testkit::chaos::{
    Families, Frozen, Hangs, Host, Load, Pids, Report, Roles, Slots, Upgrades,
};

const KILLS: u32 = 30;
const PAUSE: Duration = Duration::from_millis(100);
const SEED: u64 = 7;

#[track_caller]
fn expect_clean(report: &Report) {
    assert!(report.is_clean(), "{}\n{:#?}", report.totals, report.findings);
}

fn kill(victim: Role) -> Report {
    let victims = vec![victim];
    Roles { victims, kills: KILLS, load: Load::default(), pause: PAUSE, seed: SEED }.run().unwrap()
}

#[test]
fn killing_the_master_disturbs_no_worker_and_loses_nothing() {
    expect_clean(&kill(Role::Master));
}

#[test]
fn killing_the_keeper_disturbs_no_worker_and_loses_nothing() {
    expect_clean(&kill(Role::Keeper));
}

#[test]
fn killing_the_pump_disturbs_no_worker_and_loses_nothing() {
    expect_clean(&kill(Role::Pump));
}

#[test]
fn masters_that_replace_each_other_disturb_no_worker_and_lose_no_order() {
    let load = Load { writers: 4, ..Load::default() };
    let campaign = Upgrades { upgrades: KILLS, load, slots: 2, pause: PAUSE, seed: SEED };
    expect_clean(&campaign.run().unwrap());
}

#[test]
fn where_pids_come_back_at_once_no_stranger_is_signalled_or_adopted() {
    let pause = Duration::from_millis(10);
    let campaign = Pids { kills: 3 * KILLS, workers: 6, strangers: 20, pause, seed: SEED };
    expect_clean(&campaign.run().unwrap());
}

fn end_families(host: Host, bombs: u32) -> Report {
    let load = Load { writers: 1, enders: 0, ..Load::default() };
    Families { kills: KILLS, bombs, size: 3000, host, load, seed: SEED }.run().unwrap()
}

#[test]
fn nothing_of_a_family_survives_a_stop_and_nobody_else_dies() {
    expect_clean(&end_families(Host::AsItIs, 1));
}

#[test]
fn without_cgroups_nothing_of_a_family_survives_a_stop_and_nobody_else_dies() {
    expect_clean(&end_families(Host::WithoutCgroups, 1));
}

#[test]
fn no_worker_has_two_processes_whatever_is_ordered_and_killed() {
    let load = Load { writers: 2, servers: 1, ..Load::default() };
    let victims = Role::ALL.to_vec();
    let campaign = Slots { victims, kills: KILLS, workers: 3, load, pause: PAUSE, seed: SEED };
    expect_clean(&campaign.run().unwrap());
}

#[test]
fn what_was_frozen_goes_on_or_ends_and_nothing_is_lost() {
    let victims = Role::ALL.to_vec();
    let campaign =
        Frozen { victims, kills: KILLS, load: Load::default(), pause: PAUSE, seed: SEED };
    expect_clean(&campaign.run().unwrap());
}

#[test]
fn a_master_that_stands_still_is_replaced_within_40_seconds() {
    let rest = Duration::from_millis(100);
    let load = Load { writers: 1, rate: 10, servers: 1, rest, enders: 0 };
    let campaign = Hangs { hangs: KILLS, side_by_side: KILLS, load, seed: SEED };
    expect_clean(&campaign.run().unwrap());
}
