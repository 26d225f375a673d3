//! Shows: what only looks.

use std::io::{BufWriter, IsTerminal as _, Write, stdout};

use hsu_api::{
    Description, EventList, EventView, HostView, LineView, MasterView, VersionView, WhyView,
    WorkerList, WorkerView,
};

use crate::arguments::{Events, Logs, Output};
use crate::client::{Client, PATIENCE, parse};
use crate::exit::{Exit, Failure};
use crate::ordering::path;
use crate::screen::escaped;
use crate::table::{bytes, span, table};

const HEAD: [&str; 10] = [
    "NAME",
    "STATE",
    "READY",
    "PID",
    "UPTIME",
    "RESTARTS",
    "LAST-EXIT",
    "BREAKER",
    "CPU",
    "MEMORY",
];

/// Shows workers.
pub(crate) fn list(client: &Client, workers: &[String], output: Output) -> Result<Exit, Failure> {
    let answer = client.bytes("GET", "/v1/workers", "", Some(PATIENCE))?;
    let mut out = stdout().lock();
    if output == Output::Json && workers.is_empty() {
        out.write_all(&answer)?;
        writeln!(out)?;
        return Ok(Exit::Success);
    }
    let mut list: WorkerList = parse(&answer)?;
    let unknown = workers.iter().find(|id| !list.workers.iter().any(|worker| worker.id == **id));
    if let Some(id) = unknown {
        let problem = hsu_api::Problem::new(
            404,
            "unknown-worker",
            "no such worker",
            format!("no worker is named {id:?}"),
        );
        return Err(Failure::Problem(Box::new(problem)));
    }
    if !workers.is_empty() {
        list.workers.retain(|worker| workers.contains(&worker.id));
    }
    match output {
        Output::Json => writeln!(out, "{}", json(&list)?)?,
        Output::Text => {
            let rows: Vec<_> = list.workers.iter().map(row).collect();
            out.write_all(table(&HEAD, &rows).as_bytes())?;
        }
    }
    Ok(Exit::Success)
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::Answer(error.to_string()))
}

fn row(worker: &WorkerView) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let exit = worker.last_exit.as_ref().map(|exit| match (exit.code, &exit.signal_name) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(name)) => name.clone(),
        (None, None) => exit.signal.map_or_else(|| "unknown".to_owned(), |n| format!("signal {n}")),
    });
    vec![
        worker.id.clone(),
        worker.state.clone(),
        if worker.ready { "yes" } else { "no" }.to_owned(),
        or_dash(worker.pid.map(|pid| pid.to_string())),
        or_dash(worker.uptime_seconds.map(span)),
        worker.restarts.to_string(),
        or_dash(exit),
        worker.breaker.clone(),
        or_dash(worker.cpu_seconds.map(|seconds| format!("{seconds:.2}s"))),
        or_dash(worker.memory_bytes.map(bytes)),
    ]
}

/// Shows everything about one worker.
pub(crate) fn describe(client: &Client, worker: &str, output: Output) -> Result<Exit, Failure> {
    let description: Description = client.get(&path(worker, ""))?;
    let mut out = stdout().lock();
    if output == Output::Json {
        writeln!(out, "{}", json(&description)?)?;
        return Ok(Exit::Success);
    }
    let status = &description.status;
    let mut line = |name: &str, text: &str| writeln!(out, "{name:<16}{}", escaped(text.as_bytes()));
    line("Name:", &status.id)?;
    line("Display name:", &description.name)?;
    line("Description:", &description.description)?;
    line("State:", &format!("{} ({})", status.state, status.reason))?;
    line("Wanted:", &status.desired)?;
    line("Enabled:", if status.enabled { "yes" } else { "no" })?;
    line("PID:", &status.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()))?;
    line("Uptime:", &status.uptime_seconds.map_or_else(|| "-".to_owned(), span))?;
    line("Restarts:", &format!("{} ({} failures in a row)", status.restarts, status.attempts))?;
    line("Breaker:", &status.breaker)?;
    line("Last exit:", status.last_exit.as_ref().map_or("-", |exit| exit.text.as_str()))?;
    line("Command:", &description.command.join(" "))?;
    line("Restart policy:", &description.restart_policy)?;
    line("Grace period:", &format!("{} s", description.graceful_timeout_seconds))?;
    line("PID file:", &description.pid_file)?;
    writeln!(out, "Events:")?;
    description.events.iter().try_for_each(|event| print_event(&mut out, event))?;
    Ok(Exit::Success)
}

/// Tells why a worker is in its state.
pub(crate) fn why(client: &Client, worker: &str, output: Output) -> Result<Exit, Failure> {
    let why: WhyView = client.get(&path(worker, "/why"))?;
    let mut out = stdout().lock();
    if output == Output::Json {
        writeln!(out, "{}", json(&why)?)?;
        return Ok(Exit::Success);
    }
    for sentence in &why.chain {
        writeln!(out, "{}", escaped(sentence.as_bytes()))?;
    }
    if !why.last_stderr.is_empty() {
        writeln!(out, "its last words on standard error:")?;
        for line in &why.last_stderr {
            writeln!(out, "  {}", escaped(line.text.as_bytes()))?;
        }
    }
    writeln!(out, "what happened:")?;
    why.events.iter().try_for_each(|event| print_event(&mut out, event))?;
    Ok(Exit::Success)
}

fn print_event(out: &mut (impl Write + ?Sized), event: &EventView) -> std::io::Result<()> {
    let worker = event.worker.as_deref().unwrap_or("(master)");
    let text =
        format!("{} {} {worker}: {} [{}]", event.sequence, event.at, event.text, event.actor);
    writeln!(out, "{}", escaped(text.as_bytes()))
}

/// Shows what happened, and with `-f` what happens.
pub(crate) fn events(client: &Client, wanted: &Events) -> Result<Exit, Failure> {
    let mut query = format!("/v1/events?limit={}&follow={}", wanted.limit, wanted.follow);
    if let Some(after) = wanted.after {
        query.push_str(&format!("&after={after}"));
    }
    if let Some(worker) = &wanted.worker {
        let segment = path(worker, "");
        query.push_str(&format!("&worker={}", segment.trim_start_matches("/v1/workers/")));
    }
    if wanted.follow {
        return records(client, &query, |out, record| match wanted.output {
            Output::Json => {
                out.write_all(record)?;
                Ok(writeln!(out)?)
            }
            Output::Text => Ok(print_event(out, &parse(record)?)?),
        });
    }
    let list: EventList = client.get(&query)?;
    let mut out = BufWriter::new(stdout().lock());
    match wanted.output {
        Output::Json => writeln!(out, "{}", json(&list)?)?,
        Output::Text => list.events.iter().try_for_each(|event| print_event(&mut out, event))?,
    }
    out.flush()?;
    Ok(Exit::Success)
}

/// Shows the output of a worker.
pub(crate) fn logs(client: &Client, wanted: &Logs) -> Result<Exit, Failure> {
    let mut query = format!("/logs?follow={}", wanted.follow);
    for (name, value) in [("since", &wanted.since), ("stream", &wanted.stream)] {
        if let Some(value) = value {
            let segment = path(value, "");
            query.push_str(&format!("&{name}={}", segment.trim_start_matches("/v1/workers/")));
        }
    }
    if let Some(tail) = wanted.tail {
        query.push_str(&format!("&tail={tail}"));
    }
    let is_raw = wanted.raw || !stdout().is_terminal();
    records(client, &path(&wanted.worker, &query), |out, record| {
        let line: LineView = parse(record)?;
        if wanted.timestamps {
            write!(out, "{} {} ", line.at, line.stream)?;
        }
        let bytes = line.bytes.as_deref().unwrap_or(line.text.as_bytes());
        if is_raw {
            out.write_all(bytes)?;
        } else {
            out.write_all(escaped(bytes).as_bytes())?;
        }
        Ok(out.write_all(b"\n")?)
    })
}

/// Hands every record of a growing answer to `show`, as it comes.
fn records(
    client: &Client,
    query: &str,
    show: impl Fn(&mut dyn Write, &[u8]) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let mut answer = client.ask("GET", query, "", None)?;
    let mut out = BufWriter::new(stdout().lock());
    let mut buffer = Vec::new();
    loop {
        let more = answer.read(&mut buffer).map_err(|error| Failure::Answer(error.to_string()))?;
        let end = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = buffer.drain(..end).collect();
        for record in whole.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()) {
            show(&mut out, record)?;
        }
        out.flush()?;
        if !more {
            return Ok(Exit::Success);
        }
    }
}

/// Shows the master.
pub(crate) fn master(client: &Client, output: Output) -> Result<Exit, Failure> {
    let master: MasterView = client.get("/v1/master")?;
    let mut out = stdout().lock();
    if output == Output::Json {
        writeln!(out, "{}", json(&master)?)?;
        return Ok(Exit::Success);
    }
    writeln!(out, "Version:   {}", master.version)?;
    writeln!(out, "PID:       {} (keeper {})", master.pid, master.keeper_pid)?;
    writeln!(out, "Since:     {}", master.started_at)?;
    writeln!(out, "Config:    {}", escaped(master.config.as_bytes()))?;
    writeln!(out, "State:     {}", escaped(master.state_directory.as_bytes()))?;
    writeln!(out, "Workers:   {} known, {} running", master.workers, master.running)?;
    writeln!(out, "Store:     {}", master.degraded.as_deref().unwrap_or("well"))?;
    Ok(Exit::Success)
}

/// Tells what the host can do.
pub(crate) fn capabilities(client: &Client, output: Output) -> Result<Exit, Failure> {
    let host: HostView = client.get("/v1/capabilities")?;
    let mut out = stdout().lock();
    if output == Output::Json {
        writeln!(out, "{}", json(&host)?)?;
        return Ok(Exit::Success);
    }
    for capability in &host.host {
        let mark = if capability.available { "yes" } else { "no " };
        writeln!(out, "{mark}  {}: {}", capability.name, capability.detail)?;
    }
    writeln!(out, "\nchecked, and not built yet:")?;
    for feature in &host.not_built {
        writeln!(out, "  {}: {}", feature.key, feature.what)?;
    }
    Ok(Exit::Success)
}

/// Prints both versions.
pub(crate) fn version(client: &Client) -> Result<Exit, Failure> {
    let mut out = stdout().lock();
    writeln!(out, "client {} (API {})", env!("CARGO_PKG_VERSION"), hsu_api::VERSION)?;
    out.flush()?;
    let master: VersionView = client.get("/v1/version")?;
    writeln!(out, "master {} (API {})", master.version, master.api)?;
    Ok(Exit::Success)
}
