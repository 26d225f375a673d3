//! Users where names do not become numbers.

use super::{Identity, UserError};

pub(super) fn resolve(_: Option<&str>, _: Option<&str>) -> Result<Identity, UserError> {
    Err(UserError::Unsupported)
}
