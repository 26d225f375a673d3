//! Where formatted lines go: files, written exactly once, and consoles.

pub(crate) mod console;
pub(crate) mod cursors;
pub(crate) mod file;
