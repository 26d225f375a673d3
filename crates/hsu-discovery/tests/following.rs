//! Log files are followed where the kernel tells nothing of changes: the row 134 of the
//! catalogue of bad input.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hsu_discovery::following::{Followed, Following};
use hsu_keeper::pump::PumpOptions;
use hsu_model::discovery::{Beginning, LogFile};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::spool::plan::SpoolPlan;

/// Set for the process that follows: its folder.
const FOLDER: &str = "HSU_TEST_FOLDER";
const SOON: Duration = Duration::from_secs(60);

fn append(path: &Path, line: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

/// Follows a file that comes, grows, and is renamed and made anew.
fn follow(folder: &Path) {
    let log = folder.join("log");
    let options = PumpOptions { spools: folder.join("spools"), notices: folder.join("nobody") };
    let trouble = |_: &WorkerId, path: &str, reason: Option<String>| {
        assert!(reason.is_none_or(|reason| reason.contains("No such file")), "{path}");
    };
    let following = Following::start(options, Box::new(trouble)).unwrap();
    let path = log.to_str().unwrap().to_owned();
    let file = LogFile { path, stream: Stream::Stdout, beginning: Beginning::Start };
    let plans = BTreeMap::from([(Stream::Stdout, SpoolPlan::fallback())]);
    let followed = Followed { files: vec![file], plans, run: RunId(1) };
    following.follow(WorkerId::new("web").unwrap(), followed);
    let mut told = String::new();
    for line in ["one\n", "two\n"] {
        append(&log, line);
        told += line;
        expect_spool(folder, &told);
    }
    append(&log, "three\n");
    fs::rename(&log, folder.join("log.1")).unwrap();
    append(&log, "four\n");
    told += "three\nfour\n";
    expect_spool(folder, &told);
}

fn expect_spool(folder: &Path, told: &str) {
    let end = Instant::now() + SOON;
    loop {
        let spool = fs::read_to_string(folder.join("spools/web/stdout/data")).unwrap_or_default();
        if spool == told {
            return;
        }
        assert!(Instant::now() < end, "{spool:?} is not {told:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_file_is_followed_whether_or_not_the_kernel_tells_of_changes() {
    if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
        return follow(&folder);
    }
    // The limits belong to a user namespace, so that nobody else has them.
    let table = [
        "true",
        "echo 0 > /proc/sys/user/max_inotify_instances",
        "echo 0 > /proc/sys/user/max_inotify_watches",
    ];
    for setup in table {
        let folder = tempfile::tempdir().unwrap();
        let mut unshare = Command::new("unshare");
        let line = format!("{setup} && exec \"$0\" \"$@\"");
        unshare.args(["--user", "--map-root-user", "sh", "-c", &line]);
        unshare.arg(std::env::current_exe().unwrap());
        unshare.arg("--exact").arg(std::thread::current().name().unwrap());
        let output = unshare.env(FOLDER, folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{setup}: {said}{:?}", output.stderr);
    }
}
