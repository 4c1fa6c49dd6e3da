//! Options that select rows of a batch.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::domain::verdict::Scope;

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Rows")]
pub(in crate::cli) struct CauseArgs {
    /// Only rows that failed with this rule; can be repeated
    ///
    /// `promptmill failures` lists the rules.
    #[arg(long, value_name = "RULE")]
    pub(in crate::cli) cause: Vec<String>,
    /// Only rows that failed with this scope; can be repeated
    #[arg(long, value_name = "SCOPE", value_parser = PossibleValuesParser::new(NAMES).map(|name| scope(&name)))]
    pub(in crate::cli) scope: Vec<Scope>,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Rows")]
pub(in crate::cli) struct RowArgs {
    /// Only these rows, by ID or number, separated by commas
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub(in crate::cli) ids: Vec<String>,
    /// Only rows in this file, with one ID or number per line
    ///
    /// `-` is standard input.
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
    let mut index = 0;
    while index < names.len() {
        names[index] = SCOPES[index].0;
        index += 1;
    }
    names
};

fn scope(name: &str) -> Scope {
    let known = SCOPES.iter().find(|(known, _)| *known == name);
    known.map_or(Scope::Transient, |(_, scope)| *scope)
}

/// Returns the name of a scope, as a value of `--scope`.
pub(in crate::cli) fn scope_name(scope: Scope) -> &'static str {
    let known = SCOPES.iter().find(|(_, known)| *known == scope);
    known.map_or("transient", |(name, _)| name)
}
