//! Checks of what is not built yet, so that a file which passes today passes then.

use std::time::Duration;

use super::Context;
use super::worker::required;
use crate::findings::{At, Place};
use crate::schema::flat::FlatHealth;
use crate::schema::health::{HealthCheck, HealthType, RunOptions};
use crate::value::duration;

/// The documented interval and timeout of a check.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A health check, as far as it says how to check.
pub(super) fn health(written: Option<&At<HealthCheck>>, context: &mut Context<'_>) {
    let Some(written) = written else {
        return;
    };
    run_options(written.value.run_options.as_deref(), context);
    if let Some(kind) = &written.value.r#type {
        health_section(kind.value, &written.value, written.place, context);
    }
}

/// The section that the type of a check needs.
fn health_section(kind: HealthType, check: &HealthCheck, place: Place, context: &mut Context<'_>) {
    let refused = &check.refused;
    match kind {
        HealthType::Http if check.http_endpoint.is_some() => {}
        HealthType::Http => {
            if let Some(http) = required("http", check.http.as_deref(), refused, place, context) {
                let http = (&http.value, http.place);
                required("url", http.0.url.as_deref(), &http.0.refused, http.1, context);
            }
        }
        HealthType::Grpc => {
            if let Some(grpc) = required("grpc", check.grpc.as_deref(), refused, place, context) {
                let (grpc, place) = (&grpc.value, grpc.place);
                required("address", grpc.address.as_deref(), &grpc.refused, place, context);
                required("service", grpc.service.as_deref(), &grpc.refused, place, context);
                required("method", grpc.method.as_deref(), &grpc.refused, place, context);
            }
        }
        HealthType::Tcp => {
            if let Some(tcp) = required("tcp", check.tcp.as_deref(), refused, place, context) {
                let (tcp, place) = (&tcp.value, tcp.place);
                required("address", tcp.address.as_deref(), &tcp.refused, place, context);
                required("port", tcp.port.as_deref(), &tcp.refused, place, context);
            }
        }
        HealthType::Exec => {
            if let Some(exec) = required("exec", check.exec.as_deref(), refused, place, context) {
                let (exec, place) = (&exec.value, exec.place);
                required("command", exec.command.as_deref(), &exec.refused, place, context);
            }
        }
        HealthType::Process => {}
    }
}

/// When to check.
pub(super) fn run_options(written: Option<&At<RunOptions>>, context: &mut Context<'_>) {
    if let Some(options) = written.map(|written| &written.value) {
        rhythm(options.interval.as_deref(), options.timeout.as_deref(), context);
    }
}

/// The same in the flat form.
pub(super) fn flat_health(written: Option<&At<FlatHealth>>, context: &mut Context<'_>) {
    if let Some(check) = written.map(|written| &written.value) {
        rhythm(check.interval.as_deref(), check.timeout.as_deref(), context);
    }
}

/// A check ends before the next one begins.
fn rhythm(
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
