//! `promptmill report`: writes an HTML report of a batch. Works during a run.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::clock::Clock;
use crate::domain::key::KeyStatus;
use crate::domain::price::Prices;
use crate::domain::time::Timestamp;
use crate::export::{ExportError, Target};
use crate::progress::safe::Safe;
use crate::report::{self, Report, ReportContext};
use crate::store::{KeyRow, Store, StoreError, StoredBatch};

use super::exit::{CliError, Exit};
use super::settings::{self, FileSettings, GlobalArgs};
use super::verbosity::Verbosity;
use super::{database, watch};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill report jobs.csv
  promptmill report jobs.csv -o monday.html")]
pub(super) struct ReportArgs {
    /// Name of the batch, or path of its input file
    pub(super) batch: String,
    /// HTML file to write [default: BATCH.report.html]
    ///
    /// `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// Requests per read transaction, kept short so that the WAL can be checkpointed in between.
const PAGE: u32 = 2_000;

/// Maximum number of causes of failure in a report.
const MAX_CAUSES: u32 = 20;

/// Runs `promptmill report`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: ReportArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let (store, batch) = database::open_batch(global, &args.batch).await?;
    let path = args.output.unwrap_or_else(|| default_path(&batch.name));
    let target = Target::from_option(&path);
    target.check()?;
    database::protect([&target], &settings::database(global))?;
    let page = render(&store, &batch, &file.tables.prices(), Clock::start().now()).await;
    store.close().await?;
    let page = page?;
    match publish(&target, &page) {
        Ok(()) | Err(ExportError::BrokenPipe) => {}
        Err(error) => return Err(error.into()),
    }
    if let Target::File(path) = &target {
        let object = serde_json::json!({ "batch": batch.name, "report": path });
        let path = path.display().to_string();
        let (name, path) = (Safe(&batch.name), Safe(&path));
        let message = format!("report of {name}: {path}\n");
        Verbosity::new(global, false).print_result(&object, &message)?;
    }
    Ok(Exit::Done)
}

/// Returns the default path: a file in the current directory, named after the batch.
fn default_path(batch: &str) -> PathBuf {
    let mut name = Path::new(batch).file_stem().unwrap_or_default().to_owned();
    name.push(".report.html");
    PathBuf::from(name)
}

fn publish(target: &Target, page: &str) -> Result<(), ExportError> {
    let mut draft = target.create()?;
    draft.write_all(page.as_bytes())?;
    draft.publish()
}

/// Reads the history of a batch page by page, and renders the report.
async fn render(
    store: &Store,
    batch: &StoredBatch,
    prices: &Prices,
    now: Timestamp,
) -> Result<String, CliError> {
    let mut report = Report::default();
    let page = async |after| store.completed_requests(batch.id, after, PAGE).await;
    let add = |request: &_| {
        report.add_completion(request);
        Ok::<_, StoreError>(())
    };
    database::for_each(page, add).await?;
    let page = async |after| store.failed_requests(batch.id, after, PAGE).await;
    let add = |request: &_| {
        report.add_failure(request);
        Ok::<_, StoreError>(())
    };
    database::for_each(page, add).await?;
    let counts = store.counts(batch.id).await?;
    let context = ReportContext {
        batch: &batch.name,
        source: &batch.source,
        model: &batch.template.model,
        simulated: batch.simulated,
        total: counts.total,
        done: counts.done,
        failed: counts.failed,
        requests: store.requests_made(batch.id).await?,
        causes: &store.causes(batch.id, MAX_CAUSES).await?,
        keys: &key_statuses(store.keys().await?, &batch.template.model),
        prices,
        now,
    };
    Ok(report::page(&report, &context))
}

/// Returns the states of keys that apply to all models or to this one.
fn key_statuses(mut keys: Vec<KeyRow>, model: &str) -> Vec<KeyStatus> {
    keys.retain(|key| key.model.is_empty() || key.model == model);
    keys.into_iter().map(watch::key_status).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_named_after_its_batch() {
        for batch in ["jobs.csv", "jobs.csv (simulated)", "night/jobs.jsonl"] {
            assert_eq!(default_path(batch), Path::new("jobs.report.html"));
        }
        assert_eq!(default_path("monday"), Path::new("monday.report.html"));
    }
}
