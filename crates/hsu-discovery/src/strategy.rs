//! Strategies: the ways to tell a process from others, behind one trait.

use std::fmt;

use hsu_model::discovery::{Registry, Search, Text};
use regex::bytes::Regex;

use crate::facts::Facts;

mod looks;
mod network;
mod parent;
mod pid_file;
mod place;

pub(crate) use network::Net;

/// The most memory that one compiled pattern may take.
const LARGEST_PATTERN: usize = 1 << 20;

/// A pattern that is none.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidPattern {
    /// Why not.
    reason: String,
}

/// A pattern, matched in a time that grows with the text alone.
///
/// # Errors
/// [`InvalidPattern`].
pub(crate) fn pattern(text: &str) -> Result<Regex, InvalidPattern> {
    regex::bytes::RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build().map_err(|error| {
        let reason = error.to_string();
        // The last line says what is wrong; the ones before it draw where.
        let last = reason.lines().last().unwrap_or_default();
        InvalidPattern { reason: last.trim_start_matches("error: ").to_owned() }
    })
}

/// Whether a process fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    No,
    /// It would, but is not to be believed.
    Refused(String),
    /// It may not be looked into.
    Hidden,
}

impl From<bool> for Fit {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

/// Whether what a strategy goes by is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepared {
    Same,
    Changed,
}

/// What all strategies of one pass look at, read once.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    net: Net,
    registries: std::collections::BTreeMap<Registry, Result<Vec<u16>, String>>,
}

/// One way to tell a process from others.
pub(crate) trait Strategy: fmt::Debug + Send {
    /// Looks at what does not belong to a single process.
    fn prepare(&mut self, _: &mut Scene) -> Prepared {
        Prepared::Same
    }

    /// Whether a process fits.
    fn fits(&self, facts: &mut Facts<'_>) -> Fit;

    /// The only PID that can fit, when there is such a one; a pass is not needed then.
    fn only(&self) -> Only {
        Only::Anybody
    }

    /// Whether a process that did not fit may fit later without running another program.
    fn is_volatile(&self) -> bool {
        false
    }

    /// Why nothing can fit at present.
    fn trouble(&self) -> Option<&str> {
        None
    }

    /// Whether a process may fit that it cannot know of at present.
    fn is_blind(&self) -> bool {
        false
    }

    /// In words, after "no process is".
    fn describe(&self) -> String;
}

/// Who can fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    Anybody,
    Pid(u32),
    Nobody,
}

/// A text or a pattern, ready to compare.
#[derive(Debug)]
pub(crate) enum Matcher {
    Exactly(String),
    Pattern(Box<Regex>),
}

impl Matcher {
    fn new(text: &Text) -> Result<Self, InvalidPattern> {
        Ok(match text {
            Text::Exactly(text) => Self::Exactly(text.clone()),
            Text::Pattern(text) => Self::Pattern(Box::new(pattern(text)?)),
        })
    }

    fn fits(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Exactly(text) => text.as_bytes() == bytes,
            Self::Pattern(pattern) => pattern.is_match(bytes),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(text) => write!(f, "{text:?}"),
            Self::Pattern(pattern) => write!(f, "like {:?}", pattern.as_str()),
        }
    }
}

/// Makes a strategy of what was declared.
pub(crate) fn compile(search: &Search) -> Result<Box<dyn Strategy>, InvalidPattern> {
    Ok(match search {
        Search::PidFile(path) => Box::new(pid_file::PidFile::new(path)),
        Search::Name { name, args } => {
            Box::new(looks::Name { name: Matcher::new(name)?, args: args.clone() })
        }
        Search::CommandLine(text) => Box::new(looks::CommandLine(pattern(text)?)),
        Search::Environment { variable, value } => Box::new(looks::Environment {
            variable: variable.clone(),
            value: value.as_ref().map(Matcher::new).transpose()?,
        }),
        Search::User(user) => Box::new(looks::User::new(user)),
        Search::Port { port, protocol } => Box::new(network::Listener::new(*port, *protocol)),
        Search::Socket(path) => Box::new(network::UnixSocket::new(path)),
        Search::Registry(registry) => Box::new(network::Registered::new(registry)),
        Search::ParentName(name) => Box::new(parent::ParentName(Matcher::new(name)?)),
        Search::ParentPidFile(path) => Box::new(parent::ParentPidFile::new(path)),
        Search::WorkingDirectory(path) => Box::new(place::WorkingDirectory::new(path)),
        Search::File(path) => Box::new(place::OpenFile::new(path)),
        Search::Unit(name) => Box::new(place::SystemdUnit::new(name)),
        // A kind that this version does not know fits nobody.
        _ => Box::new(looks::Nobody),
    })
}
