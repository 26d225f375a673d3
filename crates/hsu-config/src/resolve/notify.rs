//! What a worker tells of itself, and the sockets it is given.

use hsu_model::id::WorkerId;
use hsu_model::notify::{Notify, NotifyAccess, NotifyChannel};
use hsu_model::socket::{ListenAddress, ListeningSocket, SocketKind, SocketOwner};

use super::Context;
use super::worker::required;
use crate::findings::At;
use crate::schema::notify::{Notify as Raw, Socket};
use crate::schema::unit::Control;

/// A name that `LISTEN_FDNAMES` can hold.
// Source: sd_listen_fds(3): ASCII without control characters and `:`, 255 at most.
fn is_name(name: &str) -> bool {
    name.len() <= 255 && name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b':')
}

/// How the worker is listened to; without the section it is not.
pub(super) fn notify(control: Option<&Control>, context: &mut Context<'_>) -> Notify {
    let Some(written) = control.and_then(|control| control.notify.as_deref()) else {
        return Notify::default();
    };
    let raw = &written.value;
    let access = raw.access.as_deref().map_or(NotifyAccess::Main, |access| access.value);
    let span =
        |key: Option<&At<std::time::Duration>>, default| key.map_or(default, |key| key.value);
    refuse_beside_descriptor(raw, control, context);
    Notify {
        access,
        channel: match raw.descriptor.as_deref() {
            Some(number) => {
                NotifyChannel::Descriptor(u32::try_from(number.value.0).unwrap_or(u32::MAX))
            }
            None => NotifyChannel::Socket,
        },
        ready: access != NotifyAccess::None && raw.ready.as_deref().is_none_or(|ready| ready.value),
        startup_timeout: span(raw.startup_timeout.as_deref(), Notify::DEFAULT_STARTUP_TIMEOUT),
        watchdog: span(raw.watchdog.as_deref(), std::time::Duration::ZERO),
        store: raw.store.as_deref().map_or(0, |store| u32::try_from(store.value.0).unwrap_or(0)),
    }
}

/// At a descriptor a worker says one thing only, and its number must stay free.
fn refuse_beside_descriptor(raw: &Raw, control: Option<&Control>, context: &mut Context<'_>) {
    let Some(descriptor) = raw.descriptor.as_deref() else {
        return;
    };
    let others = [
        ("access", raw.access.as_deref().map(|key| key.place)),
        ("watchdog", raw.watchdog.as_deref().map(|key| key.place)),
        ("store", raw.store.as_deref().map(|key| key.place)),
        ("sockets", control.and_then(|c| c.sockets.as_deref()).map(|key| key.place)),
    ];
    for (name, place) in others {
        if let Some(place) = place {
            context
                .findings
                .error("conflict", place, format!("`{name}` beside `notify.descriptor`"))
                .hint("a worker that writes one line when it is ready tells nothing else; sockets are told by sd_notify's protocol")
                .see(descriptor.place, "the descriptor is set here");
        }
    }
}

/// The sockets that the worker is given.
pub(super) fn sockets(
    id: &WorkerId,
    control: Option<&Control>,
    context: &mut Context<'_>,
) -> Vec<ListeningSocket> {
    let list = control.and_then(|control| control.sockets.as_deref());
    let Some(list) = list else {
        return Vec::new();
    };
    if list.value.len() > 64 {
        let message = format!("{} sockets for one worker", list.value.len());
        context.findings.error("range", list.place, message).hint("64 at most");
    }
    let execution = control.and_then(|control| control.execution.as_deref());
    let account = |of: fn(&crate::schema::execution::Execution) -> Option<String>| {
        execution.and_then(|execution| of(&execution.value))
    };
    let user = account(|raw| raw.user.as_deref().map(|user| user.value.0.clone()));
    let group = account(|raw| raw.group.as_deref().map(|group| group.value.0.clone()));
    let mut sockets: Vec<ListeningSocket> = Vec::new();
    for written in &list.value {
        let owner = SocketOwner {
            mode: ListeningSocket::DEFAULT_MODE,
            user: user.clone(),
            group: group.clone(),
        };
        let Some(socket) = socket(id, written, owner, context) else { continue };
        if sockets.iter().any(|earlier| earlier.label() == socket.label()) {
            let message = format!("two sockets listen at {}", socket.address);
            context.findings.error("conflict", written.place, message).hint("keep one of them");
        }
        sockets.push(socket);
    }
    sockets
}

fn socket(
    id: &WorkerId,
    written: &At<Socket>,
    owner: SocketOwner,
    context: &mut Context<'_>,
) -> Option<ListeningSocket> {
    let raw = &written.value;
    let address = required("listen", raw.listen.as_deref(), &raw.refused, written.place, context)?;
    let kind = raw.kind.as_deref().map_or(SocketKind::Stream, |kind| kind.value);
    let is_path = matches!(address.value.0, ListenAddress::Path(_));
    if kind == SocketKind::SequentialPacket && !is_path {
        context
            .findings
            .error("conflict", address.place, "a `seqpacket` socket with a network address")
            .hint("give it an absolute path, or write `kind: stream`");
    }
    let of_files = [
        ("mode", raw.mode.as_deref().map(|key| key.place)),
        ("user", raw.user.as_deref().map(|key| key.place)),
        ("group", raw.group.as_deref().map(|key| key.place)),
    ];
    for (name, place) in of_files {
        if let Some(place) = place.filter(|_| !is_path) {
            context
                .findings
                .error("conflict", place, format!("`{name}` of a network address"))
                .hint("only a socket at a path has one; remove it")
                .see(address.place, "the address is set here");
        }
    }
    if let Some(wish) = raw.on_demand.as_deref().filter(|wish| wish.value) {
        let message = "a worker cannot be started by its first connection";
        let hint = "leave it out: the worker is started with its master, and clients wait in \
                    the backlog until it accepts them";
        context.findings.error("unsupported", wish.place, message).hint(hint);
    }
    if let Some(name) = raw.name.as_deref().filter(|name| !is_name(&name.value.0)) {
        context
            .findings
            .error("value", name.place, "this cannot be the name of a socket")
            .hint("use printable ASCII characters but `:`, 255 at most");
    }
    let text = |own: Option<String>, inherited| own.or(inherited);
    Some(ListeningSocket {
        name: raw
            .name
            .as_deref()
            .map_or_else(|| id.as_str().to_owned(), |name| name.value.0.clone()),
        address: address.value.0.clone(),
        kind,
        backlog: raw.backlog.as_deref().map_or(ListeningSocket::DEFAULT_BACKLOG, |backlog| {
            u32::try_from(backlog.value.0).unwrap_or(ListeningSocket::DEFAULT_BACKLOG)
        }),
        owner: SocketOwner {
            mode: raw.mode.as_deref().map_or(owner.mode, |mode| mode.value.0),
            user: text(raw.user.as_deref().map(|user| user.value.0.clone()), owner.user),
            group: text(raw.group.as_deref().map(|group| group.value.0.clone()), owner.group),
        },
    })
}
