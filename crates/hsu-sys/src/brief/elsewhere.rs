//! Where programs cannot be held together yet: none is run.

use std::io;

use super::{Answer, Brief};
use crate::tree::Cell;

/// Always refused here.
pub(super) fn run(_: &Brief, _: &Cell, _: &dyn Fn() -> bool) -> io::Result<Answer> {
    Err(io::ErrorKind::Unsupported.into())
}
