//! Rights: what may be done to a process that somebody else starts, and who does it.

use hsu_model::discovery::{Manager, Rights};
use hsu_model::limits::{Action, Limits};

use crate::findings::{At, Place, shown};
use crate::resolve::worker::required;
use crate::resolve::{Context, master, signal};
use crate::schema::discovery::{ServiceManager, SystemControl};
use crate::schema::types::Filled;

/// The longest name of a unit.
// Source: systemd.unit(5).
const LONGEST_UNIT: usize = 255;

pub(super) fn resolve(written: Option<&SystemControl>, context: &mut Context<'_>) -> Rights {
    let is = |switch: Option<&At<bool>>| switch.is_some_and(|switch| switch.value);
    let timeout = written.and_then(|control| control.graceful_timeout.as_deref());
    let graceful_timeout =
        master::positive("graceful_timeout", timeout, Rights::DEFAULT_TIMEOUT, context);
    let mut allowed_signals = Vec::new();
    let os = context.surroundings.os;
    let names = written.and_then(|control| control.allowed_signals.as_deref());
    for name in names.map(|names| names.value.as_slice()).unwrap_or_default() {
        match signal::number(&name.value, os) {
            Some(number) => allowed_signals.push(number),
            None => {
                context
                    .findings
                    .error("value", name.place, "this system has no such signal")
                    .hint("write a name such as `TERM`, `INT`, `QUIT` or `HUP`, or a number");
            }
        }
    }
    let manager = written.map(|control| manager(control, context)).unwrap_or_default();
    Rights {
        can_terminate: is(written.and_then(|control| control.can_terminate.as_deref())),
        can_limit: is(written.and_then(|control| control.can_limit.as_deref())),
        can_restart: is(written.and_then(|control| control.can_restart.as_deref())),
        allowed_signals,
        graceful_timeout,
        manager,
    }
}

/// Who starts the process.
fn manager(written: &SystemControl, context: &mut Context<'_>) -> Manager {
    let (service, name) = (written.service_manager.as_deref(), written.service_name.as_deref());
    let command = written.restart_command.as_deref();
    if let (Some(service), Some(command)) = (service, command) {
        context
            .findings
            .error("conflict", command.place, "two ways to restart one process")
            .hint("keep `service_manager`, or `restart_command`")
            .see(service.place, "the other one");
    }
    if let (None, Some(name)) = (service, name) {
        context
            .findings
            .error("conflict", name.place, "`service_name` says nothing without `service_manager`")
            .hint("write `service_manager: systemd`");
    }
    if let Some(service) = service {
        let refused = &written.refused;
        let name = required("service_name", name, refused, service.place, context);
        return name.map(|name| unit(service, name, context)).unwrap_or_default();
    }
    if let Some(command) = command {
        if command.value.is_empty() {
            context.findings.error("value", command.place, "a command without a program");
        }
        return Manager::Command(command.value.iter().map(|word| word.value.0.clone()).collect());
    }
    if let Some(restart) = written.can_restart.as_deref().filter(|restart| restart.value) {
        nothing_restarts(written, restart.place, context);
    }
    Manager::Unknown
}

/// Warns of a policy whose right is missing: it is told, and not done.
pub(super) fn suffice(rights: &Rights, limits: &Limits, place: Place, context: &mut Context<'_>) {
    let mut told: Vec<Action> = Vec::new();
    for action in limits.rules.iter().flat_map(|rule| &rule.ladder).map(|step| step.action) {
        let (has, right) = match action {
            Action::Log | Action::Alert => continue,
            Action::Throttle => (rights.can_limit, "can_limit"),
            Action::GracefulShutdown | Action::ImmediateKill => {
                (rights.can_terminate, "can_terminate")
            }
            Action::Restart | Action::RestartAdjusted => (rights.can_restart, "can_restart"),
        };
        if !has && !told.contains(&action) {
            told.push(action);
            let message = format!("`{}` needs `control.{right}`", action.as_str());
            context
                .findings
                .warning("no-right", place, message)
                .hint("without it the violation is told, and nothing is done");
        }
    }
}

/// What a process was started with is not restored from the process: it may have changed
/// what it shows of that, and what we start is ours.
fn nothing_restarts(written: &SystemControl, place: Place, context: &mut Context<'_>) {
    let was_refused = |name: &&'static str| {
        matches!(*name, "service_manager" | "service_name" | "restart_command")
    };
    if !written.refused.iter().any(was_refused) {
        context
            .findings
            .error("missing-key", place, "nothing says how it is restarted")
            .hint("write `service_manager: systemd` and `service_name`, or `restart_command`; or make it a `managed` worker, which we start");
    }
}

fn unit(service: &At<ServiceManager>, name: &At<Filled>, context: &mut Context<'_>) -> Manager {
    if service.value != ServiceManager::Systemd {
        context
            .findings
            .error("value", service.place, "only systemd is asked by this version")
            .hint("write `restart_command` with a program that asks it");
        return Manager::Unknown;
    }
    let text = &name.value.0;
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    if text.len() > LONGEST_UNIT || !text.chars().all(allowed) {
        context
            .findings
            .error("value", name.place, format!("`{}` is no name of a unit", shown(text)))
            .hint("write it as `systemctl list-units` tells it, such as `nginx.service`");
    }
    Manager::Systemd(text.clone())
}
