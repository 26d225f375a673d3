//! Alerts: a program is run or an address posted to, on a thread of their own.
//!
//! The queue is bounded: whoever cannot be reached costs alerts, each of which is in
//! the journal already, and never the loop's time.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use hsu_model::id::WorkerId;
use hsu_model::limits::Alert;
use hsu_model::time::WallTime;
use hsu_sys::brief::{self, Brief, Ending};
use hsu_sys::tree::Cell;

use crate::request::Requests;
use crate::warden::Message;

/// Alerts that wait: a storm of more tells nothing new.
const WAITING: usize = 64;
/// How much of what a program says is kept: its first line is told when it fails.
const KEPT: usize = 1024;

/// One alert.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) worker: WorkerId,
    pub(crate) limit: String,
    pub(crate) text: String,
    pub(crate) at: WallTime,
    pub(crate) alert: Alert,
}

/// The thread that tells alerts.
#[derive(Debug)]
pub(crate) struct Alerts {
    sender: SyncSender<Notice>,
}

impl Alerts {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel's error when it has no more threads.
    pub(crate) fn start(reporter: Sender<Message>, requests: Requests) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        // It may wait for a program or a peer, so nobody waits for its end.
        std::thread::Builder::new()
            .name("hsu-alerts".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || run(&receiver, &reporter, &requests))?;
        Ok(Self { sender })
    }

    /// Tells an alert later; whether there was room.
    pub(crate) fn tell(&self, notice: Notice) -> bool {
        self.sender.try_send(notice).is_ok()
    }
}

fn run(notices: &Receiver<Notice>, reporter: &Sender<Message>, requests: &Requests) {
    while let Ok(notice) = notices.recv() {
        for reason in tell(&notice) {
            let reason = format!("an alert was not told: {reason}");
            // A loop that has ended needs no message.
            let _ = reporter.send(Message::Failed { worker: notice.worker.clone(), reason });
        }
        requests.wake();
    }
}

/// Tells everybody; who could not be told, and why.
fn tell(notice: &Notice) -> Vec<String> {
    let Notice { worker, limit, text, at, alert } = notice;
    let body = hsu_api::alert(worker, limit, text, *at);
    let mut failures = Vec::new();
    if let Some((program, args)) = alert.command.split_first() {
        let variables = [
            ("HSU_ALERT_WORKER", worker.as_str()),
            ("HSU_ALERT_LIMIT", limit.as_str()),
            ("HSU_ALERT_TEXT", text.as_str()),
        ];
        let told = variables.map(|(name, value)| (name.into(), value.into()));
        let brief = Brief {
            program: program.into(),
            args: args.to_vec(),
            environment: std::env::vars_os().chain(told).collect(),
            folder: None,
            identity: None,
            input: Some(body.clone().into_bytes()),
            timeout: alert.timeout,
            keep: KEPT,
        };
        failures.extend(run_program(&brief).err());
    }
    if let Some(address) = &alert.webhook {
        failures.extend(post(address, &body, alert.timeout).err());
    }
    failures
}

/// Runs a program for the master itself; any end but success is a failure.
pub(crate) fn run_program(brief: &Brief) -> Result<(), String> {
    let program = brief.program.display();
    let answer = brief::run(brief, &Cell::none(), &|| true)
        .map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    let ending = match answer.ending {
        Ending::Code(0) => return Ok(()),
        Ending::Code(code) => format!("failed with exit code {code}"),
        Ending::Signal(signal) => format!("was ended by signal {signal}"),
        Ending::Overdue | Ending::Unwanted => {
            format!("took longer than {:?} and was killed", brief.timeout)
        }
    };
    let output = String::from_utf8_lossy(&answer.output);
    Err(match output.lines().next() {
        Some(line) => format!("`{program}` {ending}: {line}"),
        None => format!("`{program}` {ending}"),
    })
}

/// Posts JSON to an `http://` address; any answer but 2xx is a failure.
fn post(address: &str, body: &str, limit: Duration) -> Result<(), String> {
    let rest = address.strip_prefix("http://").unwrap_or(address);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let peer = if has_port { host.to_owned() } else { format!("{host}:80") };
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let begin = Instant::now();
    let left = || limit.saturating_sub(begin.elapsed()).max(Duration::from_millis(1));
    let mut last = format!("{address}: no such host");
    for to in peer.to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&to, left()) {
            Ok(stream) => {
                return talk(stream, (host, path), body, &left)
                    .map_err(|error| format!("{address}: {error}"));
            }
            Err(error) => last = failed(error),
        }
    }
    Err(last)
}

fn talk(
    mut stream: TcpStream,
    (host, path): (&str, &str),
    body: &str,
    left: &impl Fn() -> Duration,
) -> Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.set_write_timeout(Some(left())).map_err(words)?;
    stream.write_all(request.as_bytes()).map_err(words)?;
    let mut answer = Vec::new();
    let mut piece = [0; 64];
    // The first line says everything.
    while !answer.contains(&b'\n') && answer.len() < 1024 {
        stream.set_read_timeout(Some(left())).map_err(words)?;
        match stream.read(&mut piece).map_err(words)? {
            0 => break,
            length => answer.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let status = line.split(' ').nth(1).unwrap_or_default();
    if status.len() == 3 && status.starts_with('2') {
        Ok(())
    } else {
        Err(format!("answered {line:?}"))
    }
}

#[cfg(test)]
mod tests;
