//! The scenarios of the table.

use std::num::NonZeroU32;
use std::time::Duration;

use promptmill::domain::concurrency::Concurrency;
use promptmill::domain::keyring::KeyIndex;
use promptmill::domain::limits::KeyLimits;
use promptmill::scheduler::{KeyQuota, StopLevel};

use super::provider::{Endpoint, Fault, Hint, Limit, Load};
use super::scenario::{Batch, START, Scenario};

/// The longest time that a scenario lasts.
const LONG: Duration = Duration::from_hours(24);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rpm(n: u32) -> KeyLimits {
    KeyLimits {
        rpm: NonZeroU32::new(n),
        ..KeyLimits::default()
    }
}

fn key(limits: KeyLimits) -> KeyQuota {
    KeyQuota {
        limits,
        ..KeyQuota::default()
    }
}

/// Returns all scenarios, in the order of the table.
pub(super) fn all() -> Vec<Scenario> {
    let groups = [
        healthy(),
        lanes(),
        failing(),
        outages(),
        hidden_limits(),
        quotas(),
        keys(),
        load(),
        endings(),
    ];
    groups.into_iter().flatten().collect()
}

/// Returns the scenario with this name.
pub(super) fn find(name: &str) -> Scenario {
    let found = all().into_iter().find(|scenario| scenario.name == name);
    found.expect("the name of a scenario")
}

fn healthy() -> Vec<Scenario> {
    let limited = |name, rows, n, concurrency| {
        let mut scenario = Scenario::new(name, rows);
        scenario.keys = vec![key(rpm(n))];
        scenario.allowed_rpm = Some(n);
        scenario.settings.concurrency = concurrency;
        scenario
    };
    let fixed = Concurrency::fixed;
    vec![
        Scenario::new("16 in flight", 3000),
        limited("--rpm 60", 300, 60, fixed(16)),
        limited("--rpm 600", 3000, 600, fixed(16)),
        limited("--rpm 6000, 256 in flight", 9000, 6000, fixed(256)),
        limited("--rpm 6000, auto", 9000, 6000, Concurrency::auto()),
    ]
}

/// A large and a small batch that share a key with 600 requests per minute.
fn large_and_small() -> Scenario {
    let mut scenario = Scenario::new("large and small batch, --rpm 600", 3000);
    scenario.batches.push(Batch::of(100));
    scenario.keys = vec![key(rpm(600))];
    scenario.allowed_rpm = Some(600);
    scenario
}

/// Two batches of different models. The key of the first one has used up its daily quota.
fn one_batch_blocked() -> Scenario {
    let mut scenario = Scenario::new("one of two batches waits for a quota", 50);
    scenario.batches = vec![
        Batch {
            only_key: Some(KeyIndex(0)),
            ..Batch::of(50)
        },
        Batch {
            model: "other",
            only_key: Some(KeyIndex(1)),
            ..Batch::of(300)
        },
    ];
    scenario.keys = vec![key(daily(20)), key(rpm(600))];
    scenario.settings.max_wait = seconds(5 * 3600);
    scenario.endpoint.accounts = vec![0, 1];
    scenario
}

fn lanes() -> Vec<Scenario> {
    let mut deadline = large_and_small();
    deadline.name = "three batches, the last with a deadline";
    deadline.batches = vec![Batch::of(1000), Batch::of(1000), Batch::of(1000)];
    deadline.batches[2].deadline = Some(seconds(600));
    vec![large_and_small(), deadline, one_batch_blocked()]
}

fn failing() -> Vec<Scenario> {
    let failing = |name, share| {
        let mut scenario = Scenario::new(name, 300);
        scenario.settings.max_attempts = 8;
        scenario.endpoint.latency = Duration::from_millis(200);
        scenario.endpoint.failing = share;
        scenario
    };
    let mut poisoned = failing("every tenth row fails", 0.0);
    poisoned.endpoint.poisoned = Some(10);
    let mut both = failing("every tenth row fails, 20% of the others", 0.2);
    both.endpoint.poisoned = Some(10);
    vec![
        failing("30% fail independently", 0.3),
        failing("50% fail independently", 0.5),
        failing("70% fail independently", 0.7),
        failing("90% fail independently", 0.9),
        poisoned,
        both,
    ]
}

fn outages() -> Vec<Scenario> {
    let outage = |name, fault, minutes: u64, max_outage: u64| {
        let mut scenario = Scenario::new(name, 2000);
        let end = seconds(30 + 60 * minutes);
        scenario.endpoint.faults = vec![(seconds(30)..end, fault)];
        scenario.recovers_from = Some(end);
        scenario.settings.max_outage = seconds(60 * max_outage);
        scenario
    };
    let (refused, unavailable) = (Fault::ConnectionRefused, Fault::Unavailable);
    vec![
        outage("1 min connection refused", refused, 1, 10),
        outage("1 min of 503", unavailable, 1, 10),
        outage("10 min connection refused", refused, 10, 10),
        outage("10 min of 503, --max-outage 20m", unavailable, 10, 20),
        outage("60 min connection refused", refused, 60, 10),
    ]
}

fn hidden_limits() -> Vec<Scenario> {
    let hidden = |name, window, hint| {
        let mut scenario = Scenario::new(name, 3000);
        let requests = usize::try_from(window).unwrap_or(60) * 10;
        let window = seconds(window);
        scenario.endpoint.limit = Some(Limit {
            requests,
            window,
            hint,
        });
        scenario.settings.concurrency = Concurrency::fixed(32);
        scenario.allowed_rpm = Some(600);
        scenario
    };
    vec![
        hidden("429 above 10 per second", 1, Hint::Nothing),
        hidden("429 above 600 per minute", 60, Hint::Nothing),
        hidden("Retry-After above 10 per second", 1, Hint::RetryAfter),
        hidden("Retry-After above 600 per minute", 60, Hint::RetryAfter),
        hidden("limit of 600 per minute in headers", 60, Hint::Headers),
    ]
}

fn daily(n: u32) -> KeyLimits {
    KeyLimits {
        rpd: NonZeroU32::new(n),
        ..KeyLimits::default()
    }
}

fn quotas() -> Vec<Scenario> {
    let quota = |name, configured: bool, hours: Option<u64>| {
        let mut scenario = Scenario::new(name, 300);
        scenario.endpoint.daily = Some(200);
        if configured {
            scenario.keys = vec![key(daily(200))];
        }
        if let Some(hours) = hours {
            scenario.settings.max_wait = seconds(3600 * hours);
            let midnight = KeyLimits::default().zone.next_day(START);
            scenario.recovers_from = Some(midnight.since(START));
        }
        scenario
    };
    vec![
        quota("--rpd 200, --max-wait 5h", true, Some(5)),
        quota("--rpd 200", true, None),
        quota("429 above 200 per day, --max-wait 5h", false, Some(5)),
        quota("429 above 200 per day", false, None),
    ]
}

fn keys() -> Vec<Scenario> {
    let revoked = |name, revoked: usize| {
        let mut scenario = Scenario::new(name, 900);
        scenario.keys = vec![key(rpm(60)); 3];
        scenario.allowed_rpm = Some(180);
        let faults = (0..revoked).map(|n| (seconds(60)..LONG, Fault::Revoked(KeyIndex(n))));
        scenario.endpoint = Endpoint {
            accounts: vec![0, 1, 2],
            faults: faults.collect(),
            ..Endpoint::default()
        };
        scenario
    };
    vec![
        revoked("one of three keys revoked after 1 min", 1),
        revoked("all three keys revoked after 1 min", 3),
        keys_in_groups(),
    ]
}

/// Eight keys in four groups, each with 60 requests per minute.
fn keys_in_groups() -> Scenario {
    let mut scenario = Scenario::new("eight keys in four groups, --rpm 60 each", 1200);
    let key = |n: usize| KeyQuota {
        group: Some(format!("group-{}", n / 2)),
        group_limits: rpm(60),
        ..KeyQuota::default()
    };
    scenario.keys = (0..8).map(key).collect();
    scenario.allowed_rpm = Some(240);
    scenario.endpoint.accounts = (0..8).map(|n| n / 2).collect();
    scenario.endpoint.limit = Some(Limit {
        requests: 61,
        window: seconds(60),
        hint: Hint::Nothing,
    });
    scenario
}

fn load() -> Vec<Scenario> {
    let auto = |name, rows, change: fn(&mut Endpoint)| {
        let mut scenario = Scenario::new(name, rows);
        scenario.settings.concurrency = Concurrency::auto();
        change(&mut scenario.endpoint);
        scenario
    };
    vec![
        auto("auto, 503 above 20 in flight", 2000, |endpoint| {
            endpoint.load = Load::ShedAbove(20);
        }),
        auto("auto, slower above 20 in flight", 2000, |endpoint| {
            endpoint.load = Load::SlowAbove(20);
        }),
        auto("auto, latency doubles after 10 s", 5000, |endpoint| {
            endpoint.faults = vec![(seconds(10)..LONG, Fault::Slow(2))];
        }),
        auto("auto, ten times slower for 1 min", 5000, |endpoint| {
            endpoint.faults = vec![(seconds(0)..seconds(60), Fault::Slow(10))];
        }),
    ]
}

fn endings() -> Vec<Scenario> {
    let mut suspects = Scenario::new("3 of 100 rows crashed an earlier run", 100);
    suspects.batches[0].suspects = 3;
    let mut interrupted = Scenario::new("interrupted after 30 s", 1000);
    interrupted.stops = vec![(seconds(30), StopLevel::Drain)];
    let mut aborted = Scenario::new("interrupted twice", 1000);
    aborted.stops = vec![
        (seconds(30), StopLevel::Drain),
        (Duration::from_millis(30_100), StopLevel::Abort),
    ];
    let mut runtime = Scenario::new("--max-runtime 1m", 1000);
    runtime.settings.limits.until = Some(START + seconds(60));
    vec![suspects, interrupted, aborted, runtime]
}
