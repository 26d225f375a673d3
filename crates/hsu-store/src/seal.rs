//! Seals: a checksum beside each row, because the database has none of its own.
//!
//! A row whose seal does not fit was changed by a disk or a stranger and is not
//! believed. The seal finds damage, it does not resist an attacker.

use hsu_model::spool::checksum;

/// The seal of a row: of its name and its content.
pub(crate) fn seal(name: &str, content: &str) -> i64 {
    let bytes = [name.as_bytes(), b"\0", content.as_bytes()].concat();
    checksum(&bytes).cast_signed()
}

/// The name under which an event is sealed: its place and its worker.
pub(crate) fn event_name(sequence: i64, worker: Option<&str>) -> String {
    format!("{sequence}/{}", worker.unwrap_or_default())
}
