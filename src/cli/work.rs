//! `promptmill work`, and the setup of a run: keys, client, and queue.

use crate::api::Api;
use crate::clock::Clock;
use crate::domain::run_stats::RunStats;
use crate::domain::verdict;
use crate::progress::event::RunEvent;
use crate::progress::json::RunReport;
use crate::progress::quantity::Plural;
use crate::progress::summary::SummaryContext;
use crate::progress::{Progress, terminal_width};
use crate::provider::{Client, Endpoint};
use crate::runner::{self, Deps, Settings, Shutdown};
use crate::simulator::Simulator;
use crate::store::{Store, StoredBatch};

use super::args::{Dedupe, GlobalArgs, WorkArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::key_fingerprint::Salt;
use super::key_sources::NamedKey;
use super::run_lock::{RunLockOutcome, UnattendedSettings};
use super::settings::{self, EndpointSettings, LimitsAndPrices};
use super::signals::Signals;
use super::verbosity::Verbosity;
use super::{console, import, process, schema, signals, simulate, status};

mod run_keys;

/// Maximum number of causes of failure in a summary.
const MAX_CAUSES: u32 = 5;

/// Runs `promptmill work`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: WorkArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let unattended = UnattendedSettings::new(&args.unattended, &file);
    let verbosity = Verbosity::new(global, &file, args.endpoint.simulate).for_cron(unattended.cron);
    let limits = settings::limits(&args.limits, &file);
    let endpoint = settings::endpoint(args.endpoint, file);
    let access = ProviderAccess::new(&endpoint, verbosity).await?;
    let clock = Clock::start();
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let (lock, signals) = match unattended.acquire_lock(&store, verbosity).await? {
        RunLockOutcome::Acquired { lock, signals } => (lock, signals),
        RunLockOutcome::Skipped => {
            store.close().await?;
            return Ok(Exit::Done);
        }
    };
    let batches = match &args.batch {
        Some(name) => vec![import::find_batch(&store, name, &database).await?],
        None => store.batches().await?,
    };
    let mut batch_runner =
        BatchRunner::new(verbosity, &store, access, endpoint, limits, clock).await?;
    batch_runner.signals = signals;
    let is_simulated = batch_runner.is_simulated();
    let mut all = RunStats::default();
    for batch in batches
        .iter()
        .filter(|batch| batch.simulated == is_simulated)
    {
        let stats = batch_runner.run_batch(batch).await?;
        if !global.json {
            let context = batch_runner.summary_context(&batch.name, batch_runner.own_prices(batch));
            verbosity.print_summary(&stats, &context);
        }
        all.add(stats);
        if all.stopped_by.is_some() {
            break;
        }
    }
    let exit = Exit::of(&all);
    if global.json {
        let name = args.batch.as_deref().unwrap_or("all");
        let own_prices = batches.iter().any(|batch| batch_runner.own_prices(batch));
        let context = batch_runner.summary_context(name, own_prices);
        let report = RunReport::new(&all, &context, exit.code());
        console::print(&format!("{}\n", report.to_json()))?;
    }
    batch_runner.shut_down().await;
    drop(lock);
    store.close().await?;
    Ok(exit)
}

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

/// Processes batches one after another.
pub(super) struct BatchRunner<'a> {
    verbosity: Verbosity<'a>,
    store: &'a Store,
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
    pub(super) signals: Option<Signals>,
    recovered: u64,
}

impl<'a> BatchRunner<'a> {
    /// Sets up the dependencies, and recovers from a crashed run: first results from the spool,
    /// then requests that were in flight.
    pub(super) async fn new(
        verbosity: Verbosity<'a>,
        store: &'a Store,
        access: ProviderAccess,
        endpoint: EndpointSettings,
        limits: settings::LimitSettings,
        clock: Clock,
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
        let (keys, signals) = (access.keys, None);
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
            keys,
            salt,
            settings,
            limits_and_prices: limits.limits_and_prices,
            dedupe: limits.dedupe,
            simulator,
            signals,
            recovered,
        })
    }

    /// Returns the verbosity.
    pub(super) fn verbosity(&self) -> Verbosity<'a> {
        self.verbosity
    }

    /// Returns the queue.
    pub(super) fn store(&self) -> &'a Store {
        self.store
    }

    /// Returns the base URL.
    pub(super) fn base_url(&self) -> &str {
        self.client.endpoint().display()
    }

    /// Returns whether responses are simulated.
    pub(super) fn is_simulated(&self) -> bool {
        self.simulator.is_some()
    }

    /// Processes a batch until it is completed or the run stops, and returns the counts.
    pub(super) async fn run_batch(&mut self, batch: &StoredBatch) -> Result<RunStats, CliError> {
        let mut stats = RunStats::default();
        let mut copied = self.copy_to_duplicates(batch).await?;
        self.store.release_duplicates(batch.id).await?;
        loop {
            let finished = stats.finished;
            if self.dedupe != Dedupe::Never {
                // Embeddings are deterministic.
                let is_exact = batch.template.api == Api::Embeddings;
                let any = is_exact || self.dedupe == Dedupe::Always;
                self.store.park_duplicates(batch.id, any).await?;
                copied += self.copy_to_duplicates(batch).await?;
            }
            self.send_pending(batch, &mut stats).await?;
            copied += self.copy_to_duplicates(batch).await?;
            // Duplicates remain if their original was changed or canceled in the meantime.
            let released = self.store.release_duplicates(batch.id).await?;
            if released == 0 || stats.stopped_by.is_some() || stats.finished == finished {
                break;
            }
        }
        if copied > 0 && self.verbosity.prints_notices() {
            let rows = Plural(copied, "row");
            console::eprint(&format!(
                "{rows} reused the response of an identical request\n"
            ));
        }
        self.add_counts(batch, stats).await
    }

    async fn copy_to_duplicates(&self, batch: &StoredBatch) -> Result<u64, CliError> {
        let now = self.clock.now();
        Ok(self.store.copy_to_duplicates(batch.id, now).await?)
    }

    /// Sends the pending rows, and adds the results to `stats`.
    async fn send_pending(
        &mut self,
        batch: &StoredBatch,
        stats: &mut RunStats,
    ) -> Result<(), CliError> {
        let before = self.store.counts(batch.id).await?;
        let claimable = self.store.claimable(batch.id).await?;
        if claimable > 0 {
            let cost = self.settings.limits.cost;
            self.limits_and_prices
                .check_price(cost, &batch.template.model)?;
            let keys = self.run_keys(&batch.template.model).await?;
            let mut progress = Progress::new(self.verbosity.progress_mode(), self.clock);
            progress.on(&RunEvent::Started {
                batch: batch.name.clone(),
                total: before.done + before.failed + claimable,
                settled: before.done + before.failed,
            });
            if self.recovered > 0 {
                progress.on(&RunEvent::Recovered {
                    unknown: self.recovered,
                });
            }
            let shutdown = self.shutdown()?;
            let schema = schema::of(&batch.template)?;
            let (store, client, clock) = (self.store, self.client.clone(), self.clock);
            let deps = Deps {
                store,
                client,
                clock,
                prices: &self.limits_and_prices.prices,
                schema: schema.as_ref(),
            };
            let mut on_event = |event: &RunEvent| progress.on(event);
            let result =
                runner::run(deps, batch, keys, self.settings, shutdown, &mut on_event).await;
            progress.finish();
            let new_stats = result?;
            self.settings.limits.subtract(&new_stats);
            stats.add(new_stats);
        }
        Ok(())
    }

    /// Adds the counts and the causes of failure in the database.
    async fn add_counts(
        &mut self,
        batch: &StoredBatch,
        mut stats: RunStats,
    ) -> Result<RunStats, CliError> {
        let counts = self.store.counts(batch.id).await?;
        stats.total = counts.total;
        stats.done = counts.done;
        stats.failed = counts.failed;
        stats.remaining = counts.pending + counts.running;
        if stats.remaining == 0 {
            // The signal arrived after the last request was sent.
            stats.stopped_by = None;
        }
        stats.recovered = std::mem::take(&mut self.recovered);
        stats.unknown += stats.recovered;
        stats.causes = self.store.causes(batch.id, MAX_CAUSES).await?;
        for cause in &mut stats.causes {
            verdict::hint_of(&cause.rule).clone_into(&mut cause.hint);
        }
        Ok(stats)
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
    pub(super) async fn shut_down(self) {
        if let Some((_, listener)) = self.signals {
            listener.abort();
        }
        if let Some(simulator) = self.simulator {
            simulator.shutdown().await;
        }
    }

    fn shutdown(&mut self) -> Result<Shutdown, CliError> {
        if self.signals.is_none() {
            self.signals = Some(signals::listen()?);
        }
        let signals = self.signals.as_ref().map(|(shutdown, _)| shutdown.clone());
        Ok(signals.unwrap_or_else(|| Shutdown::new().1))
    }
}

fn warn_reduced(process::ReducedConcurrency { max, open_files }: process::ReducedConcurrency) {
    tracing::warn!(
        "concurrency reduced to {max}: the system allows {open_files} open files; \
         raise the limit with `ulimit -n` or LimitNOFILE, or reduce --concurrency"
    );
}
