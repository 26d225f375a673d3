//! Shared looks: equal probes see the same, so that one look serves many checks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hsu_model::health::Finding;
use hsu_model::health::probe::Probe;

/// Different probes whose results are kept; beyond it those that nobody waits for go.
const MOST_KEPT: usize = 1024;

/// What a look came to, when, and how long it took. Locked while a look is taken, so
/// that whoever comes meanwhile waits for it.
pub(crate) type Known = Arc<tokio::sync::Mutex<Option<(Instant, Finding, Duration)>>>;

/// The latest results.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    places: Mutex<HashMap<Arc<Probe>, (Instant, Known)>>,
}

impl Shared {
    /// Where the result for this probe is, or will be.
    pub(crate) fn place(&self, probe: &Arc<Probe>, shared_for: Duration) -> Known {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if places.len() >= MOST_KEPT {
            places.retain(|_, (until, _)| *until > now);
        }
        let until = now + shared_for;
        let place = places.entry(Arc::clone(probe)).or_insert_with(|| (until, Known::default()));
        place.0 = place.0.max(until);
        Arc::clone(&place.1)
    }
}
