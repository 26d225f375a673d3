//! The keeper and the pump, and the protocol between them and the master.

pub mod pump;
