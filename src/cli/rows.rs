//! Which rows of a batch a command means: the flags that narrow, read and checked against the batch.

use std::io::{self, Read as _};
use std::path::Path;

use crate::domain::job::JobId;
use crate::domain::run_stats::Cause;
use crate::domain::spelling::nearest;
use crate::domain::verdict;
use crate::progress::safe::Excerpt;
use crate::store::{Choice, Store, StoredBatch};

use super::args::{CauseArgs, RowArgs};
use super::error::CliError;
use super::exit::Exit;

/// Causes that are looked through for one of a name: more kinds than there are rules.
const ALL_CAUSES: u32 = 1_000;

/// The longest file of ids that is read, in bytes: ten million ids.
const MAX_IDS: u64 = 256 << 20;

/// Names that are shown of what was not found, and characters of each.
const SHOWN: (usize, usize) = (5, 40);

/// Reads which rows are meant by name; `None` when none is named. One that is not there is an error.
pub(super) async fn named(
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
        let hint = "write one id or row number a line, or several with --ids 1,2,3";
        return Err(CliError::new(Exit::Usage, "no row is named", hint));
    }
    let found = store.find_rows(batch.id, &names).await?;
    let missing: Vec<_> = names
        .iter()
        .zip(&found)
        .filter(|(_, job)| job.is_none())
        .collect();
    if missing.is_empty() {
        return Ok(Some(found.into_iter().flatten().collect()));
    }
    let shown = missing.iter().take(SHOWN.0);
    let shown: Vec<_> = shown
        .map(|(name, _)| Excerpt(name, SHOWN.1).to_string())
        .collect();
    let more = match missing.len().saturating_sub(SHOWN.0) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(no_row(store, batch, &format!("{}{more}", shown.join(", "))).await?)
}

/// Finds one row by its id or number.
pub(super) async fn one(store: &Store, batch: &StoredBatch, name: &str) -> Result<JobId, CliError> {
    let found = store.find_rows(batch.id, &[name.trim().to_owned()]).await?;
    match found.first().copied().flatten() {
        Some(job) => Ok(job),
        None => Err(no_row(store, batch, &Excerpt(name, SHOWN.1).to_string()).await?),
    }
}

async fn no_row(store: &Store, batch: &StoredBatch, names: &str) -> Result<CliError, CliError> {
    let total = store.counts(batch.id).await?.total;
    let by = match &batch.template.id_column {
        Some(column) => format!("the ids are those of the column `{column}`; rows"),
        None => "rows".to_owned(),
    };
    let what = format!("no row of batch \"{}\" is called {names}", batch.name);
    let hint = format!("{by} have the numbers 1 to {total}");
    Ok(CliError::new(Exit::NoInput, &what, &hint))
}

/// Reads which failed rows are meant by their cause. A cause that no row has is an error that names
/// those there are.
pub(super) async fn choice(
    store: &Store,
    batch: &StoredBatch,
    args: &CauseArgs,
) -> Result<Choice, CliError> {
    if !args.cause.is_empty() {
        let causes = failed_causes(store, batch).await?;
        for rule in &args.cause {
            if !causes.iter().any(|cause| cause.rule == *rule) {
                return Err(no_cause(batch, rule, &causes));
            }
        }
    }
    Ok(Choice {
        rules: args.cause.clone(),
        scopes: args.scope.clone(),
        ..Choice::default()
    })
}

/// Returns why rows of a batch have failed for good, the most frequent first, each with its cure.
pub(super) async fn failed_causes(
    store: &Store,
    batch: &StoredBatch,
) -> Result<Vec<Cause>, CliError> {
    let mut causes = store.failed_causes(batch.id, ALL_CAUSES).await?;
    for cause in &mut causes {
        verdict::hint_of(&cause.rule).clone_into(&mut cause.hint);
    }
    Ok(causes)
}

fn no_cause(batch: &StoredBatch, rule: &str, causes: &[Cause]) -> CliError {
    let what = format!(
        "no row of batch \"{}\" has failed by the rule \"{}\"",
        batch.name,
        Excerpt(rule, SHOWN.1)
    );
    let mut rules: Vec<String> = causes.iter().map(|cause| cause.rule.clone()).collect();
    rules.dedup();
    let hint = match nearest(rule, &rules) {
        Some(near) => format!("did you mean --cause {}?", near.name),
        None if rules.is_empty() => "no row of it has failed".to_owned(),
        None => format!("rows have failed by: {}", rules.join(", ")),
    };
    CliError::new(Exit::NoInput, &what, &hint)
}

fn trimmed<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn read(path: &Path) -> Result<Vec<String>, CliError> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        if path == Path::new("-") {
            io::stdin().lock().take(MAX_IDS).read_to_string(&mut text)?;
        } else {
            let file = std::fs::File::open(path)?;
            io::BufReader::new(file)
                .take(MAX_IDS)
                .read_to_string(&mut text)?;
        }
        Ok(text)
    };
    let text = read().map_err(|error| {
        let what = format!("cannot read the ids of {}: {error}", path.display());
        CliError::new(
            Exit::NoInput,
            &what,
            "name a file with one id or row number a line",
        )
    })?;
    Ok(trimmed(text.lines()))
}
