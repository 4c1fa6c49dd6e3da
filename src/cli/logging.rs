//! Logs, on standard error. A prompt, an answer or a key is in none of them, at any level.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::progress::Stderr;

use super::args::{Global, LogFormat};
use super::environment;
use super::error::CliError;
use super::exit::Exit;
use super::screen;

/// Starts logging: `RUST_LOG` if it is set, else the level of `-v`.
pub(super) fn init(global: &Global) -> Result<(), CliError> {
    let filter = match environment::text("RUST_LOG") {
        Some(text) => text.parse::<Targets>().map_err(|error| {
            let what = format!("RUST_LOG cannot be read: {error}");
            CliError::new(
                Exit::Usage,
                &what,
                "write it like `promptmill=debug` or `info`",
            )
        })?,
        None => Targets::new().with_target("promptmill", level(global)),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(|| Stderr).with_target(false);
    // Somebody else may have set a subscriber: then theirs is used.
    let _ = match global.log_format.unwrap_or_default() {
        LogFormat::Text => registry
            .with(lines.with_ansi(screen::stderr_color(global.color)))
            .try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    Ok(())
}

fn level(global: &Global) -> Level {
    match global.verbose {
        _ if global.quiet => Level::ERROR,
        0 => Level::WARN,
        1 => Level::INFO,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    }
}
