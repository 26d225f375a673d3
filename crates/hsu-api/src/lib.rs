//! The wire contract: the shapes of requests and answers, and their paths.
//!
//! JSON over HTTP/1.1 on a local socket, version 1. Only this room knows the
//! outside names; conversions from the model are written out, so that a change
//! of the model is never a change of the contract by accident. Times are RFC
//! 3339 in UTC; spans say their unit in the name.

mod event;
mod master;
mod past;
mod problem;
mod time;
mod usage;
mod worker;

pub use event::{EventList, EventView, alert};
pub use master::{
    CapabilityView, FeatureView, HostView, MasterView, MessageView, ShutdownMode, ShutdownRequest,
    StuckOutputView, UpgradeRequest, VersionView,
};
pub use past::{
    CausedView, Causes, DiffView, FieldDiff, HistoryView, JOURNAL_FORM, JournalHead, JournalLine,
    MomentView, Past, PastList, StatusView, WorkerDiff, differences,
};
pub use problem::Problem;
pub use time::{parse_time, rfc3339, seconds_between};
pub use usage::{LimitView, PressureView, UsageList, UsageRecords, UsageView};
pub use worker::{
    CheckView, CommandAnswer, CommandRequest, Description, ExitView, LineView, SettingView,
    ToldView, WhyView, WorkerList, WorkerView,
};

/// The version of the contract, as it stands in every path.
pub const VERSION: &str = "v1";

/// What can be done to a worker: the last segment of `POST /v1/workers/{id}/…`.
pub const COMMANDS: [&str; 7] =
    ["start", "stop", "restart", "signal", "enable", "disable", "reset-breaker"];

/// Every route, as method and path; docs/reference/api.md tells what each does.
pub const ROUTES: [(&str, &str); 24] = [
    ("GET", "/v1/workers"),
    ("GET", "/v1/workers/{id}"),
    ("DELETE", "/v1/workers/{id}"),
    ("POST", "/v1/workers/{id}/start"),
    ("POST", "/v1/workers/{id}/stop"),
    ("POST", "/v1/workers/{id}/restart"),
    ("POST", "/v1/workers/{id}/signal"),
    ("POST", "/v1/workers/{id}/enable"),
    ("POST", "/v1/workers/{id}/disable"),
    ("POST", "/v1/workers/{id}/reset-breaker"),
    ("GET", "/v1/workers/{id}/why"),
    ("GET", "/v1/workers/{id}/logs"),
    ("GET", "/v1/workers/{id}/wait"),
    ("GET", "/v1/workers/{id}/usage"),
    ("GET", "/v1/usage"),
    ("GET", "/v1/workers/{id}/history"),
    ("GET", "/v1/diff"),
    ("GET", "/v1/journal"),
    ("GET", "/v1/events"),
    ("GET", "/v1/master"),
    ("POST", "/v1/master/shutdown"),
    ("POST", "/v1/master/upgrade"),
    ("GET", "/v1/capabilities"),
    ("GET", "/v1/version"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_a_route_and_every_route_is_documented() {
        for command in COMMANDS {
            let path = format!("/v1/workers/{{id}}/{command}");
            assert!(ROUTES.contains(&("POST", path.as_str())), "{path}");
        }
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/api.md");
        let page = std::fs::read_to_string(page).unwrap();
        for (method, path) in ROUTES {
            assert!(page.contains(&format!("`{method} {path}`")), "{method} {path}");
        }
    }
}
