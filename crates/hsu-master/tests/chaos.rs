//! The short form of the chaos campaigns: roles are killed, hang and are replaced,
//! and nothing else changes.
//!
//! The long form is `cargo xtask chaos --kills N [--victim ROLE] [--strike KIND]`.

use std::time::Duration;

use hsu_testkit::Role;
use hsu_testkit::chaos::{Campaign, Strike};

fn campaign(strike: Strike) -> Campaign {
    Campaign {
        strikes: vec![strike],
        count: 30,
        writers: 6,
        servers: 2,
        enders: 3,
        pause: Duration::from_millis(200),
        seed: 7,
    }
}

#[test]
fn killing_the_master_disturbs_no_worker_and_loses_nothing() {
    let toll = campaign(Strike::Kill(Role::Master)).run().unwrap();
    assert!(toll.is_nothing(), "{toll:#?}");
}

#[test]
fn killing_the_keeper_disturbs_no_worker_and_loses_nothing() {
    let toll = campaign(Strike::Kill(Role::Keeper)).run().unwrap();
    assert!(toll.is_nothing(), "{toll:#?}");
}

#[test]
fn killing_the_pump_disturbs_no_worker_and_loses_nothing() {
    let toll = campaign(Strike::Kill(Role::Pump)).run().unwrap();
    assert!(toll.is_nothing(), "{toll:#?}");
}

#[test]
fn upgrading_and_downgrading_disturbs_no_worker_and_loses_nothing() {
    let toll = campaign(Strike::Upgrade).run().unwrap();
    assert!(toll.is_nothing(), "{toll:#?}");
}

#[test]
fn killing_every_master_in_an_upgrade_disturbs_no_worker_and_loses_nothing() {
    let toll = campaign(Strike::TornUpgrade).run().unwrap();
    assert!(toll.is_nothing(), "{toll:#?}");
}

#[test]
fn a_master_that_hangs_is_replaced_within_40_seconds() {
    let toll = Campaign { count: 1, ..campaign(Strike::Hang) }.run().unwrap();
    assert!(toll.is_nothing(), "{toll:#?}");
}
