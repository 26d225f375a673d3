//! The workbench of the store: what a loss of power, a disk that refuses and a disk
//! that rots leave, made from what the real store really did.
//!
//! A process of its own runs a [`script`] on the real store. `strace` records
//! what it asks of the kernel, data and all, or lets the kernel refuse the n-th
//! call. [`disk`] makes of the record every state that a crash may leave,
//! [`judge`] opens each with the real store. Nothing here knows how the store
//! works inside; what it promises is in docs/design/0006-store.md.

pub mod disk;
pub mod image;
pub mod judge;
pub mod power;
pub mod random;
pub mod refusal;
pub mod report;
pub mod rot;
pub mod script;
pub mod trace;
