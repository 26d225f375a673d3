//! Readers: clients that ask for everything and read nothing, and clients that
//! never end their question.
//!
//! They cost the master a bounded amount of memory and nobody else anything:
//! workers are restarted as before, and an honest client gets its answer.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Form;
use super::watch::Watch;
use crate::chaos::{Load, Report, Unknown};
use crate::error::TestError;
use crate::figures::Figures;
use crate::fleet::{Fleet, Role};
use crate::sandbox::Sandbox;

/// What all clients together may cost the master, in bytes.
const MEMORY: u64 = 64 << 20;

/// How many more come in each second, once the crowd is there. Were it as many as are let
/// go, the pace of this host would be measured, and not what a client costs the master.
const RETURN_PER_SECOND: u32 = 200;

/// What a bad client sends.
#[derive(Clone, Copy, Debug)]
enum Client {
    /// It follows the lines of a worker that writes a lot.
    Lines,
    /// It follows the events.
    Events,
    /// It sends a head, a byte now and then.
    Slow,
    /// It says nothing at all.
    Silent,
}

const CLIENTS: [Client; 4] = [Client::Lines, Client::Events, Client::Slow, Client::Silent];

pub(super) fn run(form: Form, _seed: u64) -> Result<Report, TestError> {
    let (crowd, span) =
        form.pick((400_u32, Duration::from_secs(6)), (1000, Duration::from_secs(120)));
    let rate = form.pick(200, 2000);
    let sandbox = Sandbox::new()?;
    let loaded = Load { rate, writers: 4, ..Load::default() }.start(&sandbox, Ok)?;
    let socket = loaded.fleet.socket()?;
    let before = resident(&loaded.fleet)?;
    let mut watch = Watch::default();
    let spell = Watch::begin(&loaded.fleet);
    let mut streams: Vec<Bad> = Vec::new();
    let begin = Instant::now();
    let mut peak = before;
    let (mut opened, mut let_go) = (0_u32, 0_u32);
    while begin.elapsed() < span {
        let had = streams.len();
        streams.retain_mut(Bad::is_served);
        let_go += u32::try_from(had - streams.len()).unwrap_or(u32::MAX);
        let returned = begin.elapsed().as_secs_f64() * f64::from(RETURN_PER_SECOND);
        while streams.len() < crowd as usize && f64::from(opened) < f64::from(crowd) + returned {
            let client = CLIENTS[streams.len() % CLIENTS.len()];
            // The backlog of the socket is full: that is where a crowd waits.
            let Some(stream) = Bad::open(&socket, client) else { break };
            streams.push(stream);
            opened += 1;
        }
        watch.ask(&loaded.fleet, "while a crowd asks and does not read");
        if !loaded.fleet.client(&["restart", "--timeout", "20s", "ender-0"])?.status.success() {
            watch.findings.push("an order was not done while a crowd does not read".to_owned());
        }
        peak = peak.max(resident(&loaded.fleet)?);
        loaded.keep_up();
    }
    watch.end(&spell, "while a crowd does not read");
    let had = streams.len();
    streams.retain_mut(Bad::is_served);
    let_go += u32::try_from(had - streams.len()).unwrap_or(u32::MAX);
    drop(streams);
    let mut findings = std::mem::take(&mut watch.findings);
    let grown = peak.saturating_sub(before);
    if grown > MEMORY {
        findings.push(format!("the master grew by {} MiB", grown >> 20));
    }
    let toll = loaded.finish()?;
    findings.extend(toll.findings(Unknown::Never));
    Ok(Report {
        totals: format!(
            "{opened} clients came, {let_go} were let go; the master grew by {:.1} MiB; {watch}; \
             {toll}",
            f64::from(u32::try_from(grown >> 10).unwrap_or(u32::MAX)) / 1024.0
        ),
        findings,
    })
}

fn resident(fleet: &Fleet<'_>) -> Result<u64, TestError> {
    let master = fleet.players(Role::Master)?.into_iter().next();
    Ok(master.and_then(|master| Figures::of(&master)).map_or(0, |figures| figures.resident))
}

/// One bad client.
#[derive(Debug)]
struct Bad {
    stream: UnixStream,
    client: Client,
}

impl Bad {
    fn open(socket: &Path, client: Client) -> Option<Self> {
        let mut stream = connect_now(socket)?;
        let path = match client {
            Client::Lines => "/v1/workers/writer-0/logs?follow=true&tail=1000",
            Client::Events => "/v1/events?follow=true",
            Client::Slow | Client::Silent => "",
        };
        match client {
            Client::Lines | Client::Events => {
                write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
            }
            Client::Slow => stream.write_all(b"GET /v1/workers HTTP/1.1\r\nX-Slow: ").ok()?,
            Client::Silent => {}
        }
        Some(Self { stream, client })
    }

    /// Whether the master has not hung up; a slow one sends its next byte.
    fn is_served(&mut self) -> bool {
        match self.client {
            Client::Slow => self.stream.write_all(b"x").is_ok(),
            Client::Lines | Client::Events | Client::Silent => {
                use rustix::event::{PollFd, PollFlags, Timespec, poll};
                let mut fds = [PollFd::new(&self.stream, PollFlags::empty())];
                let now = Timespec { tv_sec: 0, tv_nsec: 0 };
                poll(&mut fds, Some(&now)).is_ok_and(|count| count == 0)
            }
        }
    }
}

/// Connects, unless the backlog is full.
fn connect_now(socket: &Path) -> Option<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let descriptor =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    let address = SocketAddrUnix::new(socket).ok()?;
    rustix::net::connect(&descriptor, &address).ok()?;
    Some(UnixStream::from(descriptor))
}
