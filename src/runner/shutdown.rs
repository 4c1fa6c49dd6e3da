//! Being told to stop. A first word drains the run, a second one ends it at once.

use tokio::sync::watch;

use crate::domain::run_stats::StopReason;

/// How urgently the run is to stop; it only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopLevel {
    /// Go on.
    #[default]
    Run,
    /// Claim nothing more; what is in flight may come back.
    Drain,
    /// Give up what is in flight.
    Abort,
}

/// The end that hears the word.
#[derive(Clone, Debug)]
pub struct Shutdown {
    word: watch::Receiver<(StopLevel, Option<StopReason>)>,
}

/// The end that says it.
#[derive(Debug)]
pub struct ShutdownSwitch {
    word: watch::Sender<(StopLevel, Option<StopReason>)>,
}

impl Shutdown {
    /// Makes both ends. While the switch lives and says nothing, the run goes on.
    #[must_use]
    pub fn new() -> (ShutdownSwitch, Self) {
        let (sender, word) = watch::channel((StopLevel::Run, None));
        (ShutdownSwitch { word: sender }, Self { word })
    }

    /// Returns the present word and its reason.
    #[must_use]
    pub fn level(&self) -> (StopLevel, Option<StopReason>) {
        self.word.borrow().clone()
    }

    /// Waits for a word that was not heard yet.
    pub async fn changed(&mut self) {
        if self.word.changed().await.is_err() {
            // The switch is gone: nobody will say anything any more.
            std::future::pending::<()>().await;
        }
    }
}

impl ShutdownSwitch {
    /// Says that the run is to stop: the first time it drains, from the second on it ends at once.
    /// The first reason stays.
    pub fn stop(&self, reason: StopReason) {
        self.word.send_modify(|(level, first)| {
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
    async fn the_first_word_drains_the_second_aborts_and_the_first_reason_stays() {
        let (switch, mut shutdown) = Shutdown::new();
        assert_eq!(shutdown.level(), (StopLevel::Run, None));
        switch.stop(StopReason::Interrupted);
        shutdown.changed().await;
        assert_eq!(
            shutdown.level(),
            (StopLevel::Drain, Some(StopReason::Interrupted))
        );
        switch.stop(StopReason::Terminated);
        assert_eq!(
            shutdown.level(),
            (StopLevel::Abort, Some(StopReason::Interrupted))
        );
    }
}
