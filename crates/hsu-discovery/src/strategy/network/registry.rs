//! Registries: the ports of this host that Consul or etcd name for a service.
// Source: Consul, "Health HTTP API", list service instances; etcd, "Why gRPC gateway".

use std::net::{IpAddr, ToSocketAddrs as _, UdpSocket};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hsu_model::discovery::{Registry, RegistryKind};
use serde::Deserialize;

use crate::http::{Question, ask};

/// How long a registry may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest token.
const LONGEST_TOKEN: u64 = 4096;

/// The ports at which a registry says that the service is on this host.
pub(super) fn local_ports(registry: &Registry) -> Result<Vec<u16>, String> {
    let places = match registry.kind {
        RegistryKind::Consul => consul(registry)?,
        RegistryKind::Etcd => etcd(registry)?,
    };
    let mut ports: Vec<u16> =
        places.into_iter().filter(|(host, _)| is_ours(host)).map(|(_, port)| port).collect();
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

/// Whether a socket of ours could have this address: the kernel tells.
fn is_ours(host: &str) -> bool {
    let addresses = (host, 0).to_socket_addrs().into_iter().flatten().map(|place| place.ip());
    let is_local = |ip: IpAddr| !ip.is_unspecified() && UdpSocket::bind((ip, 0)).is_ok();
    addresses.into_iter().any(is_local)
}

fn question<'q>(
    registry: &Registry,
    url: &'q str,
    body: Option<&'q str>,
    header: (&'static str, &str),
) -> Result<Question<'q>, String> {
    let mut headers = Vec::new();
    if let Some(path) = &registry.token_file {
        let token = token(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
        let (name, before) = header;
        headers.push((name, format!("{before}{token}")));
    }
    Ok(Question { url, body, headers, timeout: TIMEOUT })
}

/// The token in a file that nobody else may read. What it holds is in no message.
fn token(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let (file, ownership) = hsu_sys::files::open_with_ownership(path)?;
    if ownership.is_some_and(|found| found.mode & 0o007 != 0) {
        return Err(std::io::Error::other("everybody may use this token (hint: chmod o-rwx)"));
    }
    let mut text = String::new();
    file.take(LONGEST_TOKEN).read_to_string(&mut text)?;
    let token = text.trim();
    if token.is_empty() || token.contains(|c: char| c.is_control()) {
        return Err(std::io::Error::other("it does not hold a token of one line"));
    }
    Ok(token.to_owned())
}

/// The answer of a registry, or why there is none.
fn asked(question: &Question<'_>) -> Result<Vec<u8>, String> {
    let answer = ask(question)?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(format!("{} answered with status {status}", question.url)),
    }
}

#[derive(Deserialize)]
struct Instance {
    #[serde(rename = "Node")]
    node: Option<Node>,
    #[serde(rename = "Service")]
    service: Service,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "Address", default)]
    address: String,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "Address", default)]
    address: String,
    #[serde(rename = "Port", default)]
    port: u16,
}

fn consul(registry: &Registry) -> Result<Vec<(String, u16)>, String> {
    let base = registry.url.trim_end_matches('/');
    let url = format!("{base}/v1/health/service/{}", encoded(&registry.service));
    let question = question(registry, &url, None, ("X-Consul-Token", ""))?;
    let body = asked(&question)?;
    let instances: Vec<Instance> =
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))?;
    let places = instances.into_iter().map(|instance| {
        // A service without an address of its own is at the node's.
        let node = instance.node.map(|node| node.address).unwrap_or_default();
        let own = instance.service.address;
        (if own.is_empty() { node } else { own }, instance.service.port)
    });
    Ok(places.filter(|(_, port)| *port != 0).collect())
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct KeyValue {
    #[serde(default)]
    value: String,
}

/// A value in the form of etcd's own naming package.
#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Addr")]
    address: String,
}

fn etcd(registry: &Registry) -> Result<Vec<(String, u16)>, String> {
    let url = format!("{}/v3/kv/range", registry.url.trim_end_matches('/'));
    let prefix = registry.service.as_bytes();
    let body = serde_json::json!({
        "key": STANDARD.encode(prefix),
        "range_end": STANDARD.encode(after(prefix)),
        "limit": 1000,
    });
    let body = body.to_string();
    let question = question(registry, &url, Some(&body), ("Authorization", ""))?;
    let answer = asked(&question)?;
    let range: Range =
        serde_json::from_slice(&answer).map_err(|error| format!("{url}: {error}"))?;
    Ok(range.kvs.iter().filter_map(|pair| place(&STANDARD.decode(&pair.value).ok()?)).collect())
}

/// Host and port of a value: `HOST:PORT`, a URL, or `{"Addr": "HOST:PORT"}`.
fn place(value: &[u8]) -> Option<(String, u16)> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let endpoint = serde_json::from_str::<Endpoint>(text).map(|endpoint| endpoint.address);
    let text = endpoint.unwrap_or_else(|_| text.to_owned());
    let bare = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
    let bare = bare.split('/').next()?;
    let (host, port) = bare.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port.parse().ok()?))
}

/// The first key after all that begin with this prefix.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Everything from the prefix on.
    vec![0]
}

/// A part of a path.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let byte = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_service_is_read_from_each_form_of_a_value() {
        for (value, expected) in [
            ("127.0.0.1:80", Some(("127.0.0.1", 80))),
            ("http://[::1]:81/x", Some(("::1", 81))),
            ("{\"Op\":0,\"Addr\":\"host:82\"}", Some(("host", 82))),
            ("host", None),
            ("host:99999", None),
            ("{\"Addr\":7}", None),
        ] {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(place(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(place(b"\xff"), None);
    }

    #[test]
    fn the_range_of_a_prefix_ends_before_its_successor() {
        assert_eq!(after(b"a/"), b"a0");
        assert_eq!(after(b"a\xff"), b"b");
        assert_eq!(after(b"\xff"), b"\0");
        assert_eq!(encoded("a b/c"), "a%20b%2Fc");
    }

    #[test]
    fn only_addresses_of_this_host_are_ours() {
        assert!(is_ours("127.0.0.1") && is_ours("localhost"));
        assert!(!is_ours("192.0.2.1") && !is_ours("0.0.0.0"));
    }
}
