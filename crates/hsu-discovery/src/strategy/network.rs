//! By what a process listens on: ports and Unix sockets of this host, found by the
//! numbers of their sockets.
// Source: proc_pid_net(5), proc_net_unix(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use hsu_model::discovery::{Protocol, Registry};
use hsu_sys::census;

use super::{Fit, Prepared, Scene, Strategy};
use crate::facts::Facts;

mod registry;

/// The state of a TCP socket that listens, and of a UDP socket that is not connected.
// Source: net/tcp_states.h, TCP_LISTEN and TCP_CLOSE.
const LISTENS: &str = "0A";
const UNCONNECTED: &str = "07";

/// The sockets of our network namespace that wait for others.
#[derive(Debug, Default)]
pub(crate) struct Net {
    ports: BTreeMap<(Protocol, u16), BTreeSet<u64>>,
    paths: Option<BTreeMap<Vec<u8>, BTreeSet<u64>>>,
}

impl Net {
    fn read() -> Self {
        let mut net = Self::default();
        let tables = [
            ("tcp", Protocol::Tcp),
            ("tcp6", Protocol::Tcp),
            ("udp", Protocol::Udp),
            ("udp6", Protocol::Udp),
        ];
        for (table, protocol) in tables {
            // A kernel without IPv6 has no table of it.
            let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
            for (port, inode) in text.lines().skip(1).filter_map(|line| listener(line, protocol)) {
                net.ports.entry((protocol, port)).or_default().insert(inode);
            }
        }
        net
    }

    fn port(&self, protocol: Protocol, port: u16) -> BTreeSet<u64> {
        self.ports.get(&(protocol, port)).cloned().unwrap_or_default()
    }

    fn path(&mut self, path: &[u8]) -> BTreeSet<u64> {
        let paths = self.paths.get_or_insert_with(read_paths);
        paths.get(path).cloned().unwrap_or_default()
    }
}

/// Port and number of the socket in a line of a table; none when it does not listen.
fn listener(line: &str, protocol: Protocol) -> Option<(u16, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let wanted = match protocol {
        Protocol::Tcp => LISTENS,
        Protocol::Udp => UNCONNECTED,
    };
    if state != wanted {
        return None;
    }
    let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    // After the state: queues, timer, retransmits, user, timeout, and then the number.
    let inode = fields.nth(5)?.parse().ok()?;
    Some((port, inode))
}

fn read_paths() -> BTreeMap<Vec<u8>, BTreeSet<u64>> {
    let table = fs::read("/proc/net/unix").unwrap_or_default();
    let mut paths: BTreeMap<Vec<u8>, BTreeSet<u64>> = BTreeMap::new();
    for line in table.split(|byte| *byte == b'\n').skip(1) {
        if let Some((path, inode)) = unix_socket(line) {
            paths.entry(path).or_default().insert(inode);
        }
    }
    paths
}

/// Path and number of a socket that listens.
fn unix_socket(line: &[u8]) -> Option<(Vec<u8>, u64)> {
    let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    // Num, RefCount, Protocol, Flags: of one that listens they are 00010000.
    let flags = fields.nth(3)?;
    // Type, St, Inode, Path.
    let inode = std::str::from_utf8(fields.nth(2)?).ok()?.parse().ok()?;
    let path: Vec<_> = fields.collect();
    let is_datagram_or_listens = flags == b"00010000" || flags == b"00000000";
    (is_datagram_or_listens && !path.is_empty()).then(|| (path.join(&b' '), inode))
}

/// The sockets that a strategy looks for, as of its last look.
#[derive(Debug, Default)]
struct Wanted(BTreeSet<u64>);

impl Wanted {
    fn set(&mut self, sockets: BTreeSet<u64>) -> Prepared {
        if self.0 == sockets {
            return Prepared::Same;
        }
        self.0 = sockets;
        Prepared::Changed
    }

    fn fits(&self, facts: &Facts<'_>) -> Fit {
        if self.0.is_empty() {
            return Fit::No;
        }
        let mut found = false;
        let read = census::open_files(facts.pid(), |target| {
            found = socket(target).is_some_and(|inode| self.0.contains(&inode));
            !found
        });
        read.map_or(Fit::Hidden, |()| found.into())
    }
}

fn socket(target: &[u8]) -> Option<u64> {
    let number = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn net(scene: &mut Scene) -> &mut Net {
    scene.net.get_or_insert_with(Net::read)
}

/// By the port that it listens on, on any address of either family.
#[derive(Debug)]
pub(super) struct Listener {
    port: u16,
    protocol: Protocol,
    wanted: Wanted,
}

impl Listener {
    pub(super) fn new(port: u16, protocol: Protocol) -> Self {
        Self { port, protocol, wanted: Wanted::default() }
    }
}

impl Strategy for Listener {
    fn prepare(&mut self, scene: &mut Scene) -> Prepared {
        self.wanted.set(net(scene).port(self.protocol, self.port))
    }

    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        self.wanted.fits(facts)
    }

    fn describe(&self) -> String {
        format!("listening on {} port {}", self.protocol.as_str(), self.port)
    }
}

/// By the Unix socket that it listens on.
#[derive(Debug)]
pub(super) struct UnixSocket {
    path: String,
    wanted: Wanted,
}

impl UnixSocket {
    pub(super) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), wanted: Wanted::default() }
    }
}

impl Strategy for UnixSocket {
    fn prepare(&mut self, scene: &mut Scene) -> Prepared {
        self.wanted.set(net(scene).path(self.path.as_bytes()))
    }

    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        self.wanted.fits(facts)
    }

    fn describe(&self) -> String {
        format!("listening on the socket {}", self.path)
    }
}

/// By the ports that a registry names for a service on this host.
#[derive(Debug)]
pub(super) struct Registered {
    registry: Registry,
    wanted: Wanted,
    trouble: Option<String>,
}

impl Registered {
    pub(super) fn new(registry: &Registry) -> Self {
        Self { registry: registry.clone(), wanted: Wanted::default(), trouble: None }
    }
}

impl Strategy for Registered {
    fn prepare(&mut self, scene: &mut Scene) -> Prepared {
        let asked = scene
            .registries
            .entry(self.registry.clone())
            .or_insert_with_key(registry::local_ports)
            .clone();
        match asked {
            Ok(ports) => {
                self.trouble = None;
                let net = net(scene);
                let sockets = ports.into_iter().flat_map(|port| net.port(Protocol::Tcp, port));
                let sockets = sockets.collect();
                self.wanted.set(sockets)
            }
            // What was known goes on to be believed: a registry that is away ends nothing.
            Err(reason) => {
                self.trouble = Some(reason);
                Prepared::Same
            }
        }
    }

    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        self.wanted.fits(facts)
    }

    fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn describe(&self) -> String {
        let Registry { url, service, .. } = &self.registry;
        format!("listening on a port of this host that {url} names for {service}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_table_tells_the_port_and_the_number_of_what_listens_only() {
        let listens = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listener(listens, Protocol::Tcp), Some((8080, 12345)));
        assert_eq!(listener(&listens.replace(" 0A ", " 01 "), Protocol::Tcp), None);
        let six = "   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 77 2 0 0";
        assert_eq!(listener(six, Protocol::Udp), Some((53, 77)));
        assert_eq!(listener(six, Protocol::Tcp), None);
        for broken in ["", "0:", "0: x 0 0A", "   0: 0100007F:ZZZZ 0 0A 0 0 0 0 0 1"] {
            assert_eq!(listener(broken, Protocol::Tcp), None, "{broken}");
        }
    }

    #[test]
    fn a_unix_socket_may_have_spaces_in_its_path() {
        let line = b"0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/a b.sock";
        assert_eq!(unix_socket(line), Some((b"/run/a b.sock".to_vec(), 4711)));
        let unnamed = b"0000000000000000: 00000003 00000000 00000000 0001 03 4712";
        assert_eq!(unix_socket(unnamed), None);
        assert_eq!(socket(b"socket:[4711]"), Some(4711));
        assert_eq!(socket(b"/socket:[4711]"), None);
    }
}
