//! The short form of the chaos campaigns: every role is killed, nothing else changes.
//!
//! The long form is `cargo xtask chaos --kills N [--victim ROLE]`.

use std::time::Duration;

use hsu_testkit::Role;
use hsu_testkit::chaos::Campaign;

fn campaign(victims: Vec<Role>) -> Campaign {
    Campaign {
        victims,
        kills: 30,
        writers: 6,
        servers: 2,
        enders: 3,
        pause: Duration::from_millis(200),
        seed: 7,
    }
}

#[test]
fn killing_the_master_disturbs_no_worker_and_loses_nothing() {
    let toll = campaign(vec![Role::Master]).run().unwrap();
    assert!(toll.is_nothing(), "{toll:#?}");
}

#[test]
fn killing_the_keeper_disturbs_no_worker_and_loses_nothing() {
    let toll = campaign(vec![Role::Keeper]).run().unwrap();
    assert!(toll.is_nothing(), "{toll:#?}");
}

#[test]
fn killing_the_pump_disturbs_no_worker_and_loses_nothing() {
    let toll = campaign(vec![Role::Pump]).run().unwrap();
    assert!(toll.is_nothing(), "{toll:#?}");
}
