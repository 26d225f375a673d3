//! The time of a line as text: RFC 3339 in local time.

use hsu_model::time::WallTime;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The time zone in which times are written.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of this machine, read once.
    #[must_use]
    pub fn local() -> Self {
        Self(TimeZone::system())
    }

    /// UTC, written as `Z`.
    #[must_use]
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// A zone this many seconds east of UTC.
    #[cfg(test)]
    pub(crate) fn east(seconds: i32) -> Self {
        let offset = jiff::tz::Offset::from_seconds(seconds).expect("a day has fewer seconds");
        Self(TimeZone::fixed(offset))
    }

    /// `2025-07-28T00:20:03+03:00`. A time that nobody knows is 1970.
    pub(crate) fn seconds(&self, time: Option<WallTime>) -> String {
        let (date, offset, _) = self.parts(time);
        format!("{date}{offset}")
    }

    /// `2025-07-28T00:20:03.123+03:00`.
    pub(crate) fn millis(&self, time: Option<WallTime>) -> String {
        let (date, offset, nanos) = self.parts(time);
        format!("{date}.{:03}{offset}", nanos / 1_000_000)
    }

    fn parts(&self, time: Option<WallTime>) -> (String, String, i64) {
        let nanos = time.unwrap_or_default().0;
        let stamp = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH);
        let offset = self.0.to_offset(stamp);
        let at = offset.to_datetime(stamp);
        let date = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        );
        // RFC 3339 has whole minutes, as every zone of this century has.
        let minutes = offset.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        let text = match minutes {
            0 => "Z".to_owned(),
            _ => format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60),
        };
        (date, text, nanos.rem_euclid(1_000_000_000))
    }
}
