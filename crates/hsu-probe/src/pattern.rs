//! Patterns: compiled once, matched in time linear in the text.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hsu_model::health::probe::Pattern;
use regex::bytes::{Regex, RegexBuilder};

use crate::look::Trouble;

/// The most memory that one compiled pattern may take.
const MOST_MEMORY: usize = 1 << 20;
/// Compiled patterns that are kept; beyond it all are compiled anew.
const MOST_KEPT: usize = 4096;
/// The most of a text that is shown when it does not match.
const SHOWN: usize = 80;

/// The patterns that were used.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    compiled: Mutex<HashMap<Pattern, Regex>>,
}

impl Patterns {
    /// A pattern, ready for use.
    pub(crate) fn get(&self, pattern: &Pattern) -> Result<Regex, Trouble> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regex) = compiled.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = RegexBuilder::new(&pattern.0)
            .size_limit(MOST_MEMORY)
            .dfa_size_limit(MOST_MEMORY)
            .build()
            .map_err(|error| Trouble::Unable(format!("pattern: {error}")))?;
        if compiled.len() >= MOST_KEPT {
            compiled.clear();
        }
        compiled.insert(pattern.clone(), regex.clone());
        Ok(regex)
    }

    /// Whether a text holds what is expected, if anything is.
    pub(crate) fn expect(
        &self,
        expected: Option<&Pattern>,
        what: &str,
        text: &[u8],
    ) -> Result<(), Trouble> {
        let Some(pattern) = expected else {
            return Ok(());
        };
        if self.get(pattern)?.is_match(text) {
            return Ok(());
        }
        Err(Trouble::Bad(format!("{what} does not match `{}`: {}", pattern.0, shown(text))))
    }
}

/// The beginning of a text from outside, in one line that a terminal cannot obey.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = text.get(..SHOWN.min(text.len())).unwrap_or_default();
    format!("{:?}", String::from_utf8_lossy(text.trim_ascii()))
}
