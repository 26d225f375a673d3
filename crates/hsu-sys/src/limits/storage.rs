//! Storage: how many bytes are in folders and log files.
//!
//! A look at a folder may take long, and on a dead network for ever: it is made on a
//! thread of its own, and others read what it found last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hsu_model::limits::LimitKind;

/// Folders that wait for a look; more are looked at later.
const WAITING: usize = 256;
/// The rest after a look, as a multiple of what it took: a twentieth of one CPU at most.
const REST: u32 = 20;
/// Entries that one look counts at most: a budget that is exceeded is exceeded by then.
const MOST_ENTRIES: usize = 2_000_000;

/// What is known of folders.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    found: Arc<Mutex<BTreeMap<Wanted, Found>>>,
    wanted: Option<SyncSender<Wanted>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Folder(PathBuf),
    /// A log file and those that were closed before it.
    LogFile(PathBuf),
}

#[derive(Clone, Copy, Debug, Default)]
struct Found {
    bytes: Option<u64>,
    is_wanted: bool,
}

impl Storage {
    /// Starts the thread; without it nothing is known of any folder.
    #[must_use]
    pub fn start() -> Self {
        let found = Arc::default();
        let (sender, receiver) = sync_channel(WAITING);
        let known = Arc::clone(&found);
        let thread = std::thread::Builder::new()
            .name("hsu-storage".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || run(&receiver, &known));
        // It may hang in a file system, so nobody waits for its end.
        Self { found, wanted: thread.ok().map(|_| sender) }
    }

    /// The bytes that were found last, and a wish to look again; none before the first
    /// look, or when it cannot be read.
    pub(super) fn bytes(&self, kind: LimitKind, paths: &[String]) -> Option<u64> {
        let (mut sum, mut is_known) = (0_u64, true);
        for path in paths {
            let path = PathBuf::from(path);
            let is_log = kind == LimitKind::Logs;
            let wanted = if is_log { Wanted::LogFile(path) } else { Wanted::Folder(path) };
            let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            let found = all.entry(wanted.clone()).or_default();
            self.ask(wanted, found);
            is_known &= found.bytes.is_some();
            sum = sum.saturating_add(found.bytes.unwrap_or(0));
        }
        is_known.then_some(sum)
    }

    fn ask(&self, wanted: Wanted, found: &mut Found) {
        if let (false, Some(sender)) = (found.is_wanted, &self.wanted) {
            // With too many waiting it is asked for again by the next look.
            found.is_wanted = sender.try_send(wanted).is_ok();
        }
    }
}

fn run(wanted: &Receiver<Wanted>, found: &Mutex<BTreeMap<Wanted, Found>>) {
    while let Ok(wanted) = wanted.recv() {
        let begin = Instant::now();
        let bytes = match &wanted {
            Wanted::Folder(folder) => folder_bytes(folder),
            Wanted::LogFile(file) => log_bytes(file),
        };
        let mut all = found.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(wanted, Found { bytes, is_wanted: false });
        drop(all);
        std::thread::sleep((begin.elapsed() * REST).min(Duration::from_secs(60)));
    }
}

/// The bytes that the files of a folder take, each once, on its own file system.
fn folder_bytes(folder: &Path) -> Option<u64> {
    let mut seen = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    let mut sum = 0_u64;
    let mut entries = 0;
    let mut is_first = true;
    while let Some(folder) = folders.pop() {
        let list = match fs::read_dir(&folder) {
            Ok(list) => list,
            Err(_) if is_first => return None,
            // It was removed meanwhile, or is not for our eyes.
            Err(_) => continue,
        };
        is_first = false;
        for entry in list.flatten() {
            entries += 1;
            if entries > MOST_ENTRIES {
                return Some(sum);
            }
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                folders.push(entry.path());
            } else if about.is_file() && is_new(&about, &mut seen) {
                sum = sum.saturating_add(taken(&about));
            }
        }
    }
    Some(sum)
}

#[cfg(unix)]
fn is_new(about: &fs::Metadata, seen: &mut BTreeSet<(u64, u64)>) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    about.nlink() <= 1 || seen.insert((about.dev(), about.ino()))
}

#[cfg(not(unix))]
fn is_new(_: &fs::Metadata, _: &mut BTreeSet<(u64, u64)>) -> bool {
    true
}

/// What a file takes of its disk: a hole takes nothing.
#[cfg(unix)]
fn taken(about: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    about.blocks().saturating_mul(512)
}

#[cfg(not(unix))]
fn taken(about: &fs::Metadata) -> u64 {
    about.len()
}

/// The bytes of a log file and of those that were closed before: they begin alike.
fn log_bytes(file: &Path) -> Option<u64> {
    let stem = file.file_stem()?.to_str()?;
    let list = fs::read_dir(file.parent()?).ok()?;
    let begins = |name: &str| {
        name.strip_prefix(stem).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    let ours = list.flatten().filter(|entry| entry.file_name().to_str().is_some_and(begins));
    Some(
        ours.filter_map(|entry| entry.metadata().ok())
            .filter(fs::Metadata::is_file)
            .map(|about| taken(&about))
            .sum(),
    )
}

#[cfg(test)]
mod tests;
