//! The master's own log: lines on standard error, as quiet as the configuration says.

use std::io::stderr;

use hsu_model::master::LogLevel;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sends the master's own messages to standard error from now on.
pub(crate) fn start(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Never coloured: what is no text for a file is no text for a terminal either.
    let lines =
        tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(false).with_target(false);
    tracing_subscriber::registry().with(level).with(lines).init();
}
