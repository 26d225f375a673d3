//! Files: whether one is there, how old and how large it is, and what it holds.
//!
//! A file may be on a mount that never answers, so each look has a thread, and there
//! are only a few of them: what waits for one of these is not looked at.

use std::fs::{self, Metadata};
use std::io::{ErrorKind, Read as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hsu_model::health::probe::{File, Presence};
use tokio::sync::Semaphore;

use crate::look::{Looked, MOST_BODY, Seen, Tools, Trouble, trouble};

/// Files that are looked at at once.
const AT_ONCE: usize = 8;

/// Turns at files.
#[derive(Debug)]
pub(crate) struct Files {
    turns: Arc<Semaphore>,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

pub(crate) async fn look(tools: &Arc<Tools>, wanted: &File) -> Looked {
    let turn = Arc::clone(&tools.files.turns).acquire_owned().await;
    let (tools, wanted) = (Arc::clone(tools), wanted.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        inspect(&tools, &wanted)
    });
    looking.await.unwrap_or_else(|error| Err(Trouble::Unable(error.to_string())))
}

fn inspect(tools: &Tools, wanted: &File) -> Looked {
    let path = &wanted.path;
    let found = match fs::metadata(path) {
        Ok(found) => Some(found),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            None
        }
        Err(error) => return Err(trouble(path, &error)),
    };
    let found = match (wanted.presence, found) {
        (Presence::Absent, None) => return Ok(Seen::note(format!("{path} is not there"))),
        (Presence::Absent, Some(_)) => return Err(Trouble::Bad(format!("{path} is there"))),
        (Presence::Present, None) => return Err(Trouble::Bad(format!("{path} is not there"))),
        (Presence::Present, Some(found)) => found,
    };
    let age = judge_age(wanted, &found)?;
    let size = found.len();
    if let Some(least) = wanted.least_size.filter(|least| size < *least) {
        return Err(Trouble::Bad(format!("{path} has {size} bytes, less than {least}")));
    }
    if let Some(most) = wanted.most_size.filter(|most| size > *most) {
        return Err(Trouble::Bad(format!("{path} has {size} bytes, more than {most}")));
    }
    let mut text = Vec::new();
    if wanted.expect.is_some() {
        if !found.is_file() {
            return Err(Trouble::Bad(format!("{path} is no regular file")));
        }
        let file = fs::File::open(path).map_err(|error| trouble(path, &error))?;
        let read = file.take(MOST_BODY as u64).read_to_end(&mut text);
        read.map_err(|error| trouble(path, &error))?;
        tools.patterns.expect(wanted.expect.as_ref(), path, &text)?;
    }
    let note = format!("{path}: {size} bytes, {} s old", age.as_secs());
    Ok(Seen { note, text, ..Seen::default() })
}

fn judge_age(wanted: &File, found: &Metadata) -> Result<Duration, Trouble> {
    let path = &wanted.path;
    let written = found.modified().map_err(|error| trouble(path, &error))?;
    // A clock that was set back makes a file of the future: it is new.
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    if wanted.newest.is_some_and(|most| age > most) {
        return Err(Trouble::Bad(format!("{path} was written {} s ago", age.as_secs())));
    }
    if wanted.oldest.is_some_and(|least| age < least) {
        return Err(Trouble::Bad(format!("{path} was written only {} s ago", age.as_secs())));
    }
    Ok(age)
}
