//! Spools: the files that the pump writes and `hsu-logs` reads.
//!
//! Both rooms stand on the same floor, so the words and layouts they share live
//! here. A spool is the raw byte stream of one stream of one worker over all its
//! runs, addressed by *stream offset*: the number of bytes that came before. It
//! is cut into segments at line ends. The current segment has a plain name, a
//! closed one carries the stream offset at which it begins, so no crash between
//! two steps of a rotation loses or doubles a byte.
//!
//! ```text
//! <spools>/plan                       what the master asks of the pump   (plan)
//! <spools>/pump.lock                  held by the one pump that may write
//! <spools>/<worker>/<stream>/place    the data paths, current first; absent: `data`
//!                            head     where the current segment begins   (head)
//!                            index.*  arrival times and runs, one file a segment (index)
//!                            consumed what formatted outputs no longer need
//!                            data     the current segment, unless it is a user's log file
//! <path>.<20 digits>                  a closed segment
//! ```
//!
//! Only layouts and their checks are here: no I/O. Why: docs/design/0005-spools.md.

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::id::WorkerId;
use crate::logs::Stream;
use crate::master::Directories;

pub mod head;
pub mod index;
pub mod notice;
pub mod plan;

/// The file of a spool that holds its [`head::Head`].
pub const HEAD_FILE: &str = "head";
/// The file of a spool that lists its data paths, one a line, the current one first.
pub const PLACE_FILE: &str = "place";
/// The file of a spool that holds how far every formatted output has come.
pub const CONSUMED_FILE: &str = "consumed";
/// The data of a spool that has no log file of its own.
pub const DATA_FILE: &str = "data";
/// The file, among the spools, that holds the [`plan::PumpPlan`].
pub const PLAN_FILE: &str = "plan";
/// The file, among the spools, that the one writing pump holds locked.
pub const LOCK_FILE: &str = "pump.lock";

/// The last stream offset that there can be: a file has no more bytes.
// Source: lseek(2), off_t is signed.
pub const LAST_OFFSET: u64 = i64::MAX.unsigned_abs();

/// The folder of all spools.
#[must_use]
pub fn spools_folder(directories: &Directories) -> String {
    format!("{}/spools", directories.state)
}

/// The datagram socket on which the pump sends [`notice::Notice`]s to the master.
#[must_use]
pub fn notice_socket(directories: &Directories) -> String {
    format!("{}/logs.sock", directories.runtime)
}

/// The name of a spool: one stream of one worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId {
    /// The worker.
    pub worker: WorkerId,
    /// Which of its streams.
    pub stream: Stream,
}

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.worker, self.stream.as_str())
    }
}

impl SpoolId {
    /// Reads `worker/stdout` or `worker/stderr`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (worker, stream) = text.split_once('/')?;
        let stream = Stream::ALL.into_iter().find(|s| s.as_str() == stream)?;
        let worker = WorkerId::new(worker).ok()?;
        Some(Self { worker, stream })
    }
}

/// The path of the closed segment that begins at stream offset `base`.
#[must_use]
pub fn closed_path(data_path: &str, base: u64) -> String {
    format!("{data_path}.{base:020}")
}

/// The path under which the next segment is prepared during a rotation.
#[must_use]
pub fn next_path(data_path: &str) -> String {
    format!("{data_path}.next")
}

/// The name of the index file of the segment that begins at `base`.
#[must_use]
pub fn index_name(base: u64) -> String {
    format!("index.{base:020}")
}

/// The stream offset in the name of a closed segment or index file, when `name`
/// is `stem`, a dot and exactly 20 digits.
#[must_use]
pub fn base_in_name(stem: &str, name: &str) -> Option<u64> {
    let digits = name.strip_prefix(stem)?.strip_prefix('.')?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    let base = all_digits.then(|| digits.parse().ok()).flatten();
    base.filter(|base| *base <= LAST_OFFSET)
}

/// The content of [`CONSUMED_FILE`]: every formatted output has committed all bytes before `offset`.
#[must_use]
pub fn encode_consumed(offset: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (value, check) = bytes.split_at_mut(8);
    value.copy_from_slice(&offset.to_le_bytes());
    check.copy_from_slice(&checksum(value).to_le_bytes());
    bytes
}

/// Reads what [`encode_consumed`] wrote; none when it is torn or foreign.
#[must_use]
pub fn decode_consumed(bytes: &[u8; 16]) -> Option<u64> {
    let offset = word(bytes, 0)?;
    (checksum(bytes.get(..8)?) == word(bytes, 8)? && offset <= LAST_OFFSET).then_some(offset)
}

/// The 64-bit FNV-1a hash: finds torn and foreign records, does not resist an attacker.
// Source: draft-eastlake-fnv, section 5.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// The little-endian word at `at`.
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let slice = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*slice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_id_reads_back_as_it_was_written_and_nothing_else_does() {
        for text in ["web-1/stdout", "a/stderr"] {
            assert_eq!(SpoolId::parse(text).map(|id| format!("{id}")).as_deref(), Some(text));
        }
        for text in ["", "a", "a/", "a/stdin", "../stdout", "a/b/stdout"] {
            assert_eq!(SpoolId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_twenty_digits_make_a_closed_segment() {
        assert_eq!(base_in_name("app.log", "app.log.00000000000000000042"), Some(42));
        for name in ["app.log", "app.log.1", "app.log.next", "app.logs.00000000000000000042"] {
            assert_eq!(base_in_name("app.log", name), None, "{name}");
        }
        assert_eq!(base_in_name("a", "a.99999999999999999999"), None, "beyond 64 bits");
        assert_eq!(base_in_name("a", "a.09223372036854775807"), Some(LAST_OFFSET));
        assert_eq!(base_in_name("a", "a.09223372036854775808"), None, "beyond what a file has");
    }

    #[test]
    fn a_torn_consumed_file_is_not_believed() {
        let good = encode_consumed(1 << 40);
        assert_eq!(decode_consumed(&good), Some(1 << 40));
        for at in 0..16 {
            let mut torn = good;
            torn[at] ^= 1;
            assert_eq!(decode_consumed(&torn), None, "byte {at}");
        }
    }
}
