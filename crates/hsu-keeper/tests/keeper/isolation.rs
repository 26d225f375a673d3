//! Isolation: a PID namespace for each test, made by `unshare` of util-linux.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Set inside the namespace.
const INSIDE: &str = "HSU_TEST_INSIDE";
/// Set inside when the test may become any user.
const ROOT: &str = "HSU_TEST_ROOT";

/// Runs the body of the test with this full name as the init of a new namespace.
///
/// Where namespaces are not allowed, it says so and the test passes untried.
pub(crate) fn isolated(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        reap_in_background();
        return body();
    }
    // SAFETY: no memory is passed.
    let is_root = unsafe { libc::geteuid() } == 0;
    let mut command = Command::new("unshare");
    if is_root {
        command.env(ROOT, "1");
    } else {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    if !is_allowed(is_root) {
        println!("{name}: not tried, PID namespaces are not allowed here");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let output = command
        .arg(this)
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    println!("{}", String::from_utf8_lossy(&text));
    assert!(output.status.success(), "inside: {}", output.status);
}

/// Whether the test may become any user.
pub(crate) fn is_root() -> bool {
    std::env::var_os(ROOT).is_some()
}

fn is_allowed(is_root: bool) -> bool {
    let user: &[&str] = if is_root { &[] } else { &["--user", "--map-root-user"] };
    let tried = Command::new("unshare")
        .args(user)
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

/// Whether the init leaves zombies where they are.
static IS_BUSY: AtomicBool = AtomicBool::new(false);

/// Lets the init of the namespace reap nobody from now on, as one that is busy.
pub(crate) fn reap_nobody() {
    IS_BUSY.store(true, Ordering::SeqCst);
}

/// An init reaps whoever has lost its parent.
fn reap_in_background() {
    std::thread::spawn(|| {
        loop {
            // SAFETY: all zeroes is a valid siginfo_t.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            let look = libc::WEXITED | libc::WNOWAIT;
            // SAFETY: the structure outlives the call.
            let found = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, look) };
            if found < 0 || IS_BUSY.load(Ordering::SeqCst) {
                // No child at present, or no time for it.
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            // SAFETY: no memory is passed.
            unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
        }
    });
}
