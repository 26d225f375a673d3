//! The check of the flat form: one, whose kind follows from its keys.

use std::sync::Arc;
use std::time::Duration;

use hsu_model::health::probe::{
    Answerer, Endpoint, Grpc, GrpcQuestion, Pattern, Place as Target, Probe, Reach,
};
use hsu_model::health::{Check, Duty, Health, Rhythm, Source};
use hsu_model::severity::Severity;

use super::{Context, INTERVAL, JITTER, RETRIES, TIMEOUT, beats, kinds};
use crate::findings::At;
use crate::resolve::one_of;
use crate::schema::flat::{FlatHealth, FlatRunOptions};

/// The statuses that are healthy when none is named.
const GOOD: (u16, u16) = (200, 299);

pub(super) fn resolve(
    written: Option<&At<FlatHealth>>,
    options: Option<&At<FlatRunOptions>>,
    context: &mut Context<'_>,
) -> Health {
    if written.is_none() && options.is_none() {
        return Health::default();
    }
    let check = written.map(|written| &written.value);
    let options = options.map(|options| &options.value);
    let time =
        |name,
         own: Option<&At<Duration>>,
         other: Option<&At<Duration>>,
         context: &mut Context<'_>| { one_of(name, own, other, context).cloned() };
    let interval = time(
        "interval",
        check.and_then(|check| check.interval.as_deref()),
        options.and_then(|options| options.interval.as_deref()),
        context,
    );
    let timeout = time(
        "timeout",
        check.and_then(|check| check.timeout.as_deref()),
        options.and_then(|options| options.timeout.as_deref()),
        context,
    );
    let delay = time(
        "initial_delay",
        check.and_then(|check| check.initial_delay.as_deref()),
        options.and_then(|options| options.initial_delay.as_deref()),
        context,
    );
    beats(interval.as_ref(), timeout.as_ref(), context);
    let failures = threshold(check, options, context);
    let probe = probe(check, context);
    let off = |enabled: Option<&At<bool>>| enabled.is_some_and(|enabled| !enabled.value);
    let is_off = off(check.and_then(|check| check.enabled.as_deref()))
        || off(options.and_then(|options| options.enabled.as_deref()));
    let Some(probe) = probe.filter(|_| !is_off) else {
        return Health::default();
    };
    let rhythm = Rhythm {
        initial_delay: delay.map_or(Duration::ZERO, |delay| delay.value),
        interval: interval.map_or(INTERVAL, |interval| interval.value),
        timeout: timeout.map_or(TIMEOUT, |timeout| timeout.value),
        jitter: JITTER,
        failure_threshold: failures,
        success_threshold: 1,
        adaptive: None,
        flapping: None,
    };
    let name = probe.kind().to_owned();
    let source =
        Source::Probed { probe: Arc::new(probe), judgement: None, shared_for: Duration::ZERO };
    let duties = vec![Duty::Readiness, Duty::Liveness];
    let (severity, after) = (Severity::Critical, Vec::new());
    Health { checks: vec![Check { name, duties, source, rhythm, severity, after }] }
}

/// Failures in a row, under whichever of its three names.
fn threshold(
    check: Option<&FlatHealth>,
    options: Option<&FlatRunOptions>,
    context: &mut Context<'_>,
) -> u32 {
    let number = |value: i64, place| At { value, place };
    let own = check.and_then(|check| check.failure_threshold.as_deref());
    let own = own.map(|most| number(most.value.0, most.place));
    let most = options.and_then(|options| options.failure_threshold.as_deref());
    let most = most.map(|most| number(most.value.0, most.place));
    let retries = options.and_then(|options| options.retries.as_deref());
    let retries = retries.map(|most| number(most.value.0, most.place));
    let same = one_of("failure_threshold", own.as_ref(), most.as_ref(), context).cloned();
    let found = one_of("retries", same.as_ref(), retries.as_ref(), context);
    found.map_or(RETRIES, |most| u32::try_from(most.value).unwrap_or(u32::MAX).max(1))
}

/// A URL is asked, else a gRPC service, else the process is looked at.
fn probe(check: Option<&FlatHealth>, context: &mut Context<'_>) -> Option<Probe> {
    let Some(check) = check else {
        return Some(Probe::Process);
    };
    if let Some(url) = check.http_endpoint.as_deref() {
        let text = At { value: url.value.0.clone(), place: url.place };
        let mut http = kinds::plain_http(&text, context)?;
        if let Some(method) = check.method.as_deref() {
            http.method = kinds::method(&method.value.0, method.place, context)?;
        }
        let statuses = check.expected_status.as_deref().map_or(&[][..], |list| &list.value);
        let narrow = |status: i64| u16::try_from(status).unwrap_or(u16::MAX);
        let own = statuses.iter().map(|status| narrow(status.value.0));
        http.statuses = own.map(|status| (status, status)).collect();
        if http.statuses.is_empty() {
            http.statuses.push(GOOD);
        }
        http.expect =
            check.expected_body.as_deref().map(|text| Pattern(regex::escape(&text.value)));
        return Some(Probe::Http(http));
    }
    let is_asked = check.grpc_health_check.as_deref().is_none_or(|asked| asked.value);
    match check.grpc_service.as_deref().filter(|_| is_asked) {
        Some(service) => {
            let text = At { value: service.value.0.clone(), place: service.place };
            let (host, port) = kinds::host_and_port(&text, context)?;
            let place = Target::Port { host, port, reach: Reach::Usual };
            Some(Probe::Grpc(Grpc {
                endpoint: Endpoint { place, tls: None, answerer: Answerer::Anybody },
                authority: text.value,
                question: GrpcQuestion::Health(String::new()),
                headers: Vec::new(),
            }))
        }
        None => Some(Probe::Process),
    }
}
