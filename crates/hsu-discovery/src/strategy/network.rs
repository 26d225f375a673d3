//! By what a process listens on: ports and Unix sockets of this host, found by the
//! numbers of their sockets.

use std::collections::{BTreeMap, BTreeSet};

use hsu_model::discovery::{Protocol, Registry};
use hsu_sys::sockets;

use super::{Fit, Prepared, Scene, Strategy};
use crate::facts::Facts;

mod registry;

/// The sockets of our network namespace that wait for others.
/// Each kind is asked for when the first strategy wants it.
#[derive(Debug, Default)]
pub(crate) struct Net {
    tcp: Option<Ports>,
    udp: Option<Ports>,
    paths: Option<BTreeMap<Vec<u8>, BTreeSet<u64>>>,
}

/// The numbers of the sockets at each port.
type Ports = BTreeMap<u16, BTreeSet<u64>>;

impl Net {
    fn port(&mut self, protocol: Protocol, port: u16) -> BTreeSet<u64> {
        let ports = match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
        };
        let ports = ports.get_or_insert_with(|| read_ports(protocol));
        ports.get(&port).cloned().unwrap_or_default()
    }

    fn path(&mut self, path: &[u8]) -> BTreeSet<u64> {
        let paths = self.paths.get_or_insert_with(sockets::at_paths);
        paths.get(path).cloned().unwrap_or_default()
    }
}

fn read_ports(protocol: Protocol) -> Ports {
    let mut ports = Ports::new();
    sockets::waiting(protocol, |socket| {
        ports.entry(socket.port).or_default().insert(socket.number);
    });
    ports
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
        sockets::holds(facts.pid(), &self.0).map_or(Fit::Hidden, Fit::from)
    }
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
        self.wanted.set(scene.net.port(self.protocol, self.port))
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
        self.wanted.set(scene.net.path(self.path.as_bytes()))
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
                let net = &mut scene.net;
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

    fn is_blind(&self) -> bool {
        self.trouble.is_some()
    }

    fn describe(&self) -> String {
        let Registry { url, service, .. } = &self.registry;
        format!("listening on a port of this host that {url} names for {service}")
    }
}
