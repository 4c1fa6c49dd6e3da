//! The main job: import, work, export, in one command that may be repeated.

use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::domain::run_stats::{RunStats, StopReason};
use crate::export::Target;
use crate::progress::json::RunReport;
use crate::progress::summary::SummaryContext;
use crate::store::{Store, StoredBatch, SyncReport};

use super::args::{Global, OutputFormat, RunArgs};
use super::error::CliError;
use super::estimate::Plan;
use super::exit::Exit;
use super::file::FileSettings;
use super::next;
use super::sample::Sample;
use super::settings::{self, Output};
use super::turn::{Turn, Unattended};
use super::voice::Voice;
use super::work::{Asked, Worker};
use super::{estimate, export, import, screen};

/// `promptmill run`.
pub(super) async fn run(
    global: &Global,
    args: RunArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let clock = Clock::start();
    let database = settings::database(global, &file);
    if args.dry_run {
        return dry_run(global, args, file, &database).await;
    }
    let simulate = args.endpoint.simulate;
    let unattended = Unattended::new(&args.unattended, &file);
    let voice = Voice::new(global, &file, simulate).for_cron(unattended.cron);
    let output = settings::output(args.output, &file, &beside(&args.input.input));
    if global.json && output.target == Target::Stdout {
        let what = "--json and the results cannot both go to standard output";
        return Err(CliError::new(Exit::Usage, what, "name a file with -o"));
    }
    let import = settings::import(args.input, simulate, &file, &database)?;
    let limits = settings::limits(&args.limits, &file);
    let endpoint = settings::endpoint(args.endpoint, file);
    let asked = Asked::new(&endpoint, voice).await?;
    export::check(&output)?;
    export::keep_apart(&output, &import.input, "the input")?;
    let store = Store::open(&database).await?;
    export::keep_apart(&output, &database, "the queue's database")?;
    let (lock, signals) = match unattended.take_turn(&store, voice).await? {
        Turn::Ours { lock, signals } => (lock, signals),
        Turn::Theirs => {
            store.close().await?;
            return Ok(Exit::Done);
        }
    };
    let (batch, report) = import::take_in(&store, &import, clock).await?;
    output.check(&batch.template)?;
    let sample = match args.sample {
        Some(rows) => Some(Sample::draw(&store, &batch, rows, args.seed).await?),
        None => None,
    };
    let mut worker = Worker::new(voice, &store, asked, endpoint, limits, clock).await?;
    worker.signals = signals;
    tell_news(voice, &batch, report);
    let done = match sample {
        Some(sample) => look(worker, &batch, &sample).await,
        None => mill(worker, &batch, &output).await,
    };
    drop(lock);
    store.close().await?;
    done
}

/// Tells what would be asked.
async fn dry_run(
    global: &Global,
    args: RunArgs,
    file: FileSettings,
    database: &Path,
) -> Result<Exit, CliError> {
    let import = settings::import(args.input, args.endpoint.simulate, &file, database)?;
    let limits = settings::limits(&args.limits, &file);
    let keys = settings::endpoint(args.endpoint, file).keys.count();
    estimate::tell(
        global,
        database,
        Plan {
            import,
            limits,
            keys,
        },
    )
    .await
}

/// Asks every row, and writes the results.
async fn mill(
    mut worker: Worker<'_>,
    batch: &StoredBatch,
    output: &Output,
) -> Result<Exit, CliError> {
    let stats = worker.work(batch).await?;
    let written = export::write(worker.store(), batch, output).await;
    let exit = Exit::of(&stats);
    tell(&worker, &stats, batch, output, exit)?;
    worker.end().await;
    written.map(|()| exit)
}

/// Asks the rows of a sample, and shows them. Results are not written.
async fn look(
    mut worker: Worker<'_>,
    batch: &StoredBatch,
    sample: &Sample,
) -> Result<Exit, CliError> {
    let stats = worker.work(batch).await?;
    let exit = Exit::of(&stats);
    sample.print(worker.voice(), worker.store(), batch).await?;
    if stats.stopped_by.is_some() {
        let next = next_command(&stats, batch, worker.base_url());
        let context = SummaryContext {
            next_command: next.as_deref(),
            ..worker.context(&batch.name, worker.own_prices(batch))
        };
        worker.voice().tell_end(&stats, &context);
    }
    worker.end().await;
    Ok(exit)
}

/// Says what has changed in a batch that was there before.
fn tell_news(voice: Voice<'_>, batch: &StoredBatch, report: Option<SyncReport>) {
    let news = report.filter(|report| report.changed + report.withdrawn > 0);
    if news.is_some() && voice.tells_news() {
        let total = report.map_or(0, |report| report.total);
        screen::say(&format!("{}\n", import::told(&batch.name, news, total)));
    }
}

/// Where results go when nobody says: beside the input, or from a pipe to a pipe.
fn beside(input: &Path) -> PathBuf {
    if input == Path::new("-") {
        return PathBuf::from("-");
    }
    let mut name = input.file_stem().unwrap_or_default().to_owned();
    name.push(match settings::format_of(input) {
        Some(OutputFormat::Jsonl) => ".results.jsonl",
        _ => ".results.csv",
    });
    input.with_file_name(name)
}

fn tell(
    worker: &Worker<'_>,
    stats: &RunStats,
    batch: &StoredBatch,
    output: &Output,
    exit: Exit,
) -> Result<(), CliError> {
    let path = match &output.target {
        Target::Stdout => None,
        Target::File(path) => Some(path.display().to_string()),
    };
    let next = next_command(stats, batch, worker.base_url());
    let context = SummaryContext {
        output: path.as_deref(),
        next_command: next.as_deref(),
        ..worker.context(&batch.name, worker.own_prices(batch))
    };
    if worker.voice().global.json {
        let report = RunReport::new(stats, &context, exit.code());
        screen::print(&format!("{}\n", report.to_json()))?;
    }
    worker.voice().tell_end(stats, &context);
    Ok(())
}

/// Says what to type next: the same again while work is left, a look at the set-up when that would
/// end in the same way, a retry when rows have failed.
fn next_command(stats: &RunStats, batch: &StoredBatch, base_url: &str) -> Option<String> {
    if let Some(StopReason::Misconfigured(_) | StopReason::NoUsableKey(_)) = stats.stopped_by {
        let model = &batch.template.model;
        let doctor = ["doctor", "--base-url", base_url, "--model", model];
        return Some(next::command(&doctor));
    }
    if stats.left > 0 {
        return Some(next::again());
    }
    (stats.failed > 0).then(|| next::command(&["retry", &batch.name]))
}
