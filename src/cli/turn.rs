//! Whose turn it is: the run lock, and what to do while another run holds it.

use std::time::Duration;

use crate::domain::run_stats::StopReason;
use crate::progress::safe::Safe;
use crate::store::{LockError, RunLock, Store};

use super::args::{IfBusy, UnattendedArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::screen;
use super::signals::{self, Signals};
use super::voice::Voice;

/// How often a waiting run looks whether the lock is free.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Whose turn it is.
pub(super) enum Turn {
    /// Ours.
    Ours {
        lock: RunLock,
        /// Who listens for signals since the wait began.
        signals: Option<Signals>,
    },
    /// Somebody else's, and that is well.
    Theirs,
}

/// Whether the run is one of cron's, and what it does while another run holds the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unattended {
    pub(super) cron: bool,
    if_busy: IfBusy,
}

impl Unattended {
    /// Resolves the flags.
    pub(super) fn new(args: &UnattendedArgs, file: &FileSettings) -> Self {
        let cron = args.cron || file.cron.unwrap_or(false);
        let usual = if cron { IfBusy::Skip } else { IfBusy::Fail };
        let if_busy = args.if_busy.or(file.if_busy).unwrap_or(usual);
        Self { cron, if_busy }
    }

    /// Takes the run lock, or does what is to be done while another run holds it.
    pub(super) async fn take_turn(self, store: &Store, voice: Voice<'_>) -> Result<Turn, CliError> {
        let holder = match try_lock(store) {
            Ok(lock) => {
                return Ok(Turn::Ours {
                    lock,
                    signals: None,
                });
            }
            Err(LockError::Held { holder }) => holder,
            Err(error) => return Err(error.into()),
        };
        match self.if_busy {
            IfBusy::Fail => Err(LockError::Held { holder }.into()),
            IfBusy::Skip => skip(&holder, voice).map(|()| Turn::Theirs),
            IfBusy::Wait => wait(store, &holder, voice).await,
        }
    }
}

fn skip(holder: &str, voice: Voice<'_>) -> Result<(), CliError> {
    if voice.global.json {
        let object = serde_json::json!({
            "skipped": true, "held_by": holder, "exit_code": Exit::Done.code(),
        });
        screen::print(&format!("{object}\n"))?;
    }
    if voice.tells_news() {
        let holder = Safe(holder);
        screen::say(&format!(
            "skipped: another run holds the queue ({holder})\n"
        ));
    }
    Ok(())
}

async fn wait(store: &Store, holder: &str, voice: Voice<'_>) -> Result<Turn, CliError> {
    let mut signals = signals::listen()?;
    if voice.tells_at_once() {
        let holder = Safe(holder);
        screen::say(&format!(
            "waiting: another run holds the queue ({holder})\n"
        ));
    }
    loop {
        tokio::select! {
            () = signals.0.changed() => return Err(stopped(&signals)),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
        match try_lock(store) {
            Ok(lock) => {
                let signals = Some(signals);
                return Ok(Turn::Ours { lock, signals });
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
    let what = "stopped while another run held the queue; nothing was sent";
    CliError::new(exit, what, "run it again; `--if-busy skip` does not wait")
}

/// Takes the run lock, and says who we are for others to read.
pub(super) fn take_lock(store: &Store) -> Result<RunLock, CliError> {
    Ok(try_lock(store)?)
}

/// Takes the run lock, or says who has it.
pub(super) fn try_lock(store: &Store) -> Result<RunLock, LockError> {
    RunLock::take(store.path(), &format!("process {}", std::process::id()))
}
