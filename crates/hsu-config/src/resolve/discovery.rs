//! Discovery: how a process is found, with what each method needs and nothing else.

use std::time::Duration;

use hsu_model::discovery::{
    Combine, Discovery, Matches, Protocol, Registry, RegistryKind, Search, Text, Unmanaged,
    Validation,
};
use hsu_model::id::WorkerId;

use super::worker::{Common, required};
use super::{Context, limits, master, restart};
use crate::findings::{At, Place, shown};
use crate::schema::discovery::{
    self as schema, Keys, Method, Validation as RawValidation, ValidationType,
};
use crate::schema::root::Worker;
use crate::schema::types::{Filled, Port};
use crate::schema::unit::UnmanagedUnit;
use crate::value::duration;

mod files;
mod rights;

/// The most searches that go together.
const MOST_SEARCHES: usize = 32;
/// The most memory that one compiled pattern may take.
const LARGEST_PATTERN: usize = 1 << 20;
/// The longest that one question over the network may take.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A worker that somebody else starts; none after reporting why not.
pub(super) fn unmanaged(
    id: &WorkerId,
    worker: &Worker,
    unit: &At<UnmanagedUnit>,
    common: &Common<'_>,
    context: &mut Context<'_>,
) -> Option<Unmanaged> {
    let (unit, place) = (&unit.value, unit.place);
    let control = unit.control.as_deref().map(|control| &control.value);
    let rights = rights::resolve(control, context);
    let aware = control.and_then(|control| control.context_aware_restart.as_deref());
    let aware = aware.map(|aware| &aware.value);
    let restart = restart::Written { aware, fleet: common.restart, ..restart::Written::default() };
    let restart = restart::resolve(&restart, context);
    let beside = worker.log_collection.as_deref();
    let (log_files, logs) = files::resolve(id, unit, beside, common.logs, context);
    let written = unit.discovery.as_deref();
    let written = required("discovery", written, &unit.refused, place, context)?;
    let discovery = discover(&written.value, written.place, context)?;
    let limits = limits::of_others(unit.limits.as_deref(), &restart, discovery.matches, context);
    if let (Some(limits), Some(written)) = (&limits, unit.limits.as_deref()) {
        rights::suffice(&rights, limits, written.place, context);
    }
    Some(Unmanaged { discovery, rights, restart, limits, log_files, logs })
}

fn discover(
    written: &schema::Discovery,
    place: Place,
    context: &mut Context<'_>,
) -> Option<Discovery> {
    let method = required("method", written.method.as_deref(), &written.refused, place, context)?;
    let strategies = written.strategies.as_deref();
    let combine = match method.value {
        Method::Any => Combine::Any,
        Method::First => Combine::First,
        Method::PidFile
        | Method::ProcessName
        | Method::Port
        | Method::ServiceName
        | Method::Parent
        | Method::CommandLine
        | Method::Environment
        | Method::WorkingDirectory
        | Method::User
        | Method::File
        | Method::Socket
        | Method::Consul
        | Method::Etcd
        | Method::All => Combine::All,
    };
    let searches = if method.value.is_combination() {
        let list = required("strategies", strategies, &written.refused, place, context)?;
        unused(&written.keys(), &[], context);
        if list.value.is_empty() {
            context
                .findings
                .error("value", list.place, "no searches to put together")
                .hint("write at least one `- method: ...`");
        }
        each(Some(list), context)
    } else {
        if let Some(list) = strategies {
            context
                .findings
                .error("conflict", list.place, "`strategies` beside a single method")
                .hint("write `method: all`, `any` or `first`")
                .see(method.place, "the method is set here");
        }
        Some(vec![search(&written.keys(), place, context)?])
    };
    let (include, exclude) =
        (each(written.include.as_deref(), context), each(written.exclude.as_deref(), context));
    let validation = written.validation.as_deref().map(|list| list.value.as_slice());
    let validation: Vec<_> = validation
        .unwrap_or_default()
        .iter()
        .map(|item| validate(&item.value, item.place, context))
        .collect();
    let interval = written.check_interval.as_deref();
    let check_interval =
        master::positive("check_interval", interval, Discovery::DEFAULT_INTERVAL, context);
    let matches = written.matches.as_deref().map(|matches| matches.value);
    Some(Discovery {
        searches: searches?,
        combine,
        include: include?,
        exclude: exclude?,
        validation: validation.into_iter().collect::<Option<_>>()?,
        check_interval,
        matches: match matches {
            Some(schema::Matches::Many) => Matches::Many,
            Some(schema::Matches::One) | None => Matches::One,
        },
    })
}

fn each(
    list: Option<&At<Vec<At<schema::Search>>>>,
    context: &mut Context<'_>,
) -> Option<Vec<Search>> {
    let Some(list) = list else {
        return Some(Vec::new());
    };
    if list.value.len() > MOST_SEARCHES {
        let message = format!("more than {MOST_SEARCHES} searches");
        context.findings.error("range", list.place, message).hint("put some into one pattern");
    }
    let searches: Vec<_> =
        list.value.iter().map(|item| search(&item.value.keys(), item.place, context)).collect();
    searches.into_iter().collect()
}

/// One search; none after reporting why not.
fn search(keys: &Keys<'_>, place: Place, context: &mut Context<'_>) -> Option<Search> {
    let method = required("method", keys.method, keys.refused, place, context)?;
    if method.value.is_combination() {
        context
            .findings
            .error("value", method.place, "searches do not go together twice")
            .hint("write the searches themselves, or use `include` and `exclude`");
        return None;
    }
    unused(keys, keys_of(method.value), context);
    if let Some(registry) = registry(method.value, keys, place, context) {
        return registry.map(Search::Registry);
    }
    if let Some(looks) = looks(method.value, keys, place, context) {
        return looks;
    }
    let need = |name, value: Option<_>, context: &mut Context<'_>| {
        let value: &At<Filled> = required(name, value, keys.refused, place, context)?;
        Some(value.clone())
    };
    let path = |name, value: Option<_>, what, context: &mut Context<'_>| {
        absolute(&need(name, value, context)?, what, context)
    };
    Some(match method.value {
        Method::PidFile => Search::PidFile(path("pid_file", keys.pid_file, "a PID file", context)?),
        Method::Port => {
            let port = number(required("port", keys.port, keys.refused, place, context)?);
            let protocol = match keys.protocol.map(|protocol| protocol.value) {
                Some(schema::Protocol::Udp) => Protocol::Udp,
                Some(schema::Protocol::Tcp) | None => Protocol::Tcp,
            };
            Search::Port { port, protocol }
        }
        Method::ServiceName => {
            Search::Unit(need("service_name", keys.service_name, context)?.value.0)
        }
        Method::WorkingDirectory => Search::WorkingDirectory(path(
            "working_directory",
            keys.working_directory,
            "a folder",
            context,
        )?),
        Method::User => Search::User(need("user", keys.user, context)?.value.0),
        Method::File => Search::File(path("file", keys.file, "a file", context)?),
        Method::Socket => Search::Socket(path("socket", keys.socket, "a socket", context)?),
        Method::ProcessName
        | Method::Parent
        | Method::CommandLine
        | Method::Environment
        | Method::Consul
        | Method::Etcd
        | Method::All
        | Method::Any
        | Method::First => return None,
    })
}

/// The keys that say something with a method.
fn keys_of(method: Method) -> &'static [&'static str] {
    match method {
        Method::PidFile => &["pid_file"],
        Method::ProcessName => &["process_name", "pattern", "process_args"],
        Method::Port => &["port", "protocol"],
        Method::ServiceName => &["service_name"],
        Method::Parent => &["parent_name", "parent_pattern", "parent_pid_file"],
        Method::CommandLine => &["pattern"],
        Method::Environment => &["variable", "value", "pattern"],
        Method::WorkingDirectory => &["working_directory"],
        Method::User => &["user"],
        Method::File => &["file"],
        Method::Socket => &["socket"],
        Method::Consul => &["url", "service_name", "token_file"],
        Method::Etcd => &["url", "key", "token_file"],
        Method::All | Method::Any | Method::First => &[],
    }
}

/// A search by a name or another text; nothing when the method is not of this kind.
fn looks(
    method: Method,
    keys: &Keys<'_>,
    place: Place,
    context: &mut Context<'_>,
) -> Option<Option<Search>> {
    let search = match method {
        Method::ProcessName => {
            let pair = (("process_name", keys.process_name), ("pattern", keys.pattern));
            let args = keys.process_args.map(|args| args.value.as_slice()).unwrap_or_default();
            let args = args.iter().map(|arg| arg.value.clone()).collect();
            either(pair, keys, place, context).map(|name| Search::Name { name, args })
        }
        Method::Parent => parent(keys, place, context),
        Method::CommandLine => {
            let text = required("pattern", keys.pattern, keys.refused, place, context);
            text.and_then(|text| pattern(text, context)).map(Search::CommandLine)
        }
        Method::Environment => environment(keys, place, context),
        Method::PidFile
        | Method::Port
        | Method::ServiceName
        | Method::WorkingDirectory
        | Method::User
        | Method::File
        | Method::Socket
        | Method::Consul
        | Method::Etcd
        | Method::All
        | Method::Any
        | Method::First => return None,
    };
    Some(search)
}

fn parent(keys: &Keys<'_>, place: Place, context: &mut Context<'_>) -> Option<Search> {
    let Some(file) = keys.parent_pid_file else {
        let pair = (("parent_name", keys.parent_name), ("parent_pattern", keys.parent_pattern));
        return either(pair, keys, place, context).map(Search::ParentName);
    };
    if let Some(other) = keys.parent_name.or(keys.parent_pattern) {
        two(file, other, context);
    }
    absolute(file, "a PID file", context).map(Search::ParentPidFile)
}

fn environment(keys: &Keys<'_>, place: Place, context: &mut Context<'_>) -> Option<Search> {
    let variable = required("variable", keys.variable, keys.refused, place, context);
    let value = match (keys.value, keys.pattern) {
        (Some(value), None) => Some(Text::Exactly(value.value.clone())),
        (None, Some(text)) => Some(Text::Pattern(pattern(text, context)?)),
        (Some(value), Some(text)) => {
            context
                .findings
                .error("conflict", text.place, "`value` and `pattern` say the same thing")
                .hint("keep one of them")
                .see(value.place, "the other one");
            return None;
        }
        (None, None) => None,
    };
    Some(Search::Environment { variable: variable?.value.0.clone(), value })
}

/// A search by a registry; nothing when the method is not of this kind.
fn registry(
    method: Method,
    keys: &Keys<'_>,
    place: Place,
    context: &mut Context<'_>,
) -> Option<Option<Registry>> {
    let (kind, name, service) = match method {
        Method::Consul => (RegistryKind::Consul, "service_name", keys.service_name),
        Method::Etcd => (RegistryKind::Etcd, "key", keys.key),
        Method::PidFile
        | Method::ProcessName
        | Method::Port
        | Method::ServiceName
        | Method::Parent
        | Method::CommandLine
        | Method::Environment
        | Method::WorkingDirectory
        | Method::User
        | Method::File
        | Method::Socket
        | Method::All
        | Method::Any
        | Method::First => return None,
    };
    let url = required("url", keys.url, keys.refused, place, context);
    let url = url.and_then(|url| plain_http(url, context));
    let service = required(name, service, keys.refused, place, context);
    let token_file = keys.token_file.map(|file| absolute(file, "a token", context));
    let made = || {
        let token_file = token_file.map_or(Some(None), |file| file.map(Some))?;
        Some(Registry { kind, url: url?, service: service?.value.0.clone(), token_file })
    };
    Some(made())
}

/// A port was checked when it was read.
fn number(port: &At<Port>) -> u16 {
    u16::try_from(port.value.0).unwrap_or(0)
}

/// An address that can be asked.
fn plain_http(url: &At<Filled>, context: &mut Context<'_>) -> Option<String> {
    let text = &url.value.0;
    let rest = text.strip_prefix("http://");
    let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let is_fine = !host.is_empty() && !host.contains('@') && !text.contains(char::is_whitespace);
    if is_fine {
        return Some(text.clone());
    }
    let problem = context.findings.error("value", url.place, "an address that is not asked here");
    problem.hint(if text.starts_with("https://") {
        "discovery asks `http://` only; ask an agent on this host, without TLS"
    } else {
        "write `http://HOST:PORT`, without user and password"
    });
    None
}

/// A key and what stands behind it.
type Named<'w> = (&'static str, Option<&'w At<Filled>>);

/// A name, or a pattern of it; exactly one of the two keys.
fn either(
    ((one, name), (two_name, text)): (Named<'_>, Named<'_>),
    keys: &Keys<'_>,
    place: Place,
    context: &mut Context<'_>,
) -> Option<Text> {
    match (name, text) {
        (Some(name), None) => Some(Text::Exactly(name.value.0.clone())),
        (None, Some(text)) => pattern(text, context).map(Text::Pattern),
        (Some(name), Some(text)) => {
            two(name, text, context);
            None
        }
        (None, None) if keys.refused.contains(&two_name) => None,
        (None, None) => {
            required(one, None::<&At<Filled>>, keys.refused, place, context);
            None
        }
    }
}

fn two(one: &At<Filled>, other: &At<Filled>, context: &mut Context<'_>) {
    context
        .findings
        .error("conflict", other.place, "two ways to say who is meant")
        .hint("keep one of them")
        .see(one.place, "the other one");
}

fn pattern(text: &At<Filled>, context: &mut Context<'_>) -> Option<String> {
    let mut builder = regex::bytes::RegexBuilder::new(&text.value.0);
    match builder.size_limit(LARGEST_PATTERN).build() {
        Ok(_) => Some(text.value.0.clone()),
        Err(error) => {
            let whole = error.to_string();
            let last = whole.lines().last().unwrap_or_default();
            let reason = last.trim_start_matches("error: ");
            let message = format!("`{}` is no pattern: {reason}", shown(&text.value.0));
            context
                .findings
                .error("value", text.place, message)
                .hint("write a regular expression, such as `^nginx$`");
            None
        }
    }
}

fn absolute(path: &At<Filled>, what: &str, context: &mut Context<'_>) -> Option<String> {
    if context.paths().is_absolute(&path.value.0) {
        return Some(path.value.0.clone());
    }
    let message = format!("the path of {what} is absolute");
    context.findings.error("value", path.place, message).hint("write it from `/`");
    None
}

/// Keys that say nothing with this method.
fn unused(keys: &Keys<'_>, used: &[&str], context: &mut Context<'_>) {
    let written = [
        ("pid_file", keys.pid_file.map(|at| at.place)),
        ("process_name", keys.process_name.map(|at| at.place)),
        ("pattern", keys.pattern.map(|at| at.place)),
        ("process_args", keys.process_args.map(|at| at.place)),
        ("port", keys.port.map(|at| at.place)),
        ("protocol", keys.protocol.map(|at| at.place)),
        ("service_name", keys.service_name.map(|at| at.place)),
        ("parent_name", keys.parent_name.map(|at| at.place)),
        ("parent_pattern", keys.parent_pattern.map(|at| at.place)),
        ("parent_pid_file", keys.parent_pid_file.map(|at| at.place)),
        ("variable", keys.variable.map(|at| at.place)),
        ("value", keys.value.map(|at| at.place)),
        ("working_directory", keys.working_directory.map(|at| at.place)),
        ("user", keys.user.map(|at| at.place)),
        ("file", keys.file.map(|at| at.place)),
        ("socket", keys.socket.map(|at| at.place)),
        ("url", keys.url.map(|at| at.place)),
        ("key", keys.key.map(|at| at.place)),
        ("token_file", keys.token_file.map(|at| at.place)),
    ];
    for (name, place) in written {
        if let Some(place) = place.filter(|_| !used.contains(&name)) {
            context
                .findings
                .error("conflict", place, format!("`{name}` says nothing with this method"))
                .hint("remove it, or write `method: all` with one of `strategies` for each");
        }
    }
}

fn validate(
    written: &RawValidation,
    place: Place,
    context: &mut Context<'_>,
) -> Option<Validation> {
    let refused = &written.refused;
    let kind = required("type", written.r#type.as_deref(), refused, place, context)?;
    let mut timeout = master::positive(
        "timeout",
        written.timeout.as_deref(),
        Validation::DEFAULT_TIMEOUT,
        context,
    );
    if let Some(at) = written.timeout.as_deref().filter(|_| timeout > LONGEST_TIMEOUT) {
        let message = format!("`timeout` is longer than {}", duration::shown(LONGEST_TIMEOUT));
        context.findings.error("range", at.place, message).hint("other workers wait meanwhile");
        timeout = LONGEST_TIMEOUT;
    }
    Some(match kind.value {
        ValidationType::PortCheck => {
            let host = written.host.as_deref();
            let host = host.map_or_else(|| "127.0.0.1".to_owned(), |host| host.value.0.clone());
            let port = required("port", written.port.as_deref(), refused, place, context)?;
            Validation::PortCheck { host, port: number(port), timeout }
        }
        ValidationType::FileExists => {
            let path = required("path", written.path.as_deref(), refused, place, context)?;
            Validation::FileExists(absolute(path, "this file", context)?)
        }
        ValidationType::HttpHealth => {
            let url = required("url", written.url.as_deref(), refused, place, context)?;
            let url = plain_http(url, context)?;
            let expected = written.expected_status.as_deref();
            let expected = expected.and_then(|status| u16::try_from(status.value.0).ok());
            Validation::HttpHealth { url, expected, timeout }
        }
        ValidationType::User => {
            let user = required("user", written.user.as_deref(), refused, place, context)?;
            Validation::User(user.value.0.clone())
        }
        ValidationType::Exe => {
            let path = required("path", written.path.as_deref(), refused, place, context)?;
            Validation::Exe(absolute(path, "a program", context)?)
        }
        ValidationType::Age => {
            let least = written.min.as_deref().map_or(Duration::ZERO, |min| min.value);
            let most = written.max.as_deref();
            if let Some(max) = most.filter(|max| max.value < least) {
                context
                    .findings
                    .error("range", max.place, "`max` is shorter than `min`")
                    .hint("no process would be valid");
            }
            Validation::Age { at_least: least, at_most: most.map(|max| max.value) }
        }
    })
}
