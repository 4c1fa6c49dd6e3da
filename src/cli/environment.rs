//! The one place that reads the environment, besides the variables that clap knows.

use std::path::PathBuf;

/// Variables that no flag has, and what each is for: a key is never a flag's value.
pub(super) const KEY_VARIABLES: [(&str, &str); 7] = [
    ("PROMPTMILL_API_KEYS", "keys, parted by commas"),
    ("OPENAI_API_KEY", "a key, when nothing else names one"),
    (
        "CREDENTIALS_DIRECTORY",
        "systemd's folder; its file api-keys has one key a line",
    ),
    (
        "HTTPS_PROXY, HTTP_PROXY, NO_PROXY",
        "the proxy, and hosts that need none",
    ),
    ("NO_COLOR", "no color on a terminal, when it is set"),
    ("TERM", "no color and no bar on a terminal that is dumb"),
    ("RUST_LOG", "what is logged, more exactly than -v"),
];

/// Returns a variable's text; `None` when it is not set, empty, or not UTF-8.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(super) fn text(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|text| !text.trim().is_empty())
}

/// Returns the names of all variables that begin as ours do.
pub(super) fn ours() -> Vec<String> {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with("PROMPTMILL_"))
        .collect()
}

/// Returns systemd's folder of credentials, when there is one.
pub(super) fn credentials() -> Option<PathBuf> {
    text("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// Returns the failpoints that a test asks for.
#[cfg(feature = "failpoints")]
pub(super) fn failpoints() -> Option<String> {
    text("PROMPTMILL_FAILPOINTS")
}

/// Tells whether the environment asks for no color, or for a terminal without tricks.
pub(super) fn is_plain() -> bool {
    text("NO_COLOR").is_some() || text("TERM").as_deref() == Some("dumb")
}
