//! Which rows of a batch are meant: by cause, by whose fault it was, or one by one.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::domain::verdict::Scope;

/// Rows by why they failed.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Rows")]
pub(in crate::cli) struct CauseArgs {
    /// Only rows that failed by this rule, as `failures` shows it. May be repeated.
    #[arg(long, value_name = "RULE")]
    pub(in crate::cli) cause: Vec<String>,
    /// Only rows whose failure was the fault of this. May be repeated.
    #[arg(long, value_name = "SCOPE", value_parser = PossibleValuesParser::new(NAMES).map(|name| scope(&name)))]
    pub(in crate::cli) scope: Vec<Scope>,
}

/// Rows one by one.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Rows")]
pub(in crate::cli) struct RowArgs {
    /// Only these rows, by id or by number, parted by commas.
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub(in crate::cli) ids: Vec<String>,
    /// Only the rows of this file, one id or number a line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) ids_file: Option<PathBuf>,
}

const SCOPES: [(&str, Scope); 9] = [
    ("key", Scope::Key),
    ("account", Scope::Account),
    ("key-model", Scope::KeyModel),
    ("model", Scope::Model),
    ("endpoint", Scope::Endpoint),
    ("request", Scope::Request),
    ("network", Scope::Network),
    ("quota", Scope::Quota),
    ("transient", Scope::Transient),
];

const NAMES: [&str; 9] = {
    let mut names = [""; 9];
    let mut at = 0;
    while at < names.len() {
        names[at] = SCOPES[at].0;
        at += 1;
    }
    names
};

fn scope(name: &str) -> Scope {
    let known = SCOPES.iter().find(|(known, _)| *known == name);
    known.map_or(Scope::Transient, |(_, scope)| *scope)
}

/// Names a scope as `--scope` takes it.
pub(in crate::cli) fn scope_name(scope: Scope) -> &'static str {
    let known = SCOPES.iter().find(|(_, known)| *known == scope);
    known.map_or("transient", |(name, _)| name)
}
