//! The steward: asks whoever starts a process of somebody else to start, restart or stop it.
//!
//! Each question has a thread of its own, for it may take as long as the process may take
//! to end and to come; the core puts one question for each worker at a time.

use std::ffi::OsString;
use std::time::Duration;

use hsu_core::effect::ServiceVerb;
use hsu_model::discovery::{Manager, Rights};
use hsu_model::id::WorkerId;
use hsu_sys::brief::Brief;
use hsu_sys::systemd::{Systemd, Verb};

use crate::alerts::run_program;
use crate::request::{Request, Requests};

/// A question has at least this long.
const LEAST: Duration = Duration::from_secs(10);

/// So much of what is said is told when it fails.
const KEPT: usize = 512;

/// One question.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) worker: WorkerId,
    pub(crate) verb: ServiceVerb,
    pub(crate) rights: Rights,
    /// The process that is attached.
    pub(crate) pid: Option<u32>,
}

/// Puts a question; the answer comes as a request.
///
/// # Errors
/// The kernel's when it has no more threads.
pub(crate) fn put(question: Question, requests: Requests) -> std::io::Result<()> {
    std::thread::Builder::new().name("hsu-steward".to_owned()).stack_size(128 << 10).spawn(
        move || {
            let error = answer(&question).err();
            requests.insist(Request::Serviced { worker: question.worker, error });
        },
    )?;
    Ok(())
}

fn answer(question: &Question) -> Result<(), String> {
    let verb = match question.verb {
        ServiceVerb::Start => Verb::Start,
        ServiceVerb::Restart => Verb::Restart,
        ServiceVerb::Stop => Verb::Stop,
    };
    let words = match &question.rights.manager {
        Manager::Systemd(unit) => {
            Systemd::here().words(verb, unit).map_err(|absent| absent.to_string())?
        }
        Manager::Command(words) => words.clone(),
        Manager::Unknown => Vec::new(),
    };
    let (program, args) = words.split_first().ok_or("nothing says who starts it")?;
    let pid = question.pid.map(|pid| pid.to_string()).unwrap_or_default();
    let told = [
        ("HSU_RESTART_WORKER", question.worker.as_str()),
        ("HSU_RESTART_PID", &pid),
        ("HSU_RESTART_VERB", verb.as_str()),
    ];
    let told = told.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    run_program(&Brief {
        program: program.into(),
        args: args.to_vec(),
        environment: std::env::vars_os().chain(told).collect(),
        folder: None,
        identity: None,
        input: None,
        // It may take so long to end, and so long to come again.
        timeout: question.rights.graceful_timeout.saturating_mul(2).max(LEAST),
        keep: KEPT,
    })
}
