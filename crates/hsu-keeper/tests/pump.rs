//! The pump against real files and pipes.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what a fixture cannot do fails its test")]

#[path = "pump/carrying.rs"]
mod carrying;
#[path = "pump/filling.rs"]
mod filling;
#[path = "pump/fixture.rs"]
mod fixture;
#[path = "pump/killing.rs"]
mod killing;
#[path = "pump/recovering.rs"]
mod recovering;
#[path = "pump/refusing.rs"]
mod refusing;
#[path = "pump/tampering.rs"]
mod tampering;
