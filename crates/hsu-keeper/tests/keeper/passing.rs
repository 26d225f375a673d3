//! Passing: what is kept for a worker is open when it starts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use hsu_keeper::{Descriptor, FromKeeper, Keep, SpawnRequest, ToKeeper};
use hsu_model::exit::Exit;

use crate::fixture::{Folder, Master, path_text, shell, sleeper, worker};
use crate::isolation::isolated;

fn keep(master: &mut Master, name: &str, passed: bool, descriptor: impl Into<OwnedFd>) {
    let keep = Keep { passed, name: name.to_owned(), label: format!("label of {name}") };
    let descriptor = Some(Descriptor::new(descriptor.into()));
    master.say(ToKeeper::Keep { worker: worker("w"), keep, descriptor });
}

/// The labels of everything that is kept, after asking for the inventory.
fn kept(master: &mut Master) -> Vec<String> {
    master.inventory();
    let heard = std::mem::take(&mut master.heard).into_iter();
    heard
        .filter_map(|message| match message {
            FromKeeper::Kept { keep, descriptor, .. } => descriptor.map(|_| keep.label),
            _ => None,
        })
        .collect()
}

/// Writes what a worker finds into a file of the folder.
fn look(folder: &Folder, run: u64) -> SpawnRequest {
    let file = path_text(&folder.0.join("found"));
    let line = format!(
        "echo $LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID == $$)) > {file}; \
         for fd in /proc/$$/fd/*; do readlink $fd; done | grep -c socket >> {file}; true"
    );
    shell(run, &line)
}

#[test]
fn what_is_kept_is_passed_in_order_and_by_name_at_every_start() {
    isolated("passing::what_is_kept_is_passed_in_order_and_by_name_at_every_start", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        keep(&mut master, "http", true, listen());
        keep(&mut master, "secret", false, listen());
        keep(&mut master, "admin", true, listen());
        for run in 1..=2 {
            master.spawn(look(&folder, run));
            assert_eq!(master.exited(run), Exit::Code(0));
            let found = fs::read_to_string(folder.0.join("found")).unwrap();
            assert_eq!(found, "2 http:admin 1\n2\n");
        }
        master.spawn(SpawnRequest { worker: worker("other"), ..look(&folder, 3) });
        assert_eq!(master.exited(3), Exit::Code(0));
        let found = fs::read_to_string(folder.0.join("found")).unwrap();
        assert_eq!(found, "0\n0\n", "another worker gets nothing of it");
    });
}

#[test]
fn connections_wait_while_the_worker_is_replaced_and_the_master_is_lost() {
    isolated(
        "passing::connections_wait_while_the_worker_is_replaced_and_the_master_is_lost",
        || {
            let folder = Folder::new();
            let mut master = folder.master();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            keep(&mut master, "http", true, listener);
            assert_eq!(kept(&mut master), ["label of http"]);
            drop(master);
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"hello").unwrap();
            let mut master = folder.connect(hsu_keeper::Program::default());
            assert_eq!(kept(&mut master), ["label of http"], "the next master is told");
            // It answers one client with what it was sent, and ends.
            let code = "import socket\n\
                 s = socket.socket(fileno=3)\n\
                 c, _ = s.accept()\n\
                 c.sendall(c.recv(5))";
            let python = format!("exec python3 -c '{code}'");
            master.spawn(shell(1, &python));
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "hello");
        },
    );
}

#[test]
fn what_is_discarded_or_replaced_is_not_passed_any_more() {
    isolated("passing::what_is_discarded_or_replaced_is_not_passed_any_more", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        keep(&mut master, "one", true, first);
        keep(&mut master, "two", true, TcpListener::bind("127.0.0.1:0").unwrap());
        keep(&mut master, "one", true, TcpListener::bind("127.0.0.1:0").unwrap());
        assert_eq!(kept(&mut master), ["label of one", "label of two"]);
        assert!(TcpStream::connect(address).is_err(), "the first was closed");
        let label = Some("label of two".to_owned());
        master.say(ToKeeper::Discard { worker: worker("w"), label });
        assert_eq!(kept(&mut master), ["label of one"]);
        master.say(ToKeeper::Discard { worker: worker("w"), label: None });
        assert_eq!(kept(&mut master), Vec::<String>::new());
    });
}

#[test]
fn more_than_a_worker_can_be_passed_is_refused() {
    isolated("passing::more_than_a_worker_can_be_passed_is_refused", || {
        let folder = Folder::new();
        let mut master = folder.master();
        for number in 0..64 {
            keep(&mut master, &number.to_string(), true, fs::File::open("/dev/null").unwrap());
        }
        keep(&mut master, "beyond", true, fs::File::open("/dev/null").unwrap());
        let refused = master.expect("refusal", |message| match message {
            FromKeeper::NotKept { label, .. } => Ok(label),
            other => Err(other),
        });
        assert_eq!(refused, "label of beyond");
        assert_eq!(kept(&mut master).len(), 64);
    });
}

#[test]
fn a_line_at_the_ready_descriptor_reaches_every_master() {
    isolated("passing::a_line_at_the_ready_descriptor_reaches_every_master", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let line = "echo ready >&7; exec 7>&-; exec sleep 1000";
        master.spawn(SpawnRequest { ready_descriptor: Some(7), ..shell(1, line) });
        let pipe = |master: &mut Master| {
            master.expect("pipe", |message| match message {
                FromKeeper::Ready { pipe, .. } => Ok(pipe),
                other => Err(other),
            })
        };
        // A master that is lost has taken nothing away.
        drop(pipe(&mut master));
        drop(master);
        let mut master = folder.connect(hsu_keeper::Program::default());
        master.inventory();
        let mut pipe = fs::File::from(pipe(&mut master).unwrap().into_inner());
        let mut said = String::new();
        pipe.read_to_string(&mut said).unwrap();
        assert_eq!(said, "ready\n");
    });
}

#[test]
fn a_worker_for_which_nothing_is_kept_gets_three_descriptors() {
    isolated("passing::a_worker_for_which_nothing_is_kept_gets_three_descriptors", || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(sleeper(1));
        let pid = master.started(1);
        assert_eq!(fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), 3);
    });
}
