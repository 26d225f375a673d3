//! What the kernel writes about processes, and what a hostile process makes it write.

use crate::bytes::Bytes;

pub(crate) fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    match bytes.choice(4) {
        0 => {
            let text = bytes.rest();
            let told = hsu_sys::fuzzing::stat(text);
            let (kept, master) = (hsu_keeper::fuzzing::started_in(text), told);
            // Two readers of one file: a process is another to one of them when they differ.
            assert!(kept.is_none() || master.is_none() || kept == master, "{kept:?} {master:?}");
        }
        1 => {
            let mounts = String::from_utf8_lossy(bytes.until_zero()).into_owned();
            hsu_sys::fuzzing::mounts(&mounts, &String::from_utf8_lossy(bytes.rest()));
        }
        2 => hsu_sys::fuzzing::environment(bytes.rest()),
        _ => hsu_sys::fuzzing::members(&String::from_utf8_lossy(bytes.rest())),
    }
}
