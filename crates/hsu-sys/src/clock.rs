//! Clocks, the boot's id, and random numbers.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hsu_model::process::BootId;
use hsu_model::time::{Now, Tick, WallTime};

/// Both clocks, read together.
#[must_use]
pub fn now() -> Now {
    Now { tick: tick(), wall: wall(SystemTime::now()) }
}

/// Also before 1970, and at the ends of what can be counted.
fn wall(time: SystemTime) -> WallTime {
    WallTime(match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |count| -count),
    })
}

#[cfg(unix)]
fn tick() -> Tick {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Tick(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(unix))]
fn tick() -> Tick {
    use std::sync::LazyLock;
    use std::time::Instant;
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    Tick(u64::try_from(BEGIN.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// How long the host has run, sleep included.
#[cfg(target_os = "linux")]
pub(crate) fn since_boot() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    std::time::Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanoseconds)
}

/// There is nothing to compare it with here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn since_boot() -> std::time::Duration {
    std::time::Duration::from_nanos(tick().0)
}

/// The id that the kernel gave this boot; all zeroes where it gives none.
///
/// Read once; it does not change while this process lives.
#[must_use]
pub fn boot_id() -> BootId {
    static BOOT: OnceLock<BootId> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        parse_boot(&text)
    })
}

/// Sixteen bytes in hexadecimal digits, with dashes anywhere.
fn parse_boot(text: &str) -> BootId {
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    let number = if digits.len() == 32 { u128::from_str_radix(&digits, 16).ok() } else { None };
    BootId(number.unwrap_or(0).to_be_bytes())
}

/// A random number that costs no system call: good for jitter, not for secrets.
#[must_use]
pub fn entropy() -> u64 {
    static STATE: OnceLock<AtomicU64> = OnceLock::new();
    let seed = || AtomicU64::new(RandomState::new().build_hasher().finish());
    let step = 0x9e37_79b9_7f4a_7c15;
    // Source: Sebastiano Vigna, "splitmix64".
    let mut mixed = STATE.get_or_init(seed).fetch_add(step, Ordering::Relaxed);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let ticks: Vec<_> = (0..100).map(|_| now().tick).collect();
        assert!(ticks.is_sorted());
    }

    #[test]
    fn the_wall_clock_counts_from_1970_both_ways() {
        assert_eq!(wall(UNIX_EPOCH + Duration::from_micros(5)), WallTime(5000));
        assert_eq!(wall(UNIX_EPOCH - Duration::from_micros(5)), WallTime(-5000));
    }

    #[test]
    fn a_boot_has_one_id_and_nonsense_has_none() {
        assert_eq!(boot_id(), boot_id());
        let text = "cbf90178-ed9f-4883-b003-9cba2dc2c4a3\n";
        assert_eq!(parse_boot(text).to_string(), "cbf90178ed9f4883b0039cba2dc2c4a3");
        for bad in ["", "cbf9", "zz", &"f".repeat(33), &"g".repeat(32)] {
            assert_eq!(parse_boot(bad), BootId([0; 16]), "{bad:?}");
        }
    }

    #[test]
    fn random_numbers_differ() {
        let numbers: std::collections::BTreeSet<_> = (0..1000).map(|_| entropy()).collect();
        assert_eq!(numbers.len(), 1000);
    }
}
