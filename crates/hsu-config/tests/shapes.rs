//! Documented shapes: every key in every spelling loads with its documented meaning.
//!
//! Each case is loaded in the `master` dialect and in the `process_manager` dialect
//! and means the same in both. A key whose feature is not built gives exactly the
//! documented warning. The last test holds the cases to the reference page: no
//! spelling of it is without a case.
#![expect(clippy::unwrap_used, reason = "what a fixture cannot do fails its test")]

use hsu_config::{Found, LoadOptions, Os, Outcome, Source, Surroundings};
use hsu_model::master::FleetSpec;
use hsu_model::restart::RestartContext;
use hsu_model::worker::{Managed, Unit};

#[path = "shapes/checks.rs"]
mod checks;
#[path = "shapes/flat.rs"]
mod flat;
#[path = "shapes/found.rs"]
mod found;
#[path = "shapes/limits.rs"]
mod limits;
#[path = "shapes/logs.rs"]
mod logs;
#[path = "shapes/notices.rs"]
mod notices;
#[path = "shapes/restarts.rs"]
mod restarts;
#[path = "shapes/roots.rs"]
mod roots;

/// Where the keys of a case stand.
#[derive(Clone, Copy, Debug)]
enum At {
    /// Beside `workers`.
    Root,
    /// In `master`.
    Master,
    /// In the entry of a worker.
    Worker,
    /// In `unit.managed`.
    Managed,
    /// In `control`.
    Control,
    /// All of `control`.
    Whole,
    /// In `execution`.
    Execution,
    /// In `context_aware_restart`.
    Aware,
    /// In `log_collection` of the root.
    Logs,
    /// In an output of every worker.
    Target,
    /// In `unit` of the flat form.
    Flat,
    /// In `control` of the flat form.
    FlatControl,
    /// In `unit.unmanaged`.
    Unmanaged,
    /// In `unit.integrated`.
    Integrated,
}

/// One documented shape.
struct Shape {
    at: At,
    /// The keys, as the inside of a mapping in braces.
    text: &'static str,
    /// What is looked at in the result.
    look: fn(&FleetSpec) -> String,
    /// And what it must be.
    means: &'static str,
    /// What each warning says; no other is given.
    warns: &'static [&'static str],
}

/// A shape that means something, without a word.
fn built(at: At, text: &'static str, look: fn(&FleetSpec) -> String, means: &'static str) -> Shape {
    Shape { at, text, look, means, warns: &[] }
}

/// It means something, and the warning tells the spelling of today, or that nothing acts on it yet.
fn older(
    at: At,
    text: &'static str,
    look: fn(&FleetSpec) -> String,
    means: &'static str,
    warns: &'static [&'static str],
) -> Shape {
    Shape { at, text, look, means, warns }
}

/// A shape that is read, checked and told to be without effect.
fn later(at: At, text: &'static str, warns: &'static [&'static str]) -> Shape {
    Shape { at, text, look: |_| String::new(), means: "", warns }
}

impl Shape {
    /// The file in the `master` dialect.
    fn file(&self) -> String {
        let keys = self.text;
        let execution = "execution: { executable_path: /bin/w }";
        let worker = |entry: &str| format!("{{ id: w, type: managed, {entry} }}");
        let managed = |inside: &str| worker(&format!("unit: {{ managed: {{ {inside} }} }}"));
        let plain = managed(&format!("control: {{ {execution} }}"));
        let control = |inside: &str| managed(&format!("control: {{ {inside} }}"));
        let (root, worker) = match self.at {
            At::Root => (keys.to_owned(), plain),
            At::Master => (format!("master: {{ {keys} }}"), plain),
            At::Worker => {
                let unit = format!("unit: {{ managed: {{ control: {{ {execution} }} }} }}");
                (String::new(), worker(&format!("{unit}, {keys}")))
            }
            At::Managed => (String::new(), managed(&format!("control: {{ {execution} }}, {keys}"))),
            At::Control => (String::new(), control(&format!("{execution}, {keys}"))),
            At::Whole => (String::new(), control(keys)),
            At::Execution => (String::new(), control(&format!("execution: {{ {keys} }}"))),
            At::Aware => {
                let aware = format!("{execution}, context_aware_restart: {{ {keys} }}");
                (String::new(), control(&aware))
            }
            At::Logs => (format!("log_collection: {{ {keys} }}"), plain),
            At::Target => {
                let targets = format!("targets: [{{ {keys} }}]");
                (format!("log_collection: {{ global_aggregation: {{ {targets} }} }}"), plain)
            }
            At::Flat => {
                let unit = format!("unit: {{ control: {{ executable: /bin/w }}, {keys} }}");
                (String::new(), worker(&unit))
            }
            At::FlatControl => {
                let unit = format!("unit: {{ control: {{ executable: /bin/w, {keys} }} }}");
                (String::new(), worker(&unit))
            }
            At::Unmanaged => {
                let entry =
                    format!("{{ id: w, type: unmanaged, unit: {{ unmanaged: {{ {keys} }} }} }}");
                (String::new(), entry)
            }
            At::Integrated => {
                let inside = format!("control: {{ {execution} }}, {keys}");
                let entry = format!(
                    "{{ id: w, type: integrated, unit: {{ integrated: {{ {inside} }} }} }}"
                );
                (String::new(), entry)
            }
        };
        let separator = if root.is_empty() { "" } else { ", " };
        format!("{{ {root}{separator}workers: [{worker}] }}\n")
    }

    /// The same file in the `process_manager` dialect. What the case itself says stays.
    fn other_file(&self) -> String {
        let mark = "\u{1}";
        let file = self.file().replace(self.text, mark);
        let renamed = [
            ("master:", "process_manager:"),
            ("workers:", "managed_processes:"),
            ("unit:", "management:"),
            ("type: managed", "type: standard_managed"),
            ("type: integrated", "type: integrated_managed"),
            ("{ managed:", "{ standard_managed:"),
            ("{ integrated:", "{ integrated_managed:"),
        ];
        let file = renamed.iter().fold(file, |file, (one, two)| file.replace(one, two));
        file.replace(mark, self.text)
    }

    /// What is wrong with the answer to one of the files; nothing when all is as documented.
    fn judge(&self, file: &str) -> Option<String> {
        let outcome = load(file);
        let shown = outcome.diagnostics.render(&source(file), false);
        let Some(fleet) = &outcome.fleet else {
            return Some(format!("{file}refused:\n{shown}"));
        };
        let got = (self.look)(fleet);
        let warnings: Vec<_> = outcome.diagnostics.warnings().collect();
        let told = self.warns.iter().all(|warning| {
            warnings.iter().any(|found| {
                found.message.contains(warning)
                    || found.hint.as_deref().is_some_and(|hint| hint.contains(warning))
            })
        });
        let as_documented = got == self.means && told && warnings.len() == self.warns.len();
        let wanted = (self.means, self.warns);
        (!as_documented).then(|| format!("{file}wanted {wanted:?}\n   got {got:?}\n{shown}"))
    }
}

/// Checks every case in both dialects, and tells all that mean something else at once.
fn holds(shapes: &[Shape]) {
    let files = shapes
        .iter()
        .flat_map(|shape| [shape.file(), shape.other_file()].map(|file| shape.judge(&file)));
    let wrong: Vec<_> = files.flatten().collect();
    assert!(wrong.is_empty(), "{} files:\n{}", wrong.len(), wrong.join("\n"));
}

fn source(file: &str) -> Source {
    Source { name: "hsu.yaml".to_owned(), text: file.as_bytes().to_vec() }
}

fn load(file: &str) -> Outcome {
    let here = Surroundings {
        os: Os::Linux,
        environment: [("SECRET".to_owned(), "hidden".to_owned())].into(),
        home: Some("/home/u".to_owned()),
        uid: Some(1000),
        temp: "/tmp".to_owned(),
        current: "/srv".to_owned(),
        found: |_| Some(Found::File),
    };
    hsu_config::load(&source(file), &here, &LoadOptions::default())
}

/// The first worker.
fn managed(fleet: &FleetSpec) -> &Managed {
    let unit = &fleet.workers.first().unwrap().unit;
    let Unit::Managed(managed) = unit else { unreachable!("{unit:?}") };
    managed
}

/// Anything as a text to compare.
fn debug(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

/// Retries, delay and factor of one cause of restarts.
fn cause(context: RestartContext) -> String {
    format!("{} {:?} {}", context.max_retries, context.retry_delay, context.backoff_rate)
}

#[test]
fn what_is_left_out_is_the_documented_default() {
    let nothing = built(At::Control, "restart_on_clean_exit: false", |_| String::new(), "");
    let fleet = load(&nothing.file()).fleet.unwrap();
    let worker = fleet.workers.first().unwrap();
    let managed = managed(&fleet);
    for (got, documented) in [
        (debug(fleet.master.port), "50055"),
        (debug(fleet.master.log_level), "Info"),
        (debug(fleet.master.force_shutdown_timeout), "30s"),
        (debug(worker.enabled), "true"),
        (worker.profile.as_str().to_owned(), "default"),
        (worker.metadata.name.clone(), "w"),
        (debug(managed.restart.policy), "OnFailure"),
        (cause(managed.restart.default), "3 5s 1.5"),
        (cause(managed.restart.health_failures), "3 5s 1.5"),
        (cause(managed.restart.resource_violations), "5 10s 1.5"),
        (
            debug(&managed.restart.severity_multipliers),
            r#"{"critical": 1.0, "emergency": 2.0, "warning": 0.5}"#,
        ),
        (
            debug(&managed.restart.profile_multipliers),
            r#"{"batch": 3.0, "database": 5.0, "default": 1.0, "scheduler": 2.5, "web": 1.0, "worker": 2.0}"#,
        ),
        (debug(managed.restart.startup_grace), "120s"),
        (debug(managed.restart.sustained_violation), "300s"),
        (debug(managed.restart.spike_tolerance), "0ns"),
        (debug(managed.stop.graceful_timeout), "20s"),
        (debug(&managed.execution.working_directory), "OfProgram"),
        (debug(managed.logs.stdout.capture), "false"),
    ] {
        assert_eq!(got, documented);
    }
}

#[test]
fn no_spelling_of_the_reference_page_is_without_a_case() {
    let shapes = [
        roots::shapes(),
        restarts::shapes(),
        limits::shapes(),
        logs::shapes(),
        checks::shapes(),
        flat::shapes(),
        found::shapes(),
        notices::shapes(),
    ];
    let shapes = shapes.iter().flatten();
    let files: Vec<_> = shapes.flat_map(|shape| [shape.file(), shape.other_file()]).collect();
    let is_used = |key: &str| {
        let before = |text: &str| text.ends_with([' ', '{', ',']) || text.is_empty();
        let written = format!("{key}:");
        files.iter().any(|file| {
            let mut places = file.match_indices(&written);
            places.any(|(at, _)| before(file.get(..at).unwrap()))
        })
    };
    let page = hsu_config::reference();
    let (_, tables) = page.split_once("## Keys").unwrap();
    let rows = tables.lines().filter(|line| line.starts_with("| `"));
    let mut keys: Vec<&str> = Vec::new();
    for row in rows {
        keys.extend(row.split('`').nth(1));
        for mark in ["Also written ", "Old spelling: "] {
            let Some((_, list)) = row.split_once(mark) else { continue };
            let list = list.split('.').next().unwrap_or_default();
            keys.extend(list.split('`').skip(1).step_by(2));
        }
    }
    assert!(keys.len() > 300, "the page has another form: {}", keys.len());
    // Known only to be refused with the reason.
    let is_refused = |key: &str| matches!(key, "max_receive_bps" | "max_send_bps");
    let missing: Vec<_> =
        keys.into_iter().filter(|key| !is_used(key) && !is_refused(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_bare_program_is_looked_for_where_its_worker_will_look() {
    let here = Surroundings {
        os: Os::Linux,
        environment: [("PATH".to_owned(), "/bin".to_owned())].into(),
        home: None,
        uid: Some(1000),
        temp: "/tmp".to_owned(),
        current: "/srv".to_owned(),
        found: |path| match path.to_str() {
            Some("/opt/web/serve") => Some(Found::File),
            // What is there first is a folder, and no program.
            Some("/usr/bin/serve") => Some(Found::Folder),
            _ => None,
        },
    };
    let warnings = |environment: &str| {
        let file = format!(
            "workers:\n- id: web\n  type: managed\n  unit:\n    managed:\n      control:\n        \
             execution: {{executable_path: serve, environment: {environment}}}\n"
        );
        let options = LoadOptions { check_files: true, ..LoadOptions::default() };
        hsu_config::load(&source(&file), &here, &options).diagnostics.warnings().count()
    };
    assert_eq!(warnings("{A: b}"), 1);
    assert_eq!(warnings("{PATH: \"/usr/bin:/opt/web\"}"), 0);
    assert_eq!(warnings("[PATH=/usr/bin]"), 1);
}

#[test]
fn a_program_of_a_check_that_is_missing_is_warned_of() {
    let here = Surroundings {
        found: |path| (path == std::path::Path::new("/bin/there")).then_some(Found::File),
        ..Surroundings::of_this_process()
    };
    let warnings = |command: &str| -> Vec<String> {
        let file = format!(
            "workers:\n- id: web\n  type: managed\n  unit:\n    managed:\n      control:\n        \
             execution: {{executable_path: /bin/there}}\n      health_check:\n        \
             {{type: exec, exec: {{command: {command}}}}}\n"
        );
        let options = LoadOptions { check_files: true, ..LoadOptions::default() };
        let loaded = hsu_config::load(&source(&file), &here, &options);
        loaded.diagnostics.iter().map(|found| found.message.clone()).collect()
    };
    assert_eq!(warnings("/bin/there"), [""; 0]);
    assert_eq!(warnings("/bin/gone"), ["there is no such program here"]);
}

#[test]
fn a_user_and_a_group_that_the_host_does_not_have_are_warned_of_where_they_are_written() {
    let file = |user: &str, group: &str| {
        format!(
            "workers:\n- id: web\n  type: managed\n  unit:\n    managed:\n      control:\n        \
             execution: {{executable_path: /bin/true, user: {user}, group: {group}}}\n"
        )
    };
    let options = LoadOptions {
        missing_account: Some(|user, group| {
            let missing = |name: &&str| *name == "stranger";
            user.filter(missing)
                .map(|_| "no such user".to_owned())
                .or_else(|| group.filter(missing).map(|_| "no such group".to_owned()))
        }),
        ..LoadOptions::default()
    };
    let warnings = |user: &str, group: &str| -> Vec<String> {
        let here = Surroundings::of_this_process();
        let loaded = hsu_config::load(&source(&file(user, group)), &here, &options);
        assert!(loaded.fleet.is_some(), "it may be there when the worker starts");
        let warnings = loaded.diagnostics.warnings();
        warnings.map(|warning| format!("{}: {}", warning.code, warning.message)).collect()
    };
    assert_eq!(warnings("www", "www"), [""; 0]);
    assert_eq!(warnings("stranger", "www"), ["missing-account: no such user"]);
    assert_eq!(warnings("www", "stranger"), ["missing-account: no such group"]);
    assert_eq!(warnings("stranger", "stranger").len(), 2);
}
