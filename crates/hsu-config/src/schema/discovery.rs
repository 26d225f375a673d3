//! Processes that somebody else starts. Read and checked in full; nothing looks for them yet.

use std::time::Duration;

use crate::findings::At;
use crate::schema::section;
use crate::schema::types::{Filled, Port, Whole, words};

section! {
    /// The `discovery` section.
    Discovery {
        method: Method { also: &["strategy"], default: "required", means: "How to find it." }
        pid_file: Filled { means: "`pid-file`: the file that holds its PID, by absolute path." }
        process_name: Filled { also: &["pattern"], means: "`process-name`: its name, or a pattern." }
        process_args: Vec<At<String>> { means: "`process-name`: arguments it was started with." }
        port: Port { means: "`port`: the port it listens on." }
        protocol: Protocol { default: "tcp", means: "`port`: of which protocol." }
        service_name: Filled { means: "`service-name`: its name there." }
        check_interval: Duration { default: "30s", means: "How often to look." }
        validation: Vec<At<Validation>> { means: "What must also be true of it." }
    }
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
}

words! {
    Method {
        "pid-file" => Self::PidFile,
        "process-name" => Self::ProcessName,
        "port" => Self::Port,
        "service-name" => Self::ServiceName,
    } else {
        "process_name_pattern" => "process-name",
        "port_based" => "port",
    }
}

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
        port: Port { means: "`port_check`: a port." }
        host: Filled { means: "`port_check`: a host." }
        path: Filled { also: &["file"], means: "`file_exists`: a path." }
        url: Filled { also: &["endpoint"], means: "`http_health`: what to ask." }
        expected_status: Whole<100, 599> { means: "`http_health`: the answer." }
        timeout: Duration { means: "How long it may take." }
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
}

words! {
    ValidationType {
        "port_check" => Self::PortCheck,
        "file_exists" => Self::FileExists,
        "http_health" => Self::HttpHealth,
    }
}

section! {
    /// The `control` section of an unmanaged worker.
    SystemControl {
        can_terminate: bool { default: "false", means: "Whether we may end it." }
        can_restart: bool { default: "false", means: "Whether we may restart it." }
        service_manager: ServiceManager { means: "Who runs it." }
        service_name: Filled { means: "Its name there." }
        allowed_signals: Vec<At<crate::schema::execution::Signal>> { means: "Signals that we may send." }
        graceful_timeout: Duration { default: "30s", means: "How long it may take to end." }
    }
}

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
