//! Families: a process that is not ours, killed with everything below it.

use std::collections::BTreeMap;

use hsu_model::process::ProcessKey;
use hsu_sys::census;
use hsu_sys::process::ProcessHandle;

/// So often descendants are looked for: some are born while others are killed.
const MOST_ROUNDS: u32 = 8;
const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

/// Kills a process and its descendants. They are held still first, so that none is born
/// or inherited by others while they are looked for. The hold names the process, so that
/// nobody else is ever killed.
pub fn kill(root: ProcessKey, handle: &ProcessHandle) {
    // It may have ended by itself, with its children inherited by others.
    let mut held: BTreeMap<u32, (ProcessKey, Option<ProcessHandle>)> = BTreeMap::new();
    held.insert(root.pid, (root, None));
    drop(handle.signal(SIGSTOP));
    for _ in 0..MOST_ROUNDS {
        let new = descendants(&held);
        if new.is_empty() {
            break;
        }
        for process in new {
            if let Ok(handle) = ProcessHandle::open(process) {
                drop(handle.signal(SIGSTOP));
                held.insert(process.pid, (process, Some(handle)));
            }
        }
    }
    drop(handle.signal(SIGKILL));
    for handle in held.values().filter_map(|(_, handle)| handle.as_ref()) {
        drop(handle.signal(SIGKILL));
    }
}

/// The children of these that are not among them.
fn descendants(held: &BTreeMap<u32, (ProcessKey, Option<ProcessHandle>)>) -> Vec<ProcessKey> {
    let mut pids = Vec::new();
    drop(census::pids(&mut pids));
    let faces = pids.into_iter().filter_map(|pid| census::face(pid).ok().flatten());
    let is_child = |face: &census::Face| {
        held.contains_key(&face.parent)
            && held.get(&face.process.pid).is_none_or(|(known, _)| *known != face.process)
    };
    faces.filter(is_child).map(|face| face.process).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_process_is_killed_with_its_children() {
        let script = "sleep 600 & echo $!; sleep 600 & echo $!; wait";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut text = Vec::new();
        let mut out = child.stdout.take().unwrap();
        while text.iter().filter(|byte| **byte == b'\n').count() < 2 {
            let mut byte = [0];
            out.read_exact(&mut byte).unwrap();
            text.extend(byte);
        }
        let text = String::from_utf8(text).unwrap();
        let keys: Vec<_> = text
            .lines()
            .map(|line| hsu_sys::process::identify(line.parse().unwrap()).unwrap())
            .collect();
        let root = hsu_sys::process::identify(child.id()).unwrap();
        let handles: Vec<_> = keys.iter().map(|key| ProcessHandle::open(*key).unwrap()).collect();
        kill(root, &ProcessHandle::open(root).unwrap());
        child.wait().unwrap();
        // The end of the pipe: nobody can write to it, as each of them is on its way out.
        out.read_to_end(&mut Vec::new()).unwrap();
        for handle in &handles {
            while !handle.has_exited() {
                std::thread::yield_now();
            }
            assert!(handle.exit_status().is_some());
        }
    }
}
