//! Nice: a worker gives way to everybody else while it exceeds a limit.
//!
//! It slows a worker down only while others want the CPUs; where nobody does, it gets
//! what is left. What is taken must be given back, which takes a privilege: without it
//! nothing is taken.

use std::fs;

use hsu_model::process::ProcessKey;

use super::Group;
use super::look::members;

/// The nice value of whoever gives way to all.
const LAST: i32 = 19;
/// The bit of `CAP_SYS_NICE`.
// Source: capabilities(7), linux/capability.h.
const SYS_NICE: u32 = 23;

/// Makes all threads of a run give way; by what.
pub(super) fn give_way(group: &Group, process: ProcessKey) -> Result<String, String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !may_give_back(&status) {
        return Err("a nice value cannot be given back: the master lacks CAP_SYS_NICE".to_owned());
    }
    set(group, process, LAST)?;
    Ok(format!("nice {LAST}"))
}

/// Gives all threads of a run their nice value back.
pub(super) fn give_back(group: &Group, process: ProcessKey, usual: Option<i32>) {
    let usual = usual.or_else(own).unwrap_or(0);
    // One that has ended meanwhile needs none.
    drop(set(group, process, usual));
}

fn may_give_back(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> SYS_NICE & 1 == 1)
}

fn set(group: &Group, process: ProcessKey, value: i32) -> Result<(), String> {
    let mut first_error = None;
    let mut count = 0;
    for pid in members(Some(group), process) {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let numbers = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
        for thread in numbers {
            match set_one(thread, value) {
                Ok(()) => count += 1,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
    }
    match (count, first_error) {
        (0, Some(error)) => Err(format!("the nice value {value} was refused: {error}")),
        (0, None) => Err("nothing of it lives".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn set_one(thread: i32, value: i32) -> std::io::Result<()> {
    let thread = rustix::process::Pid::from_raw(thread);
    Ok(rustix::process::setpriority_process(thread, value)?)
}

#[cfg(target_os = "linux")]
fn own() -> Option<i32> {
    rustix::process::getpriority_process(None).ok()
}

#[cfg(not(target_os = "linux"))]
fn set_one(_: i32, _: i32) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn own() -> Option<i32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_gives_way_and_gets_its_value_back() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let key = crate::process::identify(child.id()).unwrap();
        let nice = || {
            let text = fs::read_to_string(format!("/proc/{}/stat", key.pid)).unwrap();
            text.split(' ').nth(18).map(str::to_owned)
        };
        let usual = own().unwrap();
        let given = give_way(&Group::default(), key);
        let taken = nice();
        give_back(&Group::default(), key, None);
        let after = nice();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(after, Some(usual.to_string()));
        match given {
            Ok(by) => assert_eq!((by.as_str(), taken), ("nice 19", Some("19".to_owned()))),
            Err(why) => assert!(why.contains("CAP_SYS_NICE") && taken == after, "{why}"),
        }
    }

    #[test]
    fn what_is_taken_can_be_given_back_by_whoever_has_the_privilege() {
        for (status, expected) in [
            ("Name:\thsu\nCapEff:\t0000000000800000\n", true),
            ("CapEff:\t000001ffffffffff\n", true),
            ("CapEff:\t0000000000000000\n", false),
            ("CapEff:\t000000000040ffff\n", false),
            ("CapPrm:\t0000000000800000\n", false),
            ("CapEff:\tx\n", false),
            ("", false),
        ] {
            assert_eq!(may_give_back(status), expected, "{status}");
        }
    }
}
