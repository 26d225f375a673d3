//! Endings: what workers say of their own exits, against what the master knows.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::TestError;
use crate::fleet::{Fleet, Worker};

/// A worker that lives for a moment, notes `RUN CODE` in its ledger and exits with that code.
///
/// One run in five ends by SIGKILL and notes 137. Its slot is held by descriptor
/// 9, which whatever it starts holds too.
pub(super) fn worker(id: &str, ledger: &Path, slot: &Path) -> Worker {
    let script = format!(
        "exec 9>>'{slot}'; flock -n 9 || echo \"run $HSU_RUN_ID found the slot taken\" >> '{slot}.twice'; \
         me=$(sh -c 'echo $PPID'); sleep 0.0$((me % 7 + 2)); code=$((me % 200 + 1)); \
         if [ $((me % 5)) = 0 ]; then code=137; fi; \
         echo \"$HSU_RUN_ID $code\" >> '{}'; \
         if [ $code = 137 ]; then kill -9 $me; fi; exit $code",
        ledger.display(),
        slot = slot.display(),
    );
    Worker::new(id, "/bin/sh").arguments(["-c".to_owned(), script])
}

/// The time between two readings of the journal, which forgets events that are too old:
/// a busy campaign makes some hundred a second, and 100,000 are kept.
const READ_EVERY: Duration = Duration::from_secs(20);

/// Both sides, and what does not agree.
#[derive(Clone, Debug, Default)]
pub(super) struct Endings {
    /// The exits that the journal held, by worker and run: an exit code, or 128 plus
    /// the signal.
    known: BTreeMap<(String, String), Vec<String>>,
    /// The number of the last event that was read.
    last: u64,
    read: Option<Instant>,
    noted: u64,
    unknown: u64,
    wrong: Vec<String>,
}

impl Endings {
    /// Exits that the workers noted.
    pub(super) fn noted(&self) -> u64 {
        self.noted
    }

    /// Exits that HSU Master reports as unknown.
    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    /// What does not agree.
    pub(super) fn wrong(self) -> Vec<String> {
        self.wrong
    }

    /// Reads the journal now and then. A master that does not answer is asked later.
    pub(super) fn keep_up(&mut self, fleet: &Fleet<'_>) {
        if self.read.is_none_or(|read| read.elapsed() >= READ_EVERY)
            && self.read_journal(fleet).is_ok()
        {
            self.read = Some(Instant::now());
        }
    }

    /// Reads what is new in the journal.
    pub(super) fn read_journal(&mut self, fleet: &Fleet<'_>) -> Result<(), TestError> {
        let after = self.last.to_string();
        let answer = fleet.ask(&["events", "--after", &after, "--limit", "1000000"])?;
        let events = answer.get("events").unwrap_or(&answer).as_array().cloned();
        let first = events.iter().flatten().find_map(|event| event["sequence"].as_u64());
        if let Some(first) = first.filter(|first| *first > self.last + 1) {
            let (from, to) = (self.last + 1, first - 1);
            self.wrong.push(format!("events {from} to {to} were gone before they were read"));
        }
        for event in events.unwrap_or_default() {
            self.last = self.last.max(event["sequence"].as_u64().unwrap_or(0));
            if event["kind"] != "exited" {
                continue;
            }
            let exit = &event["exit"];
            let text = match (exit["code"].as_i64(), exit["signal"].as_i64()) {
                (Some(code), _) => code.to_string(),
                (None, Some(15)) => "stopped".to_owned(),
                (None, Some(signal)) => (128 + signal).to_string(),
                (None, None) => "unknown".to_owned(),
            };
            let worker = event["worker"].as_str().unwrap_or_default().to_owned();
            self.known.entry((worker, event["run"].to_string())).or_default().push(text);
        }
        Ok(())
    }

    /// Compares the ledger of one worker with what the journal held.
    pub(super) fn compare(&mut self, id: &str, ledger: &Path) {
        let text = std::fs::read_to_string(ledger).unwrap_or_default();
        for line in text.lines() {
            let Some((run, code)) = line.split_once(' ') else {
                continue;
            };
            self.noted += 1;
            match self.known.get(&(id.to_owned(), run.to_owned())).map(Vec::as_slice) {
                Some([exit]) if exit == code => {}
                // The last run may have been stopped by the test between its note and its exit.
                Some([exit]) if exit == "stopped" => {}
                Some([exit]) if exit == "unknown" => self.unknown += 1,
                other => self.wrong.push(format!("{id} run {run}: noted {code}, known {other:?}")),
            }
        }
    }
}
