//! What each kind of check looks at, with every default filled in.

use std::sync::Arc;
use std::time::Duration;

use hsu_model::health::Source;
use hsu_model::health::probe::{
    Answerer, Endpoint, Exec, File, Grpc, GrpcQuestion, Http, Pattern, Place as Target, Presence,
    Probe, Reach, Tls, Trust,
};

use super::{Context, more, templates};
use crate::findings::{At, Place, shown};
use crate::resolve::execution::missing_program;
use crate::resolve::worker::required;
use crate::schema::health::kinds as raw;
use crate::schema::health::{Headers, HealthCheck, HealthType};
use crate::schema::types::Filled;
use crate::surroundings::Os;

/// A script that is sent through a pipe fits into it.
const MOST_SCRIPT: usize = 64 << 10;
const SHELL: &str = "/bin/sh";

/// The probe of a check, and how it is made; none after reporting why not.
pub(super) fn source(
    check: &HealthCheck,
    kind: HealthType,
    place: Place,
    context: &mut Context<'_>,
) -> Option<Source> {
    warn_of_siblings(check, kind, context);
    let (probe, judgement) = match (kind, check.performance.as_deref()) {
        (HealthType::Performance, section) => {
            let section = required("performance", section, &check.refused, place, context)?;
            let (probe, judgement) = more::performance(&section.value, section.place, context)?;
            (probe, Some(judgement))
        }
        _ => (probe(check, kind, place, context)?, None),
    };
    let shared = check.shared_for.as_deref();
    if let Some(shared) = shared.filter(|shared| !shared.value.is_zero() && probe.is_of_worker()) {
        context
            .findings
            .error("conflict", shared.place, "`shared_for` in a check of the worker itself")
            .hint("what one worker's process or program says holds for no other");
    }
    let shared_for = shared.map_or(Duration::ZERO, |shared| shared.value);
    Some(Source::Probed { probe: Arc::new(probe), judgement, shared_for })
}

/// A check has the section of its kind. One of another kind does nothing.
fn warn_of_siblings(check: &HealthCheck, kind: HealthType, context: &mut Context<'_>) {
    let sections = [
        (HealthType::Http, check.http.as_deref().map(|section| section.place)),
        (HealthType::Http, check.http_endpoint.as_deref().map(|section| section.place)),
        (HealthType::Grpc, check.grpc.as_deref().map(|section| section.place)),
        (HealthType::Tcp, check.tcp.as_deref().map(|section| section.place)),
        (HealthType::Exec, check.exec.as_deref().map(|section| section.place)),
        (HealthType::Script, check.script.as_deref().map(|section| section.place)),
        (HealthType::File, check.file.as_deref().map(|section| section.place)),
        (HealthType::Database, check.database.as_deref().map(|section| section.place)),
        (HealthType::Protocol, check.protocol.as_deref().map(|section| section.place)),
        (HealthType::Log, check.log.as_deref().map(|section| section.place)),
        (HealthType::Steps, check.steps.as_deref().map(|section| section.place)),
        (HealthType::Performance, check.performance.as_deref().map(|section| section.place)),
        (HealthType::Template, check.template.as_deref().map(|section| section.place)),
        (HealthType::Composite, check.composite.as_deref().map(|section| section.place)),
    ];
    for (other, place) in sections {
        if let Some(place) = place.filter(|_| other != kind) {
            let (own, other) = (super::word(kind), super::word(other));
            context
                .findings
                .warning("unused", place, format!("a `{other}` section in a check of type `{own}`"))
                .hint("it does nothing; write a check of its own for it");
        }
    }
}

pub(super) fn probe(
    check: &HealthCheck,
    kind: HealthType,
    place: Place,
    context: &mut Context<'_>,
) -> Option<Probe> {
    let refused = &check.refused;
    match kind {
        HealthType::Http => http(check, place, context).map(Probe::Http),
        HealthType::Grpc => {
            let section = required("grpc", check.grpc.as_deref(), refused, place, context)?;
            grpc(&section.value, section.place, context).map(Probe::Grpc)
        }
        HealthType::Tcp => {
            let section = required("tcp", check.tcp.as_deref(), refused, place, context)?;
            tcp(&section.value, section.place, context).map(Probe::Tcp)
        }
        HealthType::Exec => {
            let section = required("exec", check.exec.as_deref(), refused, place, context)?;
            exec(&section.value, section.place, context).map(Probe::Exec)
        }
        HealthType::Script => {
            let section = required("script", check.script.as_deref(), refused, place, context)?;
            script(&section.value, section.place, context).map(Probe::Exec)
        }
        HealthType::File => {
            let section = required("file", check.file.as_deref(), refused, place, context)?;
            file(&section.value, section.place, context).map(Probe::File)
        }
        HealthType::Database => {
            let section = required("database", check.database.as_deref(), refused, place, context)?;
            more::database(&section.value, section.place, context).map(Probe::Database)
        }
        HealthType::Protocol => {
            let section = required("protocol", check.protocol.as_deref(), refused, place, context)?;
            more::protocol(&section.value, section.place, context).map(Probe::Protocol)
        }
        HealthType::Log => {
            let section = required("log", check.log.as_deref(), refused, place, context)?;
            more::log(&section.value, section.place, context).map(Probe::Log)
        }
        HealthType::Steps => {
            let section = required("steps", check.steps.as_deref(), refused, place, context)?;
            more::steps(section, context).map(Probe::Steps)
        }
        HealthType::Template => {
            let section = required("template", check.template.as_deref(), refused, place, context)?;
            templates::resolve(&section.value, section.place, context)
        }
        HealthType::Process => Some(Probe::Process),
        // These follow from checks and look at nothing by themselves.
        HealthType::Composite | HealthType::Performance => None,
    }
}

fn http(check: &HealthCheck, place: Place, context: &mut Context<'_>) -> Option<Http> {
    if let Some(url) = check.http_endpoint.as_deref() {
        if let Some(section) = check.http.as_deref() {
            context
                .findings
                .error("duplicate-key", url.place, "`http_endpoint` beside `http`")
                .hint("keep `http.url`")
                .see(section.place, "the section");
            return None;
        }
        return plain_http(&At { value: url.value.0.clone(), place: url.place }, context);
    }
    let section = required("http", check.http.as_deref(), &check.refused, place, context)?;
    let (section, place) = (&section.value, section.place);
    let url = required("url", section.url.as_deref(), &section.refused, place, context)?;
    let mut http = plain_http(&At { value: url.value.0.clone(), place: url.place }, context)?;
    let reach = reach(section.allow_link_local.as_deref());
    http.endpoint.answerer = answerer(section.answered_by.as_deref(), context)?;
    if let Some(socket) = section.unix_socket.as_deref() {
        http.endpoint.place = Target::Socket(context.paths().absolute(&socket.value.0));
    } else if let Target::Port { reach: own, .. } = &mut http.endpoint.place {
        *own = reach;
    }
    match section.tls.as_deref() {
        Some(written) if http.endpoint.tls.is_none() => {
            context
                .findings
                .error("conflict", written.place, "`tls` for a URL that begins with `http://`")
                .hint("write `https://`")
                .see(url.place, "the URL");
            return None;
        }
        Some(written) => http.endpoint.tls = Some(tls(&written.value, context)?),
        None => {}
    }
    if let Some(method) = section.method.as_deref() {
        http.method = self::method(&method.value.0, method.place, context)?;
    }
    http.headers = headers(section.headers.as_deref(), context)?;
    http.body = section.body.as_deref().map(|body| body.value.clone());
    if let Some(statuses) = section.expected_status.as_deref().filter(|list| !list.value.is_empty())
    {
        let ranges = statuses.value.iter().map(|range| (range.value.0, range.value.1));
        http.statuses = ranges.collect();
    }
    http.expect = pattern(section.expected_body.as_deref());
    let redirects = section.follow_redirects.as_deref().map_or(0, |most| most.value.0);
    http.redirects = u8::try_from(redirects).unwrap_or(0);
    Some(http)
}

/// A question of which only the URL is written.
pub(super) fn plain_http(url: &At<String>, context: &mut Context<'_>) -> Option<Http> {
    let refuse = |why: &str, hint: &str, context: &mut Context<'_>| {
        let message = format!("`{}` {why}", shown(&url.value));
        context.findings.error("value", url.place, message).hint(hint.to_owned());
    };
    let lower = url.value.to_ascii_lowercase();
    let (is_protected, rest) = if lower.starts_with("http://") {
        (false, url.value.get(7..).unwrap_or_default())
    } else if lower.starts_with("https://") {
        (true, url.value.get(8..).unwrap_or_default())
    } else {
        refuse("is no URL of a web server", "begin with `http://` or `https://`", context);
        return None;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        refuse("holds a user", "send it as a header: `headers: { Authorization: ... }`", context);
        return None;
    }
    let path = path.split('#').next().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain(&path) || !is_plain(authority) || authority.contains('\\') {
        refuse("has characters that no URL has", "write them as `%20` and so on", context);
        return None;
    }
    let usual = if is_protected { 443 } else { 80 };
    let Some((host, port)) = split(authority, Some(usual)) else {
        refuse("does not say which host", "write `http://HOST:PORT/PATH`", context);
        return None;
    };
    Some(Http {
        endpoint: Endpoint {
            place: Target::Port { host, port, reach: Reach::Usual },
            tls: is_protected.then(Tls::default),
            answerer: Answerer::Anybody,
        },
        host: authority.to_owned(),
        path,
        method: "GET".to_owned(),
        headers: Vec::new(),
        body: None,
        statuses: vec![(200, 299)],
        expect: None,
        redirects: 0,
    })
}

/// Host and port of `host:port` or `[v6]:port`.
fn split(authority: &str, usual: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, after.strip_prefix(':').or_else(|| after.is_empty().then_some(""))?)
        }
        None => authority.rsplit_once(':').unwrap_or((authority, "")),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if host.is_empty() || host.len() > 253 || !host.chars().all(is_name) {
        return None;
    }
    let port = if port.is_empty() { usual? } else { port.parse().ok().filter(|port| *port > 0)? };
    Some((host.to_owned(), port))
}

/// Host and port, both of them written.
pub(super) fn host_and_port(text: &At<String>, context: &mut Context<'_>) -> Option<(String, u16)> {
    let found = split(&text.value, None);
    if found.is_none() {
        let message = format!("`{}` is not a host and a port", shown(&text.value));
        context.findings.error("value", text.place, message).hint("write `HOST:PORT`");
    }
    found
}

/// An HTTP method.
pub(super) fn method(text: &str, place: Place, context: &mut Context<'_>) -> Option<String> {
    if text.bytes().all(|byte| byte.is_ascii_alphabetic()) && text.len() <= 32 {
        return Some(text.to_ascii_uppercase());
    }
    let message = format!("`{}` is no HTTP method", shown(text));
    context.findings.error("value", place, message).hint("write `GET`, `HEAD`, `POST` and so on");
    None
}

fn headers(
    written: Option<&At<Headers>>,
    context: &mut Context<'_>,
) -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (name, value) in written.map_or(&[][..], |headers| headers.value.0.as_slice()) {
        // Source: RFC 9110, section 5.6.2 and 5.5.
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_name = !name.value.is_empty() && name.value.bytes().all(is_token);
        let is_value = value.value.chars().all(|c| !c.is_control() || c == '\t');
        if !is_name || !is_value {
            let place = if is_name { value.place } else { name.place };
            context.findings.error("value", place, "this cannot stand in a header");
            return None;
        }
        all.push((name.value.clone(), value.value.clone()));
    }
    Some(all)
}

pub(super) fn reach(allowed: Option<&At<bool>>) -> Reach {
    match allowed {
        Some(At { value: true, .. }) => Reach::Anywhere,
        Some(_) | None => Reach::Usual,
    }
}

/// Whose answer counts; none after reporting why that cannot be told.
pub(super) fn answerer(
    written: Option<&At<raw::AnsweredBy>>,
    context: &mut Context<'_>,
) -> Option<Answerer> {
    let Some(written) = written else { return Some(Answerer::Anybody) };
    let wanted = match &written.value {
        raw::AnsweredBy::Anybody => return Some(Answerer::Anybody),
        raw::AnsweredBy::Worker => Answerer::Worker,
        raw::AnsweredBy::User(section) => {
            let (user, refused) = (section.user.as_deref(), &section.refused);
            let user = required("user", user, refused, written.place, context)?;
            Answerer::User(user.value.0.clone())
        }
    };
    if context.surroundings.os != Os::Linux {
        context
            .findings
            .error("conflict", written.place, "who answers is told on Linux only")
            .hint("leave `answered_by` out here");
        return None;
    }
    Some(wanted)
}

pub(super) fn pattern(written: Option<&At<raw::Regex>>) -> Option<Pattern> {
    written.map(|pattern| Pattern(pattern.value.0.clone()))
}

pub(super) fn tls(written: &raw::Tls, context: &mut Context<'_>) -> Option<Tls> {
    let paths = context.paths();
    let path = |file: Option<&At<Filled>>| file.map(|file| paths.absolute(&file.value.0));
    let (certificate, key) = (written.cert_file.as_deref(), written.key_file.as_deref());
    let client = path(certificate).zip(path(key));
    if let (Some(alone), None) = (certificate.or(key), &client) {
        let place = alone.place;
        context.findings.error("missing-key", place, "`cert_file` and `key_file` come together");
        return None;
    }
    let insecure = written.insecure.as_deref().filter(|insecure| insecure.value);
    if let (Some(insecure), Some(authority)) = (insecure, written.ca_file.as_deref()) {
        context
            .findings
            .error("conflict", insecure.place, "`insecure` believes any certificate")
            .see(authority.place, "so this has no effect");
        return None;
    }
    Some(Tls {
        authority: path(written.ca_file.as_deref()),
        server_name: written.server_name.as_deref().map(|name| name.value.0.clone()),
        client,
        trust: if insecure.is_some() { Trust::Anybody } else { Trust::Proven },
    })
}

fn grpc(section: &raw::Grpc, place: Place, context: &mut Context<'_>) -> Option<Grpc> {
    let address =
        required("address", section.address.as_deref(), &section.refused, place, context)?;
    let text = At { value: address.value.0.clone(), place: address.place };
    let (host, port) = host_and_port(&text, context)?;
    let target = match section.unix_socket.as_deref() {
        Some(socket) => Target::Socket(context.paths().absolute(&socket.value.0)),
        None => Target::Port { host, port, reach: reach(section.allow_link_local.as_deref()) },
    };
    let tls = match section.tls.as_deref() {
        Some(written) => Some(tls(&written.value, context)?),
        None => None,
    };
    let answerer = answerer(section.answered_by.as_deref(), context)?;
    let service = section.service.as_deref();
    let question = match section.method.as_deref() {
        None => GrpcQuestion::Health(service.map_or_else(String::new, |name| name.value.clone())),
        Some(method) => {
            let service = required("service", service, &section.refused, place, context)?;
            let is_health = service.value == "grpc.health.v1.Health" && method.value.0 == "Check";
            match is_health {
                true => GrpcQuestion::Health(String::new()),
                false => GrpcQuestion::Call(format!("/{}/{}", service.value, method.value.0)),
            }
        }
    };
    if let GrpcQuestion::Call(path) = &question
        && !path.bytes().all(|byte| byte.is_ascii_graphic())
    {
        context.findings.error("value", place, "no method has such a name");
        return None;
    }
    let headers = headers(section.headers.as_deref(), context)?;
    Some(Grpc {
        endpoint: Endpoint { place: target, tls, answerer },
        authority: text.value,
        question,
        headers,
    })
}

fn tcp(section: &raw::Tcp, place: Place, context: &mut Context<'_>) -> Option<Endpoint> {
    let tls = match section.tls.as_deref() {
        Some(written) => Some(tls(&written.value, context)?),
        None => None,
    };
    let answerer = answerer(section.answered_by.as_deref(), context)?;
    if let Some(socket) = section.unix_socket.as_deref() {
        let place = Target::Socket(context.paths().absolute(&socket.value.0));
        return Some(Endpoint { place, tls, answerer });
    }
    let refused = &section.refused;
    let address = required("address", section.address.as_deref(), refused, place, context);
    let port = required("port", section.port.as_deref(), refused, place, context);
    let (address, port) = (address?, port?);
    let port = u16::try_from(port.value.0).unwrap_or(0);
    let host = address.value.0.trim_start_matches('[').trim_end_matches(']').to_owned();
    let reach = reach(section.allow_link_local.as_deref());
    Some(Endpoint { place: Target::Port { host, port, reach }, tls, answerer })
}

fn exec(section: &raw::Exec, place: Place, context: &mut Context<'_>) -> Option<Exec> {
    let command =
        required("command", section.command.as_deref(), &section.refused, place, context)?;
    if context.options.check_files
        && let Some((what, advice)) = missing_program(&command.value.0, None, context)
    {
        let hint = format!("{advice}; the check fails without it");
        context.findings.warning("missing-program", command.place, what).hint(hint);
    }
    Some(Exec {
        program: command.value.0.clone(),
        args: texts(section.args.as_deref()),
        input: None,
        environment: section
            .environment
            .as_deref()
            .map_or_else(Vec::new, |list| list.value.0.clone()),
        working_directory: folder(section.working_directory.as_deref(), context),
        codes: codes(section.expected_exit_codes.as_deref()),
        expect: pattern(section.expected_output.as_deref()),
    })
}

fn script(section: &raw::Script, place: Place, context: &mut Context<'_>) -> Option<Exec> {
    let interpreter = section.interpreter.as_deref();
    let program = interpreter.map_or_else(|| SHELL.to_owned(), |program| program.value.0.clone());
    let mut args = texts(section.args.as_deref());
    let input = match (section.inline.as_deref(), section.file.as_deref()) {
        (Some(inline), None) => {
            if inline.value.0.len() > MOST_SCRIPT {
                let message = format!("a script of more than {MOST_SCRIPT} bytes");
                context.findings.error("range", inline.place, message).hint("put it into a `file`");
                return None;
            }
            if let Some(args) = section.args.as_deref().filter(|args| !args.value.is_empty()) {
                context.findings.error("conflict", args.place, "`args` for an `inline` script");
                return None;
            }
            Some(inline.value.0.clone())
        }
        (None, Some(file)) => {
            args.insert(0, context.paths().absolute(&file.value.0));
            None
        }
        (Some(_), Some(file)) => {
            context.findings.error("conflict", file.place, "`file` beside `inline`");
            return None;
        }
        (None, None) => {
            if section.refused.is_empty() {
                context.findings.error("missing-key", place, "`inline` or `file` is missing");
            }
            return None;
        }
    };
    Some(Exec {
        program,
        args,
        input,
        environment: section
            .environment
            .as_deref()
            .map_or_else(Vec::new, |list| list.value.0.clone()),
        working_directory: folder(section.working_directory.as_deref(), context),
        codes: codes(section.expected_exit_codes.as_deref()),
        expect: pattern(section.expected_output.as_deref()),
    })
}

fn texts(list: Option<&At<Vec<At<String>>>>) -> Vec<String> {
    list.map_or_else(Vec::new, |list| list.value.iter().map(|text| text.value.clone()).collect())
}

fn folder(written: Option<&At<Filled>>, context: &Context<'_>) -> Option<String> {
    written.map(|folder| context.paths().absolute(&folder.value.0))
}

fn codes(written: Option<&At<Vec<At<crate::schema::types::Whole<0, 255>>>>>) -> Vec<i32> {
    let codes = written.map_or(&[][..], |list| list.value.as_slice());
    if codes.is_empty() {
        return vec![0];
    }
    codes.iter().map(|code| i32::try_from(code.value.0).unwrap_or(0)).collect()
}

fn file(section: &raw::FileCheck, place: Place, context: &mut Context<'_>) -> Option<File> {
    let path = required("path", section.path.as_deref(), &section.refused, place, context)?;
    let is_absent = section.exists.as_deref().is_some_and(|exists| !exists.value);
    let looks_inside = [
        section.max_age.as_deref().map(|time| time.place),
        section.min_age.as_deref().map(|time| time.place),
        section.min_size.as_deref().map(|size| size.place),
        section.max_size.as_deref().map(|size| size.place),
        section.expected_content.as_deref().map(|content| content.place),
    ];
    if let Some(place) = looks_inside.into_iter().flatten().next().filter(|_| is_absent) {
        context.findings.error(
            "conflict",
            place,
            "a file that must not be there has no such thing",
        );
        return None;
    }
    if !context.paths().is_absolute(&path.value.0) {
        let absolute = context.paths().absolute(&path.value.0);
        context
            .findings
            .warning("relative-path", path.place, format!("this path means `{}`", shown(&absolute)))
            .hint("a relative one is taken from where the master is started; write it from `/`");
    }
    Some(File {
        path: context.paths().absolute(&path.value.0),
        presence: if is_absent { Presence::Absent } else { Presence::Present },
        newest: section.max_age.as_deref().map(|age| age.value),
        oldest: section.min_age.as_deref().map(|age| age.value),
        least_size: section.min_size.as_deref().map(|size| size.value.0),
        most_size: section.max_size.as_deref().map(|size| size.value.0),
        expect: pattern(section.expected_content.as_deref()),
    })
}
