//! A scenario: batches, keys, settings, and the provider they are sent to.

use std::time::Duration;

use promptmill::domain::key::Key;
use promptmill::domain::keyring::KeyIndex;
use promptmill::domain::time::Timestamp;
use promptmill::scheduler::{KeyQuota, LaneId, LaneSetup, Settings, StopLevel};

use super::provider::Endpoint;

/// The start of every simulation, four hours before the end of a UTC day.
pub(super) const START: Timestamp = Timestamp::from_millis(1_795_464_000_000);

/// A simulation to run.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) batches: Vec<Batch>,
    pub(super) keys: Vec<KeyQuota>,
    pub(super) settings: Settings,
    pub(super) endpoint: Endpoint,
    /// When the run is asked to stop.
    pub(super) stops: Vec<(Duration, StopLevel)>,
    /// The allowed requests per minute of all keys, if they are limited.
    pub(super) allowed_rpm: Option<u32>,
    /// The time of the event that the run recovers from, such as the end of an outage.
    pub(super) recovers_from: Option<Duration>,
    pub(super) seed: u64,
}

/// A batch of a scenario.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) rows: i64,
    pub(super) model: &'static str,
    /// The deadline, since the start.
    pub(super) deadline: Option<Duration>,
    /// How many of its jobs were in flight at several crashes.
    pub(super) suspects: i64,
    /// The only key that serves its model; `None` if all do.
    pub(super) only_key: Option<KeyIndex>,
}

impl Batch {
    pub(super) fn of(rows: i64) -> Self {
        Self {
            rows,
            model: "m",
            deadline: None,
            suspects: 0,
            only_key: None,
        }
    }

    /// Returns the lane of the n-th batch (from 0), and what the scheduler has to know.
    pub(super) fn lane(&self, n: usize, keys: &[KeyQuota]) -> (LaneId, LaneSetup) {
        let id = LaneId(i64::try_from(n).expect("a few batches") + 1);
        let keys = keys.iter().enumerate().map(|(index, quota)| {
            let mut key = Key::new(format!("key-{}", index + 1), format!("f{index}"));
            key.group.clone_from(&quota.group);
            (KeyIndex(index), key)
        });
        let serves = |key: KeyIndex| self.only_key.is_none_or(|only| only == key);
        let keys = keys.filter(|(index, _)| serves(*index));
        let setup = LaneSetup {
            model: self.model.to_owned(),
            deadline: self.deadline.map(|deadline| START + deadline),
            keys: keys.collect(),
            has_suspects: self.suspects > 0,
        };
        (id, setup)
    }
}

impl Scenario {
    /// A scenario of one batch, one key without limits, and an endpoint without faults.
    pub(super) fn new(name: &'static str, rows: i64) -> Self {
        Self {
            name,
            batches: vec![Batch::of(rows)],
            keys: vec![KeyQuota::default()],
            settings: Settings::default(),
            endpoint: Endpoint::default(),
            stops: Vec::new(),
            allowed_rpm: None,
            recovers_from: None,
            seed: 7,
        }
    }
}
