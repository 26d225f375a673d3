//! The names of the environment variables by which processes of ours are known.

/// The run of a process of a worker: its number.
pub const RUN_VARIABLE: &str = "HSU_RUN_ID";
/// The worker of a process: its id.
pub const WORKER_VARIABLE: &str = "HSU_WORKER_ID";
/// The master of a process of a worker, the same in each of its lives.
pub const MASTER_VARIABLE: &str = "HSU_MASTER_ID";
/// For the master: the executable of keeper and pump.
pub const KEEPER_VARIABLE: &str = "HSU_KEEPER";
