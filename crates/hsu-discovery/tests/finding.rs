//! Each way of finding, against real processes; and what is never found.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hsu_discovery::{Kin, Searcher};
use hsu_model::discovery::{
    Combine, Discovery, Matches, Protocol, Search, Sighting, Text, Validation,
};
use hsu_model::id::WorkerId;

#[path = "finding/bare_hosts.rs"]
mod bare_hosts;
#[path = "finding/pid_files.rs"]
mod pid_files;
#[path = "finding/registries.rs"]
mod registries;
#[path = "finding/strangers.rs"]
mod strangers;
#[path = "finding/units.rs"]
mod units;

/// A process that ends with the test.
pub(crate) struct Started(Child);

impl Started {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a process and comes back in the moment in which its program begins.
fn begin(command: &mut Command) -> Started {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    // Until its program begins it is a copy of this one.
    let own = hsu_sys::census::program(std::process::id()).unwrap();
    while hsu_sys::census::program(child.id()).is_ok_and(|program| program == own) {}
    Started(child)
}

pub(crate) fn start(command: &mut Command) -> Started {
    let process = begin(command);
    // It has its program for a moment before it has its command line.
    let line = format!("/proc/{}/cmdline", process.pid());
    while std::fs::read(&line).is_ok_and(|line| line.is_empty()) {}
    process
}

/// Sleeps for a number of seconds that nobody else sleeps for.
pub(crate) fn sleep(mark: u32) -> Started {
    start(Command::new("sleep").arg(mark.to_string()))
}

pub(crate) fn by(searches: &[Search]) -> Discovery {
    Discovery {
        searches: searches.to_vec(),
        combine: Combine::All,
        include: Vec::new(),
        exclude: Vec::new(),
        validation: Vec::new(),
        check_interval: Discovery::DEFAULT_INTERVAL,
        matches: Matches::One,
    }
}

pub(crate) fn look_with(kin: Kin, what: &Discovery) -> Sighting {
    let worker = WorkerId::new("web").unwrap();
    let mut searcher = Searcher::new(kin);
    searcher.look_for(worker.clone(), what).unwrap();
    searcher.pass(&[worker]).remove(0).1
}

pub(crate) fn look(what: &Discovery) -> Sighting {
    look_with(Kin::default(), what)
}

pub(crate) fn found(sighting: &Sighting) -> BTreeSet<u32> {
    sighting.candidates.iter().map(|candidate| candidate.process.pid).collect()
}

pub(crate) fn name(text: &str, args: &[&str]) -> Search {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    Search::Name { name: Text::Exactly(text.to_owned()), args }
}

#[test]
fn a_process_is_found_by_its_looks_and_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("open");
    let target = std::fs::File::create(&file).unwrap();
    let mut command = Command::new("sleep");
    command.arg("71001").env("HSU_MARK", "green field").current_dir(folder.path()).stderr(target);
    let process = start(&mut command);
    // Its copy of the open file goes with it.
    drop(command);
    let text = |path: &Path| path.canonicalize().unwrap().to_str().unwrap().to_owned();
    let mark = name("sleep", &["71001"]);
    // The kernel keeps the beginning of this name only.
    let parent = std::env::current_exe().unwrap();
    let parent = parent.file_name().unwrap().to_str().unwrap().to_owned();
    let pattern = |text: &str| Text::Pattern(text.to_owned());
    let environment = |value| Search::Environment { variable: "HSU_MARK".to_owned(), value };
    for search in [
        mark.clone(),
        Search::Name { name: pattern("^sl.+p$"), args: vec!["71001".to_owned()] },
        Search::CommandLine("sleep 7100[1]$".to_owned()),
        environment(Some(Text::Exactly("green field".to_owned()))),
        environment(Some(pattern("^green"))),
        environment(None),
        Search::WorkingDirectory(text(folder.path())),
        Search::File(text(&file)),
    ] {
        assert_eq!(
            found(&look(&by(std::slice::from_ref(&search)))),
            [process.pid()].into(),
            "{search:?}"
        );
    }
    // What fits many is one of several.
    for search in [
        Search::ParentName(Text::Exactly(parent)),
        Search::User(hsu_sys::users::effective().to_string()),
    ] {
        let both = by(&[search.clone(), mark.clone()]);
        assert_eq!(found(&look(&both)), [process.pid()].into(), "{search:?}");
    }
    for search in [
        name("sleep", &["71002"]),
        name("slee", &[]),
        environment(Some(Text::Exactly("green".to_owned()))),
        Search::WorkingDirectory("/nowhere".to_owned()),
    ] {
        let sighting = look(&by(std::slice::from_ref(&search)));
        assert_eq!(found(&sighting), BTreeSet::new(), "{search:?}");
        assert!(sighting.note.starts_with("no process is "), "{}", sighting.note);
    }
}

#[test]
fn a_process_is_found_by_what_it_listens_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b.sock");
    let (four, six) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _local = UnixListener::bind(&path).unwrap();
    let tcp = |port| Search::Port { port, protocol: Protocol::Tcp };
    let (four_port, six_port) =
        (four.local_addr().unwrap().port(), six.local_addr().unwrap().port());
    let udp_port = datagrams.local_addr().unwrap().port();
    for search in [
        tcp(four_port),
        tcp(six_port),
        Search::Port { port: udp_port, protocol: Protocol::Udp },
        Search::Socket(path.to_str().unwrap().to_owned()),
    ] {
        let own = [std::process::id()].into();
        assert_eq!(found(&look(&by(std::slice::from_ref(&search)))), own, "{search:?}");
    }
    // One that is closed, or only connected, is nobody's.
    drop(four);
    assert_eq!(found(&look(&by(&[tcp(four_port)]))), BTreeSet::new());
}

#[test]
fn searches_go_together_and_filters_narrow_them() {
    let (one, other) = (sleep(72001), sleep(72002));
    let (first, second) = (name("sleep", &["72001"]), name("sleep", &["72002"]));
    let nobody = name("sleep", &["72003"]);
    let with = |searches: &[Search], combine| Discovery { combine, ..by(searches) };
    let both = [first.clone(), second.clone()];
    assert_eq!(found(&look(&with(&both, Combine::All))), BTreeSet::new());
    assert_eq!(found(&look(&with(&both, Combine::Any))), [one.pid(), other.pid()].into());
    let in_order = [nobody, second.clone(), first];
    assert_eq!(found(&look(&with(&in_order, Combine::First))), [other.pid()].into());
    let narrowed = Discovery { exclude: vec![second.clone()], ..with(&both, Combine::Any) };
    assert_eq!(found(&look(&narrowed)), [one.pid()].into());
    let narrowed = Discovery { include: vec![second], ..with(&both, Combine::Any) };
    assert_eq!(found(&look(&narrowed)), [other.pid()].into());
}

#[test]
fn what_is_not_valid_is_not_a_candidate_and_says_why() {
    let _process = sleep(73001);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let free = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap().port()
    };
    let timeout = Validation::DEFAULT_TIMEOUT;
    let sleep = std::fs::canonicalize("/bin/sleep").unwrap().to_str().unwrap().to_owned();
    let host = "127.0.0.1".to_owned();
    let age = |least: u64, most: Option<u64>| Validation::Age {
        at_least: std::time::Duration::from_secs(least),
        at_most: most.map(std::time::Duration::from_secs),
    };
    for (validation, says) in [
        (Validation::PortCheck { host: host.clone(), port, timeout }, None),
        (Validation::PortCheck { host, port: free, timeout }, Some("port_check of")),
        (Validation::FileExists("/proc/self".to_owned()), None),
        (Validation::FileExists("/nowhere".to_owned()), Some("there is no /nowhere")),
        (Validation::User(hsu_sys::users::effective().to_string()), None),
        (Validation::User("65533".to_owned()), Some("user: it runs as user")),
        (Validation::Exe(sleep), None),
        (Validation::Exe("/bin/false".to_owned()), Some("exe: it runs")),
        (age(0, Some(3600)), None),
        (age(3600, None), Some("age: it has run for")),
    ] {
        let what = Discovery { validation: vec![validation], ..by(&[name("sleep", &["73001"])]) };
        let sighting = look(&what);
        match says {
            None => assert_eq!(found(&sighting).len(), 1, "{what:?}: {}", sighting.note),
            Some(says) => {
                assert_eq!(found(&sighting), BTreeSet::new(), "{what:?}");
                assert!(sighting.note.contains(says), "{}", sighting.note);
            }
        }
    }
}

#[test]
fn whoever_is_seen_while_its_program_begins_is_found_by_the_next_pass() {
    let worker = WorkerId::new("web").unwrap();
    let mut searcher = Searcher::new(Kin::default());
    searcher.look_for(worker.clone(), &by(&[name("sleep", &["74002"])])).unwrap();
    let mut pass = || found(&searcher.pass(std::slice::from_ref(&worker)).remove(0).1);
    for _ in 0..50 {
        let mut process = begin(Command::new("sleep").arg("74002"));
        // Whatever this one sees of it.
        pass();
        let line = format!("/proc/{}/cmdline", process.pid());
        while !std::fs::read(&line).unwrap().starts_with(b"sleep\0") {}
        assert_eq!(pass(), [process.pid()].into());
        process.end();
    }
}

#[test]
fn later_passes_find_who_came_and_miss_who_went() {
    let worker = WorkerId::new("web").unwrap();
    let mut searcher = Searcher::new(Kin::default());
    searcher.look_for(worker.clone(), &by(&[name("sleep", &["74001"])])).unwrap();
    let mut pass = || found(&searcher.pass(std::slice::from_ref(&worker)).remove(0).1);
    assert_eq!(pass(), BTreeSet::new());
    let mut process = sleep(74001);
    assert_eq!(pass(), [process.pid()].into());
    process.end();
    assert_eq!(pass(), BTreeSet::new());
}
