//! Watches the queue from another terminal: looks, draws, and ends when somebody wants it. It only
//! reads.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::store::{Lookout, SeenAnswer, Sight, StoreError};
use crate::watch::{Batch, Failure, Key, Screen, Snapshot, Watch, Wish};

use super::args::{ColorChoice, Global};
use super::environment;
use super::error::CliError;
use super::exit::Exit;

/// A look may take this part of the time: in a queue of a million rows looks are fewer.
const SHARE: u32 = 10;

/// A key that has answered within this time is in use.
const LATELY: Duration = Duration::from_mins(1);

/// How often the picture is drawn anew, so that waits are counted down.
const REDRAW: Duration = Duration::from_secs(1);

/// Watches until `q`, Ctrl-C, or a signal.
pub(super) async fn watch(
    global: &Global,
    database: &Path,
    every: Duration,
) -> Result<Exit, CliError> {
    if global.json {
        let what = "--watch draws on a terminal, and --json prints for programs";
        return Err(CliError::new(Exit::Usage, what, "use one of them"));
    }
    if !io::stdout().is_terminal() || environment::text("TERM").as_deref() == Some("dumb") {
        let what = "--watch needs a terminal that can be drawn on";
        let hint = "`promptmill status` prints once; `status --json` is for programs";
        return Err(CliError::new(Exit::Usage, what, hint));
    }
    let color = match global.color.unwrap_or_default() {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => !environment::is_plain(),
    };
    let mut lookout = Lookout::new(database);
    let watch = Watch::new(database.display().to_string(), every);
    let mut screen = Screen::take(color)?;
    let watched = look_on(&mut lookout, watch, &mut screen, every).await;
    drop(screen);
    lookout.close().await;
    watched
}

async fn look_on(
    lookout: &mut Lookout,
    mut watch: Watch,
    screen: &mut Screen,
    every: Duration,
) -> Result<Exit, CliError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let clock = Clock::start();
    let mut next_look = Instant::now();
    loop {
        if next_look <= Instant::now() {
            let begun = Instant::now();
            match lookout.look().await {
                Ok(Some(sight)) => watch.saw(snapshot(sight, clock.now()), clock.now()),
                Ok(None) => watch.missed("there is no database yet; waiting for one".to_owned()),
                Err(error) => watch.missed(trouble(&error)),
            }
            next_look = Instant::now() + every.max(begun.elapsed() * SHARE);
        }
        screen.draw(&watch, clock.now())?;
        let wake = next_look.min(Instant::now() + REDRAW);
        tokio::select! {
            wish = screen.wish() => if wish == Wish::Quit {
                return Ok(Exit::Done);
            },
            _ = terminate.recv() => return Ok(Exit::Terminated),
            _ = hang_up.recv() => return Ok(Exit::Terminated),
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// Says in one line why nothing was seen.
fn trouble(error: &StoreError) -> String {
    let message = error.to_string();
    let first = message.lines().next().unwrap_or_default();
    format!("cannot look: {first}; trying again")
}

fn snapshot(sight: Sight, now: Timestamp) -> Snapshot {
    let batches = sight.batches.into_iter().map(|batch| Batch {
        name: batch.name,
        total: batch.counts.total,
        done: batch.counts.done,
        failed: batch.counts.failed,
        running: batch.counts.running,
    });
    let keys = sight.keys.into_iter().map(|key| Key {
        label: key.label,
        state: key.state,
        until: key.until,
        reason: key.reason,
    });
    let failures = sight.failures.into_iter().map(|failure| Failure {
        batch: failure.batch,
        row: failure.row,
        rule: failure.rule,
        message: failure.message,
        ended_at: failure.ended_at,
    });
    let mut keys: Vec<Key> = keys.collect();
    add_answering(&mut keys, &sight.answers, now);
    let answers = sight.answers.iter();
    Snapshot {
        batches: batches.collect(),
        keys,
        failures: failures.collect(),
        answers: answers
            .map(|completion| (completion.ended_at, completion.latency_ms))
            .collect(),
    }
}

/// Adds the keys of which nothing is written down yet: those that have only answered.
fn add_answering(keys: &mut Vec<Key>, answers: &[SeenAnswer], now: Timestamp) {
    for completion in answers {
        let late = now.since(completion.ended_at) < LATELY;
        if late && keys.iter().all(|key| key.label != completion.key_label) {
            keys.push(Key {
                label: completion.key_label.clone(),
                state: "answering".to_owned(),
                until: None,
                reason: String::new(),
            });
        }
    }
    keys.sort_by(|a, b| a.label.cmp(&b.label));
}
