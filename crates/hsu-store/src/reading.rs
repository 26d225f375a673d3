//! Reading: what a new master needs, and events for whoever asks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hsu_model::event::Event;
use hsu_model::id::WorkerId;
use hsu_model::process::BootId;
use hsu_model::time::WallTime;
use rusqlite::{Connection, OpenFlags, Row, params};

use crate::batch::{Life, Moment};
use crate::database::Fault;
use crate::seal::{event_name, seal};
use crate::{Bookmark, Loaded, wire};

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

/// The table of single values. All of it is read: a key that was damaged would not be
/// found, and be taken for one that was never written.
fn values(connection: &Connection) -> Result<BTreeMap<String, String>, Fault> {
    let mut values = BTreeMap::new();
    let mut statement = connection.prepare("SELECT key, value, seal FROM meta")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        let value = sealed(&key, row.get(1)?, row.get(2)?)?;
        values.insert(key, value);
    }
    Ok(values)
}

fn number(values: &BTreeMap<String, String>, key: &str) -> Option<u64> {
    values.get(key)?.parse().ok()
}

/// The run numbers that are set aside.
pub(crate) fn reserved_runs(connection: &Connection) -> Result<u64, Fault> {
    Ok(number(&values(connection)?, "reserved_runs").unwrap_or(0))
}

/// The words for how far a life has come. Whatever is not [`ENDED`] is no end to an earlier
/// version of this format.
pub(crate) const LASTS: &str = "no";
pub(crate) const LEFT: &str = "left";
pub(crate) const ENDED: &str = "yes";

/// How far the latest life has come; none when there was none.
fn life(values: &BTreeMap<String, String>) -> Option<Life> {
    Some(match values.get("clean")?.as_str() {
        ENDED => Life::Ended,
        LEFT => Life::Left,
        _ => Life::Lasts,
    })
}

/// The number of the latest event; of none that was ever given is a later one reused.
fn last_event(connection: &Connection, values: &BTreeMap<String, String>) -> rusqlite::Result<u64> {
    let last: Option<i64> =
        connection.query_row("SELECT max(sequence) FROM event", [], |row| row.get(0))?;
    let floor = number(values, "event_floor").unwrap_or(0);
    Ok(last.unwrap_or(0).cast_unsigned().max(floor))
}

/// Where the state stands.
pub(crate) fn bookmark(connection: &Connection) -> Result<Bookmark, Fault> {
    let values = values(connection)?;
    Ok(Bookmark { life: life(&values), last_event: last_event(connection, &values)? })
}

/// Everything that is needed to go on.
pub(crate) fn load(connection: &Connection) -> Result<Loaded, Fault> {
    load_with_extras(connection).map(|(loaded, _)| loaded)
}

/// The same, with the fields of records that a later version has written.
pub(crate) fn load_with_extras(
    connection: &Connection,
) -> Result<(Loaded, BTreeMap<WorkerId, String>), Fault> {
    let values = values(connection)?;
    let mut loaded = Loaded {
        life: life(&values),
        boot: values.get("boot").and_then(|text| parse_boot(text)),
        ..Loaded::default()
    };
    let mut extras = BTreeMap::new();
    let mut statement = connection.prepare("SELECT id, record, seal FROM worker")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let text = sealed(&id, row.get(1)?, row.get(2)?)?;
        // A record of a shape that is not known is one that is not there: the
        // worker begins anew.
        if let (Ok(id), Some((record, rest))) =
            (WorkerId::new(&id), wire::decode_record_and_rest(&text))
        {
            extras.extend(rest.map(|rest| (id.clone(), rest)));
            loaded.workers.insert(id, record);
        }
    }
    loaded.last_event = last_event(connection, &values)?;
    let next = number(&values, "next_run").unwrap_or(1);
    let is_over = matches!(loaded.life, None | Some(Life::Ended));
    let lost_power = !is_over && loaded.boot != present_boot();
    loaded.next_run =
        if lost_power { next.max(number(&values, "reserved_runs").unwrap_or(0)) } else { next };
    Ok((loaded, extras))
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

/// Every event about the master itself, oldest first.
pub(crate) fn events_about_master(connection: &Connection) -> rusqlite::Result<Vec<Event>> {
    let question = "SELECT sequence, worker, body, seal FROM event
                    WHERE worker IS NULL ORDER BY sequence";
    let mut statement = connection.prepare_cached(question)?;
    let rows = statement.query_map([], event)?;
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

/// The number before the last so many events; the last number of all when none is wanted.
pub(crate) fn before_last(
    connection: &Connection,
    worker: Option<&WorkerId>,
    count: usize,
) -> rusqlite::Result<u64> {
    if count == 0 {
        return Ok(extent(connection)?.map_or(0, |(_, last)| last));
    }
    let by_worker = "SELECT min(sequence) FROM (SELECT sequence FROM event
                     WHERE worker = ?1 ORDER BY sequence DESC LIMIT ?2)";
    let all = "SELECT min(sequence) FROM (SELECT sequence FROM event
               WHERE ?1 IS NULL ORDER BY sequence DESC LIMIT ?2)";
    let mut statement =
        connection.prepare_cached(if worker.is_some() { by_worker } else { all })?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let first = statement.query_row(params![worker.map(WorkerId::as_str), count], |row| {
        row.get::<_, Option<i64>>(0)
    })?;
    Ok(first.map_or(0, |first| first.cast_unsigned().saturating_sub(1)))
}

/// The numbers of the earliest and the latest event; none when there is none.
pub(crate) fn extent(connection: &Connection) -> rusqlite::Result<Option<(u64, u64)>> {
    let question = "SELECT min(sequence), max(sequence) FROM event";
    connection.query_row(question, [], |row| {
        let (first, last): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(first.zip(last).map(|(first, last)| (first.cast_unsigned(), last.cast_unsigned())))
    })
}

/// The latest event that was not after a time; looked for from the latest on, because a
/// clock may have been set back.
pub(crate) fn event_at(connection: &Connection, time: WallTime) -> rusqlite::Result<Option<Event>> {
    let question = "SELECT sequence, worker, body, seal FROM event ORDER BY sequence DESC";
    let mut statement = connection.prepare_cached(question)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(event) = event(row)?.filter(|event| event.at <= time) {
            return Ok(Some(event));
        }
    }
    Ok(None)
}

/// The latest event up to a number; with a condition, the latest about the master itself
/// that meets it.
pub(crate) fn latest_until(
    connection: &Connection,
    sequence: u64,
    about_master: Option<&dyn Fn(&Event) -> bool>,
) -> rusqlite::Result<Option<Event>> {
    let all = "SELECT sequence, worker, body, seal FROM event
               WHERE sequence <= ?1 ORDER BY sequence DESC";
    let of_master = "SELECT sequence, worker, body, seal FROM event
                     WHERE sequence <= ?1 AND worker IS NULL ORDER BY sequence DESC";
    let question = if about_master.is_some() { of_master } else { all };
    let mut statement = connection.prepare_cached(question)?;
    let mut rows = statement.query([i64::try_from(sequence).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        let meets = |event: &Event| about_master.is_none_or(|condition| condition(event));
        if let Some(event) = event(row)?.filter(meets) {
            return Ok(Some(event));
        }
    }
    Ok(None)
}

/// What each worker was after an event: of each the latest that was written by then.
pub(crate) fn statuses_at(
    connection: &Connection,
    sequence: u64,
    worker: Option<&WorkerId>,
) -> rusqlite::Result<Vec<Moment>> {
    if !has_statuses(connection)? {
        return Ok(Vec::new());
    }
    let by_worker = "SELECT worker, max(sequence), body, seal FROM status
                     WHERE sequence <= ?1 AND worker = ?2 GROUP BY worker";
    let all = "SELECT worker, max(sequence), body, seal FROM status
               WHERE sequence <= ?1 AND ?2 IS NULL GROUP BY worker";
    let mut statement =
        connection.prepare_cached(if worker.is_some() { by_worker } else { all })?;
    let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![sequence, worker.map(WorkerId::as_str)], status)?;
    rows.filter_map(Result::transpose).collect()
}

/// What workers were, change by change, of the events after one number and up to another.
pub(crate) fn statuses(
    connection: &Connection,
    after: u64,
    until: u64,
) -> rusqlite::Result<Vec<Moment>> {
    if !has_statuses(connection)? {
        return Ok(Vec::new());
    }
    let question = "SELECT worker, sequence, body, seal FROM status
                    WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence, worker";
    let mut statement = connection.prepare_cached(question)?;
    let bound = |number| i64::try_from(number).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![bound(after), bound(until)], status)?;
    rows.filter_map(Result::transpose).collect()
}

/// An earlier version wrote none, and a disk that is full takes no new table.
fn has_statuses(connection: &Connection) -> rusqlite::Result<bool> {
    let question = "SELECT count(*) FROM sqlite_schema WHERE name = 'status'";
    connection.query_row(question, [], |row| Ok(row.get::<_, i64>(0)? > 0))
}

fn status(row: &Row<'_>) -> rusqlite::Result<Option<Moment>> {
    let (worker, sequence) = (row.get::<_, String>(0), row.get::<_, i64>(1));
    let (body, found) = (row.get::<_, String>(2), row.get::<_, i64>(3));
    let (Ok(worker), Ok(sequence), Ok(body), Ok(found)) = (worker, sequence, body, found) else {
        return Ok(None);
    };
    let is_sound = seal(&event_name(sequence, Some(&worker)), &body) == found;
    let worker = WorkerId::new(&worker).ok().filter(|_| is_sound);
    Ok(worker.and_then(|worker| wire::decode_status(worker, sequence.cast_unsigned(), &body)))
}
