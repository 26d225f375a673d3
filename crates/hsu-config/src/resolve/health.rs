//! Health checks: names, what hangs on each, when they are made.
//!
//! Every check gets a name that the worker has once, and a place; those that are
//! composed of others come after them. What each kind looks at is in `kinds`.

use std::time::Duration;

use hsu_model::health::probe::Probe;
use hsu_model::health::{Adaptive, Check, Duty, Flapping, Health, Rhythm, Source};
use hsu_model::logs::Stream;
use hsu_model::severity::Severity;

use super::{Context, one_of};
use crate::findings::{At, Place, shown};
use crate::schema::flat::{FlatHealth, FlatRunOptions};
use crate::schema::health::{HealthCheck, HealthLists, HealthType, RunOptions};
use crate::value::duration;

mod composite;
mod flat;
mod kinds;
mod more;
mod templates;

/// The documented interval and timeout of a check.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
const RETRIES: u32 = 2;
const JITTER: f64 = 0.1;
/// The documented window of `flapping`.
const WINDOW: Duration = Duration::from_secs(600);
const CHANGES: u32 = 5;
/// Checks that one worker may have.
const MOST_CHECKS: usize = 100;

/// A check that is being resolved.
struct Draft<'r> {
    name: String,
    place: Place,
    duties: Vec<Duty>,
    raw: &'r HealthCheck,
    kind: HealthType,
}

/// The checks of a worker, from the one `health_check` and the lists of `health`.
pub(super) fn resolve(
    single: Option<&At<HealthCheck>>,
    lists: Option<&At<HealthLists>>,
    context: &mut Context<'_>,
) -> Health {
    let mut drafts = Vec::new();
    if let Some(single) = single {
        draft(single, &[Duty::Readiness, Duty::Liveness], IsListed::No, &mut drafts, context);
    }
    if let Some(lists) = lists.map(|lists| &lists.value) {
        let (readiness, liveness) = (lists.readiness.as_deref(), lists.liveness.as_deref());
        for (list, duties) in [
            (lists.startup.as_deref(), &[Duty::Startup][..]),
            (readiness, &[Duty::Readiness]),
            (liveness, &[Duty::Liveness]),
            (lists.dependencies.as_deref(), &[Duty::Dependency]),
            (lists.checks.as_deref(), &[]),
        ] {
            for check in list.map_or(&[][..], |list| list.value.as_slice()) {
                draft(check, duties, IsListed::Yes, &mut drafts, context);
            }
        }
    }
    unite(drafts, context)
}

/// Warns of a check of lines that nobody collects: it never sees one.
pub(super) fn lines_are_collected(
    health: &Health,
    places: [Option<Place>; 2],
    is_collected: impl Fn(Option<Stream>) -> bool,
    context: &mut Context<'_>,
) {
    let Some(place) = places.into_iter().flatten().next() else { return };
    for check in &health.checks {
        let Source::Probed { probe, .. } = &check.source else { continue };
        if !reads_of(probe).into_iter().all(&is_collected) {
            let message =
                format!("the output that the check `{}` reads is not collected", check.name);
            context.findings.warning("not-collected", place, message).hint(
                "write `log_collection`, or for a worker of somebody else `log_files`; it sees no line",
            );
        }
    }
}

/// The streams that a probe reads; none stands for both.
fn reads_of(probe: &Probe) -> Vec<Option<Stream>> {
    match probe {
        Probe::Log(log) => vec![log.stream],
        Probe::Steps(steps) => steps.iter().flat_map(|step| reads_of(&step.probe)).collect(),
        Probe::Http(_)
        | Probe::Grpc(_)
        | Probe::Tcp(_)
        | Probe::Exec(_)
        | Probe::Process
        | Probe::File(_)
        | Probe::Database(_)
        | Probe::Protocol(_)
        | Probe::Usage(_)
        | _ => Vec::new(),
    }
}

/// Whether a check stands in a list, where it must say what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IsListed {
    Yes,
    No,
}

fn draft<'r>(
    written: &'r At<HealthCheck>,
    duties: &[Duty],
    is_listed: IsListed,
    drafts: &mut Vec<Draft<'r>>,
    context: &mut Context<'_>,
) {
    let raw = &written.value;
    rhythm_is_sound(raw.run_options.as_deref(), context);
    let Some(kind) = kind(raw) else {
        if is_listed == IsListed::Yes && !raw.refused.contains(&"type") {
            context
                .findings
                .error("missing-key", written.place, "`type` is missing")
                .label("in this check")
                .hint("write `type: http`, `tcp`, `exec`, `process` or another kind");
        }
        return;
    };
    let mut duties = duties.to_vec();
    let is_dependency = duties.contains(&Duty::Dependency);
    match raw.restart.as_deref() {
        Some(restart) if !is_dependency => {
            context
                .findings
                .error("conflict", restart.place, "`restart` in a check that is no dependency")
                .hint("put the check into `liveness`, whose checks restart the worker");
        }
        Some(restart) if restart.value => duties.push(Duty::Liveness),
        Some(_) | None => {}
    }
    let is_off = raw.run_options.as_deref().is_some_and(|options| {
        options.value.enabled.as_deref().is_some_and(|enabled| !enabled.value)
    });
    let place = raw.name.as_deref().map_or(written.place, |name| name.place);
    let Some(name) = name(raw, kind, drafts, context) else {
        return;
    };
    if is_off {
        // What it looks at is checked all the same.
        kinds::source(raw, kind, written.place, context);
        return;
    }
    drafts.push(Draft { name, place, duties, raw, kind });
}

/// The kind of a check: what it says, or the kind of the one section that it has.
fn kind(raw: &HealthCheck) -> Option<HealthType> {
    if let Some(kind) = &raw.r#type {
        return Some(kind.value);
    }
    let sections = [
        (raw.http.is_some() || raw.http_endpoint.is_some(), HealthType::Http),
        (raw.grpc.is_some(), HealthType::Grpc),
        (raw.tcp.is_some(), HealthType::Tcp),
        (raw.exec.is_some(), HealthType::Exec),
        (raw.script.is_some(), HealthType::Script),
        (raw.file.is_some(), HealthType::File),
        (raw.database.is_some(), HealthType::Database),
        (raw.protocol.is_some(), HealthType::Protocol),
        (raw.log.is_some(), HealthType::Log),
        (raw.steps.is_some(), HealthType::Steps),
        (raw.performance.is_some(), HealthType::Performance),
        (raw.template.is_some(), HealthType::Template),
        (raw.composite.is_some(), HealthType::Composite),
    ];
    let mut there = sections.into_iter().filter(|(is_there, _)| *is_there);
    there.next().filter(|_| there.next().is_none()).map(|(_, kind)| kind)
}

/// The word of a kind.
fn word(kind: HealthType) -> &'static str {
    match kind {
        HealthType::Http => "http",
        HealthType::Grpc => "grpc",
        HealthType::Tcp => "tcp",
        HealthType::Exec => "exec",
        HealthType::Process => "process",
        HealthType::Script => "script",
        HealthType::File => "file",
        HealthType::Database => "database",
        HealthType::Protocol => "protocol",
        HealthType::Log => "log",
        HealthType::Steps => "steps",
        HealthType::Performance => "performance",
        HealthType::Template => "template",
        HealthType::Composite => "composite",
    }
}

/// The name of a check: its own, or one that tells the kind.
fn name(
    raw: &HealthCheck,
    kind: HealthType,
    drafts: &[Draft<'_>],
    context: &mut Context<'_>,
) -> Option<String> {
    let is_taken = |name: &str| drafts.iter().find(|other| other.name == name);
    let Some(own) = raw.name.as_deref() else {
        let word = word(kind);
        let numbered = (2..).map(|number| format!("{word}-{number}"));
        return std::iter::once(word.to_owned())
            .chain(numbered)
            .find(|name| is_taken(name).is_none());
    };
    let text = &own.value.0;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.len() > 64 || !text.chars().all(allowed) {
        let message = format!("`{}` cannot be the name of a check", shown(text));
        context
            .findings
            .error("value", own.place, message)
            .hint("use 1 to 64 ASCII letters, digits, `-` and `_`");
        return None;
    }
    if let Some(other) = is_taken(text) {
        context
            .findings
            .error("duplicate-id", own.place, format!("two checks are called `{text}`"))
            .label("the second one")
            .see(other.place, "the first one");
        return None;
    }
    Some(text.clone())
}

/// Gives every check its place and finds what refers to another.
fn unite(drafts: Vec<Draft<'_>>, context: &mut Context<'_>) -> Health {
    if let Some(beyond) = drafts.get(MOST_CHECKS) {
        let message = format!("more than {MOST_CHECKS} checks of one worker");
        context.findings.error("budget", beyond.place, message);
        return Health::default();
    }
    let drafts = composite::in_order(drafts, context);
    let names: Vec<String> = drafts.iter().map(|draft| draft.name.clone()).collect();
    let mut checks = Vec::with_capacity(drafts.len());
    for draft in &drafts {
        let after = after(draft, &names, context);
        let Some(source) = source(draft, &names, context) else { continue };
        checks.push(Check {
            name: draft.name.clone(),
            duties: draft.duties.clone(),
            source,
            rhythm: rhythm(draft.raw.run_options.as_deref(), context),
            severity: draft.raw.severity.as_deref().map_or(Severity::Critical, |s| s.value),
            after,
        });
    }
    Health { checks }
}

fn source(draft: &Draft<'_>, names: &[String], context: &mut Context<'_>) -> Option<Source> {
    if draft.kind == HealthType::Composite {
        let expression = composite::resolve(draft, names, context)?;
        return Some(Source::Composed(expression));
    }
    kinds::source(draft.raw, draft.kind, draft.place, context)
}

/// The places of the checks that must pass before this one is made.
fn after(draft: &Draft<'_>, names: &[String], context: &mut Context<'_>) -> Vec<usize> {
    let Some(after) = draft.raw.after.as_deref() else {
        return Vec::new();
    };
    let mut places = Vec::new();
    for name in &after.value {
        match names.iter().position(|other| *other == name.value.0) {
            Some(place) if names.get(place) == Some(&draft.name) => {
                context.findings.error("conflict", name.place, "a check comes after itself");
            }
            Some(place) => places.push(place),
            None => composite::unknown(&name.value.0, name.place, names, context),
        }
    }
    if draft.kind == HealthType::Composite && !after.value.is_empty() {
        context
            .findings
            .error("conflict", after.place, "`after` in a composite")
            .hint("a composite follows its parts at once; write `all: [...]` instead");
    }
    places
}

fn rhythm(written: Option<&At<RunOptions>>, context: &mut Context<'_>) -> Rhythm {
    let options = written.map(|written| &written.value);
    let time = |of: fn(&RunOptions) -> Option<&At<Duration>>, default| {
        options.and_then(of).map_or(default, |time| time.value)
    };
    let interval = time(|options| options.interval.as_deref(), INTERVAL);
    let retries = options.and_then(|options| options.retries.as_deref());
    let threshold = options.and_then(|options| options.failure_threshold.as_deref());
    let retries = retries.map(|retries| At { value: retries.value.0, place: retries.place });
    let threshold = threshold.map(|most| At { value: most.value.0, place: most.place });
    let failures = one_of("retries", retries.as_ref(), threshold.as_ref(), context);
    let successes = options.and_then(|options| options.success_threshold.as_deref());
    let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
    Rhythm {
        initial_delay: time(|options| options.initial_delay.as_deref(), Duration::ZERO),
        interval,
        timeout: time(|options| options.timeout.as_deref(), TIMEOUT),
        jitter: options
            .and_then(|options| options.jitter.as_deref())
            .map_or(JITTER, |jitter| jitter.value.0),
        failure_threshold: failures.map_or(RETRIES, |most| count(most.value)),
        success_threshold: successes.map_or(1, |most| count(most.value.0)),
        adaptive: options.and_then(|options| options.adaptive.as_deref()).map(|adaptive| {
            let (shortest, longest) =
                (adaptive.value.shortest.as_deref(), adaptive.value.longest.as_deref());
            Adaptive {
                shortest: shortest.map_or(interval / 4, |time| time.value),
                longest: longest.map_or_else(|| interval.saturating_mul(4), |time| time.value),
            }
        }),
        flapping: options.and_then(|options| options.flapping.as_deref()).map(|flapping| {
            let flapping = &flapping.value;
            let window = flapping.window.as_deref().map_or(WINDOW, |window| window.value);
            Flapping {
                changes: flapping.changes.as_deref().map_or(CHANGES, |most| count(most.value.0)),
                window,
                hold: flapping.hold.as_deref().map_or(window, |hold| hold.value),
            }
        }),
    }
}

/// The times of `run_options` that contradict each other.
pub(super) fn rhythm_is_sound(written: Option<&At<RunOptions>>, context: &mut Context<'_>) {
    let Some(options) = written.map(|written| &written.value) else {
        return;
    };
    let interval = options.interval.as_deref();
    beats(interval, options.timeout.as_deref(), context);
    let Some(adaptive) = options.adaptive.as_deref().map(|adaptive| &adaptive.value) else {
        return;
    };
    let usual = interval.map_or(INTERVAL, |interval| interval.value);
    let timeout = options.timeout.as_deref().map_or(TIMEOUT, |timeout| timeout.value);
    if let Some(shortest) = adaptive.shortest.as_deref().filter(|time| time.value > usual) {
        let message = "`shortest` is longer than `interval`";
        context.findings.error("range", shortest.place, message);
    }
    if let Some(shortest) = adaptive.shortest.as_deref().filter(|time| time.value <= timeout) {
        let message = "`shortest` is not longer than `timeout`: checks would overlap";
        context.findings.error("range", shortest.place, message);
    }
    if let Some(longest) = adaptive.longest.as_deref().filter(|time| time.value < usual) {
        context.findings.error("range", longest.place, "`longest` is shorter than `interval`");
    }
}

/// A check ends before the next one begins.
fn beats(
    interval: Option<&At<Duration>>,
    timeout: Option<&At<Duration>>,
    context: &mut Context<'_>,
) {
    for time in [interval, timeout].into_iter().flatten().filter(|time| time.value.is_zero()) {
        context
            .findings
            .error("range", time.place, "a time of zero between or for checks")
            .hint("write a longer time");
    }
    let between = interval.map_or(INTERVAL, |interval| interval.value);
    let most = timeout.map_or(TIMEOUT, |timeout| timeout.value);
    if most >= between && !between.is_zero() {
        let message = format!(
            "a check may take {} and the next begins after {}",
            duration::shown(most),
            duration::shown(between)
        );
        let place = timeout.or(interval).map(|time| time.place);
        let problem = context.findings.error("range", place, message);
        problem.hint("`timeout` must be shorter than `interval`");
        if let (Some(interval), Some(_)) = (interval, timeout) {
            problem.see(interval.place, "`interval` is set here");
        }
    }
}

/// The check of the flat form.
pub(super) fn resolve_flat(
    written: Option<&At<FlatHealth>>,
    options: Option<&At<FlatRunOptions>>,
    context: &mut Context<'_>,
) -> Health {
    flat::resolve(written, options, context)
}
