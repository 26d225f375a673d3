//! More kinds of checks: databases, protocols, lines, steps, performance, templates.

use std::time::Duration;

use hsu_model::health::Statistic;
use hsu_model::health::probe::{Engine, Transport};
use hsu_model::logs::Stream;

use crate::findings::At;
use crate::node::Node;
use crate::reader::Reader;
use crate::schema::health::kinds::{AnsweredBy, Regex, Tls};
use crate::schema::health::{HealthCheck, Inner};
use crate::schema::types::{Count, Filled, Named, Port, words};
use crate::schema::{Read, Shape, section};
use crate::value::{Refused, number};

section! {
    /// The `database` section.
    DatabaseCheck {
        engine: Engine { default: "required", means: "Which protocol it speaks." }
        address: Filled { default: "localhost", means: "The host." }
        port: Port { default: "that of the engine", means: "The port." }
        unix_socket: Filled { means: "Connect to this socket." }
        user: Filled { means: "Log in as this user; without one only the protocol is tried. For Redis of old, `password` alone will do." }
        password: String { means: "The password, such as `${DB_PASSWORD}`." }
        password_file: Filled { means: "A file whose first line is the password; it is read at each check." }
        database: Filled { default: "as the user is called; `admin` for MongoDB; 0 for Redis", means: "The database to log in to." }
        query: Filled { default: "`SELECT 1`, `PING`, `ping`", means: "What is asked after the login; for Redis and MongoDB a command." }
        expected_result: Regex { means: "What the first value of the answer must match somewhere." }
        tls: Tls { default: "no TLS", means: "Protect the connection." }
        allow_link_local: bool { default: "false", means: "As in `http`." }
        answered_by: AnsweredBy { default: "anybody", means: "As in `http`." }
    }
}

words! {
    Engine {
        "postgresql" => Self::Postgres,
        "mysql" => Self::Mysql,
        "mariadb" => Self::Mysql,
        "redis" => Self::Redis,
        "valkey" => Self::Redis,
        "mongodb" => Self::Mongodb,
    } else {
        "postgres" => "postgresql",
    }
}

section! {
    /// The `protocol` section.
    ProtocolCheck {
        transport: Transport { default: "tcp", means: "`udp` for datagrams; with `tls` or `unix_socket` it is a stream." }
        address: Filled { default: "required, unless `unix_socket` is there", means: "The host." }
        port: Port { default: "required, unless `unix_socket` is there", means: "The port." }
        unix_socket: Filled { means: "Connect to this socket." }
        exchange: Vec<At<ExchangeTurn>> { default: "required", means: "What is said and expected, in turn." }
        tls: Tls { default: "no TLS", means: "Protect the connection." }
        allow_link_local: bool { default: "false", means: "As in `http`." }
        answered_by: AnsweredBy { default: "anybody", means: "As in `http`." }
    }
}

words! {
    Transport {
        "tcp" => Self::Stream,
        "udp" => Self::Datagram,
    }
}

section! {
    /// One turn of a conversation.
    ExchangeTurn {
        send: String { default: "nothing: listen first", means: "What is said; between double quotes `\\r\\n` and `\\0` are bytes." }
        expect: Regex { default: "nothing is waited for", means: "What must come back, in the first 64 KiB." }
    }
}

section! {
    /// The `log` section.
    LogCheck {
        pattern: Regex { default: "required", means: "What stands in the line." }
        stream: Stream { default: "either", means: "Where it is written." }
        exists: bool { default: "true", means: "Whether there must be such a line, or must not." }
        within: Duration { default: "as long as the run lasts", means: "How long a line counts." }
    }
}

words! {
    Stream {
        "stdout" => Self::Stdout,
        "stderr" => Self::Stderr,
    }
}

section! {
    /// One of `steps`.
    Step {
        name: Filled { default: "required", means: "Its name." }
        check: Inner<HealthCheck> { default: "required", means: "What is looked at: `type` and the section of that name. `{NAME}` in path, headers, body, arguments, variables, query and what is sent is what an earlier step captured." }
        when: WhenTaken { default: "always", means: "Whether the step is taken." }
        capture: Named<Captured> { means: "What is kept, by name. A step that has nothing to capture fails." }
        required: bool { default: "true", means: "Whether its failure fails the whole." }
    }
}

section! {
    /// The `when` section.
    WhenTaken {
        passed: Filled { means: "After this step has passed." }
        failed: Filled { means: "After this step has failed." }
        captured: Filled { means: "When what was captured under this name" }
        matches: Regex { means: "matches this." }
    }
}

section! {
    /// What is captured.
    Captured {
        text: Regex { means: "The first group of this in the body or output; all of it without a group." }
        json: String { means: "The place in a JSON body, such as `/user/id` (RFC 6901)." }
        header: Filled { means: "A header of the answer." }
        status: bool { means: "`true`: the HTTP status or the exit code." }
    }
}

section! {
    /// The `performance` section.
    Performance {
        measure: MeasureOf { default: "latency", means: "What of each look counts. `latency`: how long `check` takes. `value`: the number that it reads. `cpu` and `memory`: what the worker's process uses." }
        check: Inner<HealthCheck> { default: "required for `latency` and `value`", means: "What is looked at: `type` and the section of that name." }
        value: Captured { default: "the result of a `database`", means: "For `value`: where the number stands." }
        statistic: StatisticOf { default: "p95; `max` for `memory`, `rate` for `cpu`", means: "What is made of the looks in `window`." }
        window: Duration { default: "5m", means: "The looks that count." }
        samples: Count { default: "3", means: "How many looks it takes to judge; with fewer the check passes when `check` does." }
        at_most: Filled { means: "The most that is good: a duration for `latency`, a size for `memory`, a percentage of one CPU for `cpu`, a number for `value`." }
        at_least: Filled { means: "The least that is good, in the same words." }
    }
}

/// What of each look counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeasureOf {
    /// How long it takes.
    Latency,
    /// The number it reads.
    Value,
    /// CPU of the process.
    Cpu,
    /// Memory of the process.
    Memory,
}

words! {
    MeasureOf {
        "latency" => Self::Latency,
        "value" => Self::Value,
        "cpu" => Self::Cpu,
        "memory" => Self::Memory,
    }
}

/// What is made of many numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatisticOf(pub(crate) Statistic);

impl Read for StatisticOf {
    const SHAPE: Shape = Shape::Value("`average`, `min`, `max`, `rate`, or `p1` to `p100`");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let hint = "write `average`, `min`, `max`, `rate`, or a percentile such as `p95`";
        reader.parsed(node, "a statistic", |text| {
            Ok(Self(match text {
                "average" => Statistic::Average,
                "min" => Statistic::Least,
                "max" => Statistic::Greatest,
                "rate" => Statistic::Rate,
                _ => {
                    let percent =
                        text.strip_prefix('p').and_then(|p| number::whole(p, 1, 100).ok());
                    let percent = percent.and_then(|percent| u8::try_from(percent).ok());
                    let unknown = || Refused::new("is no statistic", hint);
                    Statistic::Percentile(percent.ok_or_else(unknown)?)
                }
            }))
        })
    }
}

section! {
    /// The `template` section.
    Template {
        service: Service { default: "required", means: "Which service it is." }
        address: Filled { default: "localhost", means: "The host." }
        port: Port { default: "that of the service", means: "The port." }
        unix_socket: Filled { means: "Connect to this socket." }
        allow_link_local: bool { default: "false", means: "As in `http`." }
        answered_by: AnsweredBy { default: "anybody", means: "As in `http`." }
    }
}

/// Services that are checked by a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Nginx,
    Apache,
    Haproxy,
    Caddy,
    Postgresql,
    Mysql,
    Redis,
    Mongodb,
    Etcd,
    Consul,
    Vault,
    Prometheus,
    Grafana,
    Elasticsearch,
    Clickhouse,
    Influxdb,
    Minio,
    Rabbitmq,
    Memcached,
    Nats,
    Zookeeper,
    Kafka,
    Ssh,
    Smtp,
    Dns,
}

words! {
    Service {
        "nginx" => Self::Nginx,
        "apache" => Self::Apache,
        "haproxy" => Self::Haproxy,
        "caddy" => Self::Caddy,
        "postgresql" => Self::Postgresql,
        "mysql" => Self::Mysql,
        "mariadb" => Self::Mysql,
        "redis" => Self::Redis,
        "valkey" => Self::Redis,
        "mongodb" => Self::Mongodb,
        "etcd" => Self::Etcd,
        "consul" => Self::Consul,
        "vault" => Self::Vault,
        "prometheus" => Self::Prometheus,
        "grafana" => Self::Grafana,
        "elasticsearch" => Self::Elasticsearch,
        "clickhouse" => Self::Clickhouse,
        "influxdb" => Self::Influxdb,
        "minio" => Self::Minio,
        "rabbitmq" => Self::Rabbitmq,
        "memcached" => Self::Memcached,
        "nats" => Self::Nats,
        "zookeeper" => Self::Zookeeper,
        "kafka" => Self::Kafka,
        "ssh" => Self::Ssh,
        "smtp" => Self::Smtp,
        "dns" => Self::Dns,
    } else {
        "postgres" => "postgresql",
        "httpd" => "apache",
        "opensearch" => "elasticsearch",
    }
}
