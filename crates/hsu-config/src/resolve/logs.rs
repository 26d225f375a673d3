//! Logs: which streams are captured, and what the outputs of a worker are.
//!
//! Three layers: the worker's own section, `default_worker`, the documented
//! default. A list of outputs replaces the list below it; everything else is
//! inherited key by key.

use hsu_model::id::WorkerId;
use hsu_model::logs::{Aggregation, LogOutput, OnFull, StreamLogs, WorkerLogs};
use hsu_model::master::Directories;

use super::Context;
use super::outputs::Draft;
use crate::findings::At;
use crate::schema::flat::FlatLogging;
use crate::schema::logs::{LogCollection, Separate, Target, WorkerLogs as Raw};

/// What holds for every worker.
pub(super) struct Collection<'r> {
    /// Whether output is collected at all.
    switch: Switch,
    default: Option<&'r Raw>,
    stdout: Vec<Draft>,
    stderr: Vec<Draft>,
    /// Outputs that every worker goes to.
    together: Vec<Draft>,
    directories: &'r Directories,
}

/// Whether output is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    On,
    /// Nobody said; a worker may.
    Unset,
    /// The file says no.
    Off,
}

/// What a worker says about its own output.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own<'r> {
    enabled: Option<bool>,
    capture_stdout: Option<bool>,
    capture_stderr: Option<bool>,
    section: Option<&'r At<Raw>>,
}

impl<'r> Own<'r> {
    /// From a `log_collection` section of the worker.
    pub(super) fn of(section: Option<&'r At<Raw>>) -> Self {
        let raw = section.map(|section| &section.value);
        Self {
            enabled: raw.and_then(|raw| flag(raw.enabled.as_deref())),
            capture_stdout: raw.and_then(|raw| flag(raw.capture_stdout.as_deref())),
            capture_stderr: raw.and_then(|raw| flag(raw.capture_stderr.as_deref())),
            section,
        }
    }

    /// The same of a worker whose output was asked for by naming its files.
    pub(super) fn asked_for(self) -> Self {
        Self { enabled: self.enabled.or(Some(true)), ..self }
    }

    /// From the `logging` section of the flat form, where capturing is asking for it.
    pub(super) fn of_flat(section: Option<&'r At<FlatLogging>>) -> Self {
        let raw = section.map(|section| &section.value);
        let capture_stdout = raw.and_then(|raw| flag(raw.capture_stdout.as_deref()));
        let capture_stderr = raw.and_then(|raw| flag(raw.capture_stderr.as_deref()));
        let asks = capture_stdout == Some(true) || capture_stderr == Some(true);
        Self { enabled: asks.then_some(true), capture_stdout, capture_stderr, section: None }
    }
}

fn flag(switch: Option<&At<bool>>) -> Option<bool> {
    switch.map(|switch| switch.value)
}

impl<'r> Collection<'r> {
    /// What the `log_collection` section of the file means.
    pub(super) fn of(
        section: Option<&'r At<LogCollection>>,
        directories: &'r Directories,
        context: &mut Context<'_>,
    ) -> Self {
        let raw = section.map(|section| &section.value);
        let switch = match (context.options.enable_log, section) {
            (true, _) => Switch::On,
            (false, None) => Switch::Unset,
            (false, Some(section)) => match flag(section.value.enabled.as_deref()) {
                Some(true) | None => Switch::On,
                Some(false) => Switch::Off,
            },
        };
        let default = raw.and_then(|raw| raw.default_worker.as_deref()).map(|raw| &raw.value);
        let separate = default.and_then(separate);
        let stdout = separate.and_then(|separate| separate.stdout.as_deref());
        let stderr = separate.and_then(|separate| separate.stderr.as_deref());
        Self {
            switch,
            default,
            stdout: drafts(stdout, || Draft::file("{worker_id}-stdout.log"), context),
            stderr: drafts(stderr, || Draft::file("{worker_id}-stderr.log"), context),
            together: together(raw, context),
            directories,
        }
    }

    /// The outputs of every worker together. Those that name the worker are in each of them instead.
    pub(super) fn aggregation(&self, context: &mut Context<'_>) -> Aggregation {
        if self.switch != Switch::On {
            return Aggregation::default();
        }
        let shared = self.together.iter().filter(|draft| !draft.names_worker());
        let outputs = shared.map(|draft| draft.output("", &self.directories.logs, context));
        Aggregation { outputs: outputs.collect() }
    }

    /// Where the output of one worker goes.
    pub(super) fn worker(
        &self,
        id: &WorkerId,
        own: Own<'_>,
        context: &mut Context<'_>,
    ) -> WorkerLogs {
        let own_outputs = own.section.and_then(|section| separate(&section.value));
        // Read in any case, so that what is wrong with them is found.
        let own_stdout = own_outputs
            .and_then(|separate| separate.stdout.as_deref())
            .map(|list| drafts_of(list, context));
        let own_stderr = own_outputs
            .and_then(|separate| separate.stderr.as_deref())
            .map(|list| drafts_of(list, context));
        if !self.collects(own, context) {
            return WorkerLogs::default();
        }
        let default = self.default;
        let inherited = |of: fn(&Raw) -> Option<&At<bool>>| default.and_then(|raw| flag(of(raw)));
        let capture_stdout =
            own.capture_stdout.or_else(|| inherited(|raw| raw.capture_stdout.as_deref()));
        let capture_stderr =
            own.capture_stderr.or_else(|| inherited(|raw| raw.capture_stderr.as_deref()));
        let policy = |raw: &Raw| raw.on_full.as_deref().map(|policy| policy.value);
        let on_full = own.section.and_then(|section| policy(&section.value));
        WorkerLogs {
            stdout: self.stream(
                id,
                capture_stdout,
                own_stdout.as_deref().unwrap_or(&self.stdout),
                context,
            ),
            stderr: self.stream(
                id,
                capture_stderr,
                own_stderr.as_deref().unwrap_or(&self.stderr),
                context,
            ),
            on_full: on_full.or_else(|| default.and_then(policy)).unwrap_or(OnFull::Block),
        }
    }

    /// Whether anything of a worker is collected.
    fn collects(&self, own: Own<'_>, context: &mut Context<'_>) -> bool {
        let default = self.default.and_then(|raw| flag(raw.enabled.as_deref()));
        match (self.switch, own.enabled.or(default)) {
            (Switch::On, wanted) => wanted.unwrap_or(true),
            (Switch::Unset, _) => own.enabled == Some(true),
            (Switch::Off, _) => {
                if let (Some(true), Some(section)) = (own.enabled, own.section) {
                    context.findings.notice("logs-off", ("log_collection", ""), section.place, || {
                        (
                            String::from("this worker's output is not collected, since `log_collection.enabled` is false"),
                            String::from("write `enabled: true` there, or start with `--enable-log`"),
                        )
                    });
                }
                false
            }
        }
    }

    fn stream(
        &self,
        id: &WorkerId,
        capture: Option<bool>,
        drafts: &[Draft],
        context: &mut Context<'_>,
    ) -> StreamLogs {
        if capture == Some(false) {
            return StreamLogs::default();
        }
        let mut outputs: Vec<LogOutput> = Vec::with_capacity(drafts.len());
        for draft in drafts {
            outputs.push(draft.output(id.as_str(), &self.directories.worker_logs, context));
        }
        let together = self.together.iter().filter(|_| self.switch == Switch::On);
        for draft in together.filter(|draft| draft.names_worker()) {
            outputs.push(draft.output(id.as_str(), &self.directories.logs, context));
        }
        StreamLogs { capture: true, outputs }
    }
}

fn separate(raw: &Raw) -> Option<&Separate> {
    let outputs = raw.outputs.as_deref()?;
    outputs.value.separate.as_deref().map(|separate| &separate.value)
}

fn together(raw: Option<&LogCollection>, context: &mut Context<'_>) -> Vec<Draft> {
    let section =
        raw.and_then(|raw| raw.global_aggregation.as_deref()).map(|section| &section.value);
    let targets = section.and_then(|section| section.targets.as_deref());
    let drafts = drafts(targets, || Draft::file("aggregated.log"), context);
    match section.and_then(|section| flag(section.enabled.as_deref())) {
        Some(false) => Vec::new(),
        Some(true) | None => drafts,
    }
}

fn drafts(
    written: Option<&At<Vec<At<Target>>>>,
    documented: impl FnOnce() -> Draft,
    context: &mut Context<'_>,
) -> Vec<Draft> {
    match written {
        Some(list) => drafts_of(list, context),
        None => vec![documented()],
    }
}

fn drafts_of(list: &At<Vec<At<Target>>>, context: &mut Context<'_>) -> Vec<Draft> {
    let targets = list.value.iter();
    targets.filter_map(|target| Draft::of(&target.value, target.place, context)).collect()
}
