//! Logging to standard error. No level logs prompts, responses, or API keys.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::progress::Stderr;

use super::exit::{CliError, Exit};
use super::settings::{GlobalArgs, LogFormat};
use super::{console, environment};

/// Starts logging with the filter of `RUST_LOG`, or else the level of `-v`.
pub(super) fn init(global: &GlobalArgs) -> Result<(), CliError> {
    let filter = match environment::text("RUST_LOG") {
        Some(text) => text.parse::<Targets>().map_err(|error| {
            let what = format!("invalid value of RUST_LOG: {error}");
            let hint = "set it to a filter like `promptmill=debug` or `info`";
            CliError::new(Exit::Usage, &what, hint)
        })?,
        None => Targets::new().with_target("promptmill", level(global)),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(|| Stderr).with_target(false);
    // A subscriber that is already installed stays in use.
    let _ = match global.log_format.unwrap_or_default() {
        LogFormat::Text => registry
            .with(lines.with_ansi(console::stderr_color(global.color)))
            .try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    Ok(())
}

fn level(global: &GlobalArgs) -> Level {
    match global.verbose {
        _ if global.quiet => Level::ERROR,
        0 => Level::WARN,
        1 => Level::INFO,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    }
}
