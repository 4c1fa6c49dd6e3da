//! The configuration of a simulated provider.

use std::collections::HashMap;
use std::time::Duration;

use super::faults::FaultRates;
use super::keys::KeyRejection;
use super::limits::SimulatedLimits;
use super::personality::Personality;
use super::rng::SeededRng;
use super::script::Script;

/// The default `created` time of responses, in seconds since 1970. It is fixed so that equal
/// requests get byte-identical responses.
const CREATED: i64 = 1_700_000_000;

/// The 99th percentile of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874;

/// Maximum deviation in standard deviations, so that one response in millions does not take
/// minutes.
const MAX_DEVIATION: f64 = 4.0;

/// The configuration of a simulated provider. The default accepts any key and any model and
/// responds without delay.
#[derive(Clone, Debug)]
pub struct Config {
    /// The loopback port; 0 chooses a free one.
    pub port: u16,
    /// The seed of responses, latencies and random faults. They depend only on the seed, the prompt
    /// and the number of requests with that prompt, not on the order of requests.
    pub seed: u64,
    /// The provider to imitate.
    pub personality: Personality,
    /// The available models. Default: those of the personality.
    pub models: Vec<String>,
    /// The accepted keys. Default: determined by the personality.
    pub keys: Vec<String>,
    /// Rejected keys, with their error.
    pub rejected_keys: HashMap<String, KeyRejection>,
    /// The latency of successful responses. Errors and faults are not delayed.
    pub latency: SimulatedLatency,
    /// The rate limits of each key.
    pub limits: SimulatedLimits,
    /// The rates of random faults.
    pub faults: FaultRates,
    /// Reactions to particular requests, with precedence over everything else.
    pub script: Script,
    /// Whether the request log has an entry for each request, in addition to the counts.
    pub record: bool,
    /// The `created` time of responses, in seconds since 1970.
    pub created: i64,
}

/// The latency of successful responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimulatedLatency {
    /// No delay.
    #[default]
    None,
    /// The same delay for each response.
    Constant(Duration),
    /// A log-normal distribution, as observed with real providers: most responses are near the
    /// median, a few are slow.
    LogNormal {
        /// The median.
        median: Duration,
        /// The 99th percentile, at least the median.
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
            rejected_keys: HashMap::new(),
            latency: SimulatedLatency::default(),
            limits: SimulatedLimits::default(),
            faults: FaultRates::default(),
            script: Script::default(),
            record: false,
            created: CREATED,
        }
    }
}

impl Config {
    /// Sets the loopback port; 0 chooses a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the seed of responses, latencies and random faults.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the provider to imitate.
    #[must_use]
    pub fn personality(mut self, personality: Personality) -> Self {
        self.personality = personality;
        self
    }

    /// Adds a model. Once a model is added, all others are unknown.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.models.push(model.into());
        self
    }

    /// Adds an accepted key. Once a key is added, all others are rejected.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Rejects a key with this error.
    #[must_use]
    pub fn reject(mut self, key: impl Into<String>, rejection: KeyRejection) -> Self {
        self.rejected_keys.insert(key.into(), rejection);
        self
    }

    /// Sets the latency of successful responses.
    #[must_use]
    pub fn latency(mut self, latency: SimulatedLatency) -> Self {
        self.latency = latency;
        self
    }

    /// Sets the rate limits of each key.
    #[must_use]
    pub fn limits(mut self, limits: SimulatedLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the rates of random faults.
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

    /// Adds an entry to the request log for each request.
    #[must_use]
    pub fn record(mut self) -> Self {
        self.record = true;
        self
    }
}

impl SimulatedLatency {
    /// Returns the latency of one response.
    pub(super) fn sample(self, rng: &mut SeededRng) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Constant(time) => time,
            Self::LogNormal { median, p99 } => {
                let spread = p99.max(median).as_secs_f64() / median.as_secs_f64().max(1e-6);
                let sigma = spread.ln().max(0.0) / NORMAL_P99;
                let deviation = rng.next_normal().clamp(-MAX_DEVIATION, MAX_DEVIATION);
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
        let latency = SimulatedLatency::LogNormal {
            median: Duration::from_millis(800),
            p99: Duration::from_secs(8),
        };
        let mut samples: Vec<_> = (0..20_000)
            .map(|prompt| latency.sample(&mut SeededRng::new(7, prompt, 1)))
            .collect();
        samples.sort_unstable();
        let median = samples[10_000].as_millis();
        let p99 = samples[19_800].as_millis();
        assert!((760..840).contains(&median), "median {median} ms");
        assert!((7_000..9_200).contains(&p99), "p99 {p99} ms");
    }

    #[test]
    fn a_p99_below_the_median_counts_as_the_median() {
        let median = Duration::from_millis(50);
        let latency = SimulatedLatency::LogNormal {
            median,
            p99: Duration::ZERO,
        };
        assert_eq!(latency.sample(&mut SeededRng::new(1, 2, 3)), median);
    }
}
