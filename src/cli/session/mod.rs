//! A session with a provider: what `run` and `work` share, from opening the engine to the summary of
//! each batch.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::api::Api;
use crate::clock::Clock;
use crate::domain::run_stats::{RunStats, StopReason};
use crate::engine::{Deps, Engine, Lane, LaneOptions, LaneResult, Reuse, Shutdown, Step};
use crate::progress::event::RunEvent;
use crate::progress::quantity::Plural;
use crate::progress::summary::SummaryContext;
use crate::progress::{Progress, terminal_width};
use crate::provider::{Client, Endpoint};
use crate::scheduler::Settings;
use crate::simulator::Simulator;
use crate::store::{Salt, Store, StoredBatch};

use super::exit::CliError;
use super::key_sources::NamedKey;
use super::settings::{self, Dedupe, EndpointSettings, LimitsAndPrices};
use super::signals::Signals;
use super::verbosity::Verbosity;
use super::{console, process, schema, signals, simulate};

mod keys;
mod rejected;

use keys::KeySetup;
use rejected::Rejected;

/// Base URL and keys, read before the database is opened: a key command may take a long time, or
/// prompt for a password.
pub(super) struct ProviderAccess {
    endpoint: Endpoint,
    keys: Vec<NamedKey>,
}

impl ProviderAccess {
    /// Checks the base URL and reads the keys.
    pub(super) async fn new(
        settings: &EndpointSettings,
        verbosity: Verbosity<'_>,
    ) -> Result<Self, CliError> {
        let (endpoint, notes) = Endpoint::parse(&settings.base_url)?;
        for note in notes.iter().filter(|_| verbosity.prints_notices()) {
            tracing::warn!("base URL: {note}");
        }
        let keys = if settings.simulate {
            Vec::new()
        } else {
            settings.keys.read().await?
        };
        Ok(Self { endpoint, keys })
    }
}

/// What to do at the end of a batch: returns a text to print.
pub(super) type OnEnd<'e> = &'e mut dyn FnMut(&Session<'_>, &LaneResult) -> Option<String>;

/// A session with a provider.
pub(super) struct Session<'a> {
    pub(super) verbosity: Verbosity<'a>,
    pub(super) store: &'a Store,
    clock: Clock,
    client: Client,
    keys: Vec<NamedKey>,
    salt: Salt,
    settings: Settings,
    limits_and_prices: LimitsAndPrices,
    dedupe: Dedupe,
    simulator: Option<Simulator>,
    /// Installed before the first request, or while waiting for the run lock; until then, a signal
    /// terminates the process at once.
    signals: Option<Signals>,
    recovered: u64,
}

impl<'a> Session<'a> {
    /// Sets up the dependencies, and recovers from a crashed run: first results from the spool,
    /// then requests that were in flight.
    pub(super) async fn new(
        verbosity: Verbosity<'a>,
        store: &'a Store,
        access: ProviderAccess,
        (endpoint, limits): (EndpointSettings, settings::LimitSettings),
        (clock, signals): (Clock, Option<Signals>),
    ) -> Result<Self, CliError> {
        let spooled = store.settle_spool().await?;
        if spooled > 0 && verbosity.prints_notices() {
            let results = Plural(spooled, "result");
            console::eprint(&format!(
                "imported {results} that an earlier run could not store\n"
            ));
        }
        let recovered = store.recover(clock.now()).await?;
        let simulator = if endpoint.simulate {
            Some(simulate::start_in_process().await?)
        } else {
            None
        };
        let url = match &simulator {
            Some(simulator) => Endpoint::parse(&simulator.base_url())?.0,
            None => access.endpoint,
        };
        let client = Client::new(url, endpoint.limits)?;
        let salt = Salt::new(&store.salt().await?);
        let mut settings = limits.settings;
        let end = limits.limits_and_prices.max_runtime;
        settings.limits.until = end.map(|time| clock.started_at() + time);
        // A simulated request uses a file descriptor on both sides.
        let descriptors = if simulator.is_some() { 2 } else { 1 };
        if let Some(reduced) =
            process::raise_open_file_limit(&mut settings.concurrency, descriptors)?
            && verbosity.prints_notices()
        {
            warn_reduced(reduced);
        }
        Ok(Self {
            verbosity,
            store,
            clock,
            client,
            keys: access.keys,
            salt,
            settings,
            limits_and_prices: limits.limits_and_prices,
            dedupe: limits.dedupe,
            simulator,
            signals,
            recovered,
        })
    }

    /// Returns the base URL.
    pub(super) fn base_url(&self) -> &str {
        self.client.endpoint().display()
    }

    /// Returns whether responses are simulated.
    pub(super) fn is_simulated(&self) -> bool {
        self.simulator.is_some()
    }

    /// Processes batches at the same time, until all of them have ended. With names of batches to
    /// wait for (none for all), goes on with later ones until a shutdown is requested. Returns the
    /// total.
    pub(super) async fn process(
        &mut self,
        batches: Vec<StoredBatch>,
        wait_for: Option<&[String]>,
        on_end: OnEnd<'_>,
    ) -> Result<RunStats, CliError> {
        let progress = RefCell::new(Progress::new(self.verbosity.progress_mode(), self.clock));
        let result = self.run_engine(batches, wait_for, on_end, &progress).await;
        progress.into_inner().finish();
        result
    }

    async fn run_engine(
        &mut self,
        batches: Vec<StoredBatch>,
        wait_for: Option<&[String]>,
        on_end: OnEnd<'_>,
        progress: &RefCell<Progress>,
    ) -> Result<RunStats, CliError> {
        let mut on_event = |event: &RunEvent| progress.borrow_mut().on(event);
        let setup = self.key_setup();
        let keys = setup.engine_keys(self.store, self.clock.now()).await?;
        let deps = Deps {
            store: self.store,
            client: self.client.clone(),
            clock: self.clock,
            prices: self.limits_and_prices.prices.clone(),
            on_event: &mut on_event,
        };
        let mut engine = Engine::new(deps, keys, self.settings);
        let mut rejected = Rejected::new(wait_for.is_some());
        self.open_all(&mut engine, batches, &mut rejected).await?;
        if wait_for.is_some() {
            engine.stay().await?;
            self.listen()?;
        }
        let mut shutdown = self.shutdown();
        let mut ended: BTreeMap<i64, RunStats> = BTreeMap::new();
        loop {
            match engine.advance(&mut shutdown).await? {
                Step::Finished => break,
                Step::QueueChanged => {
                    if let Some(names) = wait_for {
                        self.open_more(&mut engine, names, &mut rejected).await?;
                    }
                }
                Step::LaneEnded(mut result) => {
                    result.stats.recovered = std::mem::take(&mut self.recovered);
                    result.stats.usage.unknown += result.stats.recovered;
                    self.report_copies(&result, progress);
                    if let Some(text) = on_end(self, &result) {
                        progress.borrow_mut().print(&text);
                    }
                    let stats = ended.entry(result.batch.id).or_default();
                    stats.replace(result.stats);
                }
            }
        }
        engine.close()?;
        rejected.into_result()?;
        let mut total = RunStats::default();
        for stats in ended.into_values() {
            total.add(stats);
        }
        if wait_for.is_some() {
            // Batches that have stopped earlier did not end the program.
            let limit = |reason: &StopReason| matches!(reason, StopReason::Limit(_));
            total.stopped_by = shutdown.level().1.or(total.stopped_by.filter(limit));
        }
        Ok(total)
    }

    /// Opens the lanes of batches that have rows to be sent, after all of them were checked. Without
    /// any key, nothing is sent.
    async fn open_all(
        &mut self,
        engine: &mut Engine<'_>,
        batches: Vec<StoredBatch>,
        rejected: &mut Rejected,
    ) -> Result<(), CliError> {
        let mut lanes = Vec::new();
        for batch in batches {
            let (id, name) = (batch.id, batch.name.clone());
            match self.prepare(engine, batch).await {
                Ok(lane) => lanes.extend(lane),
                Err(error) if self.keys.is_empty() => return Err(error),
                Err(error) => rejected.add((id, &name), error)?,
            }
        }
        for (index, lane) in lanes.into_iter().enumerate() {
            let recovered = if index == 0 { self.recovered } else { 0 };
            self.listen()?;
            engine.open(lane, recovered).await?;
        }
        Ok(())
    }

    /// Prepares and checks a batch. Returns its lane if it has rows to be sent.
    async fn prepare(
        &self,
        engine: &mut Engine<'_>,
        batch: StoredBatch,
    ) -> Result<Option<Lane>, CliError> {
        let options = LaneOptions {
            schema: schema::of(&batch.template)?,
            reuse: match self.dedupe {
                Dedupe::Never => Reuse::Never,
                Dedupe::Always => Reuse::Always,
                // Embeddings are deterministic.
                Dedupe::Exact if batch.template.api == Api::Embeddings => Reuse::Always,
                Dedupe::Exact => Reuse::Deterministic,
            },
        };
        let Some(lane) = engine.prepare(batch, options).await? else {
            return Ok(None);
        };
        let max_cost = self.settings.limits.cost;
        self.limits_and_prices.check_price(max_cost, lane.model())?;
        if !engine.serves(lane.model()) {
            return Err(self.key_setup().no_key_for(lane.model()));
        }
        Ok(Some(lane))
    }

    /// Opens lanes for batches that have new work. A batch that cannot be processed is reported
    /// once.
    async fn open_more(
        &self,
        engine: &mut Engine<'_>,
        names: &[String],
        rejected: &mut Rejected,
    ) -> Result<(), CliError> {
        for batch in self.store.batches().await? {
            let is_named = names.is_empty() || names.contains(&batch.name);
            let is_wanted = is_named && batch.simulated == self.is_simulated();
            let id = batch.id;
            if !is_wanted || engine.has_lane(id) || self.store.claimable(id).await? == 0 {
                continue;
            }
            let name = batch.name.clone();
            match self.prepare(engine, batch).await {
                Ok(lane) => {
                    rejected.remove(id);
                    if let Some(lane) = lane {
                        engine.open(lane, 0).await?;
                    }
                }
                Err(error) => rejected.add((id, &name), error)?,
            }
        }
        Ok(())
    }

    fn report_copies(&self, result: &LaneResult, progress: &RefCell<Progress>) {
        if result.copied > 0 && self.verbosity.prints_notices() {
            let rows = Plural(result.copied, "row");
            let text = format!("{rows} reused the response of an identical request\n");
            progress.borrow_mut().print(&text);
        }
    }

    /// Returns the context of a summary; the caller adds the output and the next command.
    pub(super) fn summary_context<'b>(
        &self,
        batch: &'b str,
        own_prices: bool,
    ) -> SummaryContext<'b> {
        SummaryContext {
            batch,
            output: None,
            elapsed: self.clock.elapsed(),
            now: self.clock.now(),
            simulated: self.is_simulated(),
            next_command: None,
            color: self.verbosity.color(),
            width: terminal_width(),
            own_prices,
        }
    }

    /// Returns whether the cost of a batch is at the user's own prices.
    pub(super) fn own_prices(&self, batch: &StoredBatch) -> bool {
        self.limits_and_prices.prices.is_own(&batch.template.model)
    }

    /// Stops the signal listener and the simulator.
    pub(super) async fn close(self) {
        if let Some((_, listener)) = self.signals {
            listener.abort();
        }
        if let Some(simulator) = self.simulator {
            simulator.shutdown().await;
        }
    }

    fn key_setup(&self) -> KeySetup<'_> {
        KeySetup {
            keys: &self.keys,
            salt: &self.salt,
            limits: &self.limits_and_prices,
            endpoint: self.client.endpoint(),
            simulated: self.is_simulated(),
        }
    }

    fn listen(&mut self) -> Result<(), CliError> {
        if self.signals.is_none() {
            self.signals = Some(signals::listen()?);
        }
        Ok(())
    }

    fn shutdown(&self) -> Shutdown {
        let signals = self.signals.as_ref().map(|(shutdown, _)| shutdown.clone());
        signals.unwrap_or_else(|| Shutdown::new().1)
    }
}

fn warn_reduced(process::ReducedConcurrency { max, open_files }: process::ReducedConcurrency) {
    tracing::warn!(
        "concurrency reduced to {max}: the system allows {open_files} open files; \
         raise the limit with `ulimit -n` or LimitNOFILE, or reduce --concurrency"
    );
}
