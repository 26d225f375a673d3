//! Users where names do not become numbers.

use super::{Identity, UserError};

pub(super) fn resolve(_: Option<&str>, _: Option<&str>) -> Result<Identity, UserError> {
    Err(UserError::Unsupported)
}

pub(super) fn effective() -> u32 {
    0
}

pub(super) fn name(_: u32) -> Option<String> {
    None
}
