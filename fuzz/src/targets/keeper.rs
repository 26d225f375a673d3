//! The protocol between keeper, pump and master, at both ends.

/// What a keeper may be sent.
pub(crate) fn orders(input: &[u8]) {
    drop(hsu_keeper::fuzzing::to_keeper(input));
}

/// What a master or a pump may be sent.
pub(crate) fn answers(input: &[u8]) {
    drop(hsu_keeper::fuzzing::from_keeper(input));
}
