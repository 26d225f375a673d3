//! The log plan: which spools exist, and which outputs read them.
//!
//! Pure, except for [`LogPlan::write`]. A stream with a `plain` file of its own
//! *is* that file: the pump writes it, and there is no second copy. Every other
//! output reads the stream's spool and is written by the engine: a prefix, a
//! format, a file that several streams share, or a console.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use hsu_model::id::WorkerId;
use hsu_model::logs::{
    Aggregation, LogFormat, LogOutput, LogTarget, OnFull, Rotation, Stream, StreamLogs, WorkerLogs,
};
use hsu_model::master::FleetSpec;
use hsu_model::spool::plan::{PumpPlan, Readers, SpoolPlan};
use hsu_model::spool::{PLAN_FILE, SpoolId};
use hsu_model::worker::Unit;

use crate::error::LogError;

#[cfg(test)]
mod tests;

/// Everything that the logging part of a configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPlan {
    /// What the pump does.
    pub pump: PumpPlan,
    /// What the engine does, one entry for each file and console.
    pub outputs: Vec<OutputPlan>,
}

/// One place that the engine writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPlan {
    /// Where.
    pub sink: Sink,
    /// From which spools, and how.
    pub inputs: Vec<Input>,
}

/// Where the engine writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// A file, by absolute path. Written exactly once.
    File {
        /// Its path.
        path: String,
        /// When a new file is begun.
        rotation: Rotation,
    },
    /// The master's standard output. A console that nobody reads skips lines, and says so.
    Stdout,
    /// The master's standard error, alike.
    Stderr,
}

/// One spool that an output reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Which.
    pub spool: SpoolId,
    /// How its lines are written.
    pub format: LogFormat,
    /// Text before each line.
    pub prefix: String,
}

/// What became of the pump's plan on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was already there.
    Unchanged,
    /// It was replaced.
    Changed,
}

impl LogPlan {
    /// The plan of a configuration.
    #[must_use]
    pub fn of(fleet: &FleetSpec) -> Self {
        let workers = fleet.workers.iter().filter_map(|worker| match &worker.unit {
            Unit::Managed(managed) => Some((&worker.id, &managed.logs)),
            Unit::Unmanaged(unmanaged) => Some((&worker.id, &unmanaged.logs)),
            Unit::Departed(_) | _ => None,
        });
        Self::of_workers(workers, &fleet.aggregation)
    }

    /// The plan of these workers alone.
    pub fn of_workers<'a>(
        workers: impl IntoIterator<Item = (&'a WorkerId, &'a WorkerLogs)>,
        aggregation: &'a Aggregation,
    ) -> Self {
        let streams: Vec<_> =
            workers.into_iter().flat_map(|(id, logs)| Captured::of(id, logs)).collect();
        let shared = shared_paths(&streams, &aggregation.outputs);
        let mut pump = PumpPlan::default();
        let mut outputs = Outputs::default();
        for stream in &streams {
            let own_file = stream.logs.outputs.iter().position(|output| is_own(output, &shared));
            let own = own_file.and_then(|at| stream.logs.outputs.get(at));
            let copies =
                stream.logs.outputs.iter().zip(0..).filter(|(_, at)| Some(*at) != own_file);
            let read_by = copies.map(|(output, _)| output).chain(&aggregation.outputs);
            let mut readers = Readers::None;
            for output in read_by {
                readers = Readers::Outputs { unread_limit: SpoolPlan::UNREAD_LIMIT };
                outputs.add(stream.id.clone(), output);
            }
            pump.spools.insert(stream.id.clone(), stream.spool_plan(own, readers));
        }
        Self { pump, outputs: outputs.list }
    }

    /// Puts the pump's plan where the pump reads it, before anything is spawned.
    ///
    /// Atomic, one small file for all spools, and nothing at all when it is
    /// already there or when nothing is captured.
    ///
    /// # Errors
    /// [`LogError::Io`] when the folder or the file cannot be written.
    pub fn write(&self, spools: &Path) -> Result<Written, LogError> {
        let path = spools.join(PLAN_FILE);
        let text = self.pump.encode();
        let present = fs::read_to_string(&path).ok();
        let nothing_to_say = present.is_none() && self.pump.spools.is_empty();
        if nothing_to_say || present.as_ref() == Some(&text) {
            return Ok(Written::Unchanged);
        }
        fs::create_dir_all(spools).map_err(LogError::io("create", spools))?;
        replace(&path, text.as_bytes())?;
        Ok(Written::Changed)
    }
}

/// Replaces a file by rename, so that a reader sees the old or the whole new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), LogError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let draft = Path::new(&draft);
    let mut file = fs::File::create(draft).map_err(LogError::io("create", draft))?;
    file.write_all(content).map_err(LogError::io("write", draft))?;
    fs::rename(draft, path).map_err(LogError::io("replace", path))
}

/// A stream that is captured.
struct Captured<'a> {
    id: SpoolId,
    logs: &'a StreamLogs,
    on_full: OnFull,
}

impl<'a> Captured<'a> {
    fn of(worker: &'a WorkerId, logs: &'a WorkerLogs) -> impl Iterator<Item = Self> + 'a {
        let streams = [(Stream::Stdout, &logs.stdout), (Stream::Stderr, &logs.stderr)];
        let captured = streams.into_iter().filter(|(_, stream)| stream.capture);
        captured.map(move |(stream, of)| Self {
            id: SpoolId { worker: worker.clone(), stream },
            logs: of,
            on_full: logs.on_full,
        })
    }

    fn spool_plan(&self, own: Option<&LogOutput>, readers: Readers) -> SpoolPlan {
        let plan = SpoolPlan { on_full: self.on_full, readers, ..SpoolPlan::fallback() };
        match own.map(|output| &output.target) {
            Some(LogTarget::File { path, rotation }) => {
                SpoolPlan { log_file: Some(path.clone()), rotation: *rotation, ..plan }
            }
            Some(_) | None => plan,
        }
    }
}

/// Whether the output can be the spool itself: raw bytes in a file that no other output names.
fn is_own(output: &LogOutput, shared: &BTreeSet<&str>) -> bool {
    let raw = output.format == LogFormat::Plain && output.prefix.is_empty();
    match &output.target {
        LogTarget::File { path, .. } => raw && !shared.contains(path.as_str()),
        LogTarget::MasterStdout | LogTarget::MasterStderr | _ => false,
    }
}

/// Paths that more than one stream or output writes to.
fn shared_paths<'a>(streams: &[Captured<'a>], everyone: &'a [LogOutput]) -> BTreeSet<&'a str> {
    let path_of = |output: &'a LogOutput| match &output.target {
        LogTarget::File { path, .. } => Some(path.as_str()),
        LogTarget::MasterStdout | LogTarget::MasterStderr | _ => None,
    };
    let mut shared: BTreeSet<&str> = everyone.iter().filter_map(path_of).collect();
    let mut seen = BTreeSet::new();
    for path in streams.iter().flat_map(|stream| &stream.logs.outputs).filter_map(path_of) {
        if !seen.insert(path) {
            shared.insert(path);
        }
    }
    shared
}

/// Outputs by place: every path and console is written by one hand.
#[derive(Default)]
struct Outputs {
    list: Vec<OutputPlan>,
    by_path: BTreeMap<String, usize>,
}

impl Outputs {
    fn add(&mut self, spool: SpoolId, output: &LogOutput) {
        let (key, sink) = match &output.target {
            LogTarget::File { path, rotation } => {
                (path.as_str(), Sink::File { path: path.clone(), rotation: *rotation })
            }
            // No path is empty or a single byte, so these keys are free.
            LogTarget::MasterStdout => ("1", Sink::Stdout),
            LogTarget::MasterStderr => ("2", Sink::Stderr),
            _ => return,
        };
        let at = *self.by_path.entry(key.to_owned()).or_insert_with(|| {
            self.list.push(OutputPlan { sink, inputs: Vec::new() });
            self.list.len() - 1
        });
        let input = Input { spool, format: output.format, prefix: output.prefix.clone() };
        let Some(place) = self.list.get_mut(at) else {
            return;
        };
        // The outputs of one spool are added in a row.
        let mut of_this_spool = place.inputs.iter().rev().take_while(|i| i.spool == input.spool);
        if !of_this_spool.any(|earlier| *earlier == input) {
            place.inputs.push(input);
        }
    }
}
