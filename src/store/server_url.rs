//! The URL of a database server. No part of it is stored or displayed.

use std::fmt;

/// The URL of a database server. Only its kind is kept: in a malformed URL, any part can belong to
/// the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerUrl {
    /// PostgreSQL.
    Postgres,
    /// Another server.
    Other,
}

impl ServerUrl {
    /// Recognizes a URL, which can be malformed; returns `None` for a path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        // Colon or slashes can be missing.
        let (scheme, rest) = text.split_at(text.find([':', '/'])?);
        let is_postgres = ["postgres", "postgresql"]
            .iter()
            .any(|name| scheme.eq_ignore_ascii_case(name));
        if is_postgres && (rest.starts_with(':') || rest.starts_with("//")) {
            Some(Self::Postgres)
        } else {
            text.contains("://").then_some(Self::Other)
        }
    }

    /// Returns why the server cannot be used.
    pub(super) fn problem(self) -> &'static str {
        match self {
            Self::Postgres => "this build does not support PostgreSQL",
            Self::Other => "the database must be a file, not a URL",
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgresql://…",
            Self::Other => "…://…",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_distinguished_from_paths() {
        let (postgres, other) = (Some(ServerUrl::Postgres), Some(ServerUrl::Other));
        for (text, expected) in [
            ("postgres://db.example.com/jobs", postgres),
            ("PostgreSQL://me:hunter2@db:5432/jobs", postgres),
            (" \"postgres://me:hunter2@db/jobs\"", postgres),
            ("postgres:me:hunter2@db", postgres),
            ("postgres//me:hunter2@db/jobs", postgres),
            ("mysql://me:hunter2@db/jobs", other),
            ("jdbc:postgresql://me:hunter2@db/jobs", other),
            ("promptmill.db", None),
            ("postgres", None),
            ("postgres/q.db", None),
            ("a:b.db", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(ServerUrl::parse(text), expected, "{text}");
        }
    }
}
