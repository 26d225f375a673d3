//! The flat form of a worker, as the predecessors' overview shows it.

use std::time::Duration;

use crate::findings::At;
use crate::schema::execution::{DRAINED, Environment};
use crate::schema::restart::Policy;
use crate::schema::section;
use crate::schema::types::{Count, CpuPercent, Factor, Filled, Limit, Whole};
use hsu_model::units::ByteSize;

section! {
    /// `management.control`.
    FlatControl {
        executable: Filled { default: "required", means: "`execution.executable_path`." }
        arguments: Vec<At<String>> { means: "`execution.args`." }
        working_directory: Filled { means: "`execution.working_directory`." }
        environment: Environment { means: "`execution.environment`." }
        startup_timeout: Duration { later: DRAINED, means: "`execution.wait_delay`." }
        shutdown_timeout: Duration { means: "`graceful_timeout`." }
    }
}

section! {
    /// `management.restart_policy`.
    FlatRestart {
        strategy: Policy { means: "`restart_policy`." }
        max_attempts: Limit<Count> { means: "`context_aware_restart.default.max_retries`." }
        restart_delay: Duration { means: "`context_aware_restart.default.retry_delay`." }
        backoff_multiplier: Factor { means: "`context_aware_restart.default.backoff_rate`." }
    }
}

section! {
    /// `management.logging`.
    FlatLogging {
        capture_stdout: bool { means: "`log_collection.capture_stdout`." }
        capture_stderr: bool { means: "`log_collection.capture_stderr`." }
        buffer_size: ByteSize {
            later: "the kernel buffers the output of a worker, and nothing of it is lost",
            means: "`log_collection.buffering.size`.",
        }
    }
}

section! {
    /// `management.health_check`.
    FlatHealth {
        enabled: bool { means: "Whether it is checked." }
        interval: Duration { means: "Time between two checks." }
        timeout: Duration { means: "Time that a check may take." }
        initial_delay: Duration { means: "Time before the first check." }
        failure_threshold: Whole<1, 1_000_000> { means: "Failed checks before it counts as unhealthy." }
        http_endpoint: Filled { means: "The URL to ask." }
        method: Filled { means: "The HTTP method." }
        expected_status: Vec<At<Whole<100, 599>>> { means: "The answers that count as healthy." }
        expected_body: String { means: "A text that the answer contains." }
        grpc_service: Filled { means: "The address of a gRPC service." }
        grpc_health_check: bool { means: "Whether to ask it." }
    }
}

section! {
    /// `management.health_check_run_options`.
    FlatRunOptions {
        enabled: bool { means: "Whether it is checked." }
        interval: Duration { means: "Time between two checks." }
        timeout: Duration { means: "Time that a check may take." }
        initial_delay: Duration { means: "Time before the first check." }
        retries: Count { means: "Failed checks before it counts as unhealthy." }
        failure_threshold: Whole<1, 1_000_000> { means: "The same." }
    }
}

section! {
    /// `management.resource_limits`.
    FlatLimits {
        max_memory_mb: Whole<1, 1_000_000_000> { means: "Memory, in megabytes." }
        max_cpu_percent: CpuPercent { means: "CPU; 100 is one of them." }
        max_file_descriptors: Whole<1, 1_000_000_000> { means: "Open files." }
    }
}
