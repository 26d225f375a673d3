//! Outputs: what a target of the file means, with the worker's name still open.

use std::collections::HashMap;

use hsu_model::logs::{LogFormat, LogOutput, LogTarget, Rotation};
use hsu_model::units::ByteSize;

use super::Context;
use super::worker::required;
use crate::findings::{At, Findings, Place, shown};
use crate::schema::logs::{Rotation as RawRotation, Target, TargetType};
use crate::schema::types::Limit;

/// The two spellings of the one template.
const TEMPLATES: [&str; 2] = ["{worker_id}", "{process_id}"];

/// One output before it belongs to a worker.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    to: To,
    format: LogFormat,
    prefix: String,
    /// Where it stands; none for a documented default.
    place: Option<Place>,
}

#[derive(Clone, Debug)]
enum To {
    File { path: String, rotation: Rotation },
    MasterStdout,
    MasterStderr,
}

impl Draft {
    /// A file as the documented defaults have it.
    pub(super) fn file(path: &str) -> Self {
        Self {
            to: To::File { path: path.to_owned(), rotation: Rotation::DEFAULT },
            format: LogFormat::EnhancedPlain,
            prefix: String::new(),
            place: None,
        }
    }

    /// What a target of the file means; none when it is not built or was refused.
    pub(super) fn of(target: &Target, place: Place, context: &mut Context<'_>) -> Option<Self> {
        let kind = required("type", target.r#type.as_deref(), &target.refused, place, context)?;
        let rotation = rotation(target.rotation.as_deref(), context);
        let to = match kind.value {
            TargetType::File => {
                let path = target.path.as_deref();
                let path = required("path", path, &target.refused, place, context)?;
                refuse_unknown_templates(&path.value.0, path.place, context);
                To::File { path: path.value.0.clone(), rotation }
            }
            TargetType::MasterStdout => To::MasterStdout,
            TargetType::MasterStderr => To::MasterStderr,
            TargetType::Syslog => return not_built(kind, "syslog", context),
            TargetType::Elasticsearch => return not_built(kind, "elasticsearch", context),
        };
        if !matches!(to, To::File { .. }) {
            only_for_files("path", target.path.as_deref().map(|path| path.place), context);
            only_for_files("rotation", target.rotation.as_deref().map(|r| r.place), context);
        }
        Some(Self {
            to,
            format: target.format.as_deref().map_or(LogFormat::EnhancedPlain, |f| f.value),
            prefix: target
                .prefix
                .as_deref()
                .map_or_else(String::new, |prefix| prefix.value.clone()),
            place: Some(place),
        })
    }

    /// Whether it is another output for every worker.
    pub(super) fn names_worker(&self) -> bool {
        let path = match &self.to {
            To::File { path, .. } => path.as_str(),
            To::MasterStdout | To::MasterStderr => "",
        };
        TEMPLATES.iter().any(|template| path.contains(template) || self.prefix.contains(template))
    }

    /// The output of a worker.
    pub(super) fn output(
        &self,
        worker: &str,
        folder: &str,
        context: &mut Context<'_>,
    ) -> LogOutput {
        let target = match &self.to {
            To::File { path, rotation } => {
                let path = context.paths().join(folder, &filled(path, worker));
                context.files.claim(&path, *rotation, self.place, context.findings);
                LogTarget::File { path, rotation: *rotation }
            }
            To::MasterStdout => LogTarget::MasterStdout,
            To::MasterStderr => LogTarget::MasterStderr,
        };
        LogOutput { target, format: self.format, prefix: filled(&self.prefix, worker) }
    }
}

/// The log files so far: one file has one rotation.
#[derive(Debug, Default)]
pub(crate) struct Files {
    seen: HashMap<String, (Rotation, Option<Place>)>,
}

impl Files {
    fn claim(
        &mut self,
        path: &str,
        rotation: Rotation,
        place: Option<Place>,
        findings: &mut Findings,
    ) {
        let Some((other, first)) = self.seen.get(path) else {
            self.seen.insert(path.to_owned(), (rotation, place));
            return;
        };
        if *other != rotation {
            let message =
                format!("`{}` is written by two outputs with different rotation", shown(path));
            let problem = findings.error("conflict", place.or(*first), message);
            problem.hint("give both the same `rotation`, or one of them another `path`");
            if let Some(first) = first.filter(|first| Some(*first) != place) {
                problem.see(first, "the other output");
            }
        }
    }
}

fn filled(text: &str, worker: &str) -> String {
    if !text.contains('{') {
        return text.to_owned();
    }
    TEMPLATES.iter().fold(text.to_owned(), |text, template| text.replace(template, worker))
}

fn refuse_unknown_templates(path: &str, place: Place, context: &mut Context<'_>) {
    let mut rest = path;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return;
        };
        if !TEMPLATES.iter().any(|template| template.get(1..template.len() - 1) == Some(name)) {
            context
                .findings
                .error("template", place, format!("unknown template `{{{}}}`", shown(name)))
                .hint("the template here is `{worker_id}`");
        }
        rest = after;
    }
}

fn not_built(
    kind: &At<TargetType>,
    name: &'static str,
    context: &mut Context<'_>,
) -> Option<Draft> {
    context.findings.notice("not-built", ("target", name), kind.place, || {
        let message = format!("outputs of type `{name}` are not built yet");
        (message, String::from("lines do not go there; the other outputs work"))
    });
    None
}

fn only_for_files(key: &'static str, place: Option<Place>, context: &mut Context<'_>) {
    if let Some(place) = place {
        context.findings.notice("unused", (key, "target"), place, || {
            let message = format!("only an output of type `file` has a `{key}`");
            (message, String::from("remove it, or write `type: file`"))
        });
    }
}

fn rotation(written: Option<&At<RawRotation>>, context: &mut Context<'_>) -> Rotation {
    let default = Rotation::DEFAULT;
    let Some(written) = written.map(|written| &written.value) else {
        return default;
    };
    let max_size = written.max_size.as_deref().map_or(default.max_size, |size| match size.value {
        Limit::Of(bytes) => {
            refuse_zero(bytes.0 == 0, "max_size", size.place, context);
            bytes
        }
        Limit::Unlimited => ByteSize(u64::MAX),
    });
    let max_age = written.max_age.as_deref().map_or(default.max_age, |age| match age.value {
        Limit::Of(time) => {
            refuse_zero(time.is_zero(), "max_age", age.place, context);
            Some(time)
        }
        Limit::Unlimited => None,
    });
    let max_files = written.max_files.as_deref();
    let max_files = max_files.map_or(default.max_files, |files| match files.value {
        Limit::Of(count) => count.get(),
        Limit::Unlimited => 0,
    });
    Rotation { max_size, max_files, max_age }
}

fn refuse_zero(is_zero: bool, name: &str, place: Place, context: &mut Context<'_>) {
    if is_zero {
        context
            .findings
            .error("range", place, format!("a `{name}` of zero would keep nothing"))
            .hint("write `unlimited` for no limit");
    }
}
