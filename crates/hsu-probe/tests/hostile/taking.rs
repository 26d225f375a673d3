//! Looks that are taken at servers of a test.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use hsu_logs::query::Spools;
use hsu_model::health::Finding;
use hsu_model::health::probe::{Place, Probe, Reach};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::time::WallTime;
use hsu_probe::{Options, Order, Prober, Report, Subject};

/// How long a look may take; a server that hangs takes all of it.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(700);
pub(crate) const SOON: Duration = Duration::from_secs(60);

static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) type Behaviour = fn(TcpStream);

/// Starts a server; its port.
pub(crate) fn serve(behaviour: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let behaviour = Arc::new(behaviour);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let behaviour = Arc::clone(&behaviour);
            std::thread::spawn(move || behaviour(client));
        }
    });
    port
}

pub(crate) fn prober() -> (Prober, Receiver<Report>) {
    let (sender, reports) = channel();
    let report = Box::new(move |report| drop(sender.send(report)));
    // A prober ends what an earlier one of its name has left, so each has its own.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("hostile-{}-{number}", std::process::id());
    let spools = Spools::new(Path::new("/nonexistent"));
    (Prober::start(Options { name, spools, report }).expect("a thread"), reports)
}

pub(crate) fn order(check: usize, probe: Probe) -> Order {
    let worker = WorkerId::new("w").expect("an id");
    Order {
        subject: Subject::new(worker, RunId(1), None, WallTime(0)),
        check,
        sequence: 1,
        probe: Arc::new(probe),
        timeout: TIMEOUT,
        shared_for: Duration::ZERO,
    }
}

/// Takes all looks at once; what each came to, in their order.
pub(crate) fn look(probes: Vec<Probe>) -> Vec<Finding> {
    look_within(TIMEOUT, probes)
}

/// The same, and each look may take so long.
pub(crate) fn look_within(timeout: Duration, probes: Vec<Probe>) -> Vec<Finding> {
    look_each(probes.into_iter().map(|probe| (timeout, probe)).collect())
}

/// The same, and each look has a time of its own.
pub(crate) fn look_each(looks: Vec<(Duration, Probe)>) -> Vec<Finding> {
    let (prober, reports) = prober();
    let count = looks.len();
    for (check, (timeout, probe)) in looks.into_iter().enumerate() {
        prober.take(Order { timeout, ..order(check, probe) }).expect("room");
    }
    let mut all: Vec<Report> =
        (0..count).map(|_| reports.recv_timeout(SOON).expect("a report")).collect();
    all.sort_by_key(|report| report.check);
    all.into_iter().map(|report| report.finding).collect()
}

pub(crate) fn place(port: u16) -> Place {
    Place::Port { host: "127.0.0.1".to_owned(), port, reach: Reach::Usual }
}

/// Reads the question, so that the answer is not cut by a reset.
pub(crate) fn hear(client: &mut TcpStream) {
    let mut block = [0; 4096];
    drop(client.read(&mut block));
}

pub(crate) fn say(mut client: TcpStream, words: &[u8]) {
    hear(&mut client);
    drop(client.write_all(words));
}
