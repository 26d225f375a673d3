//! What the pump costs beside a plain read-and-write loop, on this machine, now.
//!
//! `cargo run --release -p hsu-keeper --example pump_speed [FOLDER]` runs a flood
//! (one writer, large writes) and 100 slow writers (1,000 lines a second each)
//! through both and prints throughput and CPU seconds per GB. The writers are
//! this program in another role.
#![expect(clippy::print_stdout, reason = "an example prints what it measured")]

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    measure::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the pump is for Linux");
}

#[cfg(target_os = "linux")]
mod measure {
    use std::fs;
    use std::io::{self, Read as _, Write as _};
    use std::os::fd::OwnedFd;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use hsu_keeper::pump::{Pump, PumpOptions};
    use hsu_model::id::RunId;
    use hsu_model::logs::Rotation;
    use hsu_model::spool::plan::{PumpPlan, SpoolPlan};
    use hsu_model::spool::{PLAN_FILE, SpoolId};
    use hsu_model::units::ByteSize;

    const LINE: &[u8; 100] = b"a line of one hundred bytes, as the benchmark of the peers writes \
it: 0123456789 abcdefghijklmnopqr\n";
    const FLOOD: u64 = 4 << 30;
    const WRITERS: usize = 100;
    const SLOW_TIME: Duration = Duration::from_secs(5);

    pub(super) fn main() -> io::Result<()> {
        let mut arguments = std::env::args().skip(1);
        match arguments.next().as_deref() {
            Some("write-flood") => flood(),
            Some("write-slow") => slow(),
            folder => {
                let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
                let folder = folder.join(format!("pump-speed-{}", std::process::id()));
                fs::create_dir_all(&folder)?;
                let result = all(&folder);
                fs::remove_dir_all(&folder)?;
                result
            }
        }
    }

    fn all(folder: &Path) -> io::Result<()> {
        report("flood, read and write", || by_hand(folder, 1, "write-flood"))?;
        report("flood, pump", || by_pump(folder, 1, "write-flood"))?;
        report("100 slow writers, read and write", || by_hand(folder, WRITERS, "write-slow"))?;
        report("100 slow writers, pump", || by_pump(folder, WRITERS, "write-slow"))
    }

    /// Bytes carried, and when and at which CPU time the carrying began.
    type Carried = (u64, Instant, f64);

    fn report(what: &str, run: impl FnOnce() -> io::Result<Carried>) -> io::Result<()> {
        let (bytes, start, cpu) = run()?;
        let bytes = bytes as f64;
        let (time, cpu) = (start.elapsed().as_secs_f64(), own_cpu()? - cpu);
        let (rate, cost) = (bytes / time / 1e6, cpu / bytes * 1e9);
        println!("{what:34} {rate:8.1} MB/s {cost:8.3} CPU-s/GB");
        Ok(())
    }

    /// Carries the output of `count` writers with the pump; answers the bytes.
    fn by_pump(folder: &Path, count: usize, role: &str) -> io::Result<Carried> {
        let spools = folder.join("spools");
        fs::create_dir_all(&spools)?;
        let ids = (0..count).filter_map(|n| SpoolId::parse(&format!("w{n}/stdout")));
        let plan = |id: &SpoolId| SpoolPlan {
            log_file: Some(format!("{}/{}.log", folder.display(), id.worker)),
            rotation: Rotation { max_size: ByteSize(10_000_000), max_files: 3, max_age: None },
            ..SpoolPlan::fallback()
        };
        let plan = PumpPlan { spools: ids.map(|id| (id.clone(), plan(&id))).collect() };
        fs::write(spools.join(PLAN_FILE), plan.encode())?;
        let options = PumpOptions { spools, notices: folder.join("logs.sock") };
        let mut pump = Pump::open(&options).map_err(io::Error::other)?;
        let mut writers = Vec::new();
        for (id, run) in plan.spools.into_keys().zip(1..) {
            let (reader, writer) = io::pipe()?;
            pump.carry(RunId(run), id, OwnedFd::from(reader))?;
            writers.push(spawn(role, writer)?);
        }
        let (start, cpu) = (Instant::now(), own_cpu()?);
        let mut left = count;
        while left > 0 {
            left -= pump.turn(None)?.drained.len();
        }
        Ok((written(writers)?, start, cpu))
    }

    /// The same by a thread a stream that reads and writes, rotating as well.
    fn by_hand(folder: &Path, count: usize, role: &str) -> io::Result<Carried> {
        let mut writers = Vec::new();
        let mut threads = Vec::new();
        for number in 0..count {
            let (mut reader, writer) = io::pipe()?;
            writers.push(spawn(role, writer)?);
            let path = folder.join(format!("hand{number}.log"));
            threads.push(std::thread::spawn(move || -> io::Result<()> {
                let mut block = vec![0; 1 << 20];
                let (mut file, mut size) = (fs::File::create(&path)?, 0);
                loop {
                    let got = reader.read(&mut block)?;
                    if got == 0 {
                        return Ok(());
                    }
                    if size + got > 10_000_000 {
                        (file, size) = (fs::File::create(&path)?, 0);
                    }
                    file.write_all(block.get(..got).unwrap_or_default())?;
                    size += got;
                }
            }));
        }
        let (start, cpu) = (Instant::now(), own_cpu()?);
        for thread in threads {
            thread.join().map_err(|_| io::Error::other("a reader panicked"))??;
        }
        Ok((written(writers)?, start, cpu))
    }

    fn spawn(role: &str, output: io::PipeWriter) -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(role).stdout(output).stderr(Stdio::piped()).spawn()
    }

    /// Every writer says on its standard error how much it wrote.
    fn written(writers: Vec<Child>) -> io::Result<u64> {
        let mut bytes = 0;
        for writer in writers {
            let output = writer.wait_with_output()?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            bytes += text.trim().parse::<u64>().map_err(io::Error::other)?;
        }
        Ok(bytes)
    }

    fn flood() -> io::Result<()> {
        let mut output =
            fs::File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?);
        let block = LINE.repeat(1000);
        let mut bytes = 0;
        while bytes < FLOOD {
            output.write_all(&block)?;
            bytes += block.len() as u64;
        }
        io::stderr().write_all(bytes.to_string().as_bytes())
    }

    fn slow() -> io::Result<()> {
        let mut output =
            fs::File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?);
        let start = Instant::now();
        let mut lines = 0;
        while start.elapsed() < SLOW_TIME {
            while lines < start.elapsed().as_millis() {
                output.write_all(LINE)?;
                lines += 1;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let bytes = lines * LINE.len() as u128;
        io::stderr().write_all(bytes.to_string().as_bytes())
    }

    /// The CPU time of this process and its threads, without its children, in seconds.
    fn own_cpu() -> io::Result<f64> {
        // Source: proc_pid_stat(5), fields 14 and 15, in clock ticks of 10 ms.
        let text = fs::read_to_string("/proc/self/stat")?;
        let after_name = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks = after_name.split(' ').skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
        Ok(ticks.sum::<f64>() / 100.0)
    }
}
