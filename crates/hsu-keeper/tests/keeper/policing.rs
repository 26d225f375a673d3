//! Policing: a keeper under a policy starts what the policy names, whatever its master asks.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::Stdio;

use hsu_keeper::{
    Flushed, FromKeeper, GoodbyeMode, Identity, Link, Program, Role, SignalScope, SpawnRequest,
    Stage, ToKeeper, VERSION,
};
use hsu_model::id::RunId;

use crate::fixture::{
    EXECUTABLE, Folder, PATIENCE, all_pids, eventually, is_alive, request, shell, sleeper, text,
};
use crate::isolation::isolated;

/// Orders of a hostile master.
const ORDERS: u64 = 4000;
const REFUSED: (Stage, i32) = (Stage::Policy, libc::EPERM);

/// Puts a policy in its place, in this namespace only.
fn establish(policy: &str) {
    let (kind, place) = (c"tmpfs".as_ptr(), c"/etc".as_ptr());
    // SAFETY: every text ends with its zero and outlives the call; no data is passed.
    let mounted = unsafe { libc::mount(kind, place, kind, 0, std::ptr::null()) };
    assert_eq!(mounted, 0, "a namespace has its own mounts");
    fs::create_dir("/etc/hsu-master").unwrap();
    fs::write("/etc/hsu-master/keeper-policy", policy).unwrap();
}

const POLICY: &str = "user 0\ngroup 0\nprogram /bin/sleep\n";

#[test]
fn what_the_policy_names_is_started_and_nothing_else() {
    isolated("policing::what_the_policy_names_is_started_and_nothing_else", || {
        establish(POLICY);
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(sleeper(1));
        master.started(1);
        master.spawn(shell(2, "true"));
        assert_eq!(master.failed(2), REFUSED);
        let link = folder.0.join("sleep");
        std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
        master.spawn(request(3, &[link.to_str().unwrap(), "-c", "true"]));
        assert_eq!(master.failed(3), REFUSED, "a link of that name");
        master.spawn(request(4, &["/bin/../bin/sleep", "9"]));
        assert_eq!(master.failed(4), REFUSED, "a step back");
        let mut loaded = sleeper(5);
        loaded.program.env.push(text("LD_PRELOAD=/tmp/x.so"));
        master.spawn(loaded);
        assert_eq!(master.failed(5), REFUSED, "other code in it");
        let identity = Some(Identity { uid: 0, gid: 0, groups: vec![7] });
        master.spawn(SpawnRequest { identity, ..sleeper(6) });
        assert_eq!(master.failed(6), REFUSED, "a group that is not named");
        master.say(ToKeeper::Upgrade { program: shell(0, "true").program });
        let reason = master.expect("a refusal", |message| match message {
            FromKeeper::UpgradeFailed { reason } => Ok(reason),
            other => Err(other),
        });
        assert!(reason.contains("policy"), "{reason}");
    });
}

#[test]
fn a_policy_that_means_nothing_or_is_not_roots_alone_starts_no_keeper() {
    isolated(
        "policing::a_policy_that_means_nothing_or_is_not_roots_alone_starts_no_keeper",
        || {
            use std::os::unix::fs::PermissionsExt as _;
            establish("user everybody\n");
            let folder = Folder::new();
            let ends = |what: &str| {
                let mut keeper = folder.command(EXECUTABLE).stderr(Stdio::piped()).spawn().unwrap();
                let mut said = String::new();
                keeper.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                assert!(said.contains(what), "{said}");
                eventually("it has ended", || (!is_alive(keeper.id())).then_some(()));
            };
            ends("line 1");
            let path = "/etc/hsu-master/keeper-policy";
            fs::write(path, POLICY).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
            ends("only root may write");
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/dev/zero", path).unwrap();
            ends(path);
        },
    );
}

/// Numbers that are the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

fn hostile(chance: &mut Chance, marker: &str) -> ToKeeper {
    let run = RunId(chance.below(50) + 1);
    let words = [
        &["/bin/sh", "-c", marker][..],
        &["/bin/sleep", "0.01"],
        &["sleep", "1"],
        &["/proc/self/exe", "keep"],
        &[""],
    ];
    let mut spawn = request(run.0, chance.one(&words));
    let who = [(0, 0), (0, 7), (1000, 0), (u32::MAX, 0), (33, 33)];
    let (uid, gid) = chance.one(&who);
    spawn.identity = (chance.below(2) == 0).then(|| Identity { uid, gid, groups: vec![gid] });
    if chance.below(4) == 0 {
        spawn.program.env.push(text("LD_PRELOAD=/tmp/x.so"));
    }
    let signal = chance.one(&[-1, 0, 9, 15, 19, 64, 65, i32::MAX]);
    let scope = chance.one(&[SignalScope::Process, SignalScope::Group]);
    match chance.below(10) {
        0..=4 => ToKeeper::Spawn(Box::new(spawn)),
        5 => ToKeeper::Signal { run, signal, scope },
        6 => ToKeeper::Acknowledge { run },
        7 => ToKeeper::Upgrade { program: request(0, &["/bin/sh", "-c", marker]).program },
        8 => match chance.below(4) {
            0 => ToKeeper::Yielded,
            1 => ToKeeper::Ready,
            2 => ToKeeper::Pong,
            _ => ToKeeper::Goodbye { mode: GoodbyeMode::Keep },
        },
        _ => ToKeeper::Inventory,
    }
}

#[test]
fn a_hostile_master_gets_nothing_outside_the_policy_and_harms_no_keeper() {
    isolated(
        "policing::a_hostile_master_gets_nothing_outside_the_policy_and_harms_no_keeper",
        || {
            establish(POLICY);
            let folder = Folder::new();
            let keeper = folder.master().keeper;
            let file = folder.0.join("outside");
            let marker = format!("touch {}", file.display());
            // What is loaded as this master again is not allowed either.
            let relaunch = request(0, &["/bin/sh", "-c", &marker]).program;
            let hello =
                |role| ToKeeper::Hello { role, version: VERSION, relaunch: relaunch.clone() };
            let mut chance = Chance(7);
            let mut said = 0;
            while said < ORDERS {
                let role = chance.one(&[Role::Master, Role::Master, Role::Candidate, Role::Pump]);
                // So many come that some wait at the door.
                let mut link = eventually("a link", || {
                    Link::connect(&folder.plan().runtime, hello(role)).ok()
                });
                for _ in 0..chance.below(40) + 1 {
                    said += 1;
                    link.queue(hostile(&mut chance, &marker));
                    if link.flush().is_err() {
                        break;
                    }
                }
                if chance.below(3) == 0 {
                    let copy = link.as_fd().try_clone_to_owned().unwrap();
                    let _ = fs::File::from(copy).write(&[
                        0,
                        u8::try_from(chance.below(256)).unwrap(),
                        9,
                    ]);
                }
            }
            let mut master = folder.connect(Program::default());
            master.inventory();
            assert_eq!((master.keeper, is_alive(keeper)), (keeper, true));
            assert!(!file.exists(), "a program that the policy does not name was started");
            for pid in all_pids().into_iter().filter(|pid| *pid != 1) {
                let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else { continue };
                let name = program.file_name().unwrap().to_string_lossy().into_owned();
                let known =
                    program == std::path::Path::new(EXECUTABLE) || name.starts_with("sleep");
                assert!(known || name.contains("coreutils"), "{}", program.display());
            }
        },
    );
}

#[test]
fn a_master_that_asks_again_and_again_and_reads_nothing_is_let_go() {
    isolated("policing::a_master_that_asks_again_and_again_and_reads_nothing_is_let_go", || {
        let folder = Folder::new();
        let mut master = folder.master();
        for run in 1..=50 {
            master.spawn(sleeper(run));
            master.started(run);
        }
        let mut asked = 0;
        while asked < 400_000 {
            for _ in 0..1000 {
                master.link.queue(ToKeeper::Inventory);
            }
            asked += 1000;
            match master.link.flush() {
                Ok(Flushed::Done | Flushed::Blocked) => {}
                Err(_) => break,
            }
        }
        let keeper = master.keeper;
        eventually("the link is lost", || (!master.hear(PATIENCE)).then_some(()));
        let status = fs::read_to_string(format!("/proc/{keeper}/status")).unwrap();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let most: u64 = most.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(most < 64 << 10, "the keeper held {most} kB");
        assert_eq!(folder.connect(Program::default()).inventory().len(), 50);
    });
}
