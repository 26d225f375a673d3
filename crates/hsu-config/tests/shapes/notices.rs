//! Shapes of what a worker tells of itself, and of the sockets that it is given.

use hsu_model::master::FleetSpec;

use super::{At, Shape, built, debug, managed};

fn notify(fleet: &FleetSpec) -> String {
    let notify = &managed(fleet).notify;
    format!(
        "{:?} {:?} ready {} in {:?}, alive every {:?}, stores {}",
        notify.access,
        notify.channel,
        notify.ready,
        notify.startup_timeout,
        notify.watchdog,
        notify.store
    )
}

fn sockets(fleet: &FleetSpec) -> String {
    let shown = |socket: &hsu_model::socket::ListeningSocket| {
        let owner = &socket.owner;
        format!(
            "{}: {} backlog {} mode {:o} of {:?} {:?}",
            socket.name,
            socket.label(),
            socket.backlog,
            owner.mode,
            owner.user,
            owner.group
        )
    };
    let all: Vec<String> = managed(fleet).sockets.iter().map(shown).collect();
    all.join("; ")
}

pub(crate) fn shapes() -> Vec<Shape> {
    use At::Control;
    vec![
        built(
            Control,
            "restart_on_clean_exit: false",
            notify,
            "None Socket ready false in 0ns, alive every 0ns, stores 0",
        ),
        built(
            Control,
            "notify: {}",
            notify,
            "Main Socket ready true in 90s, alive every 0ns, stores 0",
        ),
        built(
            Control,
            "notify: { access: all, ready: false, startup_timeout: 0s, watchdog: 10s, store: 8 }",
            notify,
            "All Socket ready false in 0ns, alive every 10s, stores 8",
        ),
        built(
            Control,
            "notify: { access: exec }",
            notify,
            "Main Socket ready true in 90s, alive every 0ns, stores 0",
        ),
        built(
            Control,
            "notify: { access: none }",
            |fleet| debug((managed(fleet).notify.is_on(), managed(fleet).notify.ready)),
            "(false, false)",
        ),
        built(
            Control,
            "notify: { descriptor: 3, startup_timeout: 5s }",
            notify,
            "Main Descriptor(3) ready true in 5s, alive every 0ns, stores 0",
        ),
        built(
            Control,
            "sockets: [{ listen: \"127.0.0.1:80\" }, { listen: \"[::]:53\", kind: datagram, name: dns, backlog: 7, on_demand: false }]",
            sockets,
            "w: stream 127.0.0.1:80 backlog 4096 mode 666 of None None; \
             dns: datagram [::]:53 backlog 7 mode 666 of None None",
        ),
        built(
            Control,
            "sockets: [{ listen: /run/w.sock, type: seqpacket, mode: \"0600\", user: web, group: 33 }]",
            sockets,
            "w: seqpacket /run/w.sock backlog 4096 mode 600 of Some(\"web\") Some(\"33\")",
        ),
    ]
}
