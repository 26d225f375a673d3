//! Single values: durations, sizes, numbers, times, signals, ids.

use hsu_model::exit::{signal_name, signal_number};
use hsu_model::id::WorkerId;
use hsu_model::time::WallTime;

use crate::timing;

pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    hsu_config::fuzzing::values(&text);
    hsu_config::fuzzing::harmless(&text);
    if let Some(number) = signal_number(&text) {
        assert!((1..=64).contains(&number), "{text:?} is signal {number}");
        let named = signal_name(number).map(signal_number);
        assert!(named.is_none_or(|again| again == Some(number)), "{text:?}");
    }
    if let Ok(id) = WorkerId::new(&text) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        assert!(id.as_str().bytes().all(is_plain) && !id.as_str().starts_with('-'), "{id}");
        assert!((1..=WorkerId::MAX_LENGTH).contains(&id.as_str().len()), "{id}");
    }
    let now = WallTime(1_700_000_000_000_000_000);
    if let Some(time) = hsu_api::parse_time(&text, now) {
        let shown = hsu_api::rfc3339(time);
        let again = hsu_api::parse_time(&shown, now).map(|time| time.0.div_euclid(1_000_000));
        assert_eq!(again, Some(time.0.div_euclid(1_000_000)), "{text:?} is shown as {shown}");
    }
    if let Ok(span) = timing::span(&text) {
        assert!(span.as_secs_f64() <= 1e9, "{text:?} is {}", timing::named(span));
    }
    if let Ok(count) = timing::count(&text) {
        assert!(text.trim_start_matches('+').trim_start_matches('0').len() <= 20, "{count}");
    }
}
