//! Lines: whether the worker has written one, by a look at its spool.
//!
//! Each check reads on from where it was, so that a line is looked at once. A run
//! that begins anew is read from its own beginning.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hsu_logs::query::{Follower, Line, Spools};
use hsu_model::health::probe::{Log, Presence};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use regex::bytes::Regex;

use crate::look::{Looked, Seen, Tools, Trouble};
use crate::pattern::shown;
use crate::prober::Subject;

/// Lines of a run that are read at its first look; a run that has written more before
/// it is read from there on.
const MOST_LINES: usize = 10_000;
/// Batches of a follower that one look reads: each is a quarter of a MiB.
const MOST_BATCHES: usize = 64;
const BOTH: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// How far each check has read.
#[derive(Debug)]
pub(crate) struct Reading {
    spools: Spools,
    places: Mutex<HashMap<(WorkerId, Log), Place>>,
}

#[derive(Debug)]
struct Place {
    run: RunId,
    follower: Follower,
    /// When the latest line that matched was seen, and its beginning.
    found: Option<(Instant, String)>,
    /// Whether it has written any line that was collected.
    has_lines: bool,
}

impl Reading {
    pub(crate) fn new(spools: Spools) -> Self {
        Self { spools, places: Mutex::new(HashMap::new()) }
    }

    /// Takes the place of a check, so that reading holds no lock.
    fn take(&self, key: &(WorkerId, Log)) -> Option<Place> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    fn give_back(&self, key: (WorkerId, Log), place: Place) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).insert(key, place);
    }
}

pub(crate) async fn look(tools: &Arc<Tools>, wanted: &Log, subject: &Subject) -> Looked {
    let (tools, wanted, subject) = (Arc::clone(tools), wanted.clone(), subject.clone());
    let reading = tokio::task::spawn_blocking(move || inspect(&tools, &wanted, &subject));
    reading.await.unwrap_or_else(|error| Err(Trouble::Unable(error.to_string())))
}

fn inspect(tools: &Tools, wanted: &Log, subject: &Subject) -> Looked {
    let regex = tools.patterns.get(&wanted.pattern)?;
    read(&tools.lines, &regex, wanted, subject)
}

fn read(reading: &Reading, regex: &Regex, wanted: &Log, subject: &Subject) -> Looked {
    let unable = |error: hsu_logs::LogError| Trouble::Unable(format!("its output: {error}"));
    let key = (subject.worker.clone(), wanted.clone());
    // The master learns of the start when the first lines may be there already: only where
    // the run is not known does the time count.
    let own = |line: &Line| line.run.map_or(line.at >= subject.started, |run| run == subject.run);
    let known = reading.take(&key).filter(|place| place.run == subject.run);
    let (mut place, first) = match known {
        Some(place) => (place, Vec::new()),
        None => {
            let streams = wanted.stream.as_ref().map_or(&BOTH[..], std::slice::from_ref);
            let followed = reading.spools.follow(&subject.worker, streams, MOST_LINES, None);
            let (lines, follower) = followed.map_err(unable)?;
            (Place { run: subject.run, follower, found: None, has_lines: false }, lines)
        }
    };
    let mut lines = first;
    for _ in 0..MOST_BATCHES {
        place.has_lines |= lines.iter().any(own);
        let matching = lines.iter().rev().find(|line| own(line) && regex.is_match(&line.bytes));
        if let Some(line) = matching {
            place.found = Some((Instant::now(), shown(&line.bytes)));
        }
        lines = place.follower.next_batch().map_err(unable)?;
        if lines.is_empty() {
            break;
        }
    }
    let looked = judge(wanted, place.found.as_ref(), place.has_lines);
    reading.give_back(key, place);
    looked
}

fn judge(wanted: &Log, found: Option<&(Instant, String)>, has_lines: bool) -> Looked {
    let counts = |(at, _): &&(Instant, String)| {
        wanted.lasting.is_none_or(|lasting: Duration| at.elapsed() <= lasting)
    };
    let pattern = &wanted.pattern.0;
    match (wanted.presence, found.filter(counts)) {
        (Presence::Present, Some((_, line))) => Ok(Seen::note(format!("it wrote {line}"))),
        (Presence::Present, None) if !has_lines => Err(Trouble::Bad(format!(
            "no line matches `{pattern}`: nothing that it writes was collected so far"
        ))),
        (Presence::Present, None) => Err(Trouble::Bad(format!("no line matches `{pattern}`"))),
        (Presence::Absent, Some((_, line))) => Err(Trouble::Bad(format!("it wrote {line}"))),
        (Presence::Absent, None) => Ok(Seen::note(format!("no line matches `{pattern}`"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use hsu_model::health::probe::Pattern;
    use hsu_model::spool::index::{Mark, Record};
    use hsu_model::spool::index_name;
    use hsu_model::time::WallTime;

    use super::*;

    /// Lines of runs, each with the time of its arrival, as the pump writes them.
    fn write(folder: &Path, lines: &[(Option<u64>, i64, &str)]) {
        let folder = folder.join("web/stdout");
        fs::create_dir_all(&folder).unwrap();
        let (mut index, mut data) = (Vec::new(), Vec::new());
        for (run, at, line) in lines {
            let run = run.map(|run| Mark::Run(RunId(run)));
            for mark in run.into_iter().chain([Mark::Arrived(WallTime(*at))]) {
                let at = u64::try_from(data.len()).unwrap();
                index.extend(Record { at, mark }.encode());
            }
            data.extend(format!("{line}\n").into_bytes());
        }
        fs::write(folder.join(index_name(0)), index).unwrap();
        fs::write(folder.join("data"), data).unwrap();
    }

    fn looks(lines: &[(Option<u64>, i64, &str)]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), lines);
        let reading = Reading::new(Spools::new(folder.path()));
        let pattern = Pattern("ready".to_owned());
        let regex = Regex::new(&pattern.0).unwrap();
        let presence = Presence::Present;
        let wanted = Log { pattern, stream: Some(Stream::Stdout), presence, lasting: None };
        let worker = WorkerId::new("web").unwrap();
        let subject = Subject::new(worker, RunId(7), None, WallTime(100));
        read(&reading, &regex, &wanted, &subject).is_ok()
    }

    #[test]
    fn a_line_counts_that_was_there_before_the_master_heard_of_the_start() {
        assert!(looks(&[(Some(7), 90, "ready")]));
    }

    #[test]
    fn a_line_of_another_run_does_not_count() {
        assert!(!looks(&[(Some(6), 110, "ready"), (Some(7), 120, "starting")]));
    }

    #[test]
    fn a_line_of_no_known_run_counts_from_the_start_on() {
        assert!(!looks(&[(None, 90, "ready")]));
        assert!(looks(&[(None, 100, "ready")]));
    }
}
