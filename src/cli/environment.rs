//! Environment variables. All access to the environment is here, except for the variables of flags,
//! which clap reads.

use std::path::PathBuf;

/// Variables without a flag, each with its description.
pub(super) const VARIABLES: &str = "\
PROMPTMILL_API_KEYS | API keys, separated by commas
OPENAI_API_KEY | API key to use if no other source is configured
CREDENTIALS_DIRECTORY | directory of systemd credentials; its file api-keys contains one API key per line
HTTPS_PROXY, HTTP_PROXY, NO_PROXY | proxy servers, and hosts to connect to directly
NO_COLOR | disables color if it is not empty
TERM | the value dumb disables color and the progress bar
RUST_LOG | log filter; takes precedence over -v";

/// Returns the value of a variable; `None` if it is not set, empty, or not UTF-8.
#[expect(
    clippy::disallowed_methods,
    reason = "only this module reads the environment"
)]
pub(super) fn text(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|text| !text.trim().is_empty())
}

/// Returns the names of all `PROMPTMILL_*` variables that are set.
pub(super) fn own_variables() -> Vec<String> {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with("PROMPTMILL_"))
        .collect()
}

/// Returns the directory of systemd credentials, if there is one.
pub(super) fn credentials() -> Option<PathBuf> {
    text("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// Returns the failpoints that a test has enabled.
#[cfg(feature = "failpoints")]
pub(super) fn failpoints() -> Option<String> {
    text("PROMPTMILL_FAILPOINTS")
}

/// Returns whether `NO_COLOR` or `TERM` disables color.
pub(super) fn disables_color() -> bool {
    text("NO_COLOR").is_some() || text("TERM").as_deref() == Some("dumb")
}
