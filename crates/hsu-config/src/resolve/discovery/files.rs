//! Log files of a process that somebody else starts.

use hsu_model::discovery::{Beginning, LogFile};
use hsu_model::id::WorkerId;
use hsu_model::logs::{Stream, StreamLogs, WorkerLogs};

use super::absolute;
use crate::findings::At;
use crate::resolve::logs::{Collection, Own};
use crate::resolve::worker::required;
use crate::resolve::{Context, one_of};
use crate::schema::discovery::{LogFile as Raw, LogStream, StartAt};
use crate::schema::logs::WorkerLogs as RawLogs;
use crate::schema::unit::UnmanagedUnit;

/// The most files of one worker.
const MOST_FILES: usize = 64;

/// The files, and where their lines go.
pub(super) fn resolve(
    id: &WorkerId,
    unit: &UnmanagedUnit,
    beside: Option<&At<RawLogs>>,
    collection: &Collection<'_>,
    context: &mut Context<'_>,
) -> (Vec<LogFile>, WorkerLogs) {
    let own = one_of("log_collection", unit.log_collection.as_deref(), beside, context);
    let Some(written) = unit.log_files.as_deref().filter(|list| !list.value.is_empty()) else {
        if let Some(own) = own {
            context
                .findings
                .warning("no-log-files", own.place, "no file is named that this process writes")
                .hint("write `log_files: [{ path: ... }]` beside `discovery`");
        }
        return (Vec::new(), WorkerLogs::default());
    };
    let mut files: Vec<LogFile> = Vec::new();
    for file in &written.value {
        let Some(file) = one(file, context) else { continue };
        if files.iter().any(|other| other.path == file.path) {
            let message = format!("`{}` is named twice", file.path);
            context.findings.error("conflict", written.place, message);
        }
        files.push(file);
    }
    if files.len() > MOST_FILES {
        let message = format!("more than {MOST_FILES} files of one worker");
        context.findings.error("budget", written.place, message);
    }
    let mut logs = collection.worker(id, Own::of(own).asked_for(), context);
    if !logs.stdout.capture && !logs.stderr.capture {
        context
            .findings
            .warning("logs-off", written.place, "these files are not followed: collection is off")
            .hint("write `log_collection: { enabled: true }` at the top level, or remove them");
    }
    for (stream, of) in [(Stream::Stdout, &mut logs.stdout), (Stream::Stderr, &mut logs.stderr)] {
        if !files.iter().any(|file| file.stream == stream) {
            *of = StreamLogs::default();
        }
    }
    (files, logs)
}

fn one(written: &At<Raw>, context: &mut Context<'_>) -> Option<LogFile> {
    let refused = &written.value.refused;
    let path = required("path", written.value.path.as_deref(), refused, written.place, context)?;
    if path.value.0.contains(char::is_control) {
        context.findings.error("value", path.place, "a control character in a path");
        return None;
    }
    Some(LogFile {
        path: absolute(path, "a log file", context)?,
        stream: match written.value.stream.as_deref().map(|stream| stream.value) {
            Some(LogStream::Stderr) => Stream::Stderr,
            Some(LogStream::Stdout) | None => Stream::Stdout,
        },
        beginning: match written.value.start_at.as_deref().map(|start| start.value) {
            Some(StartAt::Beginning) => Beginning::Start,
            Some(StartAt::End) | None => Beginning::End,
        },
    })
}
