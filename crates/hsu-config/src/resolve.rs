//! Resolving: what the file says becomes what is meant, with every default filled in.
//!
//! Each part takes its section apart, reports what contradicts itself, and goes
//! on with a default, so that one run finds everything. The result is used only
//! when nothing was an error.

mod discovery;
mod execution;
mod folders;
mod health;
mod limits;
mod logs;
mod master;
mod notify;
mod outputs;
mod paths;
mod restart;
mod signal;
mod worker;

use hsu_model::master::FleetSpec;

use crate::LoadOptions;
use crate::findings::{At, Findings};
use crate::schema::root::Root;
use crate::surroundings::Surroundings;

pub(crate) use folders::runtimes;
pub(crate) use outputs::Files;
pub(crate) use paths::Paths;
pub(crate) use worker::no_workers;

/// What every part of resolution needs.
pub(crate) struct Context<'a> {
    pub(crate) findings: &'a mut Findings,
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) options: &'a LoadOptions,
    /// The log files so far.
    pub(crate) files: Files,
}

impl Context<'_> {
    /// How paths are written here.
    pub(crate) fn paths(&self) -> Paths<'_> {
        Paths { surroundings: self.surroundings }
    }
}

/// The configuration that a file means.
pub(crate) fn resolve(root: &Root, context: &mut Context<'_>) -> FleetSpec {
    let (master, folders) = master::resolve(root, context);
    let section = log_section(root, context);
    let logs = logs::Collection::of(section, &master.directories, context);
    let breaker = root.restart_circuit_breaker.as_deref().map(|section| &section.value);
    let common = worker::Common {
        folders: &folders,
        logs: &logs,
        restart: breaker,
        service_context: master::service_context(root),
    };
    let aggregation = logs.aggregation(context);
    let workers = worker::resolve(root, &common, context);
    FleetSpec { master, workers, aggregation }
}

/// The one `log_collection` section, wherever it stands.
fn log_section<'r>(
    root: &'r Root,
    context: &mut Context<'_>,
) -> Option<&'r At<crate::schema::logs::LogCollection>> {
    let inner = root.master.as_deref().and_then(|master| master.value.log_collection.as_deref());
    one_of("log_collection", root.log_collection.as_deref(), inner, context)
}

/// The value of a thing that can be written in two places; an error when it is in both.
pub(crate) fn one_of<'v, T>(
    name: &str,
    first: Option<&'v At<T>>,
    second: Option<&'v At<T>>,
    context: &mut Context<'_>,
) -> Option<&'v At<T>> {
    if let (Some(first), Some(second)) = (first, second) {
        context
            .findings
            .error("duplicate-key", second.place, format!("`{name}` is given in two places"))
            .label("the second one")
            .hint("keep one of them")
            .see(first.place, "the first one");
    }
    first.or(second)
}
