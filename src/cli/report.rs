//! Writes the report of a batch: one page to look back at it. Works beside a run.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::domain::price::Prices;
use crate::domain::run_stats::Cause;
use crate::domain::time::Timestamp;
use crate::domain::verdict;
use crate::export::{ExportError, Target};
use crate::progress::safe::Safe;
use crate::report::{KeyStanding, Report, Subject};
use crate::store::{KeyRow, Store, StoredBatch};

use super::args::{Global, ReportArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::voice::Voice;
use super::{export, import, screen, settings, status};

/// Facts in one read: each read is short, so that the database can be tidied meanwhile.
const PAGE: u32 = 2_000;

/// Causes of failure in a report.
const MAX_CAUSES: u32 = 20;

/// `promptmill report`.
pub(super) async fn command(
    global: &Global,
    args: ReportArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let batch = import::find(&store, &args.batch, &database).await?;
    let path = args.output.unwrap_or_else(|| beside(&batch.name));
    let target = Target::from_option(&path);
    target.check()?;
    export::keep_target_apart(&target, &database, "the queue's database")?;
    let page = page(&store, &batch, &file.prices(), Clock::start().now()).await;
    store.close().await?;
    let page = page?;
    match publish(&target, &page) {
        Ok(()) | Err(ExportError::BrokenPipe) => {}
        Err(error) => return Err(error.into()),
    }
    if let Target::File(path) = &target {
        tell(Voice::new(global, &file, false), &batch, path)?;
    }
    Ok(Exit::Done)
}

/// Where a report goes when nobody says: beside whoever asks for it, by the batch's name.
fn beside(batch: &str) -> PathBuf {
    let stem = Path::new(batch).file_stem().unwrap_or_default();
    let mut name = stem.to_owned();
    name.push(".report.html");
    PathBuf::from(name)
}

fn publish(target: &Target, page: &str) -> Result<(), ExportError> {
    let mut draft = target.create()?;
    draft.write_all(page.as_bytes())?;
    draft.publish()
}

fn tell(voice: Voice<'_>, batch: &StoredBatch, path: &Path) -> Result<(), CliError> {
    if voice.global.json {
        let object = serde_json::json!({ "batch": batch.name, "report": path });
        screen::print(&format!("{object}\n"))?;
    } else if voice.tells_news() {
        let path = path.display().to_string();
        screen::say(&format!(
            "report of {}: {}\n",
            Safe(&batch.name),
            Safe(&path)
        ));
    }
    Ok(())
}

/// Reads what happened, page by page, and writes the report.
async fn page(
    store: &Store,
    batch: &StoredBatch,
    prices: &Prices,
    now: Timestamp,
) -> Result<String, CliError> {
    let mut report = Report::default();
    let mut after = None;
    loop {
        let (facts, last) = store.answer_facts(batch.id, after, PAGE).await?;
        for fact in &facts {
            report.completion(fact);
        }
        after = last;
        if last.is_none() {
            break;
        }
    }
    loop {
        let (facts, last) = store.attempt_facts(batch.id, after, PAGE).await?;
        for fact in &facts {
            report.attempt(fact);
        }
        after = last;
        if last.is_none() {
            break;
        }
    }
    let counts = store.counts(batch.id).await?;
    let subject = Subject {
        batch: &batch.name,
        source: &batch.source,
        model: &batch.template.model,
        simulated: batch.simulated,
        total: counts.total,
        done: counts.done,
        failed: counts.failed,
        requests: store.requests_made(batch.id).await?,
        causes: &causes(store, batch).await?,
        keys: &standings(store.keys().await?, &batch.template.model),
        prices,
        now,
    };
    Ok(report.page(&subject))
}

async fn causes(store: &Store, batch: &StoredBatch) -> Result<Vec<Cause>, CliError> {
    let mut causes = store.causes(batch.id, MAX_CAUSES).await?;
    for cause in &mut causes {
        verdict::hint_of(&cause.rule).clone_into(&mut cause.hint);
    }
    Ok(causes)
}

/// Takes of the keys what is about all models or about this one.
fn standings(mut keys: Vec<KeyRow>, model: &str) -> Vec<KeyStanding> {
    keys.retain(|key| key.model.is_empty() || key.model == model);
    let standing = |key: KeyRow| KeyStanding {
        label: key.label,
        state: key.state,
        until: key.until,
        reason: key.reason,
    };
    keys.into_iter().map(standing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_named_after_its_batch() {
        assert_eq!(beside("jobs.csv"), Path::new("jobs.report.html"));
        assert_eq!(
            beside("jobs.csv (simulated)"),
            Path::new("jobs.report.html")
        );
        assert_eq!(beside("night/jobs.jsonl"), Path::new("jobs.report.html"));
        assert_eq!(beside("monday"), Path::new("monday.report.html"));
    }
}
