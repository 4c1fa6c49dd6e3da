//! What a simulated provider is to be like: plain values with setters. Flags and files are mapped
//! to it elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use super::faults::FaultRates;
use super::keys::KeyRefusal;
use super::limits::SimulatedLimits;
use super::personality::Personality;
use super::script::Script;
use super::seed::Dice;

/// The moment that every answer bears as `created`, in seconds since 1970, unless told otherwise.
/// It is fixed so that equal requests get equal bytes.
const CREATED: i64 = 1_700_000_000;

/// The 99th percentile of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874;

/// The largest deviation drawn, so that one answer in millions does not take minutes.
const MAX_DEVIATION: f64 = 4.0;

/// What a simulated provider is to be like. The default accepts every key and every model and
/// answers at once.
#[derive(Clone, Debug)]
pub struct Config {
    /// The loopback port; 0 takes any free one.
    pub port: u16,
    /// The seed of answers, latencies and random faults. They depend on it, on the prompt and on
    /// how often the prompt was asked, not on the order in which requests arrive.
    pub seed: u64,
    /// Whose manners it has.
    pub personality: Personality,
    /// The models it knows, by exact name; empty takes those of the personality.
    pub models: Vec<String>,
    /// The keys it accepts; empty leaves that to the personality.
    pub keys: Vec<String>,
    /// Keys that are refused, and how.
    pub refused: HashMap<String, KeyRefusal>,
    /// How long an answer takes. Refusals and faults come at once.
    pub latency: Latency,
    /// The limits of each key.
    pub limits: SimulatedLimits,
    /// How often which fault happens.
    pub faults: FaultRates,
    /// What happens to which request; it goes before everything else.
    pub script: Script,
    /// Whether the ledger keeps an entry for each request. Counts are always kept.
    pub record: bool,
    /// The `created` of every answer, in seconds since 1970.
    pub created: i64,
}

/// How long an answer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latency {
    /// No time.
    #[default]
    None,
    /// Always the same time.
    Constant(Duration),
    /// A log-normal distribution, as real providers show: most answers near the median, a few
    /// late ones.
    LogNormal {
        /// Half of the answers take less.
        median: Duration,
        /// One answer in a hundred takes more; a value below the median counts as the median.
        p99: Duration,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 0,
            seed: 0,
            personality: Personality::default(),
            models: Vec::new(),
            keys: Vec::new(),
            refused: HashMap::new(),
            latency: Latency::default(),
            limits: SimulatedLimits::default(),
            faults: FaultRates::default(),
            script: Script::default(),
            record: false,
            created: CREATED,
        }
    }
}

impl Config {
    /// Sets the loopback port; 0 takes any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the seed of answers, latencies and random faults.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets whose manners it has.
    #[must_use]
    pub fn personality(mut self, personality: Personality) -> Self {
        self.personality = personality;
        self
    }

    /// Adds a model; from the first one on, all others are unknown.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.models.push(model.into());
        self
    }

    /// Adds a key that is accepted; from the first one on, all others are refused.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Refuses a key, in the way given.
    #[must_use]
    pub fn refuse(mut self, key: impl Into<String>, refusal: KeyRefusal) -> Self {
        self.refused.insert(key.into(), refusal);
        self
    }

    /// Sets how long an answer takes.
    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// Sets the limits of each key.
    #[must_use]
    pub fn limits(mut self, limits: SimulatedLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how often which fault happens.
    #[must_use]
    pub fn faults(mut self, faults: FaultRates) -> Self {
        self.faults = faults;
        self
    }

    /// Sets the script.
    #[must_use]
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// Makes the ledger keep an entry for each request.
    #[must_use]
    pub fn record(mut self) -> Self {
        self.record = true;
        self
    }

    /// Sets the `created` of every answer, in seconds since 1970.
    #[must_use]
    pub fn created(mut self, created: i64) -> Self {
        self.created = created;
        self
    }
}

impl Latency {
    /// Draws how long one answer takes.
    pub(super) fn draw(self, dice: &mut Dice) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Constant(time) => time,
            Self::LogNormal { median, p99 } => {
                let spread = p99.max(median).as_secs_f64() / median.as_secs_f64().max(1e-6);
                let sigma = spread.ln().max(0.0) / NORMAL_P99;
                let deviation = dice.normal().clamp(-MAX_DEVIATION, MAX_DEVIATION);
                median.mul_f64((sigma * deviation).exp())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_normal_latency_has_its_median_and_its_p99() {
        let latency = Latency::LogNormal {
            median: Duration::from_millis(800),
            p99: Duration::from_secs(8),
        };
        let mut drawn: Vec<_> = (0..20_000)
            .map(|turn| latency.draw(&mut Dice::new(7, turn, 1)))
            .collect();
        drawn.sort_unstable();
        let median = drawn[10_000].as_millis();
        let p99 = drawn[19_800].as_millis();
        assert!((760..840).contains(&median), "median {median} ms");
        assert!((7_000..9_200).contains(&p99), "p99 {p99} ms");
    }

    #[test]
    fn a_p99_below_the_median_counts_as_the_median() {
        let median = Duration::from_millis(50);
        let latency = Latency::LogNormal {
            median,
            p99: Duration::ZERO,
        };
        assert_eq!(latency.draw(&mut Dice::new(1, 2, 3)), median);
    }
}
