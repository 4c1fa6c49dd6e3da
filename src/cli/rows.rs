//! Resolves the flags that select rows, such as `--ids` and `--cause`, against a batch.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::domain::job::JobId;
use crate::domain::run_stats::Cause;
use crate::domain::spelling::nearest;
use crate::domain::verdict::Scope;
use crate::progress::safe::Truncated;
use crate::store::{RowFilter, Store, StoredBatch};

use super::exit::{CliError, Exit};
use super::values::choice;

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Rows")]
pub(super) struct CauseArgs {
    /// Only rows that failed with this rule; can be repeated
    ///
    /// `promptmill failures` lists the rules.
    #[arg(long, value_name = "RULE")]
    pub(super) cause: Vec<String>,
    /// Only rows that failed with this scope; can be repeated
    #[arg(long, value_name = "SCOPE", value_parser = choice(&SCOPES))]
    pub(super) scope: Vec<Scope>,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Rows")]
pub(super) struct RowArgs {
    /// Only these rows, by ID or number, separated by commas
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub(super) ids: Vec<String>,
    /// Only rows in this file, with one ID or number per line
    ///
    /// `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) ids_file: Option<PathBuf>,
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

/// Returns the name of a scope, as a value of `--scope`.
pub(super) fn scope_name(scope: Scope) -> &'static str {
    let known = SCOPES.iter().find(|(_, known)| *known == scope);
    known.map_or("transient", |(name, _)| name)
}

/// Maximum number of causes that are searched, more than there are rules.
pub(super) const MAX_CAUSES: u32 = 1_000;

/// Maximum size of an ID file in bytes, enough for ten million IDs.
const MAX_IDS_SIZE: u64 = 256 << 20;

/// Maximum number of missing names that are shown, and of characters of each.
const MAX_SHOWN: (usize, usize) = (5, 40);

/// Finds the rows that are selected by ID or number; `None` if the flags are not used.
pub(super) async fn find_rows(
    store: &Store,
    batch: &StoredBatch,
    args: &RowArgs,
) -> Result<Option<Vec<JobId>>, CliError> {
    let mut names = trimmed(args.ids.iter().map(String::as_str));
    if let Some(path) = &args.ids_file {
        names.extend(read(path)?);
    } else if args.ids.is_empty() {
        return Ok(None);
    }
    if names.is_empty() {
        let hint = "write one ID or row number per line, or pass --ids 1,2,3";
        return Err(CliError::new(Exit::Usage, "no rows selected", hint));
    }
    let found = store.find_rows(batch.id, &names).await?;
    let missing = names.iter().zip(&found).filter(|(_, job)| job.is_none());
    let missing: Vec<_> = missing.map(|(name, _)| name).collect();
    if missing.is_empty() {
        return Ok(Some(found.into_iter().flatten().collect()));
    }
    let shown = missing.iter().take(MAX_SHOWN.0);
    let shown = shown.map(|name| Truncated(name, MAX_SHOWN.1).to_string());
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = match missing.len().saturating_sub(MAX_SHOWN.0) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(no_row(store, batch, &format!("{shown}{more}")).await?)
}

/// Finds a row by its ID or number.
pub(super) async fn find_row(
    store: &Store,
    batch: &StoredBatch,
    name: &str,
) -> Result<JobId, CliError> {
    let found = store.find_rows(batch.id, &[name.trim().to_owned()]).await?;
    match found.first().copied().flatten() {
        Some(job) => Ok(job),
        None => Err(no_row(store, batch, &Truncated(name, MAX_SHOWN.1).to_string()).await?),
    }
}

async fn no_row(store: &Store, batch: &StoredBatch, names: &str) -> Result<CliError, CliError> {
    let total = store.counts(batch.id).await?.total;
    let start = match &batch.template.id_column {
        Some(column) => format!("use an ID from column `{column}`, or"),
        None => "use".to_owned(),
    };
    let what = format!("row not found in batch \"{}\": {names}", batch.name);
    let hint = format!("{start} a row number from 1 to {total}");
    Ok(CliError::new(Exit::NoInput, &what, &hint))
}

/// Builds the filter for failed rows by cause. A cause that no row has is an error.
pub(super) async fn filter(
    store: &Store,
    batch: &StoredBatch,
    args: &CauseArgs,
) -> Result<RowFilter, CliError> {
    if !args.cause.is_empty() {
        let causes = store.failed_causes(batch.id, MAX_CAUSES).await?;
        for rule in &args.cause {
            if !causes.iter().any(|cause| cause.rule == *rule) {
                return Err(no_cause(batch, rule, &causes));
            }
        }
    }
    Ok(RowFilter {
        rules: args.cause.clone(),
        scopes: args.scope.clone(),
        ..RowFilter::default()
    })
}

fn no_cause(batch: &StoredBatch, rule: &str, causes: &[Cause]) -> CliError {
    let what = format!(
        "no failed rows with cause \"{1}\" in batch \"{0}\"",
        batch.name,
        Truncated(rule, MAX_SHOWN.1)
    );
    let mut rules: Vec<String> = causes.iter().map(|cause| cause.rule.clone()).collect();
    rules.dedup();
    let hint = match nearest(rule, &rules) {
        Some(near) => format!("did you mean --cause {}?", near.name),
        None if rules.is_empty() => "remove --cause: no rows of this batch have failed".to_owned(),
        None => format!("use a cause that has occurred: {}", rules.join(", ")),
    };
    CliError::new(Exit::NoInput, &what, &hint)
}

fn trimmed<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn read(path: &Path) -> Result<Vec<String>, CliError> {
    let read = || -> io::Result<String> {
        let input: Box<dyn io::Read> = match path {
            path if path == Path::new("-") => Box::new(io::stdin()),
            path => Box::new(std::fs::File::open(path)?),
        };
        io::read_to_string(input.take(MAX_IDS_SIZE))
    };
    let text = read().map_err(|error| {
        let what = format!("cannot read IDs from {}: {error}", path.display());
        let hint = "pass a file with one ID or row number per line";
        CliError::new(Exit::NoInput, &what, hint)
    })?;
    Ok(trimmed(text.lines()))
}
