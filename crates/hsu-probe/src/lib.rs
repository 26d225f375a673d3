//! The stethoscope: takes looks, and says what was seen.
//!
//! A [`Prober`] owns one thread, takes [`Order`]s from a bounded queue and reports
//! each of them once. Looks at the same check never overlap, those at equal things
//! may be shared, and all of them together are bounded: sockets, programs, name
//! look-ups and bytes. Absent on purpose: any decision. When to look and what
//! follows is `hsu-core`'s; what may be looked at is `hsu_model::health::probe`.

mod address;
mod answerer;
mod connection;
mod database;
mod exec;
mod file;
mod grpc;
mod http;
mod log;
mod look;
mod md5;
mod names;
mod network;
mod pattern;
mod prober;
mod process;
mod protocol;
mod shared;
mod steps;
mod tls;
mod usage;

pub use prober::{Lineage, Options, Order, Prober, Report, Subject, Surroundings};
