//! What to execute, in either form of the file, to one specification.

use hsu_model::execution::{Execution, ResourceLimit, WorkingDirectory};

use super::Context;
use super::worker::required;
use crate::MissingAccount;
use crate::findings::{At, Place};
use crate::schema::execution::{Environment, Execution as Raw};
use crate::schema::flat::FlatControl;
use crate::schema::types::Filled;
use crate::substitute::MOST_BYTES;
use crate::surroundings::Found;

/// The program of a worker, wherever its keys stand.
pub(super) struct Program<'r> {
    path: &'r At<Filled>,
    args: Option<&'r At<Vec<At<String>>>>,
    environment: Option<&'r At<Environment>>,
    working_directory: Option<&'r At<Filled>>,
    /// The other keys, which the flat form does not have.
    more: Option<&'r Raw>,
}

impl<'r> Program<'r> {
    /// From an `execution` section.
    pub(super) fn of(raw: &'r Raw, place: Place, context: &mut Context<'_>) -> Option<Self> {
        let path = raw.executable_path.as_deref();
        Some(Self {
            path: required("executable_path", path, &raw.refused, place, context)?,
            args: raw.args.as_deref(),
            environment: raw.environment.as_deref(),
            working_directory: raw.working_directory.as_deref(),
            more: Some(raw),
        })
    }

    /// From the `control` section of the flat form.
    pub(super) fn of_flat(
        raw: &'r FlatControl,
        place: Place,
        context: &mut Context<'_>,
    ) -> Option<Self> {
        let path = raw.executable.as_deref();
        Some(Self {
            path: required("executable", path, &raw.refused, place, context)?,
            args: raw.arguments.as_deref(),
            environment: raw.environment.as_deref(),
            working_directory: raw.working_directory.as_deref(),
            more: None,
        })
    }
}

/// The execution of a program; an empty one when the program is not known.
pub(super) fn resolve(program: Option<&Program<'_>>, context: &mut Context<'_>) -> Execution {
    let Some(program) = program else {
        return nothing();
    };
    if context.options.check_files {
        look_for_files(program, context);
    }
    if let Some(missing) = context.options.missing_account {
        look_for_accounts(program, missing, context);
    }
    let more = program.more;
    let directory = program.working_directory.map(|directory| {
        let path = context.paths().absolute(&directory.value.0);
        WorkingDirectory::At(path)
    });
    let args = program.args.map_or(&[][..], |args| args.value.as_slice());
    refuse_long(args, context);
    Execution {
        program: program.path.value.0.clone(),
        args: args.iter().map(|argument| argument.value.clone()).collect(),
        environment: program.environment.map_or_else(Vec::new, |list| list.value.0.clone()),
        working_directory: directory.unwrap_or(WorkingDirectory::OfProgram),
        user: more.and_then(|more| more.user.as_deref()).map(|user| user.value.0.clone()),
        group: more.and_then(|more| more.group.as_deref()).map(|group| group.value.0.clone()),
        umask: more.and_then(|more| more.umask.as_deref()).map(|umask| umask.value.0),
        nice: more
            .and_then(|more| more.nice.as_deref())
            .and_then(|nice| i32::try_from(nice.value.0).ok()),
        rlimits: more.and_then(|more| more.rlimits.as_deref()).map_or_else(Vec::new, |limits| {
            let limits = limits.value.0.iter();
            limits
                .map(|limit| ResourceLimit {
                    resource: limit.resource.value,
                    soft: limit.soft,
                    hard: limit.hard,
                })
                .collect()
        }),
        make_executable: more
            .and_then(|more| more.make_executable.as_deref())
            .is_some_and(|switch| switch.value),
    }
}

fn nothing() -> Execution {
    Execution {
        program: String::new(),
        args: Vec::new(),
        environment: Vec::new(),
        working_directory: WorkingDirectory::OfProgram,
        user: None,
        group: None,
        umask: None,
        nice: None,
        rlimits: Vec::new(),
        make_executable: false,
    }
}

fn refuse_long(args: &[At<String>], context: &mut Context<'_>) {
    for argument in args.iter().filter(|argument| argument.value.len() >= MOST_BYTES) {
        let message = format!("an argument of more than {} bytes", MOST_BYTES - 1);
        context
            .findings
            .error("range", argument.place, message)
            .hint("no program can take it; put it into a file");
    }
}

/// Warns of what a start would not find. Not an error: it may be there by then.
fn look_for_files(program: &Program<'_>, context: &mut Context<'_>) {
    let paths = context.paths();
    let own = program.environment.and_then(|list| {
        let mut names = list.value.0.iter().rev();
        names.find(|(name, _)| name == "PATH").map(|(_, value)| value)
    });
    let missing = missing_program(&program.path.value.0, own.map(String::as_str), context);
    let directory = program.working_directory.and_then(|directory| {
        let path = paths.absolute(&directory.value.0);
        let what = match (context.surroundings.found)(std::path::Path::new(&path)) {
            Some(Found::Folder) => return None,
            Some(Found::File | Found::Other) => "this is no folder",
            None => "there is no such folder here",
        };
        Some((directory.place, what))
    });
    if let Some((what, advice)) = missing {
        let hint = format!("{advice}; {WITHOUT}");
        context.findings.warning("missing-program", program.path.place, what).hint(hint);
    }
    if let Some((place, what)) = directory {
        context.findings.warning("missing-folder", place, what).hint(WITHOUT);
    }
}

/// What is there in the place of a program, and what to do; none when it is one. A bare name is
/// looked up in this list of folders, or in that of the surroundings.
pub(super) fn missing_program(
    path: &str,
    list: Option<&str>,
    context: &Context<'_>,
) -> Option<(&'static str, &'static str)> {
    let paths = context.paths();
    let usual = || context.surroundings.environment.get("PATH").map(String::as_str);
    let what = match paths.find_program(path, list.or_else(usual).unwrap_or_default()) {
        Some(Found::File) => return None,
        Some(Found::Folder) => "this is a folder, no program",
        Some(Found::Other) => "this is no file, and so no program",
        None => "there is no such program here",
    };
    let advice = match (path.starts_with('~'), path.contains(' '), paths.is_bare(path)) {
        (true, ..) => "write the path of the home folder, or `${HOME}`: `~` is not replaced",
        (false, true, _) => "arguments go into `args`, one item each",
        (false, false, true) => "install it, or write its path",
        (false, false, false) => "check the path",
    };
    Some((what, advice))
}

/// Warns of a user and a group that a start would not find.
fn look_for_accounts(program: &Program<'_>, missing: MissingAccount, context: &mut Context<'_>) {
    let user = program.more.and_then(|more| more.user.as_deref());
    let group = program.more.and_then(|more| more.group.as_deref());
    let user = user.and_then(|user| Some((user.place, missing(Some(&user.value.0), None)?)));
    let group = group.and_then(|group| Some((group.place, missing(None, Some(&group.value.0))?)));
    for (place, what) in user.into_iter().chain(group) {
        context.findings.warning("missing-account", place, what).hint(WITHOUT);
    }
}

/// What becomes of a worker whose program, folder, user or group is missing.
const WITHOUT: &str = "the worker fails without it, and is started by `start` once it is there";
