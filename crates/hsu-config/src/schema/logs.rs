//! Where output goes, as the file says it.

use std::time::Duration;

use hsu_model::logs::{LogFormat, OnFull};
use hsu_model::units::ByteSize;

use crate::findings::At;
use crate::schema::section;
use crate::schema::types::{Count, Filled, Free, Limit, words};

const KERNEL: &str = "the kernel buffers the output of a worker, and nothing of it is lost";
const UNPARSED: &str = "lines go to every output as they came";
const UNSENT: &str = "nothing is sent; use a file output";

section! {
    /// The `log_collection` section.
    LogCollection {
        enabled: bool {
            default: "true when the section is there",
            means: "Whether the output of workers is collected. `--enable-log` switches it on too.",
        }
        global_aggregation: GlobalAggregation { means: "Outputs that every worker goes to." }
        default_worker: WorkerLogs { also: &["default"], means: "Where the output of each worker goes." }
        enhancement: Enhancement { later: "lines have a time, a worker and a stream in `enhanced_plain` and `json`, and nothing else", means: "What is added to lines." }
        system: System { means: "Folders and sizes." }
    }
}

section! {
    /// The `global_aggregation` section.
    GlobalAggregation {
        enabled: bool { default: "true when collection is on", means: "Whether there are such outputs." }
        targets: Vec<At<Target>> { default: "the file `aggregated.log`, `enhanced_plain`", means: "The outputs." }
    }
}

section! {
    /// Where the output of one worker goes.
    WorkerLogs {
        enabled: bool { default: "true when collection is on", means: "Whether its output is collected. What is not collected goes to the null device and never blocks." }
        capture_stdout: bool { default: "true", means: "Whether standard output is collected." }
        capture_stderr: bool { default: "true", means: "Whether standard error is collected." }
        on_full: OnFull { default: "block", means: "What a full disk means. `block`: the worker waits, nothing is lost. `drop`: output is dropped, counted, and a marker line says how much." }
        outputs: Outputs { means: "The outputs of the worker alone." }
        buffering: Buffering { later: KERNEL, means: "Sizes of buffers." }
        processing: Processing { later: UNPARSED, means: "What is done to lines." }
        aggregation: LegacyAggregation { later: "use `outputs` and `log_collection.global_aggregation`", means: "The design document's form of `outputs`." }
    }
}

section! {
    /// The `outputs` section.
    Outputs {
        separate: Separate { means: "Outputs by stream." }
        forwarding: Vec<At<Target>> { later: UNSENT, means: "Other hosts that receive the lines." }
    }
}

section! {
    /// The `separate` section.
    Separate {
        stdout: Vec<At<Target>> { default: "the file `{worker_id}-stdout.log`, `enhanced_plain`", means: "Outputs of standard output. `[]`: none of its own." }
        stderr: Vec<At<Target>> { default: "the file `{worker_id}-stderr.log`, `enhanced_plain`", means: "Outputs of standard error. `[]`: none of its own." }
    }
}

section! {
    /// One output.
    Target {
        r#type: TargetType { default: "required", means: "Where lines go. `syslog` and `elasticsearch` are not built." }
        path: Filled { default: "required for `file`", means: "The file. A relative path is taken from the folder of logs. `{worker_id}` is the worker's name." }
        format: LogFormat { default: "enhanced_plain", means: "`plain`: the bytes as they came. `enhanced_plain`: `[RFC 3339 time][worker][stdout|stderr] line`. `json`: an object a line." }
        prefix: String { default: "none", means: "Text before each line. `{worker_id}` is the worker's name." }
        rotation: Rotation { means: "When a new file is begun." }
        authentication: Authentication { later: UNSENT, means: "How to log in there." }
        config: Free { later: UNSENT, means: "Settings of the other side." }
        endpoint: Filled { later: UNSENT, means: "`elasticsearch`: where." }
        index: Filled { later: UNSENT, means: "`elasticsearch`: which index." }
        facility: Filled { later: UNSENT, means: "`syslog`: the facility." }
        severity: Filled { later: UNSENT, means: "`syslog`: the severity." }
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetType {
    /// A file.
    File,
    /// The master's standard output.
    MasterStdout,
    /// The master's standard error.
    MasterStderr,
    /// The host's log.
    Syslog,
    /// A search engine.
    Elasticsearch,
}

words! {
    TargetType {
        "file" => Self::File,
        "master_stdout" => Self::MasterStdout,
        "master_stderr" => Self::MasterStderr,
        "stdout" => Self::MasterStdout,
        "stderr" => Self::MasterStderr,
        "syslog" => Self::Syslog,
        "elasticsearch" => Self::Elasticsearch,
    } else {
        "process_manager_stdout" => "master_stdout",
        "process_manager_stderr" => "master_stderr",
    }
}

words! {
    LogFormat {
        "plain" => Self::Plain,
        "enhanced_plain" => Self::EnhancedPlain,
        "json" => Self::Json,
    } else { "structured_json" => "json" }
}

words! { OnFull { "block" => Self::Block, "drop" => Self::Drop } }

section! {
    /// The `rotation` section.
    Rotation {
        max_size: Limit<ByteSize> { default: "100MB", means: "A file is closed at the last line end within this size." }
        max_files: Limit<Count> { default: "10", means: "Closed files that stay. `0` and `unlimited`: all of them." }
        max_age: Limit<Duration> { default: "7d", means: "Closed files older than this go. `unlimited`: none goes by age." }
    }
}

section! {
    /// The `authentication` section.
    Authentication {
        r#type: AuthenticationType { default: "required", means: "How." }
        username: Filled { means: "`basic`." }
        password: Filled { means: "`basic`; write `${VARIABLE}`." }
        token: Filled { means: "`token`; write `${VARIABLE}`." }
        cert_file: Filled { means: "`certificate`." }
        key_file: Filled { means: "`certificate`." }
    }
}

/// How to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthenticationType {
    /// Name and password.
    Basic,
    /// A token.
    Token,
    /// A certificate.
    Certificate,
}

words! {
    AuthenticationType {
        "basic" => Self::Basic,
        "token" => Self::Token,
        "certificate" => Self::Certificate,
    }
}

section! {
    /// The `buffering` section.
    Buffering {
        size: ByteSize { means: "Bytes." }
        flush_interval: Duration { means: "How often it is written." }
        max_lines: Count { means: "Lines." }
    }
}

section! {
    /// The `processing` section.
    Processing {
        parse_structured: bool { means: "Whether lines are parsed." }
        add_metadata: bool { means: "Whether facts are added." }
        filters: Filters { means: "Which lines go on." }
        parsers: Vec<At<Parser>> { means: "How lines are parsed." }
    }
}

section! {
    /// The `filters` section.
    Filters {
        exclude_patterns: Vec<At<Filled>> { means: "Lines that do not go on." }
        include_patterns: Vec<At<Filled>> { means: "Lines that go on." }
        level_filter: Level { means: "The least severe level that goes on." }
    }
}

/// A level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Everything.
    Debug,
    /// What happened.
    Info,
    /// What may go wrong.
    Warn,
    /// What went wrong.
    Error,
}

words! {
    Level {
        "debug" => Self::Debug,
        "info" => Self::Info,
        "warn" => Self::Warn,
        "error" => Self::Error,
    } else { "warning" => "warn" }
}

section! {
    /// One parser.
    Parser {
        r#type: ParserType { default: "required", means: "What lines look like." }
        config: Free { means: "Its settings." }
        enabled: bool { default: "true", means: "Whether it is used." }
    }
}

/// What lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParserType {
    /// JSON.
    Json,
    /// logfmt.
    Logfmt,
    /// A time somewhere.
    TimestampExtraction,
}

words! {
    ParserType {
        "json" => Self::Json,
        "logfmt" => Self::Logfmt,
        "timestamp_extraction" => Self::TimestampExtraction,
    }
}

section! {
    /// The `enhancement` section.
    Enhancement {
        enabled: bool { means: "Whether anything is added." }
        parsers: Vec<At<Parser>> { means: "How lines are parsed." }
        metadata: MetadataFlags { means: "Facts that are added." }
        enrichers: Vec<At<Enricher>> { means: "Fields that are taken from lines." }
    }
}

section! {
    /// The `metadata` section of `enhancement`.
    MetadataFlags {
        add_master_id: bool { also: &["add_process_manager_id"], means: "The master." }
        add_hostname: bool { means: "The host." }
        add_timestamp: bool { means: "The time." }
        add_sequence: bool { means: "A number." }
        add_line_number: bool { means: "The number of the line." }
    }
}

section! {
    /// One enricher.
    Enricher {
        r#type: EnricherType { default: "required", means: "How." }
        config: Free { means: "Its settings." }
        enabled: bool { default: "true", means: "Whether it is used." }
    }
}

/// How fields are taken from a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnricherType {
    /// By a pattern.
    Regex,
    /// From JSON.
    JsonExtract,
    /// From an address.
    GeoIp,
}

words! {
    EnricherType {
        "regex" => Self::Regex,
        "json_extract" => Self::JsonExtract,
        "geo_ip" => Self::GeoIp,
    }
}

section! {
    /// The `system` section.
    System {
        worker_directory: Filled { also: &["process_directory"], default: "workers", means: "The folder of workers' log files within the folder of logs." }
        buffer_size: ByteSize { later: KERNEL, means: "Bytes." }
        flush_interval: Duration { later: KERNEL, means: "How often it is written." }
        max_workers: Count { also: &["max_managed_processes", "max_processes"], later: "there is no limit", means: "Workers at once." }
        metrics: Metrics { later: "nothing is counted yet", means: "Numbers about logs." }
    }
}

section! {
    /// The `metrics` section.
    Metrics {
        enabled: bool { means: "Whether to count." }
        interval: Duration { means: "How often to write." }
        targets: Vec<At<Target>> { means: "Where to write." }
    }
}

section! {
    /// The `aggregation` section of the design document.
    LegacyAggregation {
        mode: AggregationMode { means: "Which outputs." }
        targets: LegacyTargets { means: "The outputs." }
    }
}

/// Which outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregationMode {
    /// By worker.
    Separate,
    /// All together.
    Aggregate,
    /// Both.
    Both,
    /// None.
    Disabled,
}

words! {
    AggregationMode {
        "separate" => Self::Separate,
        "aggregate" => Self::Aggregate,
        "both" => Self::Both,
        "disabled" => Self::Disabled,
    }
}

section! {
    /// The outputs of `aggregation`.
    LegacyTargets {
        aggregate: Vec<At<Target>> { means: "All together." }
        separate: Separate { means: "By stream." }
    }
}
