//! Works on batches: keys, client and queue are put together here for a run.

use crate::clock::Clock;
use crate::domain::request_template::Api;
use crate::domain::run_stats::RunStats;
use crate::domain::verdict;
use crate::progress::event::RunEvent;
use crate::progress::json::RunReport;
use crate::progress::quantity::Things;
use crate::progress::summary::SummaryContext;
use crate::progress::{Progress, terminal_width};
use crate::provider::{Client, Endpoint};
use crate::runner::{self, Deps, Settings, Shutdown};
use crate::simulator::Simulator;
use crate::store::{Store, StoredBatch};

use super::args::{Dedupe, Global, WorkArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::key_print::Salt;
use super::key_sources::NamedKey;
use super::settings::{self, Allowed, EndpointSettings};
use super::signals::Signals;
use super::turn::{Turn, Unattended};
use super::voice::Voice;
use super::{import, process, schema, screen, signals, simulate, status};

// The keys that a run may use, with what is remembered of them.
mod ring;

/// Causes of failure in a summary.
const MAX_CAUSES: u32 = 5;

/// `promptmill work`.
pub(super) async fn command(
    global: &Global,
    args: WorkArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let unattended = Unattended::new(&args.unattended, &file);
    let voice = Voice::new(global, &file, args.endpoint.simulate).for_cron(unattended.cron);
    let limits = settings::limits(&args.limits, &file);
    let endpoint = settings::endpoint(args.endpoint, file);
    let asked = Asked::new(&endpoint, voice).await?;
    let clock = Clock::start();
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let (lock, signals) = match unattended.take_turn(&store, voice).await? {
        Turn::Ours { lock, signals } => (lock, signals),
        Turn::Theirs => {
            store.close().await?;
            return Ok(Exit::Done);
        }
    };
    let batches = match &args.batch {
        Some(name) => vec![import::find(&store, name, &database).await?],
        None => store.batches().await?,
    };
    let mut worker = Worker::new(voice, &store, asked, endpoint, limits, clock).await?;
    worker.signals = signals;
    let simulates = worker.simulates();
    let mut all = RunStats::default();
    for batch in batches.iter().filter(|batch| batch.simulated == simulates) {
        let stats = worker.work(batch).await?;
        if !global.json {
            let context = worker.context(&batch.name, worker.own_prices(batch));
            voice.tell_end(&stats, &context);
        }
        all.add(stats);
        if all.stopped_by.is_some() {
            break;
        }
    }
    let exit = Exit::of(&all);
    if global.json {
        let name = args.batch.as_deref().unwrap_or("all");
        let own_prices = batches.iter().any(|batch| worker.own_prices(batch));
        let context = worker.context(name, own_prices);
        let report = RunReport::new(&all, &context, exit.code());
        screen::print(&format!("{}\n", report.to_json()))?;
    }
    worker.end().await;
    drop(lock);
    store.close().await?;
    Ok(exit)
}

/// What was asked for, checked before the database is opened: a key command may take long, or ask
/// for a password.
pub(super) struct Asked {
    endpoint: Endpoint,
    keys: Vec<NamedKey>,
}

impl Asked {
    /// Checks the base URL and reads the keys.
    pub(super) async fn new(
        settings: &EndpointSettings,
        voice: Voice<'_>,
    ) -> Result<Self, CliError> {
        let (endpoint, notes) = Endpoint::parse(&settings.base_url)?;
        for note in notes.iter().filter(|_| voice.tells_news()) {
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

/// Works on batches, one after another.
pub(super) struct Worker<'a> {
    voice: Voice<'a>,
    store: &'a Store,
    clock: Clock,
    client: Client,
    keys: Vec<NamedKey>,
    salt: Salt,
    settings: Settings,
    allowed: Allowed,
    dedupe: Dedupe,
    simulator: Option<Simulator>,
    /// Set up when the first request is to be made, or while the lock is waited for: until then a
    /// signal ends the program at once.
    pub(super) signals: Option<Signals>,
    rescued: u64,
}

impl<'a> Worker<'a> {
    /// Puts a worker together, and takes back what a dead run left: first what has come back and is
    /// kept in the spool, then what was in flight.
    pub(super) async fn new(
        voice: Voice<'a>,
        store: &'a Store,
        asked: Asked,
        endpoint: EndpointSettings,
        limits: settings::LimitSettings,
        clock: Clock,
    ) -> Result<Self, CliError> {
        let kept = store.take_in_spool().await?;
        if kept > 0 && voice.tells_news() {
            let results = Things(kept, "result");
            screen::say(&format!(
                "took in {results} that an earlier run could not store\n"
            ));
        }
        let rescued = store.rescue(clock.now()).await?;
        let simulator = if endpoint.simulate {
            Some(simulate::start_inside().await?)
        } else {
            None
        };
        let url = match &simulator {
            Some(simulator) => Endpoint::parse(&simulator.base_url())?.0,
            None => asked.endpoint,
        };
        let client = Client::new(url, endpoint.limits)?;
        let salt = Salt::new(&store.salt().await?);
        let (keys, signals) = (asked.keys, None);
        let mut settings = limits.settings;
        let end = limits.allowed.max_runtime;
        settings.bounds.until = end.map(|time| clock.started_at() + time);
        // A request takes a handle here, and one more where it is answered from within.
        let handles = if simulator.is_some() { 2 } else { 1 };
        if let Some(lowered) = process::make_room(&mut settings.concurrency, handles)?
            && voice.tells_news()
        {
            tell_lowered(lowered);
        }
        Ok(Self {
            voice,
            store,
            clock,
            client,
            keys,
            salt,
            settings,
            allowed: limits.allowed,
            dedupe: limits.dedupe,
            simulator,
            signals,
            rescued,
        })
    }

    /// Returns how much is to be said.
    pub(super) fn voice(&self) -> Voice<'a> {
        self.voice
    }

    /// Returns the queue.
    pub(super) fn store(&self) -> &'a Store {
        self.store
    }

    /// Returns where the requests go.
    pub(super) fn base_url(&self) -> &str {
        self.client.endpoint().display()
    }

    /// Tells whether the answers are made up.
    pub(super) fn simulates(&self) -> bool {
        self.simulator.is_some()
    }

    /// Works a batch as far as it goes, and counts.
    pub(super) async fn work(&mut self, batch: &StoredBatch) -> Result<RunStats, CliError> {
        let mut stats = RunStats::default();
        let mut copied = self.copy_to_twins(batch).await?;
        self.store.free_twins(batch.id).await?;
        loop {
            let ended = stats.ended;
            if self.dedupe != Dedupe::Never {
                // A text has one vector.
                let is_exact = batch.template.api == Api::Embeddings;
                let any = is_exact || self.dedupe == Dedupe::Always;
                self.store.park_twins(batch.id, any).await?;
                copied += self.copy_to_twins(batch).await?;
            }
            self.work_once(batch, &mut stats).await?;
            copied += self.copy_to_twins(batch).await?;
            // Rows are left over when the one they waited for was changed or cancelled meanwhile.
            let left = self.store.free_twins(batch.id).await?;
            if left == 0 || stats.stopped_by.is_some() || stats.ended == ended {
                break;
            }
        }
        if copied > 0 && self.voice.tells_news() {
            let rows = Things(copied, "row");
            screen::say(&format!(
                "{rows} got a copy of what another row with the same request got\n"
            ));
        }
        self.count(batch, stats).await
    }

    async fn copy_to_twins(&self, batch: &StoredBatch) -> Result<u64, CliError> {
        let now = self.clock.now();
        Ok(self.store.copy_to_twins(batch.id, now).await?)
    }

    /// Asks what may be asked, and adds it to the tally.
    async fn work_once(
        &mut self,
        batch: &StoredBatch,
        stats: &mut RunStats,
    ) -> Result<(), CliError> {
        let before = self.store.counts(batch.id).await?;
        let open = self.store.claimable(batch.id).await?;
        if open > 0 {
            let cost = self.settings.bounds.cost;
            self.allowed.check_price(cost, &batch.template.model)?;
            let keys = self.ring(&batch.template.model).await?;
            let mut progress = Progress::new(self.voice.progress_mode(), self.clock);
            progress.on(&RunEvent::Started {
                batch: batch.name.clone(),
                total: before.done + before.failed + open,
                settled: before.done + before.failed,
            });
            if self.rescued > 0 {
                progress.on(&RunEvent::Rescued {
                    unknown: self.rescued,
                });
            }
            let shutdown = self.shutdown()?;
            let schema = schema::of(&batch.template)?;
            let (store, client, clock) = (self.store, self.client.clone(), self.clock);
            let deps = Deps {
                store,
                client,
                clock,
                prices: &self.allowed.prices,
                schema: schema.as_ref(),
            };
            let mut on_event = |event: &RunEvent| progress.on(event);
            let ran = runner::run(deps, batch, keys, self.settings, shutdown, &mut on_event).await;
            progress.finish();
            let ran = ran?;
            self.settings.bounds.use_up(&ran);
            stats.add(ran);
        }
        Ok(())
    }

    async fn count(
        &mut self,
        batch: &StoredBatch,
        mut stats: RunStats,
    ) -> Result<RunStats, CliError> {
        let counts = self.store.counts(batch.id).await?;
        stats.total = counts.total;
        stats.done = counts.done;
        stats.failed = counts.failed;
        stats.left = counts.pending + counts.running;
        if stats.left == 0 {
            // A signal that came when all was under way has left nothing undone.
            stats.stopped_by = None;
        }
        stats.rescued = std::mem::take(&mut self.rescued);
        stats.unknown += stats.rescued;
        stats.causes = self.store.causes(batch.id, MAX_CAUSES).await?;
        for cause in &mut stats.causes {
            verdict::hint_of(&cause.rule).clone_into(&mut cause.hint);
        }
        Ok(stats)
    }

    /// Returns what there is to say of a run besides its counts; results and the next command are
    /// the caller's to add.
    pub(super) fn context<'b>(&self, batch: &'b str, own_prices: bool) -> SummaryContext<'b> {
        SummaryContext {
            batch,
            output: None,
            elapsed: self.clock.elapsed(),
            now: self.clock.now(),
            simulated: self.simulates(),
            next_command: None,
            color: self.voice.color(),
            width: terminal_width(),
            own_prices,
        }
    }

    /// Tells whether the costs of a batch are by the user's own prices.
    pub(super) fn own_prices(&self, batch: &StoredBatch) -> bool {
        self.allowed.prices.is_own(&batch.template.model)
    }

    /// Lets go of what the worker holds besides the queue.
    pub(super) async fn end(self) {
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

fn tell_lowered(process::Lowered { most, handles }: process::Lowered) {
    tracing::warn!(
        "no more than {most} in flight: the system allows {handles} open files; \
         raise it with `ulimit -n` or LimitNOFILE, or lower --concurrency"
    );
}
