//! Shapes of health checks, and of workers that are not created yet.

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

/// Workers of the type that is not built: one warning, and no worker.
fn kinds() -> Vec<Shape> {
    let gone = |at, text, warns| Shape {
        look: |fleet| debug(fleet.workers.len()),
        means: "0",
        ..later(at, text, warns)
    };
    let mut all = Vec::new();
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
