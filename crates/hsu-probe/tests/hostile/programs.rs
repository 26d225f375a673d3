//! Programs that end in every way, and what is said of them.

use std::sync::Arc;

use hsu_model::health::Finding;
use hsu_model::health::probe::{Exec, Probe};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::time::WallTime;
use hsu_probe::{Order, Subject, Surroundings};

use crate::taking::{SOON, order, prober};

fn program(program: &str, line: &str) -> Exec {
    let args = vec!["-c".to_owned(), line.to_owned()];
    Exec {
        program: program.to_owned(),
        args,
        input: None,
        environment: Vec::new(),
        working_directory: None,
        codes: vec![0],
        expect: None,
    }
}

#[test]
fn every_end_of_a_program_is_told_for_what_it_is() {
    // Row 111; a program that never ends is in the tests of `hsu_sys::brief`.
    let rows: [(&str, Exec, (bool, &str)); 10] = [
        ("good", program("sh", "echo fine"), (true, "exit code 0, and said \"fine\"")),
        ("bad", program("sh", "echo no; exit 4"), (false, "exit code 4, and said \"no\"")),
        ("not executable", program("sh", "exec /etc/passwd"), (false, "exit code 126")),
        ("not there", program("sh", "exec /nonexistent/x"), (false, "exit code 127")),
        ("killed", program("sh", "kill -9 $$"), (false, "ended by signal 9")),
        ("aborted", program("sh", "kill -6 $$"), (false, "ended by signal 6")),
        ("no program", program("/nonexistent/x", ""), (false, "(hint: check `command`")),
        ("no permission", program("/etc/passwd", ""), (false, "(hint: chmod +x)")),
        (
            "leaves a child that holds its output",
            program("sh", "sleep 1000 & exit 0"),
            (true, "exit code 0"),
        ),
        ("says 100 MB", program("sh", "head -c 100000000 /dev/zero"), (true, "exit code 0")),
    ];
    let (prober, reports) = prober();
    let around = Surroundings {
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        folder: None,
        identity: None,
    };
    let worker = WorkerId::new("w").expect("an id");
    let mut subject = Subject::new(worker, RunId(1), None, WallTime(0));
    subject.surroundings = Some(Arc::new(Ok(around)));
    for (check, (_, exec, _)) in rows.iter().enumerate() {
        let probe = Probe::Exec(exec.clone());
        let wanted = Order { subject: subject.clone(), timeout: SOON, ..order(check, probe) };
        prober.take(wanted).expect("room");
    }
    for _ in 0..rows.len() {
        let report = reports.recv_timeout(SOON).expect("a report");
        let (name, _, (good, words)) = &rows[report.check];
        let (passed, note) = match &report.finding {
            Finding::Passed { note, .. } => (true, note),
            Finding::Failed { why } | Finding::Inconclusive { why } => (false, why),
        };
        assert!(passed == *good && note.contains(words), "{name}: {:?}", report.finding);
    }
}
