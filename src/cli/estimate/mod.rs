//! Tells what a file will take before anything is asked: rows, tokens, money, time, and what the
//! requests look like. Nothing is sent and no key is read; a queue that is there is only read.

mod survey;
mod text;

use std::num::NonZeroU32;
use std::path::Path;

use crate::domain::forecast::{self, ForecastLimits};
use crate::domain::window::{Concurrency, Window};
use crate::store::Store;

use super::args::{EstimateArgs, Global};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::settings::{self, Import};
use super::{import, screen};
use survey::Survey;

/// What is known before the file is read.
pub(super) struct Plan {
    pub(super) import: Import,
    pub(super) limits: settings::LimitSettings,
    /// How many keys there are; 0 when that is not known without reading them.
    pub(super) keys: usize,
}

/// What a file will take.
struct Estimate<'a> {
    plan: &'a Plan,
    survey: Survey,
    limits: ForecastLimits,
    /// Why a run would refuse the batch as it is.
    refusal: Option<String>,
}

/// `promptmill estimate`.
pub(super) async fn command(
    global: &Global,
    args: EstimateArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let import = settings::import(args.input, args.simulate, &file, &database)?;
    let limits = settings::limits(&args.limits, &file);
    let keys = settings::key_sources(file).count();
    tell(
        global,
        &database,
        Plan {
            import,
            limits,
            keys,
        },
    )
    .await
}

/// Reads the file and prints what it will take.
pub(super) async fn tell(
    global: &Global,
    database: &Path,
    mut plan: Plan,
) -> Result<Exit, CliError> {
    let (reader, _) = import::begin(&plan.import)?;
    plan.import.template = reader.template().clone();
    let store = Store::open_existing(database).await?;
    let batch = match &store {
        Some(store) => store.find_batch(&plan.import.batch).await?,
        None => None,
    };
    let mut refusal = None;
    if let (Some(store), Some(batch)) = (&store, &batch)
        && batch.template != plan.import.template
    {
        let checked =
            import::check_template(store, batch, &plan.import.template, plan.import.redo).await;
        refusal = checked.err().map(|error| error.message);
    }
    let known = store.as_ref().zip(batch.as_ref());
    let survey = survey::read(reader, known).await?;
    if let Some(store) = store {
        store.close().await?;
    }
    let number = |limit: Option<NonZeroU32>| limit.map(|limit| u64::from(limit.get()));
    let limits = ForecastLimits {
        keys: plan.keys as u64,
        rpm: number(plan.limits.allowed.each.rpm),
        tpm: number(plan.limits.allowed.each.tpm),
        rpd: number(plan.limits.allowed.each.rpd),
        concurrency: in_flight(plan.limits.settings.concurrency),
    };
    let estimate = Estimate {
        plan: &plan,
        survey,
        limits,
        refusal,
    };
    if global.json {
        screen::print(&format!("{}\n", estimate.to_json()))?;
    } else {
        screen::print(&estimate.to_text())?;
    }
    Ok(Exit::Done)
}

/// How many requests are in flight, from the fewest to the most.
fn in_flight(concurrency: Concurrency) -> forecast::Range<u64> {
    let high = concurrency.most() as u64;
    let low = match concurrency {
        Concurrency::Fixed(_) => high,
        Concurrency::Auto(_) => Window::new(concurrency).limit() as u64,
    };
    forecast::Range { low, high }
}

impl Estimate<'_> {
    fn cost(&self) -> Option<forecast::Range<crate::domain::price::Cost>> {
        let prices = &self.plan.limits.allowed.prices;
        let price = prices.of(&self.plan.import.template.model)?;
        Some(forecast::cost(&self.survey.work, price))
    }
}
