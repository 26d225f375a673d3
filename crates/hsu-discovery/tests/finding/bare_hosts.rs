//! Hosts that lack something or change under us: the rows 132 and 133 of the catalogue of
//! bad input.

use std::io::Write as _;
use std::process::Command;

use hsu_model::discovery::Search;

use super::{by, found, look, name, sleep};

/// Set for the process that looks for what this names: the mark, and a PID file.
const WANTED: &str = "HSU_TEST_WANTED";

/// What a search on such a host comes to.
enum Outcome {
    Found,
    Says(&'static str),
}
use Outcome::{Found, Says};

/// This test in a process of its own, with a file system that only it sees.
fn looked_there(words: &[&str], setup: &str, wanted: &str) -> String {
    let mut unshare = Command::new("unshare");
    if hsu_sys::users::effective() != 0 {
        unshare.args(["--user", "--map-root-user"]);
    }
    let line = format!("{setup}; exec \"$0\" \"$@\"");
    unshare.args(["--mount"]).args(words).args(["sh", "-c", &line]);
    unshare.arg(std::env::current_exe().unwrap());
    unshare.args(["--exact", "bare_hosts::a_search_works_or_says_why_it_cannot", "--nocapture"]);
    let output = unshare.env(WANTED, wanted).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.trim().is_empty(), "{setup}: {text}{errors}");
    text
}

/// Looks by name and by PID file, and tells what each came to.
fn tell(wanted: &str) {
    let (mark, file) = wanted.split_once(' ').unwrap();
    for search in [name("sleep", &[mark]), Search::PidFile(file.to_owned())] {
        let sighting = look(&by(&[search]));
        let pids = found(&sighting);
        let mut out = std::io::stdout();
        writeln!(out, "came to {pids:?} {}", sighting.note).unwrap();
    }
}

#[test]
fn a_search_works_or_says_why_it_cannot() {
    if let Ok(wanted) = std::env::var(WANTED) {
        return tell(&wanted);
    }
    let process = sleep(132_001);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sleep.pid");
    std::fs::write(&file, format!("{}\n", process.pid())).unwrap();
    let wanted = format!("132001 {}", file.display());
    let no_list = Says("no process of this host can be looked at: ");
    let table = [
        ("no /proc", &[][..], "mount -t tmpfs none /proc", no_list),
        ("no /dev/null", &[], "mount -t tmpfs none /dev", Found),
        ("a root that is read-only", &[], "mount --bind / / && mount -o remount,ro,bind /", Found),
        ("no folder for temporary files", &[], "export TMPDIR=/no/such/folder", Found),
        ("no /etc", &[], "mount -t tmpfs none /etc", Found),
        ("no /sys", &[], "mount -t tmpfs none /sys", Found),
        ("another time zone", &[], "export TZ=Pacific/Kiritimati", Found),
        ("another name", &["--uts"], "hostname other", Found),
        ("a day of suspend", &["--time", "--boottime", "86400", "--fork"], "true", Found),
        ("one processor", &[], "taskset -p 1 $$ > /dev/null", Found),
    ];
    for (title, words, setup, outcome) in table {
        let text = looked_there(words, setup, &wanted);
        let expected = match outcome {
            Found => format!("came to {{{}}}", process.pid()),
            Says(words) => format!("came to {{}} {words}"),
        };
        assert_eq!(text.matches(&expected).count(), 2, "{title}: {text}");
    }
}
