//! How outputs fare, as the rest of the master sees it.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Trouble;
use super::outfit::name_of;
use crate::error::LogError;
use crate::plan::Sink;

/// How one output fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputStatus {
    /// Which.
    pub sink: Sink,
    /// Why nothing is written at present, as text; none when all is well.
    pub stuck: Option<String>,
    /// Bytes of spools that this engine wrote into the output.
    pub consumed: u64,
    /// Bytes of spools that were gone, or skipped, before they could be written.
    pub missed: u64,
}

/// The counters of one output, shared between the engine's thread and the rest.
#[derive(Debug)]
pub(super) struct Counters {
    sink: Sink,
    consumed: AtomicU64,
    missed: AtomicU64,
    stuck: Mutex<Option<String>>,
    trouble: Trouble,
}

impl Counters {
    pub(super) fn new(sink: Sink, trouble: Trouble) -> Self {
        let zero = AtomicU64::default;
        Self { sink, consumed: zero(), missed: zero(), stuck: Mutex::default(), trouble }
    }

    pub(super) fn status(&self) -> OutputStatus {
        OutputStatus {
            sink: self.sink.clone(),
            stuck: self.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            consumed: self.consumed.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn add_consumed(&self, bytes: u64) {
        self.consumed.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_missed(&self, bytes: u64) {
        self.missed.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_stuck(&self, error: Option<&LogError>) {
        let now = error.map(describe);
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        if *stuck != now {
            (self.trouble.0)(name_of(&self.sink), now.as_deref());
            *stuck = now;
        }
    }
}

/// An error with its causes.
fn describe(error: &LogError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
