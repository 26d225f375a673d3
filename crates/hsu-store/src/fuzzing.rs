//! What the fuzzers check of records and events, whose readers nobody outside sees.
//!
//! The targets are in `fuzz/src/targets`. Nothing of the product calls this.

use crate::wire::{decode_event, decode_record, encode_event, encode_record};

/// A text that is taken for a record or an event is written and read back as the same.
///
/// # Panics
/// When it is not.
pub fn records(text: &str) {
    if let Some(record) = decode_record(text) {
        assert_eq!(decode_record(&encode_record(&record)), Some(record), "{text}");
    }
    if let Some(event) = decode_event(text) {
        assert_eq!(decode_event(&encode_event(&event)), Some(event), "{text}");
    }
}
