//! Reading: what a new master needs, and events for whoever asks.

use std::path::Path;
use std::time::Duration;

use hsu_model::event::Event;
use hsu_model::id::WorkerId;
use hsu_model::process::BootId;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};

use crate::database::Fault;
use crate::seal::{event_name, seal};
use crate::{Loaded, wire};

/// Opens a connection that only reads.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.pragma_update(None, "cache_size", -256)?;
    Ok(connection)
}

/// The text of a row, when its seal fits.
fn sealed(name: &str, text: String, found: i64) -> Result<String, Fault> {
    if seal(name, &text) == found {
        Ok(text)
    } else {
        Err(Fault::Damaged(format!("the row {name:?} was damaged")))
    }
}

/// A value of the table of single values.
pub(crate) fn meta(connection: &Connection, key: &str) -> Result<Option<String>, Fault> {
    let row = connection
        .prepare_cached("SELECT value, seal FROM meta WHERE key = ?1")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    row.map(|(value, found)| sealed(key, value, found)).transpose()
}

fn number(connection: &Connection, key: &str) -> Result<Option<u64>, Fault> {
    Ok(meta(connection, key)?.and_then(|text| text.parse().ok()))
}

/// The run numbers that are set aside.
pub(crate) fn reserved_runs(connection: &Connection) -> Result<u64, Fault> {
    Ok(number(connection, "reserved_runs")?.unwrap_or(0))
}

/// Everything that is needed to go on.
pub(crate) fn load(connection: &Connection) -> Result<Loaded, Fault> {
    let mut loaded = Loaded {
        clean: meta(connection, "clean")?.map(|text| text == "yes"),
        boot: meta(connection, "boot")?.and_then(|text| parse_boot(&text)),
        ..Loaded::default()
    };
    let mut statement = connection.prepare("SELECT id, record, seal FROM worker")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let text = sealed(&id, row.get(1)?, row.get(2)?)?;
        // A record of a shape that is not known is one that is not there: the
        // worker begins anew.
        if let (Ok(id), Some(record)) = (WorkerId::new(&id), wire::decode_record(&text)) {
            loaded.workers.insert(id, record);
        }
    }
    let last: Option<i64> =
        connection.query_row("SELECT max(sequence) FROM event", [], |row| row.get(0))?;
    let floor = number(connection, "event_floor")?.unwrap_or(0);
    loaded.last_event = last.unwrap_or(0).cast_unsigned().max(floor);
    let next = number(connection, "next_run")?.unwrap_or(1);
    let lost_power = loaded.clean == Some(false) && loaded.boot != present_boot();
    loaded.next_run = if lost_power { next.max(reserved_runs(connection)?) } else { next };
    Ok(loaded)
}

/// The boot that this process runs in; none where the kernel has no name for it.
pub(crate) fn present_boot() -> Option<BootId> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    parse_boot(&text.trim().replace('-', ""))
}

fn parse_boot(text: &str) -> Option<BootId> {
    u128::from_str_radix(text, 16).ok().map(|number| BootId(number.to_be_bytes()))
}

/// Events after a number, oldest first. Damaged ones and those of kinds that a
/// later version knows are left out.
pub(crate) fn events(
    connection: &Connection,
    after: u64,
    worker: Option<&WorkerId>,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    // Two statements, because one with an OR cannot use the index of the workers.
    let by_worker = "SELECT sequence, worker, body, seal FROM event
                     WHERE sequence > ?1 AND worker = ?2 ORDER BY sequence LIMIT ?3";
    let all = "SELECT sequence, worker, body, seal FROM event
               WHERE sequence > ?1 AND ?2 IS NULL ORDER BY sequence LIMIT ?3";
    let mut statement =
        connection.prepare_cached(if worker.is_some() { by_worker } else { all })?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // A number beyond what a sequence can be is after every event.
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![after, worker.map(WorkerId::as_str), limit], event)?;
    rows.filter_map(Result::transpose).collect()
}

/// The latest events, oldest first.
pub(crate) fn last_events(
    connection: &Connection,
    worker: Option<&WorkerId>,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    let by_worker = "SELECT sequence, worker, body, seal FROM event
                     WHERE worker = ?1 ORDER BY sequence DESC LIMIT ?2";
    let all = "SELECT sequence, worker, body, seal FROM event
               WHERE ?1 IS NULL ORDER BY sequence DESC LIMIT ?2";
    let mut statement =
        connection.prepare_cached(if worker.is_some() { by_worker } else { all })?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![worker.map(WorkerId::as_str), limit], event)?;
    let mut events: Vec<Event> =
        rows.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?;
    events.reverse();
    Ok(events)
}

fn event(row: &Row<'_>) -> rusqlite::Result<Option<Event>> {
    let (worker, body) = (row.get::<_, Option<String>>(1), row.get::<_, String>(2));
    let (sequence, found) = (row.get::<_, i64>(0), row.get::<_, i64>(3));
    // A value that is no text or no number any more is as damaged as a wrong one.
    let (Ok(sequence), Ok(worker), Ok(body), Ok(found)) = (sequence, worker, body, found) else {
        return Ok(None);
    };
    let is_sound = seal(&event_name(sequence, worker.as_deref()), &body) == found;
    Ok(if is_sound { wire::decode_event(&body) } else { None })
}
