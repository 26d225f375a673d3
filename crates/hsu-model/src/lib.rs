//! The nouns of HSU Master: ids, units, resolved specs, statuses and events.
//!
//! Every other room speaks in these types, so this one has no behaviour beyond
//! validity: no clock, no I/O, no policy, no wire names (`hsu-api` owns those).
//! `no_std`, so that `hsu-core` can stand on it.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod calendar;
pub mod discovery;
pub mod environment;
pub mod event;
pub mod execution;
pub mod exit;
pub mod health;
pub mod id;
pub mod limits;
pub mod logs;
pub mod master;
pub mod notify;
pub mod process;
pub mod restart;
pub mod severity;
pub mod socket;
pub mod spool;
pub mod status;
pub mod text;
pub mod time;
pub mod units;
pub mod usage;
pub mod worker;
