//! Health checks: one, or lists of them by what hangs on each.

use std::time::Duration;

use crate::findings::At;
use crate::node::Node;
use crate::reader::Reader;
use crate::schema::health::kinds::{Composite, Exec, FileCheck, Grpc, Http, Script, Tcp};
use crate::schema::health::more::{
    DatabaseCheck, LogCheck, Performance, ProtocolCheck, Step, Template,
};
use crate::schema::types::{Count, Filled, Jitter, Named, Whole, words};
use crate::schema::{Read, Shape, section};
use hsu_model::severity::Severity;

pub(crate) mod kinds;
pub(crate) mod more;

section! {
    /// The `health` section.
    HealthLists {
        startup: Vec<At<HealthCheck>> { means: "The worker has come up when each of these passes; until then no other check of it is made. One that fails restarts it." }
        readiness: Vec<At<HealthCheck>> { means: "The worker is ready while each of these passes." }
        liveness: Vec<At<HealthCheck>> { means: "The worker is restarted when one of these fails." }
        dependencies: Vec<At<HealthCheck>> { means: "What the worker needs of others: it is degraded while one of these fails." }
        checks: Vec<At<HealthCheck>> { means: "Nothing hangs on these by themselves: they are shown, and a `composite` may name them." }
    }
}

section! {
    /// A check.
    HealthCheck {
        name: Filled { default: "the `type`", means: "Its name: ASCII letters, digits, `-` and `_`." }
        r#type: HealthType { default: "the kind whose section is there; no check without one", means: "How to check; the section of that name says what." }
        http: Http { means: "`type: http`: an answer with a good status is healthy." }
        http_endpoint: Filled { means: "As `http.url`." }
        grpc: Grpc { means: "`type: grpc`: a server that says `SERVING` is healthy." }
        tcp: Tcp { means: "`type: tcp`: a connection is healthy." }
        exec: Exec { means: "`type: exec`: exit code 0 is healthy." }
        script: Script { means: "`type: script`: the same for a script." }
        file: FileCheck { means: "`type: file`: a file as it should be is healthy." }
        database: DatabaseCheck { means: "`type: database`: a database that takes clients, or answers a query, is healthy." }
        protocol: ProtocolCheck { means: "`type: protocol`: whoever says what is expected is healthy." }
        log: LogCheck { means: "`type: log`: a line that the worker has written." }
        steps: Vec<At<Step>> { means: "`type: steps`: several looks, one after the other." }
        performance: Performance { means: "`type: performance`: what many looks together come to." }
        template: Template { means: "`type: template`: what fits a common service." }
        composite: Composite { means: "`type: composite`: follows from other checks of the worker." }
        run_options: RunOptions { means: "When to check." }
        severity: Severity { default: "critical", means: "Which of `severity_multipliers` holds when it restarts the worker." }
        after: Vec<At<Filled>> { means: "Checks of the worker, by name, that must pass for this one to be made." }
        shared_for: Duration { default: "0s", means: "How old the result of an equal check, also of another worker, may be to be taken for this one's. For checks that do not look at the worker itself." }
        restart: bool { default: "false", means: "For `dependencies`: restart the worker too when it fails." }
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
    /// See whether the process can react.
    Process,
    /// Run a script.
    Script,
    /// Look at a file.
    File,
    /// Ask a database.
    Database,
    /// Say something and expect something.
    Protocol,
    /// Read what the worker writes.
    Log,
    /// Take several looks.
    Steps,
    /// Judge many looks.
    Performance,
    /// Do what fits a common service.
    Template,
    /// Put other checks together.
    Composite,
}

words! {
    HealthType {
        "http" => Self::Http,
        "grpc" => Self::Grpc,
        "tcp" => Self::Tcp,
        "exec" => Self::Exec,
        "process" => Self::Process,
        "script" => Self::Script,
        "file" => Self::File,
        "database" => Self::Database,
        "protocol" => Self::Protocol,
        "log" => Self::Log,
        "steps" => Self::Steps,
        "performance" => Self::Performance,
        "template" => Self::Template,
        "composite" => Self::Composite,
    } else {
        "multi_step" => "steps",
    }
}

words! {
    Severity {
        "warning" => Self::Warning,
        "critical" => Self::Critical,
        "emergency" => Self::Emergency,
    }
}

section! {
    /// The `run_options` section.
    RunOptions {
        enabled: bool { default: "true", means: "Whether to check at all." }
        interval: Duration { default: "30s", means: "Time between two checks." }
        timeout: Duration { default: "5s", means: "Time that a check may take; less than `interval`." }
        initial_delay: Duration { default: "0s", means: "Time from the start of the process to the first check." }
        retries: Count { default: "2", means: "Failed checks in a row before it counts as unhealthy; 0 is as 1." }
        failure_threshold: Whole<1, 1_000_000> { default: "2", means: "The same as `retries`." }
        success_threshold: Whole<1, 1_000_000> { default: "1", means: "Good checks in a row before it counts as healthy." }
        jitter: Jitter { default: "0.1", means: "Random share that is taken off each interval, so that checks do not all come at once." }
        adaptive: Adaptive { means: "Check more often while results are bad or mixed, and less often while they are good." }
        flapping: Flapping { default: "changes are only counted", means: "When a check changes its mind too often, it counts as failing until it was good for a while." }
    }
}

section! {
    /// The `adaptive` section.
    Adaptive {
        shortest: Duration { default: "a quarter of `interval`", means: "The shortest interval; more than `timeout`." }
        longest: Duration { default: "four times `interval`", means: "The longest interval." }
    }
}

section! {
    /// The `flapping` section.
    Flapping {
        changes: Whole<2, 64> { default: "5", means: "So many changes between passing and failing are too many" }
        window: Duration { default: "10m", means: "within this time." }
        hold: Duration { default: "`window`", means: "How long no check may fail until it may pass again." }
    }
}

/// Headers and metadata, by name.
pub(crate) type Headers = Named<String>;

/// A section inside itself: behind a list, so that the schema has an end.
#[derive(Debug)]
pub(crate) struct Inner<T>(pub(crate) Box<T>);

impl<T: Read> Read for Inner<T> {
    const SHAPE: Shape = Shape::Nested(|| T::SHAPE);

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(|value| Self(Box::new(value)))
    }
}
