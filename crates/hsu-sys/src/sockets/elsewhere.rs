//! Asking for sockets where the kernel cannot be asked.

use hsu_model::discovery::Protocol;

use super::{Family, Mute, Waiting};

pub(super) fn waiting(_: Protocol, _: Family, _: Option<u16>) -> Result<Vec<Waiting>, Mute> {
    Err(Mute)
}
