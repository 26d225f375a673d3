//! Validation: what has to be true of a process that fits, before it is attached.

use std::path::Path;
use std::time::{Duration, Instant};

use hsu_model::discovery::Validation;
use hsu_model::process::ProcessKey;
use hsu_sys::{census, files, users};

use crate::http::{Question, ask, connect};

/// Checks all of them, the cheap ones first; the first that does not hold says why.
pub(crate) fn check(process: ProcessKey, wanted: &[Validation]) -> Result<(), String> {
    let is_asked =
        |v: &&Validation| matches!(v, Validation::PortCheck { .. } | Validation::HttpHealth { .. });
    let (asked, looked_at): (Vec<_>, Vec<_>) = wanted.iter().partition(is_asked);
    looked_at.into_iter().chain(asked).try_for_each(|validation| one(process, validation))
}

fn one(process: ProcessKey, validation: &Validation) -> Result<(), String> {
    match validation {
        Validation::PortCheck { host, port, timeout } => {
            let place = match host.contains(':') {
                true => format!("[{host}]:{port}"),
                false => format!("{host}:{port}"),
            };
            let connected = connect(&place, Instant::now() + *timeout);
            connected.map(drop).map_err(|error| format!("port_check of {place}: {error}"))
        }
        Validation::FileExists(path) => {
            let found = Path::new(path).exists();
            found.then_some(()).ok_or_else(|| format!("file_exists: there is no {path}"))
        }
        Validation::HttpHealth { url, expected, timeout } => http(url, *expected, *timeout),
        Validation::User(name) => user(process, name),
        Validation::Exe(path) => exe(process, path),
        Validation::Age { at_least, at_most } => age(process, *at_least, *at_most),
        // A kind that this version does not know does not hold.
        _ => Err("a validation that this version does not know".to_owned()),
    }
}

fn http(url: &str, expected: Option<u16>, timeout: Duration) -> Result<(), String> {
    let question = Question { url, body: None, headers: Vec::new(), timeout };
    let answer = ask(&question).map_err(|reason| format!("http_health: {reason}"))?;
    let status = answer.status;
    let is_fine = expected.map_or_else(|| (200..300).contains(&status), |wanted| wanted == status);
    is_fine.then_some(()).ok_or_else(|| format!("http_health of {url}: status {status}"))
}

fn user(process: ProcessKey, name: &str) -> Result<(), String> {
    let wanted = users::resolve(Some(name), None).map_err(|error| format!("user: {error}"))?;
    let owner = census::owner(process.pid).map_err(|error| format!("user: {error}"))?;
    let is_fine = wanted.is_some_and(|identity| identity.uid == owner);
    is_fine.then_some(()).ok_or_else(|| format!("user: it runs as user {owner} and not as {name}"))
}

fn exe(process: ProcessKey, path: &str) -> Result<(), String> {
    let present = census::program(process.pid).map_err(|error| format!("exe: {error}"))?;
    if files::program_id(Path::new(path)).is_ok_and(|wanted| wanted == present) {
        return Ok(());
    }
    // A program that was replaced while it runs has kept its path.
    let own = census::program_path(process.pid).unwrap_or_default();
    let text = own.to_string_lossy();
    let bare = text.strip_suffix(" (deleted)").unwrap_or(&text);
    let is_same =
        bare == path || std::fs::canonicalize(path).is_ok_and(|real| real == Path::new(bare));
    is_same.then_some(()).ok_or_else(|| format!("exe: it runs {text} and not {path}"))
}

fn age(process: ProcessKey, least: Duration, most: Option<Duration>) -> Result<(), String> {
    let age = census::uptime().saturating_sub(census::started_after(process));
    let seconds = age.as_secs_f64();
    if age < least {
        return Err(format!("age: it has run for {seconds:.1} s only"));
    }
    match most {
        Some(most) if age > most => Err(format!("age: it has run for {seconds:.0} s already")),
        Some(_) | None => Ok(()),
    }
}
