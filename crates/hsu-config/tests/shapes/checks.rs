//! Shapes of health checks, discovery, and workers that are not created yet.

use super::{At, Shape, debug, holds, later};

pub(crate) fn shapes() -> Vec<Shape> {
    let mut all = health();
    all.extend(kinds());
    all
}

fn health() -> Vec<Shape> {
    [
        "health_check: { type: http, http: { url: \"http://h/\", method: GET, headers: { a: b } }, run_options: { enabled: true, interval: 30s, timeout: 5s, initial_delay: 2s, retries: 2 } }",
        "health_check: { type: http, http_endpoint: \"http://h/\" }",
        "health_check: { type: grpc, grpc: { address: \"h:1\", service: S, method: M, headers: { a: b } } }",
        "health_check: { type: tcp, tcp: { address: h, port: 1 } }",
        "health_check: { type: exec, exec: { command: /bin/true, args: [-x] } }",
        "health_check: { type: process }",
    ]
    .map(|text| later(At::Managed, text, &["`health_check` is not built yet"]))
    .into()
}

/// Workers of the other two types: one warning, and no worker.
fn kinds() -> Vec<Shape> {
    let gone = |at, text, warns| Shape {
        look: |fleet| debug(fleet.workers.len()),
        means: "0",
        ..later(at, text, warns)
    };
    let mut all: Vec<_> = [
        "discovery: { method: pid-file, pid_file: /run/x.pid, check_interval: 60s }",
        "discovery: { method: pid_file, pid_file: /run/x.pid }",
        "discovery: { method: process-name, process_name: nginx, process_args: [-g] }",
        "discovery: { method: process_name, process_name: nginx }",
        "discovery: { method: port, port: 80, protocol: tcp }",
        "discovery: { method: port, port: 80, protocol: udp }",
        "discovery: { method: service-name, service_name: nginx }",
        "discovery: { method: service_name, service_name: nginx }",
        "discovery: { strategy: process_name_pattern, pattern: \"llama*\", validation: [{ type: port_check, port: 1, host: h, timeout: 1s }, { type: file_exists, path: /x }, { type: file_exists, file: /x }, { type: http_health, url: \"http://h/\", expected_status: 200 }, { type: http_health, endpoint: \"http://h/\" }] }",
        "discovery: { strategy: port_based, port: 8080 }",
        "discovery: { method: port, port: 1 }, metadata: { name: n }, health_check: { type: process }, control: { can_terminate: true, can_restart: true, service_manager: systemd, service_name: x, allowed_signals: [SIGTERM, 9], graceful_timeout: 30s }",
        "discovery: { method: port, port: 1 }, control: { service_manager: windows }",
        "discovery: { method: port, port: 1 }, control: { service_manager: launchd }",
    ]
    .map(|text| gone(At::Unmanaged, text, &["`unmanaged` is not built yet"]))
    .into();
    all.extend(
        [
            "metadata: { name: n }",
            "health_check_run_options: { enabled: true, interval: 30s, timeout: 5s }",
            "health_check: { type: process }",
        ]
        .map(|text| gone(At::Integrated, text, &["`integrated` is not built yet"])),
    );
    all
}

#[test]
fn what_is_not_built_is_read_and_told() {
    holds(&shapes());
}
