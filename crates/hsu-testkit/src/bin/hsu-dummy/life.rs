//! The life of the dummy, from its first line to its chosen death.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::options::Options;
use crate::{crowd, dead, family, identity, load, output, serve, slot};

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    if let (Some(log), 1..) = (&options.crowd_log, options.crowd) {
        return crowd::run(options.crowd, log);
    }
    if let Some(folder) = &options.dead_mount {
        return dead::run(folder);
    }
    // Held until the process ends.
    let _slot = options.slot.as_deref().map(slot::take).transpose()?;
    if options.print_identity {
        // Before any handler of ours changes what it tells.
        println!("{}", identity::of_this_process()?);
    }
    if options.echo_env {
        println!("{}", identity::environment());
    }
    thread::sleep(options.startup_delay);
    for text in &options.say {
        println!("{text}");
    }
    if options.daemonize {
        family::start_daemon(options.ignore_term)?;
        return Ok(ExitCode::SUCCESS);
    }
    let signals = Signals::new(caught(options))?;
    if let Some(path) = &options.pid_file {
        fs::write(path, format!("{}\n", std::process::id()))?;
    }
    if options.fork_family {
        family::start(options.ignore_term)?;
    }
    family::explode(options.fork_bomb)?;
    load::hold(options.memory_mb);
    load::grow(options.memory_growth_rate);
    load::burn(options.cpu_percent);
    load::write(options.disk_rate, options.disk_file.as_deref());
    load::open(options.open_files);
    family::multiply(options.fork_rate);
    if let Some(port) = options.health_port {
        serve::health(port, options.fail_health_after)?;
    }
    if let Some(port) = options.tcp_port {
        serve::echo(port)?;
    }
    let writers = output::start(options)?;
    let end = wait_for_end(options, signals)?;
    if matches!(end, End::Time) {
        // An orderly end does not cut its own output.
        for writer in writers {
            if options.lines != Some(0) && !options.flood {
                writer.join().map_err(|_| "a writer panicked")?;
            }
        }
    }
    if let (Some(path), End::Time | End::Asked) = (&options.pid_file, &end) {
        fs::remove_file(path)?;
    }
    die(options, &end)
}

/// Why the life is over.
enum End {
    /// `--run-duration` is over.
    Time,
    /// `--crash-after` is over.
    Crash,
    /// SIGTERM or SIGINT came.
    Asked,
}

/// Only the signals that have a meaning here; the others keep their default.
fn caught(options: &Options) -> Vec<i32> {
    let mut all = vec![SIGTERM, SIGINT];
    if options.signal_log.is_some() {
        all.extend([SIGCONT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2]);
    }
    all
}

fn wait_for_end(options: &Options, mut signals: Signals) -> Result<End, Box<dyn Error>> {
    let start = Instant::now();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for signal in signals.forever() {
            if sender.send(signal).is_err() {
                return;
            }
        }
    });
    let life = (!options.run_duration.is_zero()).then_some((options.run_duration, End::Time));
    let crash = options.crash_after.map(|after| (after, End::Crash));
    let first = [life, crash].into_iter().flatten().min_by_key(|(after, _)| *after);
    loop {
        let signal = match &first {
            None => receiver.recv()?,
            Some((after, _)) => {
                match receiver.recv_timeout(after.saturating_sub(start.elapsed())) {
                    Ok(signal) => signal,
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        note(options, signal)?;
        if matches!(signal, SIGTERM | SIGINT) && !options.ignore_term {
            thread::sleep(options.shutdown_delay);
            return Ok(End::Asked);
        }
    }
    Ok(first.map_or(End::Time, |(_, end)| end))
}

fn note(options: &Options, signal: i32) -> std::io::Result<()> {
    if options.ignore_term {
        eprintln!("hsu-dummy: signal {signal} taken, not ending");
    }
    let Some(path) = &options.signal_log else {
        return Ok(());
    };
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{} {signal}\n", std::process::id()).as_bytes())
}

fn die(options: &Options, end: &End) -> Result<ExitCode, Box<dyn Error>> {
    let code = match end {
        End::Asked => return Ok(ExitCode::SUCCESS),
        End::Crash if options.exit_code == 0 => 1,
        End::Crash | End::Time => options.exit_code,
    };
    if let Some(number) = options.exit_signal {
        // A plain kill is not enough: the runtime has a handler of its own for SIGSEGV.
        emulate_default_handler(number)?;
    }
    Ok(ExitCode::from(code))
}
