//! Output: verifiable lines at a rate or as a flood, with a ledger of what was written.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hsu_testkit::lines::write_line;

use crate::options::Options;

/// A block of a flood is at least this long: more than a pipe holds.
const BLOCK: usize = 100_000;
/// The piece of a line that has no line end.
const PIECE: &[u8] = b"a piece without an end";

/// What one stream gets.
struct Plan {
    writer: String,
    stream: char,
    count: u64,
    rate: u32,
    length: usize,
    in_blocks: bool,
    partial: bool,
    ledger: Option<fs::File>,
}

/// Starts a thread for each stream that gets lines.
pub(crate) fn start(options: &Options) -> io::Result<Vec<JoinHandle<()>>> {
    let has_lines = options.lines.is_some() || options.flood;
    if !has_lines && !options.partial_line {
        return Ok(Vec::new());
    }
    let writer = options.writer.clone().unwrap_or_else(unique_name);
    let mut threads = Vec::new();
    for stream in options.streams.letters() {
        let plan = Plan {
            writer: writer.clone(),
            stream: *stream,
            count: match options.lines {
                Some(0) => u64::MAX,
                Some(count) => count,
                None if options.flood => u64::MAX,
                None => 0,
            },
            rate: if options.flood { 0 } else { options.rate },
            length: options.line_bytes,
            in_blocks: options.flood,
            partial: options.partial_line,
            ledger: match &options.ledger {
                Some(folder) => Some(open_ledger(folder, &writer, *stream)?),
                None => None,
            },
        };
        threads.push(thread::spawn(move || {
            // A closed stream ends the output and not the worker, as in most programs.
            if let Err(error) = run(&plan) {
                eprintln!("hsu-dummy: cannot write: {error}");
            }
        }));
    }
    Ok(threads)
}

fn run(plan: &Plan) -> io::Result<()> {
    let start = Instant::now();
    let mut buffer = Vec::new();
    let mut next = 0;
    while next < plan.count {
        if plan.rate > 0 {
            thread::sleep(due(next, plan.rate).saturating_sub(start.elapsed()));
        }
        buffer.clear();
        loop {
            write_line(&mut buffer, &plan.writer, plan.stream, next, plan.length);
            next += 1;
            if !plan.in_blocks || buffer.len() >= BLOCK || next == plan.count {
                break;
            }
        }
        emit(plan.stream, &buffer)?;
        if let Some(ledger) = &plan.ledger {
            let line = format!("{} {} {next:020}\n", plan.writer, plan.stream);
            ledger.write_all_at(line.as_bytes(), 0)?;
        }
    }
    if plan.partial {
        emit(plan.stream, PIECE)?;
    }
    Ok(())
}

/// When a line is due, counted from the first one.
fn due(number: u64, rate: u32) -> Duration {
    let rate = u64::from(rate);
    let rest = number % rate * 1_000_000_000 / rate;
    Duration::from_secs(number / rate) + Duration::from_nanos(rest)
}

/// One write per block: the library would cut a block at line ends.
fn emit(stream: char, bytes: &[u8]) -> io::Result<()> {
    let mut file = if stream == 'e' {
        fs::File::from(rustix::io::dup(rustix::stdio::stderr())?)
    } else {
        fs::File::from(rustix::io::dup(rustix::stdio::stdout())?)
    };
    file.write_all(bytes)
}

fn open_ledger(folder: &Path, writer: &str, stream: char) -> io::Result<fs::File> {
    fs::create_dir_all(folder)?;
    fs::File::create(folder.join(format!("{writer}-{stream}")))
}

/// PIDs come back within seconds, so the time of the start is part of the name.
fn unique_name() -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("{}-{:x}", std::process::id(), since.as_nanos() & 0xffff_ffff_ffff)
}
