//! Processes that somebody else starts: how they are found, and what we may do to them.

use std::time::Duration;

use crate::findings::At;
use crate::schema::execution::Signal;
use crate::schema::restart::ContextAware;
use crate::schema::section;
use crate::schema::types::{Filled, Port, Whole, words};

/// Declares a section that has the keys of one search, and others.
macro_rules! search_section {
    (
        $(#[$meta:meta])*
        $name:ident { $($own:tt)* }
    ) => {
        section! {
            $(#[$meta])*
            $name {
                method: Method { also: &["strategy"], default: "required", means: "How to find it: what tells its process from others. The key of the same name, or as said below, says more." }
                pid_file: Filled { means: "`pid-file`: the file that holds its PID, by absolute path. The file has to belong to root or to the user of the process, and to be older than neither." }
                process_name: Filled { means: "`process-name`: its name, exactly, as `ps -o comm` tells it; one of more than 15 bytes is completed." }
                pattern: Filled { means: "`process-name`: a regular expression that finds something in its name; `command-line`: in its arguments, joined by spaces; `environment`: in the variable." }
                process_args: Vec<At<String>> { means: "`process-name`: arguments that are among its own." }
                port: Port { means: "`port`: the port it listens on, on any address of IPv4 or IPv6." }
                protocol: Protocol { default: "tcp", means: "`port`: of which protocol." }
                service_name: Filled { also: &["unit"], means: "`service-name`: the systemd unit that it belongs to. `consul`: the service in the registry." }
                parent_name: Filled { means: "`parent`: the name of its parent, exactly." }
                parent_pattern: Filled { means: "`parent`: a regular expression that finds something in that name." }
                parent_pid_file: Filled { means: "`parent`: the file that holds its parent's PID." }
                variable: Filled { means: "`environment`: a variable that its program was started with." }
                value: String { means: "`environment`: what the variable holds, exactly; without it and `pattern`, anything." }
                working_directory: Filled { means: "`working-directory`: the folder it works in, by absolute path." }
                user: Filled { means: "`user`: who it runs as, by name or number." }
                file: Filled { means: "`file`: a file that it has open, by absolute path." }
                socket: Filled { means: "`socket`: the Unix socket that it listens on, by absolute path." }
                url: Filled { means: "`consul`, `etcd`: where the registry is asked, such as `http://127.0.0.1:8500`." }
                key: Filled { means: "`etcd`: the prefix of the keys whose values are `HOST:PORT`, a URL or `{\"Addr\": \"HOST:PORT\"}`." }
                token_file: Filled { means: "`consul`, `etcd`: the file that holds the token to ask with, by absolute path; nobody else may read it." }
                $($own)*
            }
        }

        impl $name {
            /// The keys of the search.
            pub(crate) fn keys(&self) -> Keys<'_> {
                Keys {
                    refused: &self.refused,
                    method: self.method.as_deref(),
                    pid_file: self.pid_file.as_deref(),
                    process_name: self.process_name.as_deref(),
                    pattern: self.pattern.as_deref(),
                    process_args: self.process_args.as_deref(),
                    port: self.port.as_deref(),
                    protocol: self.protocol.as_deref(),
                    service_name: self.service_name.as_deref(),
                    parent_name: self.parent_name.as_deref(),
                    parent_pattern: self.parent_pattern.as_deref(),
                    parent_pid_file: self.parent_pid_file.as_deref(),
                    variable: self.variable.as_deref(),
                    value: self.value.as_deref(),
                    working_directory: self.working_directory.as_deref(),
                    user: self.user.as_deref(),
                    file: self.file.as_deref(),
                    socket: self.socket.as_deref(),
                    url: self.url.as_deref(),
                    key: self.key.as_deref(),
                    token_file: self.token_file.as_deref(),
                }
            }
        }
    };
}

/// The keys of one search, of whichever section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys<'w> {
    pub(crate) refused: &'w [&'static str],
    pub(crate) method: Option<&'w At<Method>>,
    pub(crate) pid_file: Option<&'w At<Filled>>,
    pub(crate) process_name: Option<&'w At<Filled>>,
    pub(crate) pattern: Option<&'w At<Filled>>,
    pub(crate) process_args: Option<&'w At<Vec<At<String>>>>,
    pub(crate) port: Option<&'w At<Port>>,
    pub(crate) protocol: Option<&'w At<Protocol>>,
    pub(crate) service_name: Option<&'w At<Filled>>,
    pub(crate) parent_name: Option<&'w At<Filled>>,
    pub(crate) parent_pattern: Option<&'w At<Filled>>,
    pub(crate) parent_pid_file: Option<&'w At<Filled>>,
    pub(crate) variable: Option<&'w At<Filled>>,
    pub(crate) value: Option<&'w At<String>>,
    pub(crate) working_directory: Option<&'w At<Filled>>,
    pub(crate) user: Option<&'w At<Filled>>,
    pub(crate) file: Option<&'w At<Filled>>,
    pub(crate) socket: Option<&'w At<Filled>>,
    pub(crate) url: Option<&'w At<Filled>>,
    pub(crate) key: Option<&'w At<Filled>>,
    pub(crate) token_file: Option<&'w At<Filled>>,
}

search_section! {
    /// The `discovery` section.
    Discovery {
        strategies: Vec<At<Search>> { means: "`all`, `any`, `first`: the searches that go together." }
        include: Vec<At<Search>> { means: "Searches that have to fit as well." }
        exclude: Vec<At<Search>> { means: "Searches that may not fit." }
        matches: Matches { default: "one", means: "How many processes the worker has. `one`: when several fit, none is taken, and they are listed. `many`: each is attached. Of a family of processes that all fit, only the head counts." }
        check_interval: Duration { default: "30s", means: "How often to look. After a loss or a `start` it is looked for at once, and then at growing distances up to this one." }
        validation: Vec<At<Validation>> { means: "What must also be true of it before it is attached." }
    }
}

search_section! {
    /// One item of `strategies`, `include` or `exclude`.
    Search {}
}

/// How to find a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// By the file that it writes.
    PidFile,
    /// By its name.
    ProcessName,
    /// By the port it listens on.
    Port,
    /// By the host's service manager.
    ServiceName,
    /// By its parent.
    Parent,
    /// By its arguments.
    CommandLine,
    /// By a variable.
    Environment,
    /// By its folder.
    WorkingDirectory,
    /// By its user.
    User,
    /// By a file it has open.
    File,
    /// By a Unix socket it listens on.
    Socket,
    /// By what Consul says.
    Consul,
    /// By what etcd says.
    Etcd,
    /// All of several.
    All,
    /// Any of several.
    Any,
    /// The first of several that finds anything.
    First,
}

words! {
    Method {
        "pid-file" => Self::PidFile,
        "process-name" => Self::ProcessName,
        "port" => Self::Port,
        "service-name" => Self::ServiceName,
        "parent" => Self::Parent,
        "command-line" => Self::CommandLine,
        "environment" => Self::Environment,
        "working-directory" => Self::WorkingDirectory,
        "user" => Self::User,
        "file" => Self::File,
        "socket" => Self::Socket,
        "consul" => Self::Consul,
        "etcd" => Self::Etcd,
        "all" => Self::All,
        "any" => Self::Any,
        "first" => Self::First,
    } else {
        "process_name_pattern" => "process-name",
        "port_based" => "port",
        "command_line_pattern" => "command-line",
        "systemd_unit" => "service-name",
    }
}

impl Method {
    /// Whether it puts other searches together.
    pub(crate) fn is_combination(self) -> bool {
        matches!(self, Self::All | Self::Any | Self::First)
    }
}

/// How many processes a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matches {
    /// One.
    One,
    /// As many as fit.
    Many,
}

words! { Matches { "one" => Self::One, "many" => Self::Many } }

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

words! { Protocol { "tcp" => Self::Tcp, "udp" => Self::Udp } }

section! {
    /// One item of `validation`.
    Validation {
        r#type: ValidationType { default: "required", means: "What to look at." }
        port: Port { means: "`port_check`: a TCP port that takes a connection." }
        host: Filled { default: "127.0.0.1", means: "`port_check`: a host." }
        path: Filled { also: &["file"], means: "`file_exists`: a path. `exe`: the program it runs. Absolute." }
        url: Filled { also: &["endpoint"], means: "`http_health`: what to ask, `http://` only." }
        expected_status: Whole<100, 599> { default: "200 to 299", means: "`http_health`: the answer." }
        user: Filled { means: "`user`: who it runs as, by name or number." }
        min: Duration { default: "0s", means: "`age`: it has run for at least this long." }
        max: Duration { means: "`age`: it has run for at most this long." }
        timeout: Duration { default: "2s", means: "`port_check`, `http_health`: how long it may take; 10s at most." }
    }
}

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValidationType {
    /// A port answers.
    PortCheck,
    /// A file exists.
    FileExists,
    /// A URL answers.
    HttpHealth,
    /// Its user.
    User,
    /// Its program.
    Exe,
    /// How long it has run.
    Age,
}

words! {
    ValidationType {
        "port_check" => Self::PortCheck,
        "file_exists" => Self::FileExists,
        "http_health" => Self::HttpHealth,
        "user" => Self::User,
        "exe" => Self::Exe,
        "age" => Self::Age,
    }
}

section! {
    /// The `control` section of an unmanaged worker.
    SystemControl {
        can_terminate: bool { default: "false", means: "Whether `stop` may end it." }
        can_limit: bool { default: "false", means: "Whether its processes may be put into cgroups of the master, so that the kernel holds them to `limits`, and slowed down. They are moved only from where nobody has put them: from the root of a tree or the master's own group; and moved back when they are let go." }
        can_restart: bool { default: "false", means: "Whether it may be restarted, by `restart` and when its checks or limits ask for it. `service_manager` or `restart_command` says how." }
        service_manager: ServiceManager { means: "Who starts it. `systemd` is asked by `systemctl`: the manager of the host by a master that is root, the user's own by any other." }
        service_name: Filled { means: "`systemd`: the unit, such as `nginx.service`." }
        restart_command: Vec<At<Filled>> { means: "A program and its arguments that asks whoever starts it to restart it, such as `[sv, restart, nginx]`. It is run as the master's user, with `HSU_RESTART_WORKER`, `HSU_RESTART_PID` and `HSU_RESTART_VERB` (`start` or `restart`) in its environment, and has done it with exit code 0. What it starts itself is ended with it, or is below the master and so never found." }
        context_aware_restart: ContextAware { means: "How often and how fast it is restarted for its checks and limits. `retry_delay` comes before whoever starts it is asked." }
        allowed_signals: Vec<At<Signal>> { default: "none", means: "Signals that `signal` may send." }
        graceful_timeout: Duration { default: "30s", means: "How long it may take to end before it is killed, with everything below it; and, after a restart, to be found again. Whoever restarts it has twice as long, and 10 seconds at least." }
    }
}

section! {
    /// One item of `log_files`.
    LogFile {
        path: Filled { default: "required", means: "The file, by absolute path. It may come later, be renamed and made anew, or be cut. A link at its end is not followed." }
        stream: LogStream { default: "stdout", means: "As which stream its lines are taken." }
        start_at: StartAt { default: "end", means: "Where it begins when it is there the first time that it is looked at. Afterwards each line is taken once, whatever becomes of the master." }
    }
}

/// A stream of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

words! { LogStream { "stdout" => Self::Stdout, "stderr" => Self::Stderr } }

/// Where a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartAt {
    /// With what is written from then on.
    End,
    /// With all that is in it.
    Beginning,
}

words! { StartAt { "end" => Self::End, "beginning" => Self::Beginning } }

/// A service manager of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceManager {
    /// Linux.
    Systemd,
    /// Windows.
    Windows,
    /// macOS.
    Launchd,
}

words! {
    ServiceManager {
        "systemd" => Self::Systemd,
        "windows" => Self::Windows,
        "launchd" => Self::Launchd,
    }
}
