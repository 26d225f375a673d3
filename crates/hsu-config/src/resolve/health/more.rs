//! Databases, protocols, lines, steps and performance, with every default filled in.

use std::time::Duration;

use hsu_model::health::probe::{
    Capture, Database, Endpoint, Engine, Exchange, Log, Login, Origin, Pattern, Place as Target,
    Presence, Probe, Protocol, Secret, Step, Transport, Used, Weight, When,
};
use hsu_model::health::{Judgement, Measure, Statistic};

use super::{Context, kinds};
use crate::findings::{At, Place, shown};
use crate::resolve::worker::required;
use crate::schema::health::HealthCheck;
use crate::schema::health::more::{
    Captured, DatabaseCheck, LogCheck, MeasureOf, Performance, ProtocolCheck, Step as RawStep,
    WhenTaken,
};
use crate::value::{Refused, duration, number, size};

/// The documented window of `performance`.
const WINDOW: Duration = Duration::from_secs(300);
const SAMPLES: u32 = 3;
/// Steps of one check.
const MOST_STEPS: usize = 50;
/// The name under which a step captures the number of a performance check.
const VALUE: &str = "value";

pub(super) fn database(
    section: &DatabaseCheck,
    place: Place,
    context: &mut Context<'_>,
) -> Option<Database> {
    let engine = required("engine", section.engine.as_deref(), &section.refused, place, context)?;
    let usual = match engine.value {
        Engine::Postgres => 5432,
        Engine::Mysql => 3306,
        Engine::Redis => 6379,
        Engine::Mongodb => 27017,
    };
    let host = section.address.as_deref().map_or("localhost", |address| address.value.0.as_str());
    let port =
        section.port.as_deref().map_or(usual, |port| u16::try_from(port.value.0).unwrap_or(0));
    let target = match section.unix_socket.as_deref() {
        Some(socket) => Target::Socket(context.paths().absolute(&socket.value.0)),
        None => {
            let reach = kinds::reach(section.allow_link_local.as_deref());
            Target::Port { host: host.to_owned(), port, reach }
        }
    };
    let tls = match section.tls.as_deref() {
        Some(written) => Some(kinds::tls(&written.value, context)?),
        None => None,
    };
    let answerer = kinds::answerer(section.answered_by.as_deref(), context)?;
    let login = login(section, engine.value, context)?;
    let asks = [
        section.query.as_deref().map(|query| query.place),
        section.expected_result.as_deref().map(|result| result.place),
    ];
    // Redis answers whoever it knows no password of.
    let answers_anybody = engine.value == Engine::Redis;
    if let (None, Some(place), false) = (&login, asks.into_iter().flatten().next(), answers_anybody)
    {
        context
            .findings
            .error("conflict", place, "nobody is asked without a login")
            .hint("name a `user`");
        return None;
    }
    Some(Database {
        engine: engine.value,
        endpoint: Endpoint { place: target, tls, answerer },
        login,
        query: section.query.as_deref().map(|query| query.value.0.clone()),
        expect: kinds::pattern(section.expected_result.as_deref()),
    })
}

/// Who asks; the outer answer is none after reporting why not.
fn login(
    section: &DatabaseCheck,
    engine: Engine,
    context: &mut Context<'_>,
) -> Option<Option<Login>> {
    let (text, file) = (section.password.as_deref(), section.password_file.as_deref());
    if let (Some(text), Some(file)) = (text, file) {
        context
            .findings
            .error("conflict", file.place, "`password_file` beside `password`")
            .see(text.place, "the other one");
        return None;
    }
    let password = match (text, file) {
        (_, Some(file)) => Secret::File(context.paths().absolute(&file.value.0)),
        (Some(text), None) => Secret::Text(text.value.clone()),
        (None, None) => Secret::Text(String::new()),
    };
    let needless = [
        text.map(|text| text.place),
        file.map(|file| file.place),
        section.database.as_deref().map(|database| database.place),
    ];
    let needless = needless.into_iter().flatten().next();
    let database = section.database.as_deref().map(|database| database.value.0.clone());
    match (section.user.as_deref(), needless) {
        (Some(user), _) => Some(Some(Login { user: user.value.0.clone(), password, database })),
        (None, Some(_)) if engine == Engine::Redis && (text.is_some() || file.is_some()) => {
            Some(Some(Login { user: String::new(), password, database }))
        }
        (None, Some(place)) => {
            context
                .findings
                .error("missing-key", place, "a login without `user`")
                .hint("name a `user`");
            None
        }
        (None, None) => Some(None),
    }
}

pub(super) fn protocol(
    section: &ProtocolCheck,
    place: Place,
    context: &mut Context<'_>,
) -> Option<Protocol> {
    let transport = section.transport.as_deref().map_or(Transport::Stream, |words| words.value);
    let tls = match section.tls.as_deref() {
        Some(written) => Some(kinds::tls(&written.value, context)?),
        None => None,
    };
    let stream_only = [
        section.tls.as_deref().map(|tls| tls.place),
        section.unix_socket.as_deref().map(|socket| socket.place),
    ];
    if let Some(place) =
        stream_only.into_iter().flatten().next().filter(|_| transport == Transport::Datagram)
    {
        context.findings.error("conflict", place, "this is not for `transport: udp`");
        return None;
    }
    let target = match section.unix_socket.as_deref() {
        Some(socket) => Target::Socket(context.paths().absolute(&socket.value.0)),
        None => {
            let refused = &section.refused;
            let address = required("address", section.address.as_deref(), refused, place, context);
            let port = required("port", section.port.as_deref(), refused, place, context);
            let (address, port) = (address?, port?);
            let host = address.value.0.trim_start_matches('[').trim_end_matches(']').to_owned();
            let reach = kinds::reach(section.allow_link_local.as_deref());
            Target::Port { host, port: u16::try_from(port.value.0).unwrap_or(0), reach }
        }
    };
    let turns =
        required("exchange", section.exchange.as_deref(), &section.refused, place, context)?;
    let exchanges: Vec<Exchange> = turns
        .value
        .iter()
        .map(|turn| Exchange {
            send: turn
                .value
                .send
                .as_deref()
                .map_or_else(Vec::new, |send| send.value.clone().into_bytes()),
            expect: kinds::pattern(turn.value.expect.as_deref()),
        })
        .collect();
    if exchanges.iter().all(|turn| turn.expect.is_none()) {
        context
            .findings
            .error("missing-key", turns.place, "nothing is expected")
            .hint("write `expect` in one turn at least, or use `type: tcp`");
        return None;
    }
    let answerer = kinds::answerer(section.answered_by.as_deref(), context)?;
    Some(Protocol { endpoint: Endpoint { place: target, tls, answerer }, transport, exchanges })
}

pub(super) fn log(section: &LogCheck, place: Place, context: &mut Context<'_>) -> Option<Log> {
    let pattern =
        required("pattern", section.pattern.as_deref(), &section.refused, place, context)?;
    let is_absent = section.exists.as_deref().is_some_and(|exists| !exists.value);
    Some(Log {
        pattern: Pattern(pattern.value.0.clone()),
        stream: section.stream.as_deref().map(|stream| stream.value),
        presence: if is_absent { Presence::Absent } else { Presence::Present },
        lasting: section.within.as_deref().map(|within| within.value),
    })
}

/// What is looked at inside another check: it has no life of its own.
fn inner(check: &HealthCheck, place: Place, context: &mut Context<'_>) -> Option<Probe> {
    let foreign = [
        ("name", check.name.as_deref().map(|key| key.place)),
        ("run_options", check.run_options.as_deref().map(|key| key.place)),
        ("severity", check.severity.as_deref().map(|key| key.place)),
        ("after", check.after.as_deref().map(|key| key.place)),
        ("shared_for", check.shared_for.as_deref().map(|key| key.place)),
        ("restart", check.restart.as_deref().map(|key| key.place)),
    ];
    for (name, place) in foreign {
        if let Some(place) = place {
            context
                .findings
                .error("conflict", place, format!("`{name}` of a look inside a check"))
                .hint("write it in the check itself");
        }
    }
    let Some(kind) = super::kind(check) else {
        if !check.refused.contains(&"type") {
            context.findings.error("missing-key", place, "`type` is missing");
        }
        return None;
    };
    let judged = [
        check.composite.as_deref().map(|key| key.place),
        check.performance.as_deref().map(|key| key.place),
    ];
    if let Some(place) = judged.into_iter().flatten().next() {
        context
            .findings
            .error("conflict", place, "this is worked out from checks, and is no look")
            .hint("write a check of its own for it");
        return None;
    }
    kinds::probe(check, kind, place, context)
}

pub(super) fn steps(list: &At<Vec<At<RawStep>>>, context: &mut Context<'_>) -> Option<Vec<Step>> {
    if list.value.is_empty() || list.value.len() > MOST_STEPS {
        let message = format!("from 1 to {MOST_STEPS} steps are taken");
        context.findings.error("range", list.place, message);
        return None;
    }
    let mut steps = Vec::with_capacity(list.value.len());
    let mut names: Vec<&str> = Vec::new();
    let mut captured: Vec<String> = Vec::new();
    let mut are_sound = true;
    for written in &list.value {
        let step = one_step(written, &names, &mut captured, context);
        names.push(written.value.name.as_deref().map_or("", |name| name.value.0.as_str()));
        are_sound &= step.is_some();
        steps.extend(step);
    }
    are_sound.then_some(steps)
}

fn one_step(
    written: &At<RawStep>,
    names: &[&str],
    captured: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Option<Step> {
    let (step, place) = (&written.value, written.place);
    let name = required("name", step.name.as_deref(), &step.refused, place, context)?;
    if names.contains(&name.value.0.as_str()) {
        let message = format!("two steps are called `{}`", shown(&name.value.0));
        context.findings.error("duplicate-id", name.place, message);
        return None;
    }
    let check = required("check", step.check.as_deref(), &step.refused, place, context)?;
    let probe = inner(&check.value.0, check.place, context)?;
    let when = match step.when.as_deref() {
        Some(when) => taken(when, names, captured, context)?,
        None => When::Always,
    };
    let mut captures = Vec::new();
    for (own, from) in step.capture.as_deref().map_or(&[][..], |named| named.value.0.as_slice()) {
        captures.push(Capture { name: own.value.clone(), from: origin(from, context)? });
        captured.push(own.value.clone());
    }
    let is_required = step.required.as_deref().is_none_or(|required| required.value);
    let weight = if is_required { Weight::Decides } else { Weight::Tells };
    let (name, probe) = (name.value.0.clone(), Box::new(probe));
    Some(Step { name, probe, when, captures, weight })
}

fn taken(
    written: &At<WhenTaken>,
    names: &[&str],
    captured: &[String],
    context: &mut Context<'_>,
) -> Option<When> {
    let when = &written.value;
    let step = |name: &At<crate::schema::types::Filled>, context: &mut Context<'_>| {
        let found = names.iter().position(|other| *other == name.value.0);
        if found.is_none() {
            let message = format!("no earlier step is called `{}`", shown(&name.value.0));
            context.findings.error("value", name.place, message);
        }
        found
    };
    let (passed, failed) = (when.passed.as_deref(), when.failed.as_deref());
    match (passed, failed, when.captured.as_deref(), when.matches.as_deref()) {
        (Some(name), None, None, None) => step(name, context).map(When::Passed),
        (None, Some(name), None, None) => step(name, context).map(When::Failed),
        (None, None, Some(name), Some(pattern)) => {
            if !captured.contains(&name.value.0) {
                let message = format!("no earlier step captures `{}`", shown(&name.value.0));
                context.findings.error("value", name.place, message);
                return None;
            }
            Some(When::Matches(name.value.0.clone(), Pattern(pattern.value.0.clone())))
        }
        _ => {
            if when.refused.is_empty() {
                let message = "`when` has `passed`, `failed`, or `captured` and `matches`";
                context.findings.error("conflict", written.place, message);
            }
            None
        }
    }
}

fn origin(written: &At<Captured>, context: &mut Context<'_>) -> Option<Origin> {
    let captured = &written.value;
    let status = captured.status.as_deref().filter(|status| status.value);
    let mut origins = Vec::new();
    origins
        .extend(captured.text.as_deref().map(|text| Origin::Text(Pattern(text.value.0.clone()))));
    origins.extend(captured.header.as_deref().map(|name| Origin::Header(name.value.0.clone())));
    origins.extend(status.map(|_| Origin::Status));
    if let Some(json) = captured.json.as_deref() {
        if !json.value.is_empty() && !json.value.starts_with('/') {
            context
                .findings
                .error("value", json.place, "this is no place in a JSON text")
                .hint("write it as a path from the root, such as `/user/id`");
            return None;
        }
        origins.push(Origin::Json(json.value.clone()));
    }
    if origins.len() != 1 {
        if captured.refused.is_empty() {
            let message = "one of `text`, `json`, `header` and `status` says where it stands";
            context.findings.error("conflict", written.place, message);
        }
        return None;
    }
    origins.pop()
}

/// What is looked at, and what many looks must come to.
pub(super) fn performance(
    section: &Performance,
    place: Place,
    context: &mut Context<'_>,
) -> Option<(Probe, Judgement)> {
    let measure = section.measure.as_deref().map_or(MeasureOf::Latency, |measure| measure.value);
    let uses = matches!(measure, MeasureOf::Cpu | MeasureOf::Memory);
    if let Some(check) = section.check.as_deref().filter(|_| uses) {
        context.findings.error(
            "conflict",
            check.place,
            "the process of the worker is looked at here",
        );
        return None;
    }
    if let Some(value) = section.value.as_deref().filter(|_| measure != MeasureOf::Value) {
        context.findings.error("conflict", value.place, "`value` is for `measure: value`");
        return None;
    }
    if let Some(own) = section.statistic.as_deref().filter(|_| measure == MeasureOf::Cpu) {
        context.findings.error("conflict", own.place, "CPU is always judged by its rate");
        return None;
    }
    let probe = match measure {
        MeasureOf::Cpu => Probe::Usage(Used::Cpu),
        MeasureOf::Memory => Probe::Usage(Used::Memory),
        MeasureOf::Latency | MeasureOf::Value => {
            let check = section.check.as_deref();
            let check = required("check", check, &section.refused, place, context)?;
            let probe = inner(&check.value.0, check.place, context)?;
            match section.value.as_deref() {
                Some(value) => reading(probe, origin(value, context)?),
                None => probe,
            }
        }
    };
    let usual = match measure {
        MeasureOf::Cpu => Statistic::Rate,
        MeasureOf::Memory => Statistic::Greatest,
        MeasureOf::Latency | MeasureOf::Value => Statistic::Percentile(95),
    };
    let at_most = amount(section.at_most.as_deref(), measure, context)?;
    let at_least = amount(section.at_least.as_deref(), measure, context)?;
    if at_most.is_none() && at_least.is_none() {
        context.findings.error("missing-key", place, "`at_most` or `at_least` is missing");
        return None;
    }
    if let (Some(least), Some(most)) = (section.at_least.as_deref(), section.at_most.as_deref())
        && at_least > at_most
    {
        context
            .findings
            .error("conflict", least.place, "`at_least` is more than `at_most`: nothing passes")
            .see(most.place, "`at_most` is set here");
        return None;
    }
    let judgement = Judgement {
        measure: if measure == MeasureOf::Latency { Measure::Latency } else { Measure::Value },
        statistic: section.statistic.as_deref().map_or(usual, |statistic| statistic.value.0),
        window: section.window.as_deref().map_or(WINDOW, |window| window.value),
        samples: section.samples.as_deref().map_or(SAMPLES, |samples| samples.value.get().max(1)),
        at_least,
        at_most,
    };
    Some((probe, judgement))
}

/// A look that reads a number.
fn reading(probe: Probe, from: Origin) -> Probe {
    let (name, when, weight) = (String::from("read"), When::Always, Weight::Decides);
    let captures = vec![Capture { name: VALUE.to_owned(), from }];
    Probe::Steps(vec![Step { name, probe: Box::new(probe), when, captures, weight }])
}

/// A bound in the words of its measure; the outer answer is none after reporting why not.
fn amount(
    written: Option<&At<crate::schema::types::Filled>>,
    measure: MeasureOf,
    context: &mut Context<'_>,
) -> Option<Option<f64>> {
    let Some(written) = written else {
        return Some(None);
    };
    let text = written.value.0.as_str();
    let read: Result<f64, Refused> = match measure {
        MeasureOf::Latency => duration::parse(text).map(|time| time.as_secs_f64()),
        MeasureOf::Memory => size::parse(text).map(|size| {
            #[expect(clippy::cast_precision_loss, reason = "a bound needs no more digits")]
            let bytes = size.0 as f64;
            bytes
        }),
        MeasureOf::Cpu => {
            number::fraction(text.strip_suffix('%').unwrap_or(text)).map(|percent| percent / 100.0)
        }
        MeasureOf::Value => number::fraction(text),
    };
    match read {
        Ok(number) => Some(Some(number)),
        Err(refused) => {
            let message = format!("`{}` {}", shown(text), refused.reason);
            context.findings.error("value", written.place, message).hint(refused.hint);
            None
        }
    }
}
