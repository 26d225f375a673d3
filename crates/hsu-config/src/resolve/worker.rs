//! Workers: their names, their kind, and the parts of the built kind put together.

use std::collections::HashMap;

use hsu_model::execution::Stop;
use hsu_model::health::Health;
use hsu_model::id::WorkerId;
use hsu_model::logs::Stream;
use hsu_model::notify::Notify;
use hsu_model::worker::{Managed, Metadata, Profile, Unit as Resolved, WorkerSpec};

use super::execution::Program;
use super::folders::{self, Folders, Missing};
use super::logs::Collection;
use super::{
    Context, discovery, execution, health, limits, logs, master, notify, one_of, restart, signal,
};
use crate::findings::{At, Place, shown};
use crate::schema::execution::ProcessFile;
use crate::schema::restart::ContextAware;
use crate::schema::root::{Listed, Root, ServiceContext, Worker, WorkerType};
use crate::schema::unit::{Control, Metadata as RawMetadata, Unit};

/// What every worker starts from.
pub(super) struct Common<'r> {
    pub(super) folders: &'r Folders,
    pub(super) logs: &'r Collection<'r>,
    pub(super) restart: Option<&'r ContextAware>,
    /// The context that the master's folders come from.
    pub(super) service_context: ServiceContext,
}

/// The workers that are built, in the order of the file.
pub(super) fn resolve(
    root: &Root,
    common: &Common<'_>,
    context: &mut Context<'_>,
) -> Vec<WorkerSpec> {
    let Some(workers) = root.workers.as_deref() else {
        if !root.refused.contains(&"workers") {
            no_workers(context);
        }
        return Vec::new();
    };
    if workers.value.0.is_empty() && !context.findings.has_errors() {
        context
            .findings
            .warning("no-workers", workers.place, "the list of workers is empty")
            .hint("the master starts and waits");
    }
    let mut names = Names::default();
    let mut specs = Vec::with_capacity(workers.value.0.len());
    for listed in &workers.value.0 {
        let id = names.take(listed, context);
        let worker = &listed.worker;
        specs.extend(one(id, &worker.value, worker.place, common, context));
    }
    specs
}

/// Reports a file in which nothing is to run.
pub(crate) fn no_workers(context: &mut Context<'_>) {
    context
        .findings
        .error("no-workers", None, "there are no workers")
        .hint("add a list `workers:` with one entry `- id: NAME` for each program");
}

/// The names so far, without regard to case, and where they stand.
#[derive(Default)]
struct Names {
    seen: HashMap<String, (String, Place)>,
}

impl Names {
    /// The name of a worker; none after reporting why not.
    fn take(&mut self, listed: &Listed, context: &mut Context<'_>) -> Option<WorkerId> {
        let worker = &listed.worker.value;
        let id = match (&listed.key, &worker.id) {
            (Some(key), Some(id)) if key.value != id.value => {
                context
                    .findings
                    .error(
                        "conflict",
                        id.place,
                        "this is not the name that the worker stands under",
                    )
                    .hint("remove `id`")
                    .see(key.place, "the name");
                return None;
            }
            (Some(id), _) => id,
            (None, _) => {
                let refused = &worker.refused;
                required("id", worker.id.as_deref(), refused, listed.worker.place, context)?
            }
        };
        let name = match WorkerId::new(&id.value) {
            Ok(name) => name,
            Err(reason) => {
                let message =
                    format!("`{}` cannot be the name of a worker: {reason}", shown(&id.value));
                context
                    .findings
                    .error("id", id.place, message)
                    .hint("use 1 to 64 ASCII letters, digits, `-` and `_`, such as `web-1`");
                return None;
            }
        };
        let lower = id.value.to_ascii_lowercase();
        if let Some((other, place)) = self.seen.get(&lower) {
            let problem = if *other == id.value {
                let message = format!("two workers are called `{other}`");
                context.findings.error("duplicate-id", id.place, message)
            } else {
                let message =
                    format!("`{}` and `{other}` differ in upper and lower case only", id.value);
                let problem = context.findings.error("duplicate-id", id.place, message);
                problem.hint("their files would be the same where file names have no case")
            };
            problem.label("the second one").see(*place, "the first one");
            return None;
        }
        self.seen.insert(lower, (id.value.clone(), id.place));
        Some(name)
    }
}

/// The value of a key that must be there. Reports it missing, unless it was there and refused.
pub(super) fn required<'v, T>(
    name: &'static str,
    value: Option<&'v At<T>>,
    refused: &[&'static str],
    place: Place,
    context: &mut Context<'_>,
) -> Option<&'v At<T>> {
    let is_refused = || refused.iter().any(|field| crate::schema::key_name(field) == name);
    if value.is_none() && !is_refused() {
        context
            .findings
            .error("missing-key", place, format!("`{name}` is missing"))
            .label("in this section")
            .hint(format!("add `{name}: …` beside the other keys of it"));
    }
    value
}

fn one(
    id: Option<WorkerId>,
    worker: &Worker,
    place: Place,
    common: &Common<'_>,
    context: &mut Context<'_>,
) -> Option<WorkerSpec> {
    let kind = required("type", worker.r#type.as_deref(), &worker.refused, place, context);
    let unit = worker.unit.as_deref();
    if let (Some(kind), Some(unit)) = (kind, unit) {
        refuse_siblings(kind, &unit.value, context);
    }
    // A name is needed to go on; what is wrong with the rest is found with any.
    let stand_in = || WorkerId::new("unnamed").ok();
    let name = id.clone().or_else(stand_in)?;
    let resolved = match kind.map(|kind| kind.value) {
        Some(WorkerType::Managed) => {
            let unit = required("unit", unit, &worker.refused, place, context)?;
            let made = managed(&name, worker, unit, common, context);
            made.map(|(metadata, managed, health)| (metadata, Resolved::Managed(managed), health))
        }
        Some(WorkerType::Integrated) => {
            not_created("integrated", kind, unit, context);
            integrated(&name, worker, unit?, common, context);
            None
        }
        Some(WorkerType::Unmanaged) => {
            // A predecessor's document has one that only says that it is there.
            if unit.is_none() && !worker.refused.contains(&"unit") {
                nothing_to_find(kind, place, context);
            }
            unmanaged(&name, worker, unit?, common, context)
        }
        None => None,
    };
    let (metadata, unit, health) = resolved?;
    Some(WorkerSpec {
        id: id?,
        enabled: worker.enabled.as_deref().is_none_or(|enabled| enabled.value),
        profile: worker.profile_type.as_deref().map_or(Profile::Default, |profile| profile.value.0),
        metadata,
        health,
        unit,
    })
}

/// A kind of worker that is not built: said once, here or at its section.
fn not_created(
    name: &'static str,
    kind: Option<&At<WorkerType>>,
    unit: Option<&At<Unit>>,
    context: &mut Context<'_>,
) {
    let section = unit.is_some_and(|unit| unit.value.integrated.is_some());
    if let (false, Some(kind)) = (section, kind) {
        context.findings.notice("not-built", (name, "worker"), kind.place, || {
            let message = format!("workers of type `{name}` are not built yet");
            (message, String::from("the worker is checked and not created"))
        });
    }
}

/// `unit` has the section that `type` names, and no other.
fn refuse_siblings(kind: &At<WorkerType>, unit: &Unit, context: &mut Context<'_>) {
    let sections = [
        (WorkerType::Managed, "managed", unit.managed.as_deref().map(|unit| unit.place)),
        (WorkerType::Unmanaged, "unmanaged", unit.unmanaged.as_deref().map(|unit| unit.place)),
        (WorkerType::Integrated, "integrated", unit.integrated.as_deref().map(|unit| unit.place)),
    ];
    let wanted =
        sections.iter().find(|(this, ..)| *this == kind.value).map_or("", |(_, name, _)| name);
    for (this, name, place) in sections {
        if let Some(place) = place.filter(|_| this != kind.value) {
            context
                .findings
                .error(
                    "conflict",
                    place,
                    format!("a `{name}` section in a worker of type `{wanted}`"),
                )
                .hint(format!("write `type: {name}`, or move it to `unit.{wanted}`"))
                .see(kind.place, "the type is set here");
        }
    }
    let own = unit.managed.as_deref().map(|unit| unit.place);
    let own = own.or_else(|| unit.integrated.as_deref().map(|unit| unit.place));
    if let (Some(own), Some(flat)) = (own, unit.control.as_deref()) {
        context
            .findings
            .error("conflict", flat.place, "two forms of one worker")
            .hint("keep `unit.managed`")
            .see(own, "the other form");
    }
}

fn managed(
    id: &WorkerId,
    worker: &Worker,
    unit: &At<Unit>,
    common: &Common<'_>,
    context: &mut Context<'_>,
) -> Option<(Metadata, Managed, Health)> {
    let Some(section) = unit.value.managed.as_deref() else {
        return flat(id, worker, unit, common, context);
    };
    let section = &section.value;
    let health =
        health::resolve(section.health_check.as_deref(), section.health.as_deref(), context);
    let control = section.control.as_deref().map(|control| &control.value);
    let in_control = control.and_then(|control| control.execution.as_deref());
    let execution = one_of("execution", in_control, section.execution.as_deref(), context);
    let in_control = control.and_then(|control| control.restart.as_deref());
    let legacy = one_of("restart", in_control, section.restart.as_deref(), context);
    let program = match execution {
        Some(execution) => Program::of(&execution.value, execution.place, context),
        None => {
            missing_execution(unit, context);
            None
        }
    };
    let written = restart::Written {
        policy: control.and_then(|control| control.restart_policy.as_deref()),
        on_clean_exit: control.and_then(|control| control.restart_on_clean_exit.as_deref()),
        aware: control.and_then(|c| c.context_aware_restart.as_deref()).map(|aware| &aware.value),
        legacy: legacy.map(|legacy| &legacy.value),
        flat: None,
        fleet: common.restart,
    };
    let own_logs = control.and_then(|control| control.log_collection.as_deref());
    let own_logs = one_of("log_collection", own_logs, worker.log_collection.as_deref(), context);
    let restart = restart::resolve(&written, context);
    let logs = common.logs.worker(id, logs::Own::of(own_logs), context);
    let places = [
        section.health_check.as_deref().map(|check| check.place),
        section.health.as_deref().map(|lists| lists.place),
    ];
    let is_collected = |stream| match stream {
        Some(Stream::Stdout) => logs.stdout.capture,
        Some(Stream::Stderr) => logs.stderr.capture,
        None => logs.stdout.capture || logs.stderr.capture,
    };
    health::lines_are_collected(&health, places, is_collected, context);
    let execution = execution::resolve(program.as_ref(), context);
    let in_control = control.and_then(|control| control.limits.as_deref());
    let limits = one_of("limits", in_control, section.limits.as_deref(), context);
    let rest = limits::Worker { restart: &restart, execution: Some(&execution), logs: Some(&logs) };
    let managed = Managed {
        stop: stop(control, context),
        pid_file: pid_file(id, control.and_then(|c| c.process_file.as_deref()), common, context),
        notify: notify::notify(control, context),
        sockets: notify::sockets(id, control, context),
        limits: limits::resolve(limits, rest, context),
        restart,
        logs,
        execution,
    };
    Some((metadata(id, section.metadata.as_deref()), managed, health))
}

/// A worker that somebody else starts.
fn unmanaged(
    id: &WorkerId,
    worker: &Worker,
    unit: &At<Unit>,
    common: &Common<'_>,
    context: &mut Context<'_>,
) -> Option<(Metadata, Resolved, Health)> {
    let refused = &unit.value.refused;
    let section = unit.value.unmanaged.as_deref();
    let section = required("unmanaged", section, refused, unit.place, context)?;
    let (single, lists) = (section.value.health_check.as_deref(), section.value.health.as_deref());
    let health = health::resolve(single, lists, context);
    let resolved = discovery::unmanaged(id, worker, section, common, context)?;
    let places = [single.map(|check| check.place), lists.map(|lists| lists.place)];
    let is_read = |stream: Option<Stream>| {
        resolved.log_files.iter().any(|file| stream.is_none_or(|stream| stream == file.stream))
    };
    health::lines_are_collected(&health, places, is_read, context);
    let metadata = metadata(id, section.value.metadata.as_deref());
    Some((metadata, Resolved::Unmanaged(resolved), health))
}

/// A worker that somebody else starts, and nothing says how it is found.
fn nothing_to_find(kind: Option<&At<WorkerType>>, place: Place, context: &mut Context<'_>) {
    context
        .findings
        .warning(
            "no-discovery",
            kind.map_or(place, |kind| kind.place),
            "nothing says how this is found",
        )
        .hint("the worker is not created; write `unit.unmanaged.discovery`");
}

fn missing_execution(unit: &At<Unit>, context: &mut Context<'_>) {
    let Some(section) = unit.value.managed.as_deref() else {
        return;
    };
    let Some(control) = section.value.control.as_deref() else {
        required("control", None::<&At<Control>>, &section.value.refused, section.place, context);
        return;
    };
    let refused = &control.value.refused;
    required("execution", None::<&At<Control>>, refused, control.place, context);
}

/// A worker in the flat form.
fn flat(
    id: &WorkerId,
    worker: &Worker,
    unit: &At<Unit>,
    common: &Common<'_>,
    context: &mut Context<'_>,
) -> Option<(Metadata, Managed, Health)> {
    let section = &unit.value;
    let options = section.health_check_run_options.as_deref();
    let health = health::resolve_flat(section.health_check.as_deref(), options, context);
    let refused = section.refused.iter().any(|field| matches!(*field, "managed" | "control"));
    let Some(control) = section.control.as_deref() else {
        if !refused {
            context
                .findings
                .error("missing-key", unit.place, "`managed` is missing")
                .label("in this section")
                .hint("the section of `unit` is named like `type`");
        }
        return None;
    };
    let program = Program::of_flat(&control.value, control.place, context);
    let written = restart::Written {
        flat: section.restart_policy.as_deref().map(|restart| &restart.value),
        fleet: common.restart,
        ..restart::Written::default()
    };
    let timeout = control.value.shutdown_timeout.as_deref();
    let default = Stop::DEFAULT_TIMEOUT;
    let own_logs = match worker.log_collection.as_deref() {
        Some(own) => logs::Own::of(Some(own)),
        None => logs::Own::of_flat(section.logging.as_deref()),
    };
    let restart = restart::resolve(&written, context);
    let logs = common.logs.worker(id, own_logs, context);
    let execution = execution::resolve(program.as_ref(), context);
    let rest = limits::Worker { restart: &restart, execution: Some(&execution), logs: Some(&logs) };
    let managed = Managed {
        limits: limits::flat(section.resource_limits.as_deref(), rest, context),
        stop: Stop {
            signal: Stop::DEFAULT_SIGNAL,
            graceful_timeout: master::positive("shutdown_timeout", timeout, default, context),
        },
        pid_file: pid_file(id, None, common, context),
        notify: Notify::default(),
        sockets: Vec::new(),
        restart,
        logs,
        execution,
    };
    Some((metadata(id, section.metadata.as_deref()), managed, health))
}

/// An integrated worker is a managed one with more; everything of it is checked.
fn integrated(
    id: &WorkerId,
    worker: &Worker,
    unit: &At<Unit>,
    common: &Common<'_>,
    context: &mut Context<'_>,
) {
    let Some(section) = unit.value.integrated.as_deref() else {
        if unit.value.control.is_some() {
            flat(id, worker, unit, common, context);
        }
        return;
    };
    let check = section.value.health_check.as_deref();
    health::resolve(check, section.value.health.as_deref(), context);
    health::rhythm_is_sound(section.value.health_check_run_options.as_deref(), context);
    let refused = &section.value.refused;
    let control = section.value.control.as_deref();
    let Some(control) = required("control", control, refused, section.place, context) else {
        return;
    };
    let refused = &control.value.refused;
    let execution = control.value.execution.as_deref();
    if let Some(execution) = required("execution", execution, refused, control.place, context) {
        let program = Program::of(&execution.value, execution.place, context);
        execution::resolve(program.as_ref(), context);
    }
    stop(Some(&control.value), context);
}

fn stop(control: Option<&Control>, context: &mut Context<'_>) -> Stop {
    let timeout = control.and_then(|control| control.graceful_timeout.as_deref());
    let written = control.and_then(|control| control.stop_signal.as_deref());
    let os = context.surroundings.os;
    let number = written.and_then(|written| signal::number(&written.value, os));
    if let (Some(written), None) = (written, number) {
        context
            .findings
            .error("value", written.place, "this system has no such signal")
            .hint("write a name such as `TERM`, `INT`, `QUIT` or `HUP`, or a number");
    }
    if let (Some(written), Some(number)) = (written, number)
        && signal::asks_for_no_end(number, os)
    {
        context
            .findings
            .warning(
                "no-end",
                written.place,
                "this signal holds a program, and does not ask it to end",
            )
            .hint("a worker that does not catch it is killed after the whole `graceful_timeout`");
    }
    let default = Stop::DEFAULT_TIMEOUT;
    Stop {
        signal: number.unwrap_or(Stop::DEFAULT_SIGNAL),
        graceful_timeout: master::positive("graceful_timeout", timeout, default, context),
    }
}

fn metadata(id: &WorkerId, written: Option<&At<RawMetadata>>) -> Metadata {
    let mut metadata = Metadata { name: id.to_string(), ..Metadata::default() };
    let Some(written) = written.map(|written| &written.value) else {
        return metadata;
    };
    if let Some(name) = &written.name {
        metadata.name.clone_from(&name.value.0);
    }
    if let Some(description) = &written.description {
        metadata.description.clone_from(&description.value);
    }
    if let Some(version) = &written.version {
        metadata.version.clone_from(&version.value);
    }
    if let Some(tags) = &written.tags {
        metadata.tags = tags.value.iter().map(|tag| tag.value.clone()).collect();
    }
    if let Some(labels) = &written.labels {
        let pairs = labels.value.0.iter();
        metadata.labels =
            pairs.map(|(name, value)| (name.value.clone(), value.value.clone())).collect();
    }
    metadata
}

/// The PID file: beside the others, unless the worker says otherwise.
fn pid_file(
    id: &WorkerId,
    written: Option<&At<ProcessFile>>,
    common: &Common<'_>,
    context: &mut Context<'_>,
) -> String {
    let paths = context.paths();
    let in_folder = |folder: &str| paths.join(folder, &format!("{id}.pid"));
    let Some(written) = written else {
        return in_folder(&common.folders.pids);
    };
    let file = &written.value;
    let app = file.app_name.as_deref().map_or(folders::APP, |app| app.value.0.as_str());
    let subfolder = file.use_subdirectory.as_deref().map(|switch| switch.value);
    let own_base = file.base_directory.as_deref().map(|base| paths.absolute(&base.value.0));
    let fleet_base = common.folders.base.clone().filter(|_| file.service_context.is_none());
    if let Some(base) = own_base.or(fleet_base) {
        let folder = if subfolder == Some(true) { paths.join(&base, app) } else { base };
        return in_folder(&folder);
    }
    let wanted =
        file.service_context.as_deref().map_or(common.service_context, |wanted| wanted.value);
    match folders::pids(wanted, app, subfolder, paths) {
        Ok(folder) => in_folder(&folder),
        Err(Missing(variable)) => {
            master::missing(variable, Some(written.place), context);
            String::new()
        }
    }
}
