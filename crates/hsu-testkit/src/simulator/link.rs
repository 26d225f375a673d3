//! The link between master and keeper: datagrams of real messages, in order, never torn.
//!
//! What was sent before an end died is still heard by the other, and then the loss.

use std::collections::VecDeque;

use hsu_keeper::{FromKeeper, ToKeeper};

/// One connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// On their way to the keeper.
    pub(crate) up: VecDeque<Vec<u8>>,
    /// On their way to the master.
    pub(crate) down: VecDeque<Vec<u8>>,
    /// Whether the master is gone, or has hung up.
    pub(crate) no_master: bool,
    /// Whether the keeper is gone, or has hung up.
    pub(crate) no_keeper: bool,
}

/// Messages as they travel.
pub(crate) fn up(messages: impl IntoIterator<Item = ToKeeper>) -> Vec<u8> {
    let mut datagram = Vec::new();
    messages.into_iter().for_each(|message| message.append_to(&mut datagram));
    datagram
}

/// Messages as they travel.
pub(crate) fn down(messages: impl IntoIterator<Item = FromKeeper>) -> Vec<u8> {
    let mut datagram = Vec::new();
    messages.into_iter().for_each(|message| message.append_to(&mut datagram));
    datagram
}
