//! The pump's plan: what the master asks of the pump, one line a spool.
//!
//! A text, so that an operator can read it and an older or newer pump refuses
//! only the lines it does not know. A spool without a line is kept in its own
//! folder under [`SpoolPlan::fallback`].

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::time::Duration;

use super::SpoolId;
use crate::logs::{OnFull, Rotation};
use crate::units::ByteSize;

/// The first line of the file.
const TITLE: &str = "hsu-pump-plan 1";

/// What the pump does with every spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PumpPlan {
    /// By spool.
    pub spools: BTreeMap<SpoolId, SpoolPlan>,
}

/// What the pump does with one spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolPlan {
    /// Where the current segment is: a log file of the user, by absolute path,
    /// or none for `data` in the spool's own folder.
    pub log_file: Option<String>,
    /// When a segment is closed, and which closed ones stay.
    pub rotation: Rotation,
    /// What happens to bytes that have no room.
    pub on_full: OnFull,
    /// Who reads it besides people.
    pub readers: Readers,
}

/// Who reads a spool besides people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Nobody: no notices, and closed segments go by rotation alone.
    None,
    /// Formatted outputs of the master: notices are sent, and a segment that they
    /// have not consumed stays.
    Outputs {
        /// With more unread bytes than this the spool is full.
        unread_limit: ByteSize,
    },
}

impl SpoolPlan {
    /// The size of a segment that no user asked for.
    pub const SEGMENT_SIZE: ByteSize = ByteSize(4 << 20);
    /// The unread bytes at which a worker waits, or its output is dropped.
    pub const UNREAD_LIMIT: ByteSize = ByteSize(64 << 20);

    /// The plan of a spool in its own folder: a little history, nothing lost.
    #[must_use]
    pub fn fallback() -> Self {
        Self {
            log_file: None,
            rotation: Rotation { max_size: Self::SEGMENT_SIZE, max_files: 1, max_age: None },
            on_full: OnFull::Block,
            readers: Readers::None,
        }
    }
}

impl PumpPlan {
    /// The plan as text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{TITLE}\n");
        for (spool, plan) in &self.spools {
            let policy = match plan.on_full {
                OnFull::Block => "block",
                OnFull::Drop => "drop",
            };
            // Writing to a String never fails.
            let _ = write!(text, "{spool} {policy} size={} ", plan.rotation.max_size.0);
            let _ = write!(text, "files={} ", plan.rotation.max_files);
            if let Some(age) = plan.rotation.max_age {
                let _ = write!(text, "age={} ", age.as_secs());
            }
            if let Readers::Outputs { unread_limit } = plan.readers {
                let _ = write!(text, "unread={} ", unread_limit.0);
            }
            if let Some(path) = &plan.log_file {
                let _ = write!(text, "path={}", escape(path));
            }
            text.push('\n');
        }
        text
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// [`InvalidPlan`] names the first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, InvalidPlan> {
        let mut lines = text.lines().zip(1..);
        if lines.next().is_none_or(|(title, _)| title != TITLE) {
            return Err(InvalidPlan { line: 1 });
        }
        let spools = lines
            .map(|(line, number)| parse_line(line).ok_or(InvalidPlan { line: number }))
            .collect::<Result<_, _>>()?;
        Ok(Self { spools })
    }
}

/// A line of a plan that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPlan {
    /// Its number, from 1.
    pub line: u32,
}

impl core::fmt::Display for InvalidPlan {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "line {} of the pump's plan cannot be read", self.line)
    }
}

impl core::error::Error for InvalidPlan {}

fn parse_line(line: &str) -> Option<(SpoolId, SpoolPlan)> {
    let (head, path) = match line.split_once(" path=") {
        Some((head, path)) => (head, Some(unescape(path)?)),
        None => (line, None),
    };
    let mut words = head.split_ascii_whitespace();
    let spool = SpoolId::parse(words.next()?)?;
    let on_full = match words.next()? {
        "block" => OnFull::Block,
        "drop" => OnFull::Drop,
        _ => return None,
    };
    let mut plan = SpoolPlan { log_file: path, on_full, ..SpoolPlan::fallback() };
    for word in words {
        let (key, value) = word.split_once('=')?;
        let number: u64 = value.parse().ok()?;
        match key {
            "size" => plan.rotation.max_size = ByteSize(number),
            "files" => plan.rotation.max_files = u32::try_from(number).ok()?,
            "age" => plan.rotation.max_age = Some(Duration::from_secs(number)),
            "unread" => plan.readers = Readers::Outputs { unread_limit: ByteSize(number) },
            _ => return None,
        }
    }
    Some((spool, plan))
}

/// A path on one line.
fn escape(path: &str) -> String {
    path.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescape(text: &str) -> Option<String> {
    let mut path = String::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        path.push_str(plain);
        path.push(match escaped.as_bytes().first()? {
            b'\\' => '\\',
            b'n' => '\n',
            b'r' => '\r',
            _ => return None,
        });
        rest = escaped.get(1..)?;
    }
    path.push_str(rest);
    Some(path)
}

/// The content of [`super::PLACE_FILE`].
#[must_use]
pub fn encode_place(paths: &[String]) -> String {
    paths.iter().map(|path| escape(path) + "\n").collect()
}

/// Reads what [`encode_place`] wrote; lines that cannot be read are left out.
#[must_use]
pub fn parse_place(text: &str) -> Vec<String> {
    text.lines().filter_map(unescape).filter(|path| !path.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::vec;

    #[test]
    fn a_plan_reads_back_whatever_the_path_is() {
        let id = |text| SpoolId::parse(text).expect("a valid id");
        let paths = ["/var/log/a b.log", "/x\n/y\\n path=\r", "/caf\u{e9} size=3"];
        for path in paths {
            let with = SpoolPlan {
                log_file: Some(path.to_owned()),
                rotation: Rotation::DEFAULT,
                on_full: OnFull::Drop,
                readers: Readers::Outputs { unread_limit: ByteSize(9) },
            };
            let spools = [(id("a/stdout"), with), (id("b/stderr"), SpoolPlan::fallback())];
            let plan = PumpPlan { spools: spools.into_iter().collect() };
            assert_eq!(PumpPlan::parse(&plan.encode()), Ok(plan));
        }
        let places = vec![paths[1].to_owned(), paths[0].to_owned()];
        assert_eq!(parse_place(&encode_place(&places)), places);
    }

    #[test]
    fn a_strange_line_is_named() {
        for bad in ["x", "a/stdout maybe", "a/stdout drop size=-1", "a/stdout drop color=3"] {
            let text = format!("{TITLE}\n{bad}\n");
            assert_eq!(PumpPlan::parse(&text), Err(InvalidPlan { line: 2 }), "{bad}");
        }
        assert_eq!(PumpPlan::parse(""), Err(InvalidPlan { line: 1 }));
    }
}
