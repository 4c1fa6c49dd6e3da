//! `promptmill work`: processes the batches of the database at the same time.

use std::time::Duration;

use clap::Args;

use crate::clock::Clock;
use crate::domain::run_stats::{RunStats, StopReason};
use crate::engine::LaneResult;
use crate::progress::json::run_report;
use crate::store::{Location, Store, StoredBatch};

use super::exit::{CliError, Exit};
use super::run_lock::{RunLockOutcome, UnattendedSettings};
use super::session::{ProviderAccess, Session};
use super::settings::{self, EndpointArgs, FileSettings, GlobalArgs, LimitArgs, UnattendedArgs};
use super::verbosity::Verbosity;
use super::{console, database};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill work                              # all batches
  promptmill work --batch a.csv --batch b.csv
  promptmill work --stay                       # and later imports")]
pub(super) struct WorkArgs {
    /// Batch to process; can be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub(super) batch: Vec<String>,
    /// Wait for more work until terminated (SIGTERM)
    ///
    /// The program exits with code 0 when it is terminated. --max-wait and --max-outage have no
    /// limit by default.
    #[arg(long)]
    pub(super) stay: bool,
    #[command(flatten)]
    pub(super) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    #[command(flatten)]
    pub(super) unattended: UnattendedArgs,
}

/// The default of `--max-wait` and `--max-outage` with `--stay`.
const FOREVER: Duration = Duration::from_hours(24 * 365 * 10);

/// Runs `promptmill work`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: WorkArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let location = settings::database(global);
    let unattended = UnattendedSettings::new(&args.unattended);
    let verbosity = Verbosity::new(global, args.endpoint.simulate).for_cron(unattended.cron);
    let mut limits = settings::limits(&args.limits, &file);
    if args.stay {
        let waits = &mut limits.settings;
        waits.max_wait = args.limits.max_wait.unwrap_or(FOREVER);
        waits.max_outage = args.limits.max_outage.unwrap_or(FOREVER);
    }
    let endpoint = settings::endpoint(args.endpoint, file);
    let access = ProviderAccess::new(&endpoint, verbosity).await?;
    let clock = Clock::start();
    let store = database::open(&location).await?;
    let outcome = unattended.acquire_lock(&store, verbosity).await?;
    let RunLockOutcome::Acquired { lock, signals } = outcome else {
        store.close().await?;
        return Ok(Exit::Done);
    };
    let (names, stay) = (args.batch, args.stay);
    let batches = find_batches(&store, &names, &location).await?;
    let settings = (endpoint, limits);
    let mut session = Session::new(verbosity, &store, access, settings, (clock, signals)).await?;
    let own_prices = batches.iter().any(|batch| session.own_prices(batch));
    let selected = batches.iter().filter(|_| !names.is_empty());
    let selected: Vec<_> = selected.map(|batch| batch.name.clone()).collect();
    let wait_for = stay.then_some(&selected[..]);
    let total = process(&mut session, batches, wait_for).await?;
    let exit = match total.stopped_by {
        Some(StopReason::Terminated) if stay => Exit::Done,
        _ => Exit::of(&total),
    };
    if global.json {
        let name = match &names[..] {
            [name] => name,
            _ => "all",
        };
        let context = session.summary_context(name, own_prices);
        let report = run_report(&total, &context, exit.code());
        console::print(&format!("{report}\n"))?;
    }
    session.close().await;
    drop(lock);
    store.close().await?;
    Ok(exit)
}

/// Returns the batches with these names, or all.
async fn find_batches(
    store: &Store,
    names: &[String],
    location: &Location,
) -> Result<Vec<StoredBatch>, CliError> {
    if names.is_empty() {
        return Ok(store.batches().await?);
    }
    let mut batches: Vec<StoredBatch> = Vec::with_capacity(names.len());
    for name in names {
        let batch = database::find_batch(store, name, location).await?;
        if !batches.contains(&batch) {
            batches.push(batch);
        }
    }
    Ok(batches)
}

/// Processes the batches, waits for more work if there are batches to wait for, and prints the
/// summary of each batch.
async fn process(
    session: &mut Session<'_>,
    mut batches: Vec<StoredBatch>,
    wait_for: Option<&[String]>,
) -> Result<RunStats, CliError> {
    let simulated = session.is_simulated();
    batches.retain(|batch| batch.simulated == simulated);
    let mut on_end = |session: &Session<'_>, result: &LaneResult| {
        if session.verbosity.global.json {
            return None;
        }
        let own_prices = session.own_prices(&result.batch);
        let mut context = session.summary_context(&result.batch.name, own_prices);
        if wait_for.is_some() {
            context.elapsed = context.now.since(result.began);
        }
        session.verbosity.summary(&result.stats, &context)
    };
    session.process(batches, wait_for, &mut on_end).await
}
