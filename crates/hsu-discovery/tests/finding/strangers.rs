//! Processes that are not what they seem: the rows 76 to 79 of the catalogue of bad input.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use hsu_discovery::hold::{HoldError, hold};
use hsu_discovery::{Kin, Searcher};
use hsu_model::discovery::{Protocol, Search, Text};
use hsu_model::id::WorkerId;

use super::{by, found, look, look_with, name, sleep, start};

#[test]
fn who_ends_between_the_look_and_the_hold_is_not_held() {
    // Row 76.
    let mut process = sleep(76001);
    let sighting = look(&by(&[name("sleep", &["76001"])]));
    let candidate = sighting.candidates.into_iter().next().unwrap();
    hold(candidate.process, candidate.program).unwrap();
    // Killed and not waited for: a zombie.
    process.0.kill().unwrap();
    let handle = loop {
        match hold(candidate.process, candidate.program) {
            Ok(handle) => drop(handle),
            Err(error) => break error,
        }
    };
    assert_eq!(handle, HoldError::Gone);
    assert_eq!(found(&look(&by(&[name("sleep", &["76001"])]))), BTreeSet::new());
}

#[test]
fn who_runs_another_program_strays_and_is_not_held() {
    // Row 76.
    let worker = WorkerId::new("web").unwrap();
    let mut searcher = Searcher::new(Kin::default());
    let what = by(&[name("sh", &["-c", "read -r line; exec sleep 76002"])]);
    searcher.look_for(worker.clone(), &what).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "read -r line; exec sleep 76002"]);
    let child = command.stdin(reader).stdout(std::process::Stdio::null()).spawn().unwrap();
    let process = super::Started(child);
    let pass = |searcher: &mut Searcher| searcher.pass(std::slice::from_ref(&worker)).remove(0).1;
    let candidate = loop {
        if let Some(candidate) = pass(&mut searcher).candidates.pop() {
            break candidate;
        }
    };
    assert_eq!(candidate.process.pid, process.pid());
    searcher.attach(&worker, candidate.process);
    std::io::Write::write_all(&mut { writer }, b"go\n").unwrap();
    let sighting = loop {
        let sighting = pass(&mut searcher);
        if !sighting.strayed.is_empty() {
            break sighting;
        }
    };
    assert_eq!(sighting.strayed, [candidate.process]);
    let error = hold(candidate.process, candidate.program).unwrap_err();
    assert_eq!(error, HoldError::AnotherProgram(process.pid()));
}

#[test]
fn a_name_may_hold_brackets_and_line_ends_and_be_longer_than_the_kernel_keeps() {
    // Row 77.
    let folder = tempfile::tempdir().unwrap();
    for own in ["a) R 1 (b", "x\n) S 1", "a-name-that-is-far-too-long"] {
        let path = folder.path().join(own);
        fs::copy("/bin/sleep", &path).unwrap();
        let process = start(Command::new(&path).arg("77001"));
        assert_eq!(found(&look(&by(&[name(own, &["77001"])]))), [process.pid()].into(), "{own:?}");
        let sighting = look(&by(&[name(own, &["77001"])]));
        assert!(!sighting.candidates[0].what.contains('\n'), "shown on terminals");
    }
}

#[test]
fn arguments_of_any_length_and_form_are_looked_at_and_never_trusted() {
    // Row 77.
    let long = "x".repeat(100_000);
    let process = start(Command::new("sleep").args(["77002", "0"]).env("LONG", &long));
    let pattern = |text: &str| by(&[Search::CommandLine(text.to_owned())]);
    assert_eq!(found(&look(&pattern("^sleep 77002"))), [process.pid()].into());
    // A pattern that would take other engines for ever.
    assert_eq!(found(&look(&pattern("^(x+x+)+y$"))), BTreeSet::new());
}

#[test]
fn our_own_programs_and_those_who_look_for_it_are_not_found() {
    // Row 78.
    let folder = tempfile::tempdir().unwrap();
    let looker = folder.path().join("grep");
    fs::copy("/bin/sleep", &looker).unwrap();
    let _grep = start(Command::new(&looker).arg("78001"));
    let process = sleep(78001);
    let what = by(&[Search::CommandLine("78001".to_owned())]);
    assert_eq!(found(&look(&what)), [process.pid()].into());
    // Below this process everything is ours.
    let sighting = look_with(Kin::new(0), &what);
    assert_eq!(found(&sighting), BTreeSet::new());
    assert!(sighting.note.contains("one of our own processes"), "{}", sighting.note);
}

#[test]
fn two_owners_of_one_port_are_both_told_and_another_network_is_not_ours() {
    // Row 79.
    let port = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap().port()
    };
    let script = format!(
        "import socket, time\ns = socket.socket()\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n\
         s.bind(('0.0.0.0', {port}))\ns.listen()\ntime.sleep(600)"
    );
    let port = by(&[Search::Port { port, protocol: Protocol::Tcp }]);
    let python = |program: &[&str]| {
        let mut command = Command::new(program[0]);
        start(command.args(&program[1..]).args(["python3", "-c", &script]))
    };
    let _elsewhere = (hsu_sys::users::effective() == 0).then(|| python(&["unshare", "-n"]));
    let (one, other) = (python(&["env"]), python(&["env"]));
    let both: BTreeSet<u32> = [one.pid(), other.pid()].into();
    while found(&look(&port)).len() < 2 {}
    assert_eq!(found(&look(&port)), both);
}

#[test]
fn a_pattern_is_compared_with_the_name_alone() {
    let _process = sleep(79001);
    let search = Search::Name { name: Text::Pattern("79001".to_owned()), args: Vec::new() };
    assert_eq!(found(&look(&by(&[search]))), BTreeSet::new());
}
