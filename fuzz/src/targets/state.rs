//! State that an earlier life wrote, or somebody else: plans, places, heads, marks, records.

use hsu_model::spool::head::Head;
use hsu_model::spool::index::Record;
use hsu_model::spool::notice::Notice;
use hsu_model::spool::plan::{PumpPlan, encode_place, parse_place};
use hsu_model::spool::{SpoolId, base_in_name, decode_consumed, encode_consumed};

pub(crate) fn run(input: &[u8]) {
    hsu_sys::fuzzing::pid_file(input);
    if let Some(bytes) = input.first_chunk::<64>()
        && let Some(head) = Head::decode(bytes)
    {
        assert_eq!(Head::decode(&head.encode()), Some(head));
    }
    if let Some(bytes) = input.first_chunk::<16>() {
        if let Some(record) = Record::decode(bytes) {
            assert!(record.at < 1 << 48, "{record:?}");
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
        if let Some(offset) = decode_consumed(bytes) {
            assert_eq!(encode_consumed(offset), *bytes);
        }
    }
    for notice in Notice::parse_all(input) {
        let mut text = String::new();
        notice.encode(&mut text);
        assert_eq!(Notice::parse_all(text.as_bytes()).collect::<Vec<_>>(), [notice]);
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(id) = SpoolId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Some(base) = base_in_name("data", text) {
        assert_eq!(text, format!("data.{base:020}"));
    }
    let places = parse_place(text);
    assert_eq!(parse_place(&encode_place(&places)), places, "{text:?}");
    match PumpPlan::parse(text) {
        Ok(plan) => assert_eq!(PumpPlan::parse(&plan.encode()).as_ref(), Ok(&plan), "{text:?}"),
        Err(refused) => {
            let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
            assert!((1..=lines.max(1)).contains(&refused.line), "{refused} of {lines}");
        }
    }
}

/// Rows of the store.
pub(crate) fn records(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        hsu_store::fuzzing::records(text);
    }
}
