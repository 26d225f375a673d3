//! Bad configuration files, as the binary answers them: a clean error, exit code 2,
//! and nothing begun. Cases carry the row of the catalogue of bad inputs.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Output};

use hsu_testkit::binaries::binary;
use hsu_testkit::{FleetBuilder, Role, Sandbox, Worker};

const GOOD: &str = "workers: [{ id: w, type: managed, unit: { managed: { control: { execution: \
                    { executable_path: /bin/true } } } } }]\n";

struct Case {
    row: u8,
    /// The name of the file, for what is no regular file too.
    name: &'static str,
    make: fn(&Path),
    /// What the answer says.
    says: &'static str,
}

fn case(row: u8, name: &'static str, make: fn(&Path), says: &'static str) -> Case {
    Case { row, name, make, says }
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).unwrap();
}

fn utf16(path: &Path) {
    let wide: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    write(path, wide);
}

fn bomb(path: &Path) {
    let mut text = String::from("a0: &a0 [l, l, l, l, l, l, l, l, l]\n");
    for level in 1..10 {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    write(path, text);
}

fn quadratic(path: &Path) {
    write(path, format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a, ".repeat(5_000)));
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn cases() -> Vec<Case> {
    vec![
        case(1, "empty", |path| write(path, ""), "there are no workers"),
        case(2, "comments", |path| write(path, "# nothing\n"), "there are no workers"),
        case(4, "utf16", utf16, "the file is in UTF-16 (little endian)"),
        case(5, "bytes", |path| write(path, b"workers: []\n\xff\n"), "byte 0xFF at offset 12"),
        case(6, "nul", |path| write(path, "workers: []\n\0"), "a NUL byte at offset 12"),
        case(7, "tab", |path| write(path, "workers:\n\t- id: w\n"), "a tab cannot be indentation"),
        case(8, "two", |path| write(path, format!("{GOOD}---\n{GOOD}")), "a second document"),
        case(9, "bomb", bomb, "more than 50000 values"),
        case(10, "quadratic", quadratic, "aliases repeat more than 1048576 bytes"),
        case(11, "cycle", |path| write(path, "a: &a [*a]\n"), "inside the value that it repeats"),
        case(12, "brackets", |path| write(path, "[".repeat(50_000)), "nested deeper than 32"),
        case(14, "large", |path| write(path, "# x\n".repeat(10 << 18)), "more than 1048576 bytes"),
        case(15, "scalar", |path| write(path, "x".repeat(50 << 20)), "more than 1048576 bytes"),
        case(16, "twice", |path| write(path, GOOD.repeat(2)), "the key `workers` is given twice"),
        case(19, "typo", |path| write(path, GOOD.replace("type", "tpye")), "did you mean `type`?"),
        case(31, "folder", |path| fs::create_dir(path).unwrap(), "is a folder, not a regular file"),
        case(31, "pipe", pipe, "is a pipe, a socket or a device, not a regular file"),
        case(31, "zero", |path| symlink("/dev/zero", path).unwrap(), "not a regular file"),
        case(31, "terminal", |path| symlink("/dev/ptmx", path).unwrap(), "not a regular file"),
        case(32, "missing", |_| {}, "No such file or directory"),
        case(32, "dangling", |path| symlink("nowhere", path).unwrap(), "No such file or directory"),
        case(
            32,
            "loop",
            |path| symlink("loop", path).unwrap(),
            "Too many levels of symbolic links",
        ),
        case(
            32,
            "huge",
            |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
            "more than 1048576 bytes",
        ),
    ]
}

/// A program with 64 MiB of address space and two seconds of CPU time.
fn bounded(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -v 65536; ulimit -t 2; exec \"$0\" \"$@\""]).arg(program);
    command
}

fn both(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_bad_file_is_refused_in_text_and_in_json_within_little_memory_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let master = binary("hsu-master").unwrap();
    let client = binary("hsu-master-cli").unwrap();
    for Case { row, name, make, says } in cases() {
        let path = folder.path().join(name);
        make(&path);
        for program in [&master, &client] {
            let text = bounded(program).arg("validate").arg(&path).output().unwrap();
            let said = both(&text);
            assert_eq!(text.status.code(), Some(2), "row {row}, {name}: {text:?}");
            assert!(said.contains(says) && said.contains(name), "row {row}, {name}: {said}");
            assert!(!said.contains("panicked"), "row {row}, {name}: {said}");
        }
        let answer = bounded(&master).args(["validate", "-o", "json"]).arg(&path).output().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        assert_eq!(answer.status.code(), Some(2), "row {row}, {name}");
        let other = bounded(&client).args(["validate", "-o", "json"]).arg(&path).output().unwrap();
        assert_eq!(other.stdout, answer.stdout, "row {row}, {name}: both programs say the same");
        assert_eq!(other.status.code(), Some(2), "row {row}, {name}");
        assert_eq!(value["valid"], false, "row {row}, {name}: {value}");
        assert_eq!(value["file"], path.to_str().unwrap(), "row {row}, {name}: {value}");
        assert!(value["errors"].as_u64() >= Some(1), "row {row}, {name}: {value}");
        assert!(value["diagnostics"].to_string().contains(says), "row {row}, {name}: {value}");
    }
}

#[test]
fn a_master_does_not_begin_with_a_bad_file() {
    let sandbox = Sandbox::new().unwrap();
    for Case { row, name, make, says } in cases() {
        let path = sandbox.folder().join(name);
        make(&path);
        let master = binary("hsu-master").unwrap();
        let output = sandbox.command(master).arg("--config").arg(&path).output().unwrap();
        let said = both(&output);
        assert_eq!(output.status.code(), Some(2), "row {row}, {name}: {said}");
        assert!(said.contains(says), "row {row}, {name}: {said}");
        assert!(!sandbox.folder().join("hsu-master").exists(), "row {row}, {name}");
    }
    sandbox.empty_within(std::time::Duration::from_secs(20)).unwrap();
}

#[test]
fn a_bad_file_does_not_disturb_a_running_master() {
    // Rows 1, 2 and 37: a running configuration is not replaced in place, and a second
    // master with a file that would stop everything does not get the folders.
    let soon = std::time::Duration::from_secs(20);
    let sandbox = Sandbox::new().unwrap();
    let worker = Worker::new("web", "/bin/sleep").arguments(["1000"]);
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    let before = fleet.wait_for("web", "running", soon).unwrap();
    let none = format!("master: {{ base_directory: {} }}\nworkers: []\n", fleet.base().display());
    for (row, text, code) in [(1, "", 2), (2, "# nothing\n", 2), (37, none.as_str(), 3)] {
        write(fleet.config(), text);
        for master in fleet.players(Role::Master).unwrap() {
            master.signal(rustix::process::Signal::HUP).unwrap();
        }
        let second = sandbox
            .command(binary("hsu-master").unwrap())
            .arg("--config")
            .arg(fleet.config())
            .output()
            .unwrap();
        assert_eq!(second.status.code(), Some(code), "row {row}: {second:?}");
        let after = fleet.wait_for("web", "running", soon).unwrap();
        assert_eq!(before.pid(), after.pid(), "row {row}");
    }
    fleet.stop(soon).unwrap();
}

#[test]
fn root_obeys_only_what_root_wrote() {
    // Row 32. Inside the sandbox this is root, or the root of a user namespace.
    let sandbox = Sandbox::new().unwrap();
    let path = sandbox.folder().join("hsu.yaml");
    let run = || {
        let master = binary("hsu-master").unwrap();
        let output = sandbox.command(master).arg("--config").arg(&path).output().unwrap();
        (output.status.code(), both(&output))
    };
    // Refused for what it says, and so it was read.
    write(&path, "workers:\n");
    let (code, said) = run();
    assert!(code == Some(2) && said.contains("there are no workers"), "{said}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let (code, said) = run();
    assert!(code == Some(2) && said.contains("it is writable by everybody"), "{said}");
    assert!(said.contains("hint: "), "{said}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    // Only root can give a file away.
    if chown(&path, Some(12_345), None).is_ok() {
        let (code, said) = run();
        assert!(code == Some(2) && said.contains("it belongs to another user"), "{said}");
    }
}

#[test]
fn a_wrong_command_line_is_refused_and_shown_escaped() {
    use std::os::unix::ffi::OsStringExt as _;
    let run = |words: &[&[u8]], out: Option<fs::File>| {
        let words = words.iter().map(|word| std::ffi::OsString::from_vec(word.to_vec()));
        let mut command = Command::new(binary("hsu-master").unwrap());
        if let Some(out) = out {
            command.stdout(out);
        }
        let output = command.args(words).output().unwrap();
        (output.status.code(), both(&output))
    };
    let full = || Some(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for (row, words, says) in [
        (38, &[][..], "hint: hsu-master --config FILE"),
        (38, &[&b"dance"[..]], "unrecognized subcommand 'dance'"),
        (38, &[b"--run-duration", b"-1"], "unexpected argument '-1'"),
        (38, &[b"--run-duration", b"18446744073709551616", b"-c", b"x"], "invalid value"),
        (39, &[b"-c", b"/no/\xff"], "/no/\\xff"),
        (40, &[b"\x1b[31m\xe2\x80\xae"], "\\u{202e}"),
    ] {
        let (code, said) = run(words, None);
        assert_eq!(code, Some(2), "row {row}: {said}");
        let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(said.contains(says) && !said.contains(steers), "row {row}: {said:?}");
    }
    for word in [&b"--help"[..], b"--version", b"version", b"capabilities"] {
        let (code, said) = run(&[word], full());
        assert!(code == Some(1) && said.contains("No space left"), "row 42: {code:?} {said}");
    }
}

#[test]
fn a_file_without_permission_is_refused() {
    // Row 32. Root may read everything, so root becomes somebody else, who needs a copy.
    use std::os::unix::process::CommandExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("hsu-master");
    fs::copy(binary("hsu-master").unwrap(), &program).unwrap();
    let path = folder.path().join("hsu.yaml");
    write(&path, GOOD);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    let output = command.arg("validate").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(both(&output).contains("Permission denied"), "{output:?}");
}
