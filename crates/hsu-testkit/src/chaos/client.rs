//! A client that uses workers all the time, and counts what fails.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A thread that sends to every port in turn and wants the same back.
#[derive(Debug)]
pub(super) struct Client {
    shared: Arc<Counters>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counters {
    finished: AtomicBool,
    requests: AtomicU64,
    failures: AtomicU64,
}

impl Client {
    pub(super) fn start(ports: Vec<u16>, rest: Duration) -> Self {
        let shared = Arc::new(Counters::default());
        let counters = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !counters.finished.load(Ordering::Relaxed) {
                for port in &ports {
                    let failed = !echoes(*port);
                    counters.requests.fetch_add(1, Ordering::Relaxed);
                    counters.failures.fetch_add(u64::from(failed), Ordering::Relaxed);
                }
                std::thread::sleep(rest);
            }
        });
        Self { shared, thread }
    }

    /// Ends the thread; how many requests there were, and how many failed.
    pub(super) fn finish(self) -> (u64, u64) {
        self.shared.finished.store(true, Ordering::Relaxed);
        let crashed = self.thread.join().is_err();
        let failures = self.shared.failures.load(Ordering::Relaxed);
        (self.shared.requests.load(Ordering::Relaxed), failures + u64::from(crashed))
    }
}

fn echoes(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let exchange = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.write_all(b"are you there?")?;
        let mut answer = [0; 14];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"are you there?")
    };
    exchange().unwrap_or(false)
}
