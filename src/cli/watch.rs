//! `status --watch`: draws the state of the queue in a terminal. It only reads the database.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::domain::key::KeyStatus;
use crate::domain::time::Timestamp;
use crate::store::{KeyRow, Location, QueueSnapshot, RecentCompletion, SnapshotReader, StoreError};
use crate::watch::{Screen, Snapshot, UserInput, WatchState, WatchedBatch, WatchedFailure};

use super::exit::{CliError, Exit};
use super::settings::GlobalArgs;
use super::{console, environment};

/// Minimum ratio of the refresh interval to the time a read takes, for large queues.
const MIN_INTERVAL_RATIO: u32 = 10;

/// A key with a response within this time is active.
const ACTIVE_WITHIN: Duration = Duration::from_mins(1);

/// Redraw interval, for countdowns.
const REDRAW: Duration = Duration::from_secs(1);

/// Draws until `q` or Ctrl-C is pressed, or a signal arrives.
pub(super) async fn watch(
    global: &GlobalArgs,
    database: &Location,
    interval: Duration,
) -> Result<Exit, CliError> {
    if global.json {
        let what = "--watch cannot be combined with --json";
        return Err(CliError::new(Exit::Usage, what, "remove one of them"));
    }
    if !io::stdout().is_terminal() || environment::text("TERM").as_deref() == Some("dumb") {
        let what = "--watch requires a terminal with cursor control";
        let hint = "use `promptmill status`, or `status --json` in scripts";
        return Err(CliError::new(Exit::Usage, what, hint));
    }
    let mut reader = SnapshotReader::new(database)?;
    let watch = WatchState::new(database.to_string(), interval);
    let mut screen = Screen::open(console::stdout_color(global.color))?;
    let result = watch_loop(&mut reader, watch, &mut screen, interval).await;
    drop(screen);
    reader.close().await;
    result
}

async fn watch_loop(
    reader: &mut SnapshotReader,
    mut watch: WatchState,
    screen: &mut Screen,
    interval: Duration,
) -> Result<Exit, CliError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let clock = Clock::start();
    let mut next_read = Instant::now();
    loop {
        if next_read <= Instant::now() {
            let started = Instant::now();
            match reader.read().await {
                Ok(Some(queue)) => watch.update(snapshot(queue, clock.now()), clock.now()),
                Ok(None) => watch.update_failed("no database yet; waiting".to_owned()),
                Err(error) => watch.update_failed(error_line(&error)),
            }
            next_read = Instant::now() + interval.max(started.elapsed() * MIN_INTERVAL_RATIO);
        }
        screen.draw(&watch, clock.now())?;
        let wake = next_read.min(Instant::now() + REDRAW);
        tokio::select! {
            input = screen.input() => if input == UserInput::Quit {
                return Ok(Exit::Done);
            },
            _ = terminate.recv() => return Ok(Exit::Terminated),
            _ = hang_up.recv() => return Ok(Exit::Terminated),
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// Formats the first line of a read error.
fn error_line(error: &StoreError) -> String {
    let message = error.to_string();
    let first = message.lines().next().unwrap_or_default();
    format!("cannot read the database: {first}; retrying")
}

fn snapshot(queue: QueueSnapshot, now: Timestamp) -> Snapshot {
    let batches = queue.batches.into_iter().map(|batch| WatchedBatch {
        name: batch.name,
        total: batch.counts.total,
        done: batch.counts.done,
        failed: batch.counts.failed,
        running: batch.counts.running,
    });
    let failures = queue.failures.into_iter().map(|failure| WatchedFailure {
        batch: failure.batch,
        row: failure.row,
        rule: failure.rule,
        message: failure.message,
        ended_at: failure.ended_at,
    });
    let mut keys: Vec<_> = queue.keys.into_iter().map(key_status).collect();
    add_active_keys(&mut keys, &queue.completions, now);
    let completions = queue.completions.iter();
    Snapshot {
        batches: batches.collect(),
        keys,
        failures: failures.collect(),
        responses: completions
            .map(|completion| (completion.ended_at, completion.latency_ms))
            .collect(),
    }
}

/// Returns the stored state of a key.
pub(super) fn key_status(key: KeyRow) -> KeyStatus {
    KeyStatus {
        label: key.label,
        state: key.state,
        until: key.until,
        reason: key.reason,
    }
}

/// Adds recently used keys that have no stored state.
fn add_active_keys(keys: &mut Vec<KeyStatus>, completions: &[RecentCompletion], now: Timestamp) {
    for completion in completions {
        let is_active = now.since(completion.ended_at) < ACTIVE_WITHIN;
        if is_active && keys.iter().all(|key| key.label != completion.key_label) {
            keys.push(KeyStatus {
                label: completion.key_label.clone(),
                state: "active".to_owned(),
                until: None,
                reason: String::new(),
            });
        }
    }
    keys.sort_by(|a, b| a.label.cmp(&b.label));
}
