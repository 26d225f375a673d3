//! What to execute: program, arguments, environment, identity, PID file.

use hsu_model::environment::{MASTER_VARIABLE, RUN_VARIABLE, WORKER_VARIABLE};
use hsu_model::execution::Resource;
use std::time::Duration;

use crate::findings::{At, Place, shown};
use crate::node::{Data, Node};
use crate::reader::Reader;
use crate::schema::root::ServiceContext;
use crate::schema::types::{Filled, Umask, Whole, words};
use crate::schema::{Key, Read, Shape, section};
use crate::value::{Refused, duration, number, size};

pub(crate) const DRAINED: &str = "the output of an ended worker is always carried to its end, so there is nothing to wait for; remove it";

section! {
    /// The `execution` section.
    Execution {
        executable_path: Filled {
            legacy: &["command"],
            default: "required",
            means: "The program: an absolute path, a path with a slash (from where the master is started), or a name that is looked up in `PATH`. A missing program fails its own worker only.",
        }
        args: Vec<At<String>> { default: "none", means: "Its arguments. No shell reads them." }
        environment: Environment {
            default: "none",
            means: "Variables added to the master's own, as a list of `NAME=value` or as a mapping. Values are kept as they are written.",
        }
        working_directory: Filled {
            default: "the folder of the program",
            means: "Where it starts. A relative path is taken from where the master is started.",
        }
        user: Account { default: "the master's own", means: "The user to become, by name or number. Only root can." }
        group: Account { default: "the user's own", means: "The group to become, by name or number." }
        umask: Umask { default: "the master's own", means: "The file mode creation mask, in octal." }
        nice: Whole<-20, 19> { default: "the master's own", means: "The scheduling priority; lower is more." }
        rlimits: Rlimits {
            default: "the master's own",
            means: "Resource limits set before the program starts: one value, or `soft` and `hard`. `address_space` (`as`), `core`, `data`, `file_size` (`fsize`), `locked_memory` (`memlock`) and `stack` are sizes, `cpu` is a duration, `open_files` (`nofile`) and `processes` (`nproc`) are numbers.",
        }
        make_executable: bool { default: "false", means: "Give a program without the execute permission that permission." }
        wait_delay: Duration { default: "10s", later: DRAINED, means: "How long to wait for output after the end." }
    }
}

section! {
    /// The `process_file` section.
    ProcessFile {
        base_directory: Filled {
            also: &["basedirectory"],
            means: "The folder of the PID file.",
        }
        service_context: ServiceContext {
            also: &["servicecontext", "scenario"],
            means: "Which of the documented folders holds the PID file.",
        }
        app_name: Filled {
            also: &["appname"],
            default: "hsu-master",
            means: "The subfolder of the documented folder.",
        }
        use_subdirectory: bool {
            also: &["usesubdirectory"],
            default: "true for system and user, else false",
            means: "Whether there is such a subfolder.",
        }
        use_process_id: bool {
            later: "a PID file is always named by the worker's `id`",
            means: "A knob of a predecessor.",
        }
    }
}

/// Variables, by name.
#[derive(Clone, Debug)]
pub(crate) struct Environment(pub(crate) Vec<(String, String)>);

impl Read for Environment {
    const SHAPE: Shape = Shape::Value("list of `NAME=value`, or mapping from name to text");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let mut variables: Vec<(String, Place, String)> = Vec::new();
        match &node.data {
            Data::Mapping(entries) => {
                for entry in entries.iter() {
                    let value = reader.required::<String>(&entry.value);
                    let name = entry.key.to_string();
                    variables.extend(value.map(|value| (name, entry.key_place, value.value)));
                }
            }
            Data::Sequence(_) | Data::Scalar { .. } => {
                for item in reader.list(node)? {
                    variables.extend(pair(item, reader));
                }
            }
        }
        variables.retain(|(name, place, _)| check_name(name, *place, reader));
        refuse_equal_names(&variables, reader);
        Some(Self(variables.into_iter().map(|(name, _, value)| (name, value)).collect()))
    }
}

/// `NAME=value`.
fn pair(item: &Node<'_>, reader: &mut Reader<'_>) -> Option<(String, Place, String)> {
    let text = reader.required::<String>(item)?.value;
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), item.place, value.to_owned())),
        None => {
            reader
                .findings
                .error("value", item.place, "a variable without `=`")
                .hint("write `NAME=value`; `NAME=` is an empty one");
            None
        }
    }
}

// Source: POSIX, "Environment Variables": any characters but `=` and NUL.
fn check_name(name: &str, place: Place, reader: &mut Reader<'_>) -> bool {
    let good =
        !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace);
    if !good {
        let message = format!("`{}` cannot be the name of a variable", shown(name));
        reader.findings.error("value", place, message).hint("use letters, digits and `_`");
    }
    let ours = [RUN_VARIABLE, WORKER_VARIABLE, MASTER_VARIABLE].contains(&name);
    if ours {
        let message = format!("`{name}` is set by the master, for every worker");
        reader.findings.error("value", place, message).hint("leave it out");
    }
    good && !ours
}

fn refuse_equal_names(variables: &[(String, Place, String)], reader: &mut Reader<'_>) {
    let mut seen = std::collections::HashMap::with_capacity(variables.len());
    for (name, place, _) in variables {
        if let Some(first) = seen.insert(name.as_str(), *place) {
            let message = format!("the variable `{}` is given twice", shown(name));
            reader
                .findings
                .error("duplicate-key", *place, message)
                .label("the second one")
                .hint("keep one of them")
                .see(first, "the first one");
        }
    }
}

/// A user or a group, by name or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account(pub(crate) String);

impl Read for Account {
    const SHAPE: Shape = Shape::Value("name or number");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let refuse = |reason: &str| {
            let hint = "write a name such as `www-data`, or a number below 4294967295";
            Err(Refused { reason: reason.to_owned(), hint: hint.to_owned() })
        };
        let parse = |text: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                // Source: chown(2): the id of all ones means "no change", and is nobody's.
                return match text.parse::<u32>() {
                    Ok(id) if id < u32::MAX => Ok(text.to_owned()),
                    Ok(_) | Err(_) => refuse("is not an id"),
                };
            }
            let strange =
                |c: char| c.is_control() || c.is_whitespace() || matches!(c, ':' | '/' | ',');
            match text.is_empty() || text.starts_with('-') || text.contains(strange) {
                true => refuse("is not a name"),
                false => Ok(text.to_owned()),
            }
        };
        reader.parsed(node, "a name or a number", parse).map(Self)
    }
}

/// A signal, by name or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// In capitals, without `SIG`.
    Name(String),
    /// As the kernel counts them.
    Number(i32),
}

impl Read for Signal {
    const SHAPE: Shape = Shape::Value("signal, by name or number");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parsed(node, "a signal", |text| {
            if text.bytes().all(|byte| byte.is_ascii_digit()) {
                let number = number::whole(text, 1, 64)?;
                return Ok(Self::Number(i32::try_from(number).unwrap_or(i32::MAX)));
            }
            let name = text.to_ascii_uppercase();
            Ok(Self::Name(name.strip_prefix("SIG").unwrap_or(&name).to_owned()))
        })
    }
}

/// The resources that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResourceName(pub(crate) Resource);

words! {
    ResourceName {
        "address_space" => Self(Resource::AddressSpace),
        "core" => Self(Resource::Core),
        "cpu" => Self(Resource::Cpu),
        "data" => Self(Resource::Data),
        "file_size" => Self(Resource::FileSize),
        "locked_memory" => Self(Resource::LockedMemory),
        "open_files" => Self(Resource::OpenFiles),
        "processes" => Self(Resource::Processes),
        "stack" => Self(Resource::Stack),
    } else {
        "as" => "address_space",
        "fsize" => "file_size",
        "memlock" => "locked_memory",
        "nofile" => "open_files",
        "nproc" => "processes",
    }
}

/// Limits, as they are written.
#[derive(Clone, Debug)]
pub(crate) struct Rlimits(pub(crate) Vec<Rlimit>);

/// One limit.
#[derive(Clone, Debug)]
pub(crate) struct Rlimit {
    pub(crate) resource: At<Resource>,
    /// `u64::MAX` is unlimited.
    pub(crate) soft: u64,
    /// `u64::MAX` is unlimited.
    pub(crate) hard: u64,
}

impl Read for Rlimits {
    const SHAPE: Shape = Shape::Value("mapping from resource to a value, or to `soft` and `hard`");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let entries = reader.mapping(node)?;
        let mut limits: Vec<Rlimit> = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = Node {
                place: entry.key_place,
                data: Data::Scalar { text: entry.key.clone(), plain: true },
            };
            let Some(name) = reader.required::<ResourceName>(&key) else {
                continue;
            };
            let resource = At { value: name.value.0, place: entry.key_place };
            if let Some(first) = limits.iter().find(|l| l.resource.value == resource.value) {
                reader
                    .findings
                    .error("duplicate-key", resource.place, "this resource is limited twice")
                    .hint("keep one of them")
                    .see(first.resource.place, "the first one");
                continue;
            }
            let values = soft_and_hard(&entry.value, resource.value, reader);
            limits.extend(values.map(|(soft, hard)| Rlimit { resource, soft, hard }));
        }
        Some(Self(limits))
    }
}

/// The keys of a limit in its long form.
const PAIR: &[Key] = &[
    Key { name: "soft", field: "soft", means: "The limit that is enforced.", ..Key::PLAIN },
    Key {
        name: "hard",
        field: "hard",
        means: "The most that the program may raise it to.",
        ..Key::PLAIN
    },
];

fn soft_and_hard(
    node: &Node<'_>,
    resource: Resource,
    reader: &mut Reader<'_>,
) -> Option<(u64, u64)> {
    if node.entries().is_none() {
        let value = limit(node, resource, reader)?;
        return Some((value, value));
    }
    let mut values = (None, None);
    reader.section(node, PAIR, |field, node, reader| {
        let value = limit(node, resource, reader).map(|value| (value, node.place));
        match field {
            "soft" => values.0 = value,
            _ => values.1 = value,
        }
    })?;
    match values {
        (Some((soft, place)), Some((hard, other))) if soft > hard => {
            reader
                .findings
                .error("range", place, "`soft` is more than `hard`")
                .see(other, "`hard` is set here");
            None
        }
        (Some((soft, _)), Some((hard, _))) => Some((soft, hard)),
        (Some((one, _)), None) | (None, Some((one, _))) => Some((one, one)),
        (None, None) => None,
    }
}

/// One value of a limit, in the kernel's unit.
fn limit(node: &Node<'_>, resource: Resource, reader: &mut Reader<'_>) -> Option<u64> {
    let parse = |text: &str| match resource {
        _ if text == "unlimited" => Ok(u64::MAX),
        // The kernel counts seconds; a part of one counts as one.
        Resource::Cpu => duration::parse(text)
            .map(|time| u64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)),
        Resource::OpenFiles | Resource::Processes => {
            number::whole(text, 0, i64::MAX).map(i64::unsigned_abs)
        }
        Resource::AddressSpace
        | Resource::Core
        | Resource::Data
        | Resource::FileSize
        | Resource::LockedMemory
        | Resource::Stack => size::parse(text).map(|size| size.0),
    };
    reader.parsed(node, "a limit or `unlimited`", parse)
}
