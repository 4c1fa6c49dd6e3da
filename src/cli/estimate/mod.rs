//! `promptmill estimate`: estimates rows, tokens, cost, and time before anything is sent, and
//! shows sample requests. No key is read, and an existing database is not changed.

mod scan;
mod text;

use std::num::NonZeroU32;

use clap::Args;

use crate::domain::concurrency::{Concurrency, ConcurrencyWindow};
use crate::domain::forecast::{self, ForecastLimits};
use crate::store::{Location, Store};

use super::exit::{CliError, Exit};
use super::settings::{self, FileSettings, GlobalArgs, ImportSettings, InputArgs, LimitArgs};
use super::{console, import};
use scan::InputScan;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill estimate jobs.csv
  promptmill estimate jobs.csv --model gpt-4o --set max_tokens=200 --rpm 60
  promptmill estimate jobs.csv --prompt 'Kind? {{ text }}' --json | jq .cost")]
pub(super) struct EstimateArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    /// Estimate a run with --simulate
    #[arg(long, help_heading = "Endpoint and API keys")]
    pub(super) simulate: bool,
}

/// Inputs of an estimate.
pub(super) struct EstimateInputs {
    pub(super) import: ImportSettings,
    pub(super) limits: settings::LimitSettings,
    /// Number of keys; 0 if it is not known without reading them.
    pub(super) keys: usize,
}

/// The estimate for an input file.
struct Estimate<'a> {
    inputs: &'a EstimateInputs,
    scan: InputScan,
    limits: ForecastLimits,
    /// Why a run would reject the batch.
    rejection: Option<String>,
}

/// Runs `promptmill estimate`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: EstimateArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global);
    let import = settings::import(args.input, args.simulate, &file, &database)?;
    let limits = settings::limits(&args.limits, &file);
    let keys = settings::key_sources(file).count();
    let inputs = EstimateInputs {
        import,
        limits,
        keys,
    };
    print_estimate(global, &database, inputs).await
}

/// Reads the input file and prints the estimate.
pub(super) async fn print_estimate(
    global: &GlobalArgs,
    database: &Location,
    mut inputs: EstimateInputs,
) -> Result<Exit, CliError> {
    let (reader, _) = import::open_reader(&inputs.import)?;
    inputs.import.template = reader.template().clone();
    let store = Store::open_existing(database).await?;
    let batch = match &store {
        Some(store) => store.find_batch(&inputs.import.batch).await?,
        None => None,
    };
    let mut rejection = None;
    if let (Some(store), Some(batch)) = (&store, &batch)
        && batch.template != inputs.import.template
    {
        let checked =
            import::check_template(store, batch, &inputs.import.template, inputs.import.redo).await;
        rejection = checked.err().map(|error| error.message);
    }
    let known = store.as_ref().zip(batch.as_ref());
    let scan = scan::read(reader, known).await?;
    if let Some(store) = store {
        store.close().await?;
    }
    let number = |limit: Option<NonZeroU32>| limit.map(|limit| u64::from(limit.get()));
    let limits = ForecastLimits {
        keys: inputs.keys as u64,
        rpm: number(inputs.limits.limits_and_prices.per_key.rpm),
        tpm: number(inputs.limits.limits_and_prices.per_key.tpm),
        rpd: number(inputs.limits.limits_and_prices.per_key.rpd),
        concurrency: in_flight(inputs.limits.settings.concurrency),
    };
    let estimate = Estimate {
        inputs: &inputs,
        scan,
        limits,
        rejection,
    };
    if global.json {
        console::print_json(&estimate.to_json())?;
    } else {
        console::print(&estimate.to_text())?;
    }
    Ok(Exit::Done)
}

/// Returns the range of requests in flight.
fn in_flight(concurrency: Concurrency) -> forecast::Interval<u64> {
    let high = concurrency.max() as u64;
    let low = match concurrency {
        Concurrency::Fixed(_) => high,
        Concurrency::Auto(_) => ConcurrencyWindow::new(concurrency).limit() as u64,
    };
    forecast::Interval::new(low, high)
}
