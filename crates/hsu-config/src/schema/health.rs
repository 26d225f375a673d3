//! Health checks. Read and checked in full; nothing performs them yet.

use std::time::Duration;

use crate::findings::At;
use crate::schema::section;
use crate::schema::types::{Count, Filled, Named, Port, words};

section! {
    /// The `health_check` section.
    HealthCheck {
        r#type: HealthType { default: "no check", means: "How to check; the section of that name says what." }
        http: Http { means: "`type: http`: any answer 200 to 299 is healthy." }
        http_endpoint: Filled { means: "As `http.url`." }
        grpc: Grpc { means: "`type: grpc`." }
        tcp: Tcp { means: "`type: tcp`: a connection is healthy." }
        exec: Exec { means: "`type: exec`: exit code 0 is healthy." }
        run_options: RunOptions { means: "When to check." }
    }
}

/// How to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HealthType {
    /// Ask a URL.
    Http,
    /// Ask a gRPC service.
    Grpc,
    /// Connect.
    Tcp,
    /// Run a program.
    Exec,
    /// See whether the process lives.
    Process,
}

words! {
    HealthType {
        "http" => Self::Http,
        "grpc" => Self::Grpc,
        "tcp" => Self::Tcp,
        "exec" => Self::Exec,
        "process" => Self::Process,
    }
}

section! {
    /// The `http` section.
    Http {
        url: Filled { default: "required", means: "What to ask." }
        method: Filled { default: "GET", means: "How to ask." }
        headers: Named<String> { means: "Headers of the question." }
    }
}

section! {
    /// The `grpc` section.
    Grpc {
        address: Filled { default: "required", means: "`host:port`." }
        service: Filled { default: "required", means: "The service." }
        method: Filled { default: "required", means: "Its method." }
        headers: Named<String> { means: "Metadata of the question." }
    }
}

section! {
    /// The `tcp` section.
    Tcp {
        address: Filled { default: "required", means: "The host." }
        port: Port { default: "required", means: "The port." }
    }
}

section! {
    /// The `exec` section.
    Exec {
        command: Filled { default: "required", means: "The program." }
        args: Vec<At<String>> { means: "Its arguments." }
    }
}

section! {
    /// The `run_options` section.
    RunOptions {
        enabled: bool { default: "true", means: "Whether to check at all." }
        interval: Duration { default: "30s", means: "Time between two checks." }
        timeout: Duration { default: "5s", means: "Time that a check may take; less than `interval`." }
        initial_delay: Duration { default: "0s", means: "Time before the first check." }
        retries: Count { default: "2", means: "Failed checks in a row before it counts as unhealthy." }
    }
}
