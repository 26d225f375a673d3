//! A line of a hundred megabytes costs no more memory than a short one.

use std::fs;
use std::io::{self, Write as _};
use std::time::Duration;

use hsu_logs::engine::{Console, ConsoleKind, Engine, EngineOptions, Flushed, Trouble};
use hsu_logs::format::Zone;
use hsu_logs::plan::{Input, LogPlan, OutputPlan, Sink};
use hsu_logs::query::{Extent, Spools};
use hsu_model::logs::{LogFormat, Rotation, Stream};
use hsu_model::spool::SpoolId;
use hsu_model::units::ByteSize;

const LENGTH: usize = 100 << 20;

/// The most memory that this process ever had, in bytes; none where the kernel does not tell.
fn peak_memory() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kilobytes| kilobytes << 10)
}

#[test]
fn a_line_of_any_length_is_written_in_parts_and_found_by_tail() {
    let folder = tempfile::tempdir().unwrap();
    let id = SpoolId::parse("w/stdout").unwrap();
    let path = folder.path().join("out.log").to_str().unwrap().to_owned();
    let rotation = Rotation { max_size: ByteSize(0), ..Rotation::DEFAULT };
    let sink = Sink::File { path: path.clone(), rotation };
    let format = LogFormat::EnhancedPlain;
    let inputs = vec![Input { spool: id.clone(), format, prefix: String::new() }];
    let console = || Console { out: Box::new(io::sink()), kind: ConsoleKind::Stream };
    let engine = Engine::start(EngineOptions {
        plan: LogPlan { outputs: vec![OutputPlan { sink, inputs }], ..LogPlan::default() },
        spools: folder.path().join("spools"),
        cursors: folder.path().join("cursors"),
        stdout: console(),
        stderr: console(),
        zone: Zone::utc(),
        open: hsu_logs::open_any,
        trouble: Trouble::ignored(),
    })
    .unwrap();
    let spool = folder.path().join("spools/w/stdout");
    fs::create_dir_all(&spool).unwrap();
    let mut data = fs::File::create(spool.join("data")).unwrap();
    let block = vec![b'x'; 1 << 20];
    (0..LENGTH / block.len()).for_each(|_| data.write_all(&block).unwrap());
    data.write_all(b"\nshort\n").unwrap();
    drop(block);
    let before = peak_memory();
    assert_eq!(engine.flush_and_stop(Duration::from_secs(60)), Flushed::All);
    let lines = Spools::new(&folder.path().join("spools")).tail(&id.worker, &Stream::ALL, 2, None);
    let lines = lines.unwrap();
    let grown = peak_memory().zip(before).map_or(0, |(after, before)| after - before);
    assert!(grown < 16 << 20, "{grown} bytes");
    assert_eq!(lines[0].extent, Extent::Shortened);
    assert_eq!(lines[1].bytes, b"short");
    let written = fs::read(&path).unwrap();
    let goes_on = b" [hsu-master] the line goes on\n";
    let parts = written.split_inclusive(|byte| *byte == b'\n').filter(|l| l.ends_with(goes_on));
    assert_eq!(parts.count(), LENGTH / (1 << 20), "each part but the last says so");
    let shown = written.split(|byte| *byte == b'\n');
    let count = |line: &[u8]| line.iter().filter(|byte| **byte == b'x').count();
    assert_eq!(shown.map(count).sum::<usize>(), LENGTH);
}
