//! What a configuration makes of spools and outputs.

use super::*;

fn file(path: &str, format: LogFormat) -> LogOutput {
    let target = LogTarget::File { path: path.to_owned(), rotation: Rotation::DEFAULT };
    LogOutput { target, format, prefix: String::new() }
}

fn worker(name: &str, stdout: Vec<LogOutput>) -> (WorkerId, WorkerLogs) {
    let stdout = StreamLogs { capture: true, outputs: stdout };
    let id = WorkerId::new(name).expect("a valid id");
    (id, WorkerLogs { stdout, ..WorkerLogs::default() })
}

fn plan(workers: &[(WorkerId, WorkerLogs)], everyone: Vec<LogOutput>) -> LogPlan {
    let aggregation = Aggregation { outputs: everyone };
    LogPlan::of_workers(workers.iter().map(|(id, logs)| (id, logs)), &aggregation)
}

fn stdout_of(name: &str) -> SpoolId {
    SpoolId { worker: WorkerId::new(name).expect("a valid id"), stream: Stream::Stdout }
}

#[test]
fn a_plain_file_of_its_own_is_the_spool_and_nobody_copies_it() {
    let made = plan(&[worker("a", vec![file("/l/a.log", LogFormat::Plain)])], Vec::new());
    let spool = &made.pump.spools[&stdout_of("a")];
    assert_eq!(spool.log_file.as_deref(), Some("/l/a.log"));
    assert_eq!((spool.rotation, spool.readers), (Rotation::DEFAULT, Readers::None));
    assert_eq!(made.outputs, []);
}

#[test]
fn a_plain_file_that_two_streams_share_is_written_by_the_engine() {
    let shared = || vec![file("/l/both.log", LogFormat::Plain)];
    let made = plan(&[worker("a", shared()), worker("b", shared())], Vec::new());
    assert!(made.pump.spools.values().all(|spool| spool.log_file.is_none()));
    assert_eq!(made.outputs.len(), 1);
    assert_eq!(made.outputs[0].inputs.len(), 2);
}

#[test]
fn a_prefix_or_a_format_needs_a_copy_in_an_internal_spool() {
    let mut prefixed = file("/l/p.log", LogFormat::Plain);
    prefixed.prefix = "[p] ".to_owned();
    for output in [prefixed, file("/l/e.log", LogFormat::EnhancedPlain)] {
        let made = plan(&[worker("a", vec![output])], Vec::new());
        let spool = &made.pump.spools[&stdout_of("a")];
        assert_eq!(spool.log_file, None);
        assert_eq!(spool.readers, Readers::Outputs { unread_limit: SpoolPlan::UNREAD_LIMIT });
        assert_eq!(made.outputs.len(), 1);
    }
}

#[test]
fn aggregation_reads_every_spool_also_those_with_a_file_of_their_own() {
    let everyone = vec![file("/l/all.log", LogFormat::EnhancedPlain)];
    let own = worker("a", vec![file("/l/a.log", LogFormat::Plain)]);
    let made = plan(&[own, worker("b", Vec::new())], everyone);
    assert_eq!(made.pump.spools[&stdout_of("a")].log_file.as_deref(), Some("/l/a.log"));
    assert!(made.pump.spools.values().all(|spool| spool.readers != Readers::None));
    let inputs: Vec<_> = made.outputs[0].inputs.iter().map(|input| &input.spool).collect();
    assert_eq!(inputs, [&stdout_of("a"), &stdout_of("b")]);
}

#[test]
fn a_stream_that_is_not_captured_has_no_spool_and_costs_no_file() {
    let (id, logs) = worker("a", vec![file("/l/a.log", LogFormat::Plain)]);
    let off = WorkerLogs { stdout: StreamLogs { capture: false, ..logs.stdout }, ..logs };
    let made = plan(&[(id, off)], Vec::new());
    assert_eq!(made, LogPlan::default());
    let folder = tempfile::tempdir().unwrap();
    let spools = folder.path().join("spools");
    assert_eq!(made.write(&spools).unwrap(), Written::Unchanged);
    assert!(!spools.exists());
}

#[test]
fn the_pump_reads_the_plan_that_was_written_and_an_equal_one_is_not_written_again() {
    let made = plan(&[worker("a", vec![file("/l/a.log", LogFormat::Plain)])], Vec::new());
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(made.write(folder.path()).unwrap(), Written::Changed);
    let text = fs::read_to_string(folder.path().join(PLAN_FILE)).unwrap();
    assert_eq!(PumpPlan::parse(&text), Ok(made.pump.clone()));
    assert_eq!(made.write(folder.path()).unwrap(), Written::Unchanged);
}
