//! Acquires the run lock. While another run has it, a run fails, waits, or is skipped.

use std::time::Duration;

use crate::domain::run_stats::StopReason;
use crate::progress::safe::Safe;
use crate::store::{LockError, RunLock, Store};

use super::console;
use super::exit::{CliError, Exit};
use super::settings::{IfBusy, UnattendedArgs};
use super::signals::{self, Signals};
use super::verbosity::Verbosity;

/// How often a waiting run tries to acquire the lock.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Result of acquiring the run lock.
pub(super) enum RunLockOutcome {
    /// This run has the lock.
    Acquired {
        lock: RunLock,
        /// The signal listener that was started for the wait.
        signals: Option<Signals>,
    },
    /// Another run has the lock, and this run is to be skipped.
    Skipped,
}

/// Settings of unattended runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnattendedSettings {
    pub(super) cron: bool,
    if_busy: IfBusy,
}

impl UnattendedSettings {
    /// Resolves the settings.
    pub(super) fn new(args: &UnattendedArgs) -> Self {
        let cron = args.cron;
        let default = if cron { IfBusy::Skip } else { IfBusy::Fail };
        let if_busy = args.if_busy.unwrap_or(default);
        Self { cron, if_busy }
    }

    /// Acquires the run lock; while another run holds it, fails, waits, or skips this run.
    pub(super) async fn acquire_lock(
        self,
        store: &Store,
        verbosity: Verbosity<'_>,
    ) -> Result<RunLockOutcome, CliError> {
        let holder = match try_acquire(store) {
            Ok(lock) => {
                return Ok(RunLockOutcome::Acquired {
                    lock,
                    signals: None,
                });
            }
            Err(LockError::Held { holder }) => holder,
            Err(error) => return Err(error.into()),
        };
        match self.if_busy {
            IfBusy::Fail => Err(LockError::Held { holder }.into()),
            IfBusy::Skip => skip(&holder, verbosity).map(|()| RunLockOutcome::Skipped),
            IfBusy::Wait => wait(store, &holder, verbosity).await,
        }
    }
}

fn skip(holder: &str, verbosity: Verbosity<'_>) -> Result<(), CliError> {
    if verbosity.global.json {
        let object = serde_json::json!({
            "skipped": true, "held_by": holder, "exit_code": Exit::Done.code(),
        });
        console::print_json(&object)?;
    }
    if verbosity.prints_notices() {
        eprint_busy("skipped", holder);
    }
    Ok(())
}

fn eprint_busy(word: &str, holder: &str) {
    let holder = Safe(holder);
    console::eprint(&format!(
        "{word}: another run is using the database ({holder})\n"
    ));
}

async fn wait(
    store: &Store,
    holder: &str,
    verbosity: Verbosity<'_>,
) -> Result<RunLockOutcome, CliError> {
    let mut signals = signals::listen()?;
    if verbosity.prints_progress() {
        eprint_busy("waiting", holder);
    }
    loop {
        tokio::select! {
            () = signals.0.changed() => return Err(stopped(&signals)),
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
        match try_acquire(store) {
            Ok(lock) => {
                let signals = Some(signals);
                return Ok(RunLockOutcome::Acquired { lock, signals });
            }
            Err(LockError::Held { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn stopped((shutdown, _): &Signals) -> CliError {
    let exit = match shutdown.level().1 {
        Some(StopReason::Interrupted) => Exit::Interrupted,
        _ => Exit::Terminated,
    };
    let what = "stopped while waiting for another run; no request was sent";
    let hint = "run again, or use `--if-busy skip` to exit instead of waiting";
    CliError::new(exit, what, hint)
}

/// Acquires the run lock, or returns its holder.
pub(super) fn try_acquire(store: &Store) -> Result<RunLock, LockError> {
    store.acquire_run_lock(&format!("process {}", std::process::id()))
}
