//! From a plan to outputs: what is made, what is kept, and where it begins.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use hsu_model::spool::SpoolId;
use hsu_model::spool::plan::PumpPlan;

use super::ConsoleKind;
use super::outputs::{Destination, Output};
use super::status::Counters;
use super::tap::Tap;
use super::work::{CONSUMED_STEP, Feed, Work};
use crate::error::LogError;
use crate::format::{Care, Renderer};
use crate::output::console::ConsoleThread;
use crate::output::file::LogFile;
use crate::plan::{Input, LogPlan, OutputPlan, Sink};
use crate::spool::SpoolReader;

/// A plan, and where spools stood when it was given.
#[derive(Debug, Default)]
pub(super) struct NextPlan {
    pub(super) plan: LogPlan,
    pub(super) beginnings: HashMap<SpoolId, u64>,
}

/// Where the spools of a plan stand that are not `known` yet: an input that is new
/// begins there. Looked up before the workers of the plan are spawned, so that not
/// even their first line is missed.
pub(super) fn beginnings(
    plan: &LogPlan,
    spools: &Path,
    known: &BTreeSet<SpoolId>,
) -> HashMap<SpoolId, u64> {
    let inputs = plan.outputs.iter().flat_map(|output| &output.inputs).map(|input| &input.spool);
    let fresh = inputs.filter(|spool| !known.contains(*spool));
    fresh.map(|spool| (spool.clone(), beginning(plan, spools, spool))).collect()
}

fn beginning(plan: &LogPlan, spools: &Path, spool: &SpoolId) -> u64 {
    let folder = folder_of(spools, spool);
    if folder.exists() {
        // One that cannot be read begins with what can be read later.
        return SpoolReader::new(folder).end().unwrap_or(0);
    }
    // A log file from before the spool is taken up as its beginning.
    let log_file = plan.pump.spools.get(spool).and_then(|plan| plan.log_file.as_ref());
    log_file.and_then(|path| fs::metadata(path).ok()).map_or(0, |facts| facts.len())
}

pub(super) fn folder_of(spools: &Path, spool: &SpoolId) -> PathBuf {
    spools.join(spool.worker.as_str()).join(spool.stream.as_str())
}

impl Work {
    /// Makes the outputs of a plan, keeping what both have.
    pub(super) fn take_up(&mut self, next: &NextPlan) {
        let names: BTreeSet<&str> =
            next.plan.outputs.iter().map(|output| name_of(&output.sink)).collect();
        self.cursors.keep(&names);
        let before = std::mem::take(&mut self.outputs).into_iter();
        let before = before.chain(std::mem::take(&mut self.parked));
        let mut before: BTreeMap<String, Output> = before.map(|o| (o.name.clone(), o)).collect();
        for wanted in &next.plan.outputs {
            let output = match before.remove(name_of(&wanted.sink)) {
                Some(output) => output,
                None => self.make_output(&wanted.sink),
            };
            let output = self.with_taps(output, wanted, &next.beginnings);
            self.outputs.push(output);
        }
        let console = |o: &Output| matches!(o.destination, Destination::Console { .. });
        self.parked = before.into_values().filter(console).collect();
        self.feeds = self.feeds_of(&next.plan.pump);
        let counters = self.outputs.iter().map(|output| Arc::clone(&output.counters)).collect();
        *self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
        // When this fails, the first commit of each output says as much.
        let _ = self.cursors.flush();
        self.tell_first();
    }

    fn feeds_of(&mut self, pump: &PumpPlan) -> HashMap<SpoolId, Feed> {
        let mut feeds: HashMap<SpoolId, Feed> = HashMap::new();
        for (output, number) in self.outputs.iter().zip(0..) {
            for (tap, at) in output.taps.iter().zip(0..) {
                let told = self.feeds.get(&tap.spool).map_or(0, |feed| feed.told);
                let feed = feeds.entry(tap.spool.clone()).or_default();
                feed.taps.push((number, at));
                feed.told = told;
                feed.step = CONSUMED_STEP;
                let plan = pump.spools.get(&tap.spool).filter(|plan| plan.log_file.is_some());
                if let Some(plan) = plan {
                    feed.is_file = true;
                    let half = plan.rotation.max_size.0 / 2;
                    feed.step = if half == 0 { CONSUMED_STEP } else { half.min(CONSUMED_STEP) };
                }
            }
        }
        feeds
    }

    fn make_output(&mut self, sink: &Sink) -> Output {
        let name = name_of(sink).to_owned();
        let counters = Arc::new(Counters::new(sink.clone(), self.trouble.clone()));
        let destination = match sink {
            Sink::File { path, rotation } => {
                Destination::File(LogFile::new(path.clone(), *rotation, self.open))
            }
            Sink::Stdout | Sink::Stderr => {
                Destination::Console { thread: self.start_console(&name, &counters), in_flight: 0 }
            }
        };
        Output::new(name, destination, counters)
    }

    /// Starts the thread of a console. Without one the console takes nothing.
    fn start_console(&mut self, name: &str, counters: &Arc<Counters>) -> ConsoleThread {
        let nowhere = || Box::new(std::io::sink());
        let out = match self.consoles.get_mut(name) {
            Some(console) => std::mem::replace(&mut console.out, nowhere()),
            None => nowhere(),
        };
        let (shared, output) = (Arc::clone(&self.shared), name.to_owned());
        let shown = move |upto| shared.tell(|inbox| inbox.shown.push((output.clone(), upto)));
        let (status, console) = (Arc::clone(counters), PathBuf::from(name));
        let gone = move |source| {
            status.set_stuck(Some(&LogError::Io { action: "write to", path: console, source }));
        };
        ConsoleThread::start(out, Box::new(shown), Box::new(gone)).unwrap_or_else(|source| {
            counters.set_stuck(Some(&LogError::Thread { source }));
            ConsoleThread::nowhere()
        })
    }

    /// Gives an output the taps of its plan; those that stay keep their place.
    fn with_taps(
        &mut self,
        mut output: Output,
        wanted: &OutputPlan,
        beginnings: &HashMap<SpoolId, u64>,
    ) -> Output {
        if let (Destination::File(file), Sink::File { rotation, .. }) =
            (&mut output.destination, &wanted.sink)
        {
            file.set_rotation(*rotation);
        }
        let before = std::mem::take(&mut output.taps).into_iter();
        let mut before: HashMap<String, Tap> = before.map(|tap| (tap.name.clone(), tap)).collect();
        let committed = self.cursors.committed(&output.name).cloned().unwrap_or_default();
        let mut fresh = Vec::new();
        // Thousands of outputs have one input each.
        output.taps.reserve_exact(wanted.inputs.len());
        for (name, input) in named(&wanted.inputs) {
            let renderer = self.renderer(&wanted.sink, input);
            let known = committed.offsets.get(&name).copied();
            let tap = match before.remove(&name) {
                Some(tap) => tap.with_renderer(renderer),
                None => {
                    let mut reader = SpoolReader::new(folder_of(&self.spools, &input.spool));
                    let begins = known.or_else(|| beginnings.get(&input.spool).copied());
                    let offset = begins.unwrap_or_else(|| reader.end().unwrap_or(0));
                    Tap::new(name.clone(), input.spool.clone(), reader, renderer, offset)
                }
            };
            if known.is_none() {
                fresh.push((name, tap.offset));
            }
            output.taps.push(tap);
        }
        if !fresh.is_empty() {
            let offsets = fresh.iter().map(|(name, offset)| (name.as_str(), *offset));
            self.cursors.stage(&output.name, committed.file, offsets);
        }
        let names = output.taps.iter().map(|tap| tap.name.as_str()).collect();
        self.cursors.keep_inputs(&output.name, &names);
        output
    }

    fn renderer(&self, sink: &Sink, input: &Input) -> Renderer {
        let console = self.consoles.get(name_of(sink));
        let terminal = console.is_some_and(|console| console.kind == ConsoleKind::Terminal);
        let care = if terminal { Care::Terminal } else { Care::Raw };
        let (spool, prefix) = (input.spool.clone(), input.prefix.clone());
        Renderer::new(spool, input.format, prefix, self.zone.clone(), care)
    }
}

/// The name of an output among the cursors.
pub(super) fn name_of(sink: &Sink) -> &str {
    match sink {
        Sink::File { path, .. } => path,
        Sink::Stdout => "stdout",
        Sink::Stderr => "stderr",
    }
}

/// The inputs of an output with names of their own: a spool that flows into it
/// twice, in two formats, has two.
fn named(inputs: &[Input]) -> impl Iterator<Item = (String, &Input)> {
    let mut seen: HashMap<&SpoolId, u32> = HashMap::new();
    inputs.iter().map(move |input| {
        let count = seen.entry(&input.spool).or_default();
        *count += 1;
        let name = match count {
            1 => input.spool.to_string(),
            more => format!("{}#{more}", input.spool),
        };
        (name, input)
    })
}
