//! Commands: operators who order workers about all the time and look at what was done.
//!
//! What was answered as done must be done. What was refused, or not answered
//! because the master was lost, is ordered again, as an operator would.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Random;
use super::load::slot_file;
use crate::error::TestError;
use crate::fleet::{Fleet, FleetBuilder, Worker};
use crate::patience::eventually;
use crate::sandbox::Sandbox;

/// How long an order may be refused before it counts as lost.
const INSIST_LIMIT: Duration = Duration::from_secs(30);
/// The rest before a refused order is repeated.
const REST: Duration = Duration::from_millis(20);
/// How long a program that was started may take to take its slot.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);

/// What became of the orders.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Answered as done.
    pub(super) done: u64,
    /// Refused, or without an answer, and repeated.
    pub(super) repeated: u64,
    /// Answered as done and not done, or never done.
    pub(super) broken: Vec<String>,
}

/// Adds workers that are there to be ordered about.
pub(super) fn add_workers<'a>(
    mut builder: FleetBuilder<'a>,
    sandbox: &Sandbox,
    count: u32,
) -> Result<FleetBuilder<'a>, TestError> {
    let dummy = crate::binaries::binary("hsu-dummy")?;
    for number in 0..count {
        let id = format!("slot-{number}");
        let file = slot_file(sandbox.folder(), &id).display().to_string();
        builder = builder.worker(Worker::new(&id, &dummy).arguments(["--slot".to_owned(), file]));
    }
    Ok(builder)
}

/// Orders the workers `slot-0` and so on about while `work` goes on.
pub(super) fn while_ordering<T>(
    fleet: &Fleet<'_>,
    sandbox: &Sandbox,
    count: u32,
    seed: u64,
    work: impl FnOnce() -> Result<T, TestError>,
) -> Result<(T, Tally), TestError> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let operators: Vec<_> = (0..count)
            .map(|number| {
                let id = format!("slot-{number}");
                let slot = slot_file(sandbox.folder(), &id);
                let (random, is_over) = (Random::new(seed ^ u64::from(number + 1)), &is_over);
                scope.spawn(move || Operator::new(fleet, &id, &slot).work(random, is_over))
            })
            .collect();
        let result = work();
        is_over.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for operator in operators {
            match operator.join() {
                Ok(tally) => {
                    all.done += tally.done;
                    all.repeated += tally.repeated;
                    all.broken.extend(tally.broken);
                }
                Err(_) => all.broken.push("an operator crashed".to_owned()),
            }
        }
        result.map(|value| (value, all))
    })
}

/// Who orders one worker about.
pub(super) struct Operator<'a> {
    fleet: &'a Fleet<'a>,
    id: String,
    slot: std::path::PathBuf,
    tally: Tally,
}

impl<'a> Operator<'a> {
    pub(super) fn new(fleet: &'a Fleet<'a>, id: &str, slot: &Path) -> Self {
        Self { fleet, id: id.to_owned(), slot: slot.to_owned(), tally: Tally::default() }
    }

    fn work(mut self, mut random: Random, is_over: &AtomicBool) -> Tally {
        while !is_over.load(Ordering::Relaxed) {
            match random.below(5) {
                0 => self.stop_and_start(&[]),
                1 => self.stop_and_start(&["--force"]),
                2 => self.start_by(&["restart"]),
                3 => self.start_by(&["restart", "--force"]),
                _ => {
                    // It may not run at this moment, and is started again when it did.
                    let _ = self.fleet.client(&["signal", &self.id, "KILL"]);
                }
            }
        }
        self.tally
    }

    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }

    pub(super) fn stop_and_start(&mut self, how: &[&str]) {
        let words: Vec<&str> = ["stop"].iter().chain(how).copied().collect();
        if self.insist(&words) && is_taken(&self.slot) {
            let text = format!("{}: stopped, by the answer, and its process lives", self.id);
            self.tally.broken.push(text);
        }
        self.start_by(&["start"]);
    }

    pub(super) fn start_by(&mut self, words: &[&str]) {
        if !self.insist(words) {
            return;
        }
        let begun = eventually("the slot is taken", BEGIN_LIMIT, || {
            if is_taken(&self.slot) { Ok(()) } else { Err(String::new()) }
        });
        if begun.is_err() {
            let text = format!("{}: {words:?} was answered as done, and nothing runs", self.id);
            self.tally.broken.push(text);
        }
    }

    /// Repeats an order until it is answered as done; whether it was.
    fn insist(&mut self, words: &[&str]) -> bool {
        let words: Vec<&str> = words.iter().chain([&self.id.as_str()]).copied().collect();
        let begin = Instant::now();
        loop {
            match self.fleet.tell(&words) {
                Ok(_) => {
                    self.tally.done += 1;
                    return true;
                }
                Err(error) if begin.elapsed() > INSIST_LIMIT => {
                    self.tally.broken.push(format!("{words:?} was never done: {error}"));
                    return false;
                }
                Err(_) => self.tally.repeated += 1,
            }
            std::thread::sleep(REST);
        }
    }
}

/// Whether some process holds the lock on a file. Asking takes no lock, so that
/// nobody finds the slot taken by the question.
// Source: proc_locks(5).
pub(super) fn is_taken(path: &Path) -> bool {
    let Ok(file) = std::fs::metadata(path) else {
        return false;
    };
    let wanted = format!(":{}", file.ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some("FLOCK") && words.nth(3).is_some_and(|name| name.ends_with(&wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_while_it_is_held() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!is_taken(file.path()));
        file.as_file().lock().unwrap();
        assert!(is_taken(file.path()));
        file.as_file().unlock().unwrap();
        assert!(!is_taken(file.path()));
    }
}
