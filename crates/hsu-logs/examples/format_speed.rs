//! How fast the engine writes formatted lines, on this machine, now.
//!
//! `cargo run --release -p hsu-logs --example format_speed [FOLDER]` lays a
//! gigabyte of 100-byte lines into a spool, as a pump would, and lets the engine
//! write it in each format; throughput counts the bytes of the spool.
#![expect(clippy::print_stdout, reason = "an example prints what it measured")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsu_logs::engine::{Console, ConsoleKind, Engine, EngineOptions, Trouble};
use hsu_logs::format::Zone;
use hsu_logs::plan::{Input, LogPlan, OutputPlan, Sink};
use hsu_model::logs::{LogFormat, Rotation};
use hsu_model::spool::head::Head;
use hsu_model::spool::index::{Mark, Record};
use hsu_model::spool::{HEAD_FILE, SpoolId, closed_path, index_name};
use hsu_model::time::WallTime;
use hsu_model::units::ByteSize;

const SEGMENT: u64 = 4 << 20;
const SEGMENTS: u64 = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("format-speed-{}", std::process::id()));
    for (name, format) in [
        ("plain copy", LogFormat::Plain),
        ("enhanced_plain", LogFormat::EnhancedPlain),
        ("json", LogFormat::Json),
    ] {
        fs::create_dir_all(&folder)?;
        let measured = measure(&folder, format);
        fs::remove_dir_all(&folder)?;
        let (bytes, time, cpu) = measured?;
        let (rate, cost) = (bytes / time.as_secs_f64() / 1e6, cpu / bytes * 1e9);
        println!("{name:16} {rate:8.1} MB/s {cost:8.3} CPU-s/GB");
    }
    Ok(())
}

/// Bytes formatted, wall time, CPU seconds.
fn measure(
    folder: &Path,
    format: LogFormat,
) -> Result<(f64, Duration, f64), Box<dyn std::error::Error>> {
    let id = SpoolId::parse("w/stdout").ok_or("not an id")?;
    let path = folder.join("out.log").to_string_lossy().into_owned();
    let rotation = Rotation { max_size: ByteSize(10_000_000), max_files: 3, max_age: None };
    let inputs = vec![Input { spool: id, format, prefix: String::new() }];
    let outputs = vec![OutputPlan { sink: Sink::File { path, rotation }, inputs }];
    let console = || Console { out: Box::new(io::sink()), kind: ConsoleKind::Stream };
    let engine = Engine::start(EngineOptions {
        plan: LogPlan { outputs, ..LogPlan::default() },
        spools: folder.join("spools"),
        cursors: folder.join("cursors"),
        stdout: console(),
        stderr: console(),
        zone: Zone::local(),
        open: hsu_logs::open_any,
        trouble: Trouble::ignored(),
    })?;
    fill(&folder.join("spools/w/stdout"))?;
    let (start, cpu) = (Instant::now(), own_cpu()?);
    engine.flush_and_stop(Duration::from_secs(600));
    let bytes = (SEGMENTS * SEGMENT) as f64;
    Ok((bytes, start.elapsed(), own_cpu()? - cpu))
}

/// A spool of closed segments, with an arrival every 64 KiB.
fn fill(spool: &Path) -> io::Result<()> {
    let line = b"a line of one hundred bytes, as the benchmark of the peers writes it: 0123456789 abcdefghijklmnopqr\n";
    fs::create_dir_all(spool)?;
    let data = spool.join("data").to_string_lossy().into_owned();
    let lines: Vec<u8> = line.repeat(usize::try_from(SEGMENT).unwrap_or(0) / line.len());
    let (mut base, mut now) = (0, 1_753_651_203_000_000_000);
    for _ in 0..SEGMENTS {
        fs::write(closed_path(&data, base), &lines)?;
        let records = (0..lines.len() as u64).step_by(64 << 10).flat_map(|at| {
            now += 50_000;
            Record { at, mark: Mark::Arrived(WallTime(now)) }.encode()
        });
        fs::write(spool.join(index_name(base)), records.collect::<Vec<u8>>())?;
        base += lines.len() as u64;
    }
    fs::write(spool.join(HEAD_FILE), Head { base, ..Head::default() }.encode())
}

/// The CPU time of this process, in seconds; 0 where the kernel does not tell.
fn own_cpu() -> io::Result<f64> {
    // Source: proc_pid_stat(5), fields 14 and 15, in clock ticks of 10 ms.
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = after_name.split(' ').skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / 100.0)
}
