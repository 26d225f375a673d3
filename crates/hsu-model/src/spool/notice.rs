//! Notices: datagrams by which the pump tells the master that something changed.
//!
//! They are hints. A lost one costs time, never a line: the pump repeats what it
//! could not send, and the master looks at every spool when it starts. A datagram
//! holds several notices, one a line of text.

use alloc::string::String;
use core::fmt::Write as _;

use super::SpoolId;

/// The most bytes in one datagram; under the smallest limit of the platforms.
// Source: net.local.dgram.maxdgram is 2048 on macOS.
pub const MAX_DATAGRAM: usize = 2048;

/// One hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The spool has more bytes, or its state changed.
    Grew(SpoolId),
    /// The spool cannot be written, and its policy is in force.
    Stuck {
        /// Which spool.
        spool: SpoolId,
        /// Why.
        why: Stuck,
    },
    /// The spool can be written again.
    Flows(SpoolId),
    /// The spool had no room, and its policy is to drop.
    Dropped {
        /// Which spool.
        spool: SpoolId,
        /// How many bytes since the last such notice.
        bytes: u64,
    },
}

/// Why a spool cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// Formatted outputs have not read so many bytes that the spool's limit is reached.
    Unread,
    /// The data path is not a plain file of its own: a link, a device, a pipe, a folder.
    NotAFile,
    /// The system refused, with this error number (`ENOSPC` when the disk is full).
    System(i32),
}

impl Notice {
    /// Appends the notice as one line.
    pub fn encode(&self, out: &mut String) {
        // Writing to a String never fails.
        let _ = match self {
            Self::Grew(spool) => writeln!(out, "grew {spool}"),
            Self::Flows(spool) => writeln!(out, "flows {spool}"),
            Self::Dropped { spool, bytes } => writeln!(out, "dropped-{bytes} {spool}"),
            Self::Stuck { spool, why: Stuck::Unread } => writeln!(out, "unread {spool}"),
            Self::Stuck { spool, why: Stuck::NotAFile } => writeln!(out, "not-a-file {spool}"),
            Self::Stuck { spool, why: Stuck::System(error) } => {
                writeln!(out, "errno-{error} {spool}")
            }
        };
    }

    /// Every notice in a datagram; what cannot be read is left out.
    pub fn parse_all(datagram: &[u8]) -> impl Iterator<Item = Self> + '_ {
        core::str::from_utf8(datagram).unwrap_or_default().lines().filter_map(Self::parse)
    }

    fn parse(line: &str) -> Option<Self> {
        let (word, spool) = line.split_once(' ')?;
        let spool = SpoolId::parse(spool)?;
        let why = match word {
            "grew" => return Some(Self::Grew(spool)),
            "flows" => return Some(Self::Flows(spool)),
            "unread" => Stuck::Unread,
            "not-a-file" => Stuck::NotAFile,
            word if word.starts_with("dropped-") => {
                let bytes = word.strip_prefix("dropped-")?.parse().ok()?;
                return Some(Self::Dropped { spool, bytes });
            }
            error => Stuck::System(error.strip_prefix("errno-")?.parse().ok()?),
        };
        Some(Self::Stuck { spool, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn notices_read_back_and_strange_lines_are_left_out() {
        let spool = SpoolId::parse("w/stderr").expect("a valid id");
        let sent = [
            Notice::Grew(spool.clone()),
            Notice::Stuck { spool: spool.clone(), why: Stuck::System(28) },
            Notice::Stuck { spool: spool.clone(), why: Stuck::Unread },
            Notice::Stuck { spool: spool.clone(), why: Stuck::NotAFile },
            Notice::Dropped { spool: spool.clone(), bytes: 77 },
            Notice::Flows(spool),
        ];
        let mut text = String::new();
        for notice in &sent {
            notice.encode(&mut text);
            text.push_str("grew ../../etc\nnonsense\n");
        }
        assert_eq!(Notice::parse_all(text.as_bytes()).collect::<Vec<_>>(), sent);
        assert_eq!(Notice::parse_all(&[0xff, 0xfe]).count(), 0);
    }
}
