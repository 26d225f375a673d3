//! The targets, by what they read.

pub(crate) mod brain;
pub(crate) mod command_line;
pub(crate) mod config;
pub(crate) mod control;
pub(crate) mod keeper;
pub(crate) mod lines;
pub(crate) mod process_files;
pub(crate) mod spools;
pub(crate) mod state;
pub(crate) mod values;
