//! Templates: what fits a common service, from what its own documentation says.

use hsu_model::health::probe::{
    Database, Endpoint, Engine, Exchange, Http, Pattern, Place as Target, Probe, Protocol,
    Transport,
};

use super::{Context, kinds};
use crate::findings::Place;
use crate::resolve::worker::required;
use crate::schema::health::more::{Service, Template};

/// How a service is asked.
enum Way {
    /// A path, the statuses that are good, and what the body holds.
    Http(&'static str, (u16, u16), Option<&'static str>),
    /// The first words of a database.
    Database(Engine),
    /// What is said, and what comes back.
    Says(&'static [u8], &'static str),
    /// The same in datagrams.
    Datagram(&'static [u8], &'static str),
    /// A connection.
    Connects,
}

/// A web server that answers at all: what is behind its first page is not its concern.
const ANY_PAGE: Way = Way::Http("/", (200, 499), None);
const GOOD: (u16, u16) = (200, 299);
/// A question for the servers of the root, number 0x6873.
const DNS_QUESTION: &[u8] = b"hs\x01\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01";
/// The header of AMQP 0-9-1.
const AMQP: &[u8] = b"AMQP\0\0\x09\x01";

/// The usual port of a service, and how it is asked.
fn way(service: Service) -> (u16, Way) {
    match service {
        Service::Nginx | Service::Apache | Service::Haproxy | Service::Caddy => (80, ANY_PAGE),
        Service::Postgresql => (5432, Way::Database(Engine::Postgres)),
        Service::Mysql => (3306, Way::Database(Engine::Mysql)),
        Service::Redis => (6379, Way::Database(Engine::Redis)),
        Service::Mongodb => (27017, Way::Database(Engine::Mongodb)),
        Service::Etcd => (2379, Way::Http("/health", GOOD, Some(r#""health"\s*:\s*"true""#))),
        // An empty text means that there is no leader.
        Service::Consul => (8500, Way::Http("/v1/status/leader", GOOD, Some(r#"^"[^"]+""#))),
        // 429 is a standby, 473 a performance standby.
        Service::Vault => {
            (8200, Way::Http("/v1/sys/health?standbyok=true&perfstandbyok=true", GOOD, None))
        }
        Service::Prometheus => (9090, Way::Http("/-/healthy", GOOD, None)),
        Service::Grafana => {
            (3000, Way::Http("/api/health", GOOD, Some(r#""database"\s*:\s*"ok""#)))
        }
        Service::Elasticsearch => {
            (9200, Way::Http("/_cluster/health", GOOD, Some(r#""status"\s*:\s*"(green|yellow)""#)))
        }
        Service::Clickhouse => (8123, Way::Http("/ping", GOOD, Some(r"^Ok\."))),
        Service::Influxdb => (8086, Way::Http("/ping", GOOD, None)),
        Service::Minio => (9000, Way::Http("/minio/health/live", GOOD, None)),
        Service::Rabbitmq => (5672, Way::Says(AMQP, r"(?s-u)^\x01\x00\x00")),
        Service::Memcached => (11211, Way::Says(b"version\r\n", r"^VERSION ")),
        Service::Nats => (4222, Way::Says(b"", r"^INFO ")),
        Service::Zookeeper => (2181, Way::Says(b"ruok", r"^imok")),
        Service::Kafka => (9092, Way::Connects),
        Service::Ssh => (22, Way::Says(b"", r"^SSH-")),
        Service::Smtp => (25, Way::Says(b"", r"^220[ -]")),
        Service::Dns => (53, Way::Datagram(DNS_QUESTION, r"(?s-u)^hs[\x80-\xff]")),
    }
}

/// The probe of a template.
pub(super) fn resolve(
    section: &Template,
    place: Place,
    context: &mut Context<'_>,
) -> Option<Probe> {
    let service =
        required("service", section.service.as_deref(), &section.refused, place, context)?;
    let (usual, way) = way(service.value);
    let port =
        section.port.as_deref().map_or(usual, |port| u16::try_from(port.value.0).unwrap_or(0));
    let host = section.address.as_deref().map_or("localhost", |address| address.value.0.as_str());
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let shown =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let reach = kinds::reach(section.allow_link_local.as_deref());
    let target = match section.unix_socket.as_deref() {
        Some(socket) => Target::Socket(context.paths().absolute(&socket.value.0)),
        None => Target::Port { host, port, reach },
    };
    if let (Way::Datagram(..), Some(socket)) = (&way, section.unix_socket.as_deref()) {
        context.findings.error("conflict", socket.place, "this service speaks in datagrams");
        return None;
    }
    let answerer = kinds::answerer(section.answered_by.as_deref(), context)?;
    let endpoint = Endpoint { place: target, tls: None, answerer };
    let says = |send: &[u8], expect: &str| {
        vec![Exchange { send: send.to_vec(), expect: Some(Pattern(expect.to_owned())) }]
    };
    Some(match way {
        Way::Http(path, statuses, expect) => Probe::Http(Http {
            endpoint,
            host: shown,
            path: path.to_owned(),
            method: "GET".to_owned(),
            headers: Vec::new(),
            body: None,
            statuses: vec![statuses],
            expect: expect.map(|pattern| Pattern(pattern.to_owned())),
            redirects: 0,
        }),
        Way::Database(engine) => {
            Probe::Database(Database { engine, endpoint, login: None, query: None, expect: None })
        }
        Way::Says(send, expect) => {
            let (transport, exchanges) = (Transport::Stream, says(send, expect));
            Probe::Protocol(Protocol { endpoint, transport, exchanges })
        }
        Way::Datagram(send, expect) => {
            let (transport, exchanges) = (Transport::Datagram, says(send, expect));
            Probe::Protocol(Protocol { endpoint, transport, exchanges })
        }
        Way::Connects => Probe::Tcp(endpoint),
    })
}
