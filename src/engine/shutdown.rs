//! Shutdown requests. The first one drains the run, the second one aborts it.

use tokio::sync::watch;

use crate::domain::run_stats::StopReason;
use crate::scheduler::StopLevel;

/// The receiving end of a shutdown request.
#[derive(Clone, Debug)]
pub struct Shutdown {
    state: watch::Receiver<(StopLevel, Option<StopReason>)>,
}

/// The sending end of a shutdown request.
#[derive(Debug)]
pub struct ShutdownSwitch {
    state: watch::Sender<(StopLevel, Option<StopReason>)>,
}

impl Shutdown {
    /// Creates both ends.
    #[must_use]
    pub fn new() -> (ShutdownSwitch, Self) {
        let (sender, state) = watch::channel((StopLevel::Run, None));
        (ShutdownSwitch { state: sender }, Self { state })
    }

    /// Returns the current level and its reason.
    #[must_use]
    pub fn level(&self) -> (StopLevel, Option<StopReason>) {
        self.state.borrow().clone()
    }

    /// Waits until the level changes.
    pub async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            // The switch was dropped, so the level cannot change any more.
            std::future::pending::<()>().await;
        }
    }
}

impl ShutdownSwitch {
    /// Requests a stop. The first call drains the run, later calls abort it. The first reason is
    /// kept.
    pub fn stop(&self, reason: StopReason) {
        self.state.send_modify(|(level, first)| {
            *level = if *level == StopLevel::Run {
                StopLevel::Drain
            } else {
                StopLevel::Abort
            };
            first.get_or_insert(reason);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_stop_drains_the_second_aborts_and_the_first_reason_is_kept() {
        let (switch, mut shutdown) = Shutdown::new();
        assert_eq!(shutdown.level(), (StopLevel::Run, None));
        switch.stop(StopReason::Interrupted);
        shutdown.changed().await;
        let first = Some(StopReason::Interrupted);
        assert_eq!(shutdown.level(), (StopLevel::Drain, first.clone()));
        switch.stop(StopReason::Terminated);
        assert_eq!(shutdown.level(), (StopLevel::Abort, first));
    }
}
