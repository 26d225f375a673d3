//! The master's own settings and folders.

use std::time::Duration;

use hsu_model::limits::Cgroups;
use hsu_model::master::{Directories, LogLevel, MasterSpec, control_socket};
use hsu_model::restart::StartRate;

use super::folders::{self, Folders, Missing};
use super::{Context, Paths};
use crate::findings::At;
use crate::schema::root::{Master, Root, ServiceContext, StartRate as RawStartRate};
use crate::schema::types::Limit;
use crate::surroundings::Os;
use crate::value::duration;

const PORT: u16 = 50_055;
const FORCE_SHUTDOWN: Duration = Duration::from_secs(30);
const WORKER_FOLDER: &str = "workers";

/// The master, and the folders that its workers start from.
pub(super) fn resolve(root: &Root, context: &mut Context<'_>) -> (MasterSpec, Folders) {
    let master = root.master.as_deref().map(|master| &master.value);
    let folders = folders_of(master, context);
    let system = root.log_collection.as_deref().and_then(|logs| logs.value.system.as_deref());
    let named = system.and_then(|system| system.value.worker_directory.as_deref());
    let worker_folder = named.map_or(WORKER_FOLDER, |named| named.value.0.as_str());
    let worker_logs = context.paths().join(&folders.logs, worker_folder);
    let port = master.and_then(|master| master.port.as_deref());
    let timeout = master.and_then(|master| master.force_shutdown_timeout.as_deref());
    let spec = MasterSpec {
        port: port.and_then(|port| u16::try_from(port.value.0).ok()).unwrap_or(PORT),
        log_level: master
            .and_then(|master| master.log_level.as_deref())
            .map_or(LogLevel::Info, |level| level.value),
        force_shutdown_timeout: positive(
            "force_shutdown_timeout",
            timeout,
            FORCE_SHUTDOWN,
            context,
        ),
        start_rate: start_rate(master.and_then(|master| master.start_rate.as_deref())),
        cgroups: master
            .and_then(|master| master.cgroups.as_deref())
            .map_or(Cgroups::Auto, |cgroups| cgroups.value),
        directories: Directories {
            runtime: folders.runtime.clone(),
            state: folders.state.clone(),
            logs: folders.logs.clone(),
            worker_logs,
        },
    };
    (spec, folders)
}

/// The longest path of a socket, in bytes.
// Source: unix(7), sun_path without its zero; on macOS sys/un.h has four less.
fn longest_socket(os: Os) -> usize {
    match os {
        Os::MacOs => 103,
        Os::Linux | Os::Windows => 107,
    }
}

/// A time of which zero means the default, as the predecessors documented it.
pub(super) fn positive(
    name: &'static str,
    written: Option<&At<Duration>>,
    default: Duration,
    context: &mut Context<'_>,
) -> Duration {
    match written {
        Some(written) if written.value.is_zero() => {
            context.findings.notice("zero", (name, ""), written.place, || {
                let default = duration::shown(default);
                let message = format!("`0s` here is the default of {default}, not \"at once\"");
                (message, format!("write `{default}` or leave it out; `1ms` is as good as at once"))
            });
            default
        }
        Some(written) => written.value,
        None => default,
    }
}

/// The context that folders come from.
pub(super) fn service_context(root: &Root) -> ServiceContext {
    let master = root.master.as_deref().map(|master| &master.value);
    let written = master.and_then(|master| master.service_context.as_deref());
    written.map_or(ServiceContext::User, |written| written.value)
}

fn start_rate(written: Option<&At<RawStartRate>>) -> StartRate {
    let written = written.map(|written| &written.value);
    let per_second = written.and_then(|rate| rate.per_second.as_deref());
    let burst = written.and_then(|rate| rate.burst.as_deref());
    StartRate {
        per_second: per_second.map_or(StartRate::DEFAULT.per_second, |rate| match rate.value {
            Limit::Of(factor) => factor.0,
            Limit::Unlimited => f64::INFINITY,
        }),
        burst: burst
            .and_then(|burst| u32::try_from(burst.value.0).ok())
            .unwrap_or(StartRate::DEFAULT.burst),
    }
}

fn folders_of(master: Option<&Master>, context: &mut Context<'_>) -> Folders {
    let base = master.and_then(|master| master.base_directory.as_deref());
    let kind = master.and_then(|master| master.service_context.as_deref());
    if let (Some(base), Some(kind)) = (base, kind) {
        let message = "`base_directory` and `service_context` both say where files are";
        context
            .findings
            .error("conflict", kind.place, message)
            .hint("keep one of them")
            .see(base.place, "`base_directory` is set here");
    }
    if let Some(base) = base {
        let paths = context.paths();
        let folders = folders::in_base(&paths.absolute(&base.value.0), paths);
        let too_long = control_socket(&folders.runtime)
            .len()
            .saturating_sub(longest_socket(paths.surroundings.os));
        if too_long > 0 {
            let message =
                format!("`base_directory` is {too_long} bytes too long for a socket in it");
            let findings = &mut context.findings;
            findings.error("folders", base.place, message).hint("name a shorter folder");
        }
        return folders;
    }
    let wanted = kind.map_or(ServiceContext::User, |kind| kind.value);
    match folders::of(wanted, context.paths()) {
        Ok(folders) => folders,
        Err(Missing(variable)) => {
            missing(variable, kind.map(|kind| kind.place), context);
            let paths: Paths<'_> = context.paths();
            folders::in_base(&paths.surroundings.temp, paths)
        }
    }
}

/// Reports a variable without which there are no documented folders.
pub(super) fn missing(
    variable: &str,
    place: Option<crate::findings::Place>,
    context: &mut Context<'_>,
) {
    context
        .findings
        .error("folders", place, format!("`{variable}` is not set, so there are no folders to use"))
        .hint("set it, or write `master.base_directory`");
}
