//! Load: memory that is held or grows, a share of a core, a disk, and descriptors.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The distance between two touched bytes, in bytes: the smallest page there is.
const PAGE: usize = 4096;
const MIB: usize = 1 << 20;
/// Growth ends here, in MiB, so that a forgotten dummy does not take the machine down.
const MOST_GROWTH: u32 = 4096;
/// How finely a share of a core is cut.
const SLICE: Duration = Duration::from_millis(20);

/// Takes memory until the process ends, every page touched.
pub(crate) fn hold(mebibytes: u32) {
    if mebibytes > 0 {
        let mut block = vec![0_u8; usize::try_from(mebibytes).unwrap_or(0) * MIB];
        for byte in block.iter_mut().step_by(PAGE) {
            *byte = 1;
        }
        black_box(&block);
        std::mem::forget(block);
    }
}

/// Takes `mebibytes` more each second, on a thread of its own.
pub(crate) fn grow(mebibytes: u32) {
    if mebibytes > 0 {
        thread::spawn(move || {
            let mut taken = 0;
            while taken < MOST_GROWTH {
                hold(mebibytes);
                taken += mebibytes;
                thread::sleep(Duration::from_secs(1));
            }
        });
    }
}

/// Uses `percent` of one core, on a thread of its own.
pub(crate) fn burn(percent: u32) {
    if percent > 0 {
        thread::spawn(move || {
            let busy = SLICE * percent / 100;
            loop {
                let start = Instant::now();
                while start.elapsed() < busy {
                    black_box(start);
                }
                thread::sleep(SLICE.saturating_sub(busy));
            }
        });
    }
}

/// Writes `mebibytes` each second to the beginning of a file, each of them to the disk.
pub(crate) fn write(mebibytes: u32, file: Option<&Path>) {
    if let (1.., Some(file)) = (mebibytes, file.map(Path::to_owned)) {
        thread::spawn(move || {
            let block = vec![7_u8; MIB];
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(file)?;
            loop {
                let begin = Instant::now();
                file.rewind()?;
                for _ in 0..mebibytes {
                    file.write_all(&block)?;
                    file.sync_data()?;
                }
                thread::sleep(Duration::from_secs(1).saturating_sub(begin.elapsed()));
            }
            #[expect(unreachable_code, reason = "it says what may fail above")]
            Ok::<(), std::io::Error>(())
        });
    }
}

/// Opens the null device so often, or as often as it may, and keeps it open.
pub(crate) fn open(count: u32) {
    for _ in 0..count {
        match File::open("/dev/null") {
            Ok(file) => std::mem::forget(file),
            Err(_) => return,
        }
    }
}
