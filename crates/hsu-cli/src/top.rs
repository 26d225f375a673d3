//! Top: what workers with limits use, and have used.

use std::io::{Write as _, stderr, stdout};

use hsu_api::{UsageList, UsageRecords, UsageView};

use crate::arguments::{Order, Output};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::ordering::path;
use crate::screen::escaped;
use crate::showing::json;
use crate::table::{Table, bytes};

/// Shows what they use at present.
pub(crate) fn top(client: &Client, order: Order, output: Output) -> Result<Exit, Failure> {
    let mut list: UsageList = client.get("/v1/usage")?;
    match order {
        Order::Cpu => list.workers.sort_by_key(|one| std::cmp::Reverse(one.cpu_thousandths)),
        Order::Memory => list.workers.sort_by_key(|one| std::cmp::Reverse(one.memory_bytes)),
        Order::Name => list.workers.sort_by(|one, two| one.worker.cmp(&two.worker)),
    }
    let mut out = stdout().lock();
    if output == Output::Json {
        writeln!(out, "{}", json(&list)?)?;
        return Ok(Exit::Success);
    }
    out.write_all(table(&["NAME", "PID"], &list.workers, |one| one.worker.as_deref()).as_bytes())?;
    tell_when_none(&list.workers);
    Ok(Exit::Success)
}

/// Shows what one has used.
pub(crate) fn usage(
    client: &Client,
    worker: &str,
    since: Option<&str>,
    output: Output,
) -> Result<Exit, Failure> {
    let query = since.map_or_else(String::new, |since| format!("?since={}", encoded(since)));
    let list: UsageRecords = client.get(&path(worker, &format!("/usage{query}")))?;
    let mut out = stdout().lock();
    if output == Output::Json {
        writeln!(out, "{}", json(&list)?)?;
        return Ok(Exit::Success);
    }
    out.write_all(table(&["AT"], &list.records, |one| Some(&one.at)).as_bytes())?;
    tell_when_none(&list.records);
    Ok(Exit::Success)
}

/// Says why there is nothing.
fn tell_when_none(rows: &[UsageView]) {
    if rows.is_empty() {
        let text = "hint: what a worker uses is measured where its `limits` say what it may use\n";
        // Nobody is left to hear that standard error is closed.
        drop(stderr().write_all(text.as_bytes()));
    }
}

fn table<'u>(
    first: &[&str],
    rows: &'u [UsageView],
    name: impl Fn(&'u UsageView) -> Option<&'u str>,
) -> String {
    let rest = ["CPU", "MEMORY", "READ", "WRITTEN", "PROCESSES", "THREADS", "SLOWED"];
    let mut table = Table::new(&[first, &rest].concat());
    for row in rows {
        table.maybe(name(row).map(|name| escaped(name.as_bytes())));
        if first.len() > 1 {
            table.maybe(row.pid);
        }
        table.maybe(row.cpu_thousandths.map(|all| format!("{}.{}%", all / 10, all % 10)));
        table.cell(bytes(row.memory_bytes));
        table.maybe(row.read_bytes_per_second.map(|all| format!("{}/s", bytes(all))));
        table.maybe(row.written_bytes_per_second.map(|all| format!("{}/s", bytes(all))));
        table.cell(row.processes);
        table.cell(row.threads);
        table.maybe(row.slowed_by.as_deref().map(|by| escaped(by.as_bytes())));
    }
    table.render()
}

/// A text as part of a query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b':' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
