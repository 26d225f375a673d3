//! Shows: what only looks.

use std::borrow::Cow;
use std::io::{Write, stdout};

use hsu_api::{
    CheckView, Description, EventView, FeatureView, HostView, MasterView, PressureView,
    SettingView, VersionView, WhyView, WorkerList, WorkerView,
};
use serde::Deserialize;

use crate::arguments::Output;
use crate::client::{Client, PATIENCE, parse};
use crate::exit::{Exit, Failure};
use crate::ordering::path;
use crate::screen::escaped;
use crate::table::{Table, bytes, span};

const HEAD: [&str; 11] = [
    "NAME",
    "STATE",
    "READY",
    "HEALTH",
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
    match output {
        Output::Json => {
            let mut list: WorkerList = parse(&answer)?;
            select(&mut list.workers, workers, |worker| &worker.id)?;
            writeln!(out, "{}", json(&list)?)?;
        }
        Output::Text => {
            let mut list: Rows<'_> = parse(&answer)?;
            select(&mut list.workers, workers, |worker| &worker.id)?;
            let mut table = Table::new(&HEAD);
            list.workers.iter().for_each(|worker| add_row(&mut table, worker));
            out.write_all(table.render().as_bytes())?;
        }
    }
    Ok(Exit::Success)
}

/// Prints workers as they were, as a table.
pub(crate) fn print_list(out: &mut impl Write, workers: &[WorkerView]) -> Result<(), Failure> {
    let bytes = json(&WorkerList { workers: workers.to_vec() })?;
    let list: Rows<'_> = parse(bytes.as_bytes())?;
    let mut table = Table::new(&HEAD);
    list.workers.iter().for_each(|worker| add_row(&mut table, worker));
    out.write_all(table.render().as_bytes())?;
    Ok(())
}

/// Keeps the workers that were asked for: all of them, when none was named.
fn select<T>(list: &mut Vec<T>, wanted: &[String], id: fn(&T) -> &str) -> Result<(), Failure> {
    if wanted.is_empty() {
        return Ok(());
    }
    if let Some(unknown) = wanted.iter().find(|want| !list.iter().any(|one| id(one) == **want)) {
        let detail = format!("no worker is named {unknown:?}");
        let problem = hsu_api::Problem::new(404, "unknown-worker", "no such worker", detail);
        let problem = problem
            .hint(
                "`hsu-master-cli list` names all of them; `history` also knows those that are gone",
            )
            .about(unknown);
        return Err(Failure::Problem(Box::new(problem)));
    }
    list.retain(|one| wanted.iter().any(|want| id(one) == want));
    Ok(())
}

pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::Answer(error.to_string()))
}

/// What the table needs of a list, borrowed from the answer: a thousand workers cost
/// no allocation each.
#[derive(Deserialize)]
struct Rows<'a> {
    #[serde(borrow)]
    workers: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    ready: bool,
    #[serde(borrow, default)]
    health: Option<Cow<'a, str>>,
    pid: Option<u32>,
    #[serde(default)]
    attached: Vec<u32>,
    uptime_seconds: Option<f64>,
    restarts: u64,
    #[serde(borrow)]
    last_exit: Option<RowExit<'a>>,
    #[serde(borrow)]
    breaker: Cow<'a, str>,
    cpu_seconds: Option<f64>,
    memory_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct RowExit<'a> {
    code: Option<i32>,
    signal: Option<i32>,
    #[serde(borrow)]
    signal_name: Option<Cow<'a, str>>,
}

fn add_row(table: &mut Table, worker: &Row<'_>) {
    table.cell(&worker.id);
    table.cell(&worker.state);
    table.cell(if worker.ready { "yes" } else { "no" });
    table.maybe(worker.health.as_deref());
    // Of several processes the oldest one stands for all.
    match worker.attached.len() {
        0 | 1 => table.maybe(worker.pid),
        many => table.maybe(worker.pid.map(|pid| format!("{pid}+{}", many - 1))),
    }
    table.maybe(worker.uptime_seconds.map(span));
    table.cell(worker.restarts);
    match worker.last_exit.as_ref().map(|exit| (exit.code, &exit.signal_name, exit.signal)) {
        None => table.cell("-"),
        Some((Some(code), _, _)) => table.cell(format_args!("code {code}")),
        Some((None, Some(name), _)) => table.cell(name),
        Some((None, None, Some(number))) => table.cell(format_args!("signal {number}")),
        Some((None, None, None)) => table.cell("unknown"),
    }
    table.cell(&worker.breaker);
    table.maybe(worker.cpu_seconds.map(|seconds| format!("{seconds:.2}s")));
    table.maybe(worker.memory_bytes.map(bytes));
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
    line("Ready:", if status.ready { "yes" } else { "no" })?;
    line("Health:", status.health.as_deref().unwrap_or("-"))?;
    line("PID:", &pids(status))?;
    line("Uptime:", &status.uptime_seconds.map_or_else(|| "-".to_owned(), span))?;
    line("Restarts:", &format!("{} ({} failures in a row)", status.restarts, status.attempts))?;
    line("Breaker:", &status.breaker)?;
    if let Some(told) = &status.told {
        line("Says:", format!("{} {}", told.phase, told.text).trim())?;
    }
    line("Last exit:", status.last_exit.as_ref().map_or("-", |exit| exit.text.as_str()))?;
    // Of a process that somebody else starts neither is ours to say.
    let ours = !description.command.is_empty();
    if ours {
        line("Command:", &typed(&description.command))?;
        line("Restart policy:", &description.restart_policy)?;
    }
    if status.outdated {
        line("Changed:", &outdated(&status.id))?;
    }
    line("Grace period:", &format!("{} s", description.graceful_timeout_seconds))?;
    if ours {
        line("PID file:", &description.pid_file)?;
    }
    print_settings(&mut out, &description.settings)?;
    if !description.limits.is_empty() {
        writeln!(out, "Limits:")?;
    }
    for limit in &description.limits {
        let used = limit.value_text.as_deref().unwrap_or("not known yet");
        let policy =
            if limit.policy.is_empty() { "none".to_owned() } else { limit.policy.join(", ") };
        let keeps = if limit.enforced { "enforced by " } else { "" };
        let paths = limit.paths.join(" ");
        let about = if paths.is_empty() { paths } else { format!(" of {paths}") };
        let (name, text, by) = (&limit.limit, &limit.text, &limit.mechanism);
        let text = format!("  {name}{about}: {text}, used {used}; policy {policy}; {keeps}{by}");
        writeln!(out, "{}", escaped(text.as_bytes()))?;
    }
    if let Some(pressure) = &description.pressure {
        let PressureView { cpu_percent, memory_percent, io_percent } = pressure;
        writeln!(
            out,
            "{:<16}{cpu_percent:.1} % of the last 10 s for CPU, {memory_percent:.1} % for memory, \
             {io_percent:.1} % for disks",
            "Waits:"
        )?;
    }
    if !description.checks.is_empty() {
        writeln!(out, "Checks:")?;
        description.checks.iter().try_for_each(|check| print_check(&mut out, check))?;
    }
    writeln!(out, "Events:")?;
    description.events.iter().try_for_each(|event| print_event(&mut out, event))?;
    Ok(Exit::Success)
}

/// What is to be known of a worker that runs with earlier settings.
fn outdated(worker: &str) -> String {
    format!(
        "what runs was started before the settings of its execution (such as the command, the \
         environment, the user or a limit of the system) were changed; `hsu-master-cli restart \
         {worker}` applies them"
    )
}

/// Its process, or all of them when there are several.
fn pids(status: &WorkerView) -> String {
    let all: Vec<_> = status.attached.iter().map(ToString::to_string).collect();
    let one = || status.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    if all.len() > 1 { all.join(", ") } else { one() }
}

/// A command as a shell would be told it.
fn typed(command: &[String]) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%^".contains(c);
    let word = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn print_settings(out: &mut impl Write, settings: &[SettingView]) -> std::io::Result<()> {
    if !settings.is_empty() {
        writeln!(out, "Settings:")?;
    }
    settings.iter().try_for_each(|setting| {
        let text = format!("  {:<31} {}", setting.name, setting.value);
        writeln!(out, "{}", escaped(text.as_bytes()))
    })
}

fn print_check(out: &mut impl Write, check: &CheckView) -> std::io::Result<()> {
    let duties = match check.duties.as_slice() {
        [] => "shown only".to_owned(),
        duties => duties.join(", "),
    };
    let (name, kind, verdict) = (&check.name, &check.kind, &check.verdict);
    let note = check.last_note.as_deref().unwrap_or("no result yet");
    let (looks, failures, flaps) = (check.looks, check.failures, check.flaps);
    let (usual, longest) = (check.usual_seconds * 1000.0, check.longest_seconds * 1000.0);
    let mut text = format!("{name} ({kind}; {duties}) is {verdict}: {note}");
    if let Some(value) = check.last_value {
        text.push_str(&format!("; value {value:.3}"));
    }
    if check.flapping {
        text.push_str("; it changes too often");
    }
    let figures = format!(
        "{looks} looks, {failures} failed, {flaps} changes; usually {usual:.1} ms, at most {longest:.1} ms"
    );
    writeln!(out, "  {}", escaped(text.as_bytes()))?;
    writeln!(out, "    {figures}")
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
            writeln!(out, "  {}", escaped(line.bytes.as_deref().unwrap_or(line.line.as_bytes())))?;
        }
    }
    writeln!(out, "what happened:")?;
    why.events.iter().try_for_each(|event| print_event(&mut out, event))?;
    Ok(Exit::Success)
}

pub(crate) fn print_event(
    out: &mut (impl Write + ?Sized),
    event: &EventView,
) -> std::io::Result<()> {
    let worker = event.worker.as_deref().unwrap_or("(master)");
    let text =
        format!("{} {} {worker}: {} [{}]", event.sequence, event.at, event.text, event.actor);
    writeln!(out, "{}", escaped(text.as_bytes()))
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
    if let Some(reason) = &master.state_replaced {
        writeln!(out, "           begun anew: {}", escaped(reason.as_bytes()))?;
    }
    for stuck in &master.stuck_outputs {
        let whose = stuck.worker.as_ref().map_or_else(String::new, |id| format!("{id} "));
        let text = format!("{whose}{} takes nothing: {}", stuck.output, stuck.reason);
        writeln!(out, "Output:    {}", escaped(text.as_bytes()))?;
    }
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
    for (key, what, places) in one_line_each(&host.not_built) {
        let places = match places {
            1 => String::new(),
            places => format!(" (in {places} places)"),
        };
        writeln!(out, "  {key}{places}: {what}")?;
    }
    Ok(Exit::Success)
}

/// A key that may stand in many places is told once: the first place, and how many there are.
fn one_line_each(features: &[FeatureView]) -> Vec<(&str, &str, usize)> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let mut lines: Vec<(&str, &str, usize)> = Vec::new();
    for feature in features {
        let same = |(key, what, _): &&mut (&str, &str, usize)| {
            last(key) == last(&feature.key) && *what == feature.what
        };
        match lines.iter_mut().find(same) {
            Some((_, _, places)) => *places += 1,
            None => lines.push((&feature.key, &feature.what, 1)),
        }
    }
    lines
}

/// Prints both versions; the own one also when there is no master.
pub(crate) fn version(
    client: impl Fn() -> Result<Client, Failure>,
    output: Output,
) -> Result<Exit, Failure> {
    let own = env!("CARGO_PKG_VERSION");
    let ask = || client()?.get::<VersionView>("/v1/version");
    let mut out = stdout().lock();
    if output == Output::Json {
        let master = ask().ok();
        let value = serde_json::json!({"client": own, "api": hsu_api::VERSION, "master": master});
        writeln!(out, "{}", json(&value)?)?;
        return Ok(Exit::Success);
    }
    writeln!(out, "client {own} (API {})", hsu_api::VERSION)?;
    let master = ask()?;
    writeln!(out, "master {} (API {})", master.version, master.api)?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_in_many_places_is_told_once() {
        let feature = |key: &str, what: &str| FeatureView { key: key.into(), what: what.into() };
        let features = [
            feature("a.x", "no"),
            feature("b[].x", "no"),
            feature("b[].y", "no"),
            feature("x", "yes"),
        ];
        let lines = one_line_each(&features);
        assert_eq!(lines, [("a.x", "no", 2), ("b[].y", "no", 1), ("x", "yes", 1)]);
    }

    #[test]
    fn a_command_can_be_copied() {
        let words = ["/bin/sh", "-c", "echo it's \"me\"", "", "a=b"].map(str::to_owned);
        assert_eq!(typed(&words), r#"/bin/sh -c 'echo it'\''s "me"' '' a=b"#);
    }
}
