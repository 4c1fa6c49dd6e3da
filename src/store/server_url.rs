//! The URL of a database server. Its password is never stored or displayed.

use std::fmt;

/// The URL of a database server. Only its kind and host are kept: in a malformed URL, any other
/// part can contain the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    is_postgres: bool,
    /// The host; empty if it cannot be distinguished from a password.
    host: String,
}

impl ServerUrl {
    /// Parses a URL, which can be malformed; returns `None` for a path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        let rest = postgres_rest(text);
        let is_postgres = rest.is_some();
        let rest = rest.or_else(|| text.split_once("://").map(|(_, rest)| rest))?;
        let host = host(rest.trim_start_matches([':', '/'])).to_owned();
        Some(Self { is_postgres, host })
    }

    /// Returns why the server cannot be used.
    pub(super) fn problem(&self) -> &'static str {
        if self.is_postgres {
            "this build does not support PostgreSQL"
        } else {
            "the database must be a file, not a URL"
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_postgres {
            "postgresql"
        } else {
            "…"
        };
        write!(f, "{scheme}://{}", self.host)
    }
}

/// Returns the text after the scheme if it is that of PostgreSQL, even if colon or slashes are
/// missing.
fn postgres_rest(text: &str) -> Option<&str> {
    let end = text.find([':', '/'])?;
    let (scheme, rest) = text.split_at(end);
    let is_postgres = ["postgres", "postgresql"]
        .iter()
        .any(|name| scheme.eq_ignore_ascii_case(name));
    (is_postgres && (rest.starts_with(':') || rest.starts_with("//"))).then_some(rest)
}

/// Returns the host of a URL without its scheme; an empty text if it is not certain.
fn host(rest: &str) -> &str {
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (authority, options) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    // An unescaped password can contain any of the delimiters.
    if options.contains('@') || !host.chars().all(is_valid) {
        return "";
    }
    host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_displayed_without_password_and_paths_are_not_urls() {
        for (text, expected) in [
            (
                "postgres://db.example.com/jobs",
                "postgresql://db.example.com",
            ),
            ("PostgreSQL://me:hunter2@db:5432/jobs", "postgresql://db"),
            (" \"postgres://me:hunter2@db/jobs\"", "postgresql://db"),
            ("postgres://me:hun/ter2@db/jobs", "postgresql://db"),
            ("postgres://me:hun@ter2@db", "postgresql://db"),
            ("postgres://me:hun?ter2@db/jobs", "postgresql://"),
            ("postgres://me:hun@t?er2@db/jobs", "postgresql://"),
            ("postgres://db/jobs?password=hun@ter2", "postgresql://"),
            ("postgres://db/jobs?password=hunter2", "postgresql://db"),
            ("postgres://me:hunter2", "postgresql://me"),
            ("postgres://:hunter2@", "postgresql://"),
            ("postgres://me:x@hünter2", "postgresql://"),
            ("postgres:me:hunter2@db", "postgresql://db"),
            ("postgres//me:hunter2@db/jobs", "postgresql://db"),
            ("mysql://me:hunter2@db/jobs", "…://db"),
            ("jdbc:postgresql://me:hunter2@db/jobs", "…://db"),
        ] {
            let url = ServerUrl::parse(text).map(|url| url.to_string());
            assert_eq!(url.as_deref(), Some(expected), "{text}");
        }
        for path in [
            "promptmill.db",
            "postgres",
            "postgres/q.db",
            "a:b.db",
            "/",
            "",
        ] {
            assert_eq!(ServerUrl::parse(path), None, "{path}");
        }
    }
}
