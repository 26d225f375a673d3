//! What a worker tells of itself, and the sockets it is given.

use std::time::Duration;

use hsu_model::notify::NotifyAccess;
use hsu_model::socket::{ListenAddress, SocketKind};

use crate::node::Node;
use crate::reader::Reader;
use crate::schema::execution::Account;
use crate::schema::types::{Filled, Umask, Whole, words};
use crate::schema::{Read, Shape, section};
use crate::value::Refused;

section! {
    /// The `notify` section.
    Notify {
        access: NotifyAccess {
            default: "main",
            means: "Whose words count at the socket that `NOTIFY_SOCKET` names: those of the worker's process (`main`, also `exec`), of every process of its tree (`all`), or nobody's (`none`).",
        }
        ready: bool {
            default: "true",
            means: "The worker is ready only when it says `READY=1`.",
        }
        startup_timeout: Duration {
            default: "90s",
            means: "How long it may take to become ready before it counts as failed; `0s` is for ever. `EXTEND_TIMEOUT_USEC` extends it.",
        }
        watchdog: Duration {
            default: "off",
            means: "How often it must say `WATCHDOG=1`; it is told in `WATCHDOG_USEC`. A worker that does not is restarted as after failed health checks.",
        }
        descriptor: Whole<3, 63> {
            default: "none",
            means: "Listen at this descriptor instead, where one line says that the worker is ready, as s6's `notification-fd`.",
        }
        store: Whole<0, 64> {
            default: "0",
            means: "Descriptors that the worker may leave with `FDSTORE=1`, to be passed to its next run.",
        }
    }
}

words! {
    NotifyAccess {
        "main" => Self::Main,
        "all" => Self::All,
        "none" => Self::None,
    } else {
        "exec" => "main",
    }
}

section! {
    /// One entry of `sockets`.
    Socket {
        listen: Where { default: "required", means: "Where: `ADDRESS:PORT`, such as `127.0.0.1:8080` or `[::]:80`, or an absolute path." }
        name: Filled { default: "the worker's `id`", means: "Its name in `LISTEN_FDNAMES`." }
        kind: SocketKind { also: &["type"], default: "stream", means: "TCP or a stream at a path, UDP or datagrams at a path, or `seqpacket` at a path." }
        on_demand: bool {
            default: "false",
            means: "Start the worker at the first connection: `true` is refused, because a worker is started with its master and while it starts its clients wait in the backlog.",
        }
        backlog: Whole<1, 65_535> { default: "4096", means: "Connections that may wait to be accepted." }
        mode: Umask { default: "0666", means: "Mode of a socket at a path." }
        user: Account { default: "the worker's", means: "User of a socket at a path. Only root can give it away." }
        group: Account { default: "the worker's", means: "Group of a socket at a path." }
    }
}

words! {
    SocketKind {
        "stream" => Self::Stream,
        "datagram" => Self::Datagram,
        "seqpacket" => Self::SequentialPacket,
    }
}

/// Where a socket listens.
#[derive(Clone, Debug)]
pub(crate) struct Where(pub(crate) ListenAddress);

impl Read for Where {
    const SHAPE: Shape = Shape::Value("`ADDRESS:PORT`, or absolute path");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parsed(node, "an address", address).map(Self)
    }
}

fn address(text: &str) -> Result<ListenAddress, Refused> {
    if text.starts_with('/') {
        return Ok(ListenAddress::Path(text.to_owned()));
    }
    match text.parse::<std::net::SocketAddr>() {
        Ok(address) if address.port() == 0 => Err(Refused {
            reason: String::from("has port 0, which nobody could find"),
            hint: String::from("write a port from 1 to 65535"),
        }),
        Ok(address) => Ok(ListenAddress::Network(address)),
        Err(_) => Err(Refused {
            reason: String::from("is neither an address with a port nor an absolute path"),
            hint: String::from(
                "write `127.0.0.1:8080`, `[::]:8080` for every address, or `/run/web.sock`",
            ),
        }),
    }
}
