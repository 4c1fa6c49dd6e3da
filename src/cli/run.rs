//! `promptmill run`: import, work, and export in one repeatable command.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::clock::Clock;
use crate::domain::run_stats::{RunStats, StopReason};
use crate::export::Target;
use crate::progress::json::run_report;
use crate::progress::summary::SummaryContext;
use crate::store::{Location, Store, StoredBatch, SyncReport};

use super::estimate::EstimateInputs;
use super::exit::{CliError, Exit};
use super::run_lock::{RunLockOutcome, UnattendedSettings};
use super::sample::Sample;
use super::session::{ProviderAccess, Session};
use super::settings::{
    self, EndpointArgs, FileSettings, GlobalArgs, InputArgs, LimitArgs, OutputArgs, OutputFormat,
    OutputSettings, UnattendedArgs,
};
use super::values::count;
use super::verbosity::Verbosity;
use super::{console, database, estimate, export, import, next_command};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill run jobs.csv -o results.csv --simulate
  promptmill run jobs.csv -o results.csv --model gpt-4o-mini --rpm 60
  promptmill run jobs.csv --prompt 'Kind? {{ text }}' --set max_tokens=24
  promptmill run jobs.csv --dry-run          # tokens, cost, time, requests
  promptmill run jobs.csv --sample 5         # only five rows, as a test
  promptmill run jobs.csv --base-url http://127.0.0.1:8080/v1   # llama.cpp
  generate-prompts | promptmill run - -o -   # read and write pipes")]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    #[command(flatten)]
    pub(super) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    #[command(flatten)]
    pub(super) unattended: UnattendedArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Send only N random rows, and print their responses
    ///
    /// The responses are stored; later runs do not send these rows again.
    #[arg(
        long,
        value_name = "N",
        value_parser = count::<NonZeroU64>,
        conflicts_with = "dry_run",
        help_heading = "Request"
    )]
    pub(super) sample: Option<NonZeroU64>,
    /// Random seed for --sample [default: a new one each time]
    ///
    /// The same seed selects the same rows if the same rows are pending.
    #[arg(
        long,
        value_name = "SEED",
        requires = "sample",
        hide_short_help = true,
        help_heading = "Request"
    )]
    pub(super) seed: Option<u64>,
    /// Estimate tokens, cost, and time; send nothing
    #[arg(long, help_heading = "Request")]
    pub(super) dry_run: bool,
}

/// Runs `promptmill run`.
pub(super) async fn run(
    global: &GlobalArgs,
    args: RunArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let clock = Clock::start();
    let database = settings::database(global);
    if args.dry_run {
        return dry_run(global, args, file, &database).await;
    }
    let simulate = args.endpoint.simulate;
    let unattended = UnattendedSettings::new(&args.unattended);
    let verbosity = Verbosity::new(global, simulate).for_cron(unattended.cron);
    let output = settings::output(args.output, &default_output(&args.input.input));
    if global.json && output.target == Target::Stdout {
        let what = "--json and the results cannot both use standard output";
        return Err(CliError::new(Exit::Usage, what, "choose a file with -o"));
    }
    let import = settings::import(args.input, simulate, &file, &database)?;
    let limits = settings::limits(&args.limits, &file);
    let endpoint = settings::endpoint(args.endpoint, file);
    let access = ProviderAccess::new(&endpoint, verbosity).await?;
    export::check_output(&output)?;
    export::protect_input(&output, &import.input)?;
    let store = Store::open(&database).await?;
    database::protect(output.targets(), &database)?;
    let outcome = unattended.acquire_lock(&store, verbosity).await?;
    let RunLockOutcome::Acquired { lock, signals } = outcome else {
        store.close().await?;
        return Ok(Exit::Done);
    };
    let (batch, report) = import::sync_input(&store, &import, clock).await?;
    output.check(&batch.template)?;
    let sample = match args.sample {
        Some(rows) => Some(Sample::draw(&store, &batch, rows, args.seed).await?),
        None => None,
    };
    let settings = (endpoint, limits);
    let session = Session::new(verbosity, &store, access, settings, (clock, signals)).await?;
    report_changes(verbosity, &batch, report);
    let done = match sample {
        Some(sample) => run_sample(session, &batch, &sample).await,
        None => run_batch(session, &batch, &output).await,
    };
    drop(lock);
    store.close().await?;
    done
}

/// Prints an estimate instead of running.
async fn dry_run(
    global: &GlobalArgs,
    args: RunArgs,
    file: FileSettings,
    database: &Location,
) -> Result<Exit, CliError> {
    let import = settings::import(args.input, args.endpoint.simulate, &file, database)?;
    let limits = settings::limits(&args.limits, &file);
    let inputs = EstimateInputs {
        import,
        limits,
        keys: settings::endpoint(args.endpoint, file).keys.count(),
    };
    estimate::print_estimate(global, database, inputs).await
}

/// Processes all pending rows, writes the results, and prints the summary.
async fn run_batch(
    mut session: Session<'_>,
    batch: &StoredBatch,
    output: &OutputSettings,
) -> Result<Exit, CliError> {
    let stats = process(&mut session, batch).await?;
    let written = export::write_results(session.store, batch, output).await;
    let exit = Exit::of(&stats);
    print_summary(&session, &stats, batch, output, exit)?;
    session.close().await;
    written.map(|()| exit)
}

/// Processes a batch until it is completed or the run stops.
async fn process(session: &mut Session<'_>, batch: &StoredBatch) -> Result<RunStats, CliError> {
    session
        .process(vec![batch.clone()], None, &mut |_, _| None)
        .await
}

/// Processes the rows of a sample and prints them. No results are written.
async fn run_sample(
    mut session: Session<'_>,
    batch: &StoredBatch,
    sample: &Sample,
) -> Result<Exit, CliError> {
    let stats = process(&mut session, batch).await?;
    let exit = Exit::of(&stats);
    let (verbosity, store) = (session.verbosity, session.store);
    sample.print(verbosity, store, batch).await?;
    if stats.stopped_by.is_some() {
        let next = suggest_command(&stats, batch, session.base_url());
        let context = SummaryContext {
            next_command: next.as_deref(),
            ..session.summary_context(&batch.name, session.own_prices(batch))
        };
        session.verbosity.print_summary(&stats, &context);
    }
    session.close().await;
    Ok(exit)
}

/// Reports changes of an existing batch.
fn report_changes(verbosity: Verbosity<'_>, batch: &StoredBatch, report: Option<SyncReport>) {
    let changes = report.filter(|report| report.changed + report.withdrawn > 0);
    if changes.is_some() && verbosity.prints_notices() {
        let total = report.map_or(0, |report| report.total);
        let summary = import::summary(&batch.name, changes, total);
        console::eprint(&format!("{summary}\n"));
    }
}

/// Returns the default output: next to the input, or standard output for standard input.
fn default_output(input: &Path) -> PathBuf {
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

fn print_summary(
    session: &Session<'_>,
    stats: &RunStats,
    batch: &StoredBatch,
    output: &OutputSettings,
    exit: Exit,
) -> Result<(), CliError> {
    let path = match &output.target {
        Target::Stdout => None,
        Target::File(path) => Some(path.display().to_string()),
    };
    let next = suggest_command(stats, batch, session.base_url());
    let context = SummaryContext {
        output: path.as_deref(),
        next_command: next.as_deref(),
        ..session.summary_context(&batch.name, session.own_prices(batch))
    };
    if session.verbosity.global.json {
        let report = run_report(stats, &context, exit.code());
        console::print(&format!("{report}\n"))?;
    }
    session.verbosity.print_summary(stats, &context);
    Ok(())
}

/// Suggests the next command: `doctor` for a configuration error, the same command while rows
/// remain, `retry` if rows have failed.
fn suggest_command(stats: &RunStats, batch: &StoredBatch, base_url: &str) -> Option<String> {
    if let Some(StopReason::Misconfigured(_) | StopReason::NoUsableKey(_)) = stats.stopped_by {
        let model = &batch.template.model;
        let doctor = ["doctor", "--base-url", base_url, "--model", model];
        return Some(next_command::build(&doctor));
    }
    if stats.rows.remaining > 0 {
        return Some(next_command::repeat());
    }
    (stats.rows.failed > 0).then(|| next_command::build(&["retry", &batch.name]))
}
