//! One worker: as the configuration asks for it, and as the client shows it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// A managed worker of a configuration.
#[derive(Clone, Debug)]
pub struct Worker {
    document: Value,
}

impl Worker {
    /// A worker that runs `program`, restarted at once and without limit, with
    /// the grace period of 5 s and no output kept.
    #[must_use]
    pub fn new(id: &str, program: impl AsRef<Path>) -> Self {
        let restart = json!({"max_retries": 0, "retry_delay": "0s", "backoff_rate": 1.0});
        Self {
            document: json!({
                "id": id,
                "type": "managed",
                "unit": {"managed": {
                    "metadata": {"name": id},
                    "control": {
                        "execution": {"executable_path": program.as_ref(), "args": []},
                        "restart_policy": "always",
                        "context_aware_restart": {"default": restart},
                        "graceful_timeout": "5s",
                    },
                }},
            }),
        }
    }

    /// The arguments of the program.
    #[must_use]
    pub fn arguments<I: IntoIterator<Item: Into<String>>>(mut self, arguments: I) -> Self {
        let list: Vec<String> = arguments.into_iter().map(Into::into).collect();
        self.control()["execution"]["args"] = list.into();
        self
    }

    /// One key of `execution`, such as `working_directory`.
    #[must_use]
    pub fn execution(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.control()["execution"][key] = value.into();
        self
    }

    /// The restart policy, by its name in configuration files.
    #[must_use]
    pub fn restart(mut self, policy: &str) -> Self {
        self.control()["restart_policy"] = policy.into();
        self
    }

    /// How often it is restarted, and after which first delay.
    #[must_use]
    pub fn retries(mut self, most: u32, delay: Duration) -> Self {
        let block = &mut self.control()["context_aware_restart"]["default"];
        block["max_retries"] = most.into();
        block["retry_delay"] = format!("{}ms", delay.as_millis()).into();
        self
    }

    /// How long it may take to end by itself.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.control()["graceful_timeout"] = format!("{}ms", time.as_millis()).into();
        self
    }

    /// One key of `control`, such as `log_collection`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.control()[key] = value.into();
        self
    }

    /// One key of `managed`, such as `health_check`.
    #[must_use]
    pub fn managed(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.document["unit"]["managed"][key] = value.into();
        self
    }

    /// One key of the worker entry, such as `enabled` or `profile_type`.
    #[must_use]
    pub fn entry(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.document[key] = value.into();
        self
    }

    pub(crate) fn into_json(self) -> Value {
        self.document
    }

    fn control(&mut self) -> &mut Value {
        &mut self.document["unit"]["managed"]["control"]
    }
}

/// One worker as `hsu-master-cli list -o json` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerView(pub Value);

impl WorkerView {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0["id"].as_str().unwrap_or_default()
    }

    /// The word for its state.
    #[must_use]
    pub fn state(&self) -> &str {
        self.0["state"].as_str().unwrap_or_default()
    }

    /// Whether it does its job.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0["ready"].as_bool().unwrap_or_default()
    }

    /// Its PID inside the sandbox, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.0["pid"].as_u64().and_then(|pid| pid.try_into().ok())
    }

    /// How often it was restarted.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.0["restarts"].as_u64().unwrap_or_default()
    }

    /// Any other field of the answer.
    #[must_use]
    pub fn field(&self, name: &str) -> &Value {
        &self.0[name]
    }
}
