//! A deterministic simulation of the scheduler: hours of a run in milliseconds, with a model of a
//! provider. The results of all scenarios are recorded in `table.txt`.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

#[path = "scheduler/decisions.rs"]
mod decisions;
#[path = "scheduler/measure.rs"]
mod measure;
#[path = "scheduler/provider.rs"]
mod provider;
#[path = "scheduler/queue.rs"]
mod queue;
#[path = "scheduler/run.rs"]
mod run;
#[path = "scheduler/scenario.rs"]
mod scenario;
#[path = "scheduler/scenarios.rs"]
mod scenarios;

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use promptmill::domain::keyring::KeyIndex;
use promptmill::domain::limits::KeyLimits;
use promptmill::domain::run_stats::StopReason;
use promptmill::domain::time::Timestamp;
use promptmill::scheduler::LaneId;

use measure::{Measurements, max_per_minute, table};
use queue::Queue;
use run::{History, Sent, run};
use scenario::{START, Scenario};

/// The recorded table.
const RECORDED: &str = "tests/scheduler/table.txt";

#[test]
fn the_table_of_scenarios_matches_the_recorded_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut results = Vec::new();
    for scenario in scenarios::all() {
        let history = run(&scenario);
        check(&scenario, &history);
        results.push((scenario.name, Measurements::new(&scenario, &history)));
    }
    let table = table(&results);
    println!("{table}");
    let recorded = fs::read_to_string(root.join(RECORDED)).unwrap_or_default();
    if recorded != table {
        let generated = root.join("target/tmp/table.txt");
        fs::create_dir_all(root.join("target/tmp")).unwrap();
        fs::write(&generated, &table).unwrap();
        let generated = generated.display();
        panic!("{RECORDED} differs: to accept the change, copy {generated} over it");
    }
}

fn end_of(history: &History, lane: i64) -> Duration {
    history.ends[&LaneId(lane)].0.since(START)
}

#[test]
fn the_same_seed_repeats_a_simulation_and_another_one_does_not() {
    let mut scenario = scenarios::find("50% fail independently");
    let first = run(&scenario).sent;
    assert_eq!(run(&scenario).sent, first);
    scenario.seed += 1;
    assert_ne!(run(&scenario).sent, first);
}

#[test]
fn a_small_batch_gets_half_of_the_requests_and_ends_long_before_a_large_one() {
    let history = run(&scenarios::find("large and small batch, --rpm 600"));
    let (large, small) = (end_of(&history, 1), end_of(&history, 2));
    assert!(small * 10 < large, "{small:?}, {large:?}");
    let shared = history.sent.iter().take(200);
    let of_small = shared.filter(|sent| sent.lane == LaneId(2)).count();
    assert!((95..=100).contains(&of_small), "{of_small} of 200");
}

#[test]
fn a_batch_with_a_deadline_ends_first() {
    let history = run(&scenarios::find("three batches, the last with a deadline"));
    let ends = [1, 2, 3].map(|lane| end_of(&history, lane));
    assert!(ends[2] * 4 < ends[0].min(ends[1]) * 3, "{ends:?}");
}

#[test]
fn a_batch_that_waits_for_its_key_does_not_block_another() {
    let history = run(&scenarios::find("one of two batches waits for a quota"));
    let (blocked, other) = (end_of(&history, 1), end_of(&history, 2));
    assert!(blocked > Duration::from_hours(4), "{blocked:?}");
    // 300 rows, 10 per second.
    assert!(other < Duration::from_secs(35), "{other:?}");
}

#[test]
fn a_quota_ends_the_run_unless_it_is_reset_soon_enough() {
    let midnight = Some(KeyLimits::default().zone.next_day(START));
    for (name, resumes) in [
        ("--rpd 200", midnight),
        ("429 above 200 per day", midnight),
        ("--rpd 200, --max-wait 5h", None),
        ("429 above 200 per day, --max-wait 5h", None),
    ] {
        let end = &run(&scenarios::find(name)).ends[&LaneId(1)].1;
        let reason = resumes.map(|_| StopReason::Quota);
        assert_eq!(end.reason, reason, "{name}");
        // The wait that a provider requests is extended by a little.
        let second = |at: Timestamp| at.as_millis() / 1000;
        let (actual, expected) = (end.resume_at.map(second), resumes.map(second));
        assert_eq!(actual, expected, "{name}");
    }
}

#[test]
fn a_revoked_key_is_not_used_and_the_others_keep_their_rate() {
    let history = run(&scenarios::find("one of three keys revoked after 1 min"));
    let revoked = START + Duration::from_mins(1);
    let later = || history.sent.iter().filter(|sent| sent.at >= revoked);
    assert_eq!(later().filter(|sent| sent.key == KeyIndex(0)).count(), 1);
    let elapsed = history.sent.last().unwrap().at.since(revoked).as_secs();
    // 60 requests per minute with each of two keys.
    let (requests, expected) = (later().count() as u64, 2 * elapsed);
    assert!(requests.abs_diff(expected) < 5, "{requests} in {elapsed} s");
}

/// Checks what must hold in every scenario.
fn check(scenario: &Scenario, history: &History) {
    let name = scenario.name;
    let (lanes, sent) = (scenario.batches.len(), history.sent.len());
    assert_eq!(history.ends.len(), lanes, "{name}: a lane has not ended");
    for (lane, queue) in &history.queues {
        let (settled, claimed) = (queue.done.len() + queue.failed.len(), queue.claimed());
        let rows = usize::try_from(scenario.batches[lane_index(*lane)].rows).unwrap();
        let remaining = queue.claimable();
        assert_eq!(settled + remaining, rows, "{name}: rows are lost");
        assert_eq!(claimed, 0, "{name}: a claimed job was not settled");
        let is_complete = history.ends[lane].1.reason.is_none();
        assert!(!is_complete || remaining == 0, "{name}: {remaining} rows");
        check_suspects(name, history, queue);
    }
    // A round for each request, one for each response, and some to read when a retry is due.
    let rounds = history.rounds;
    assert!(rounds <= 2 * sent + 100, "{name}: {rounds} rounds");
    check_rates(scenario, history);
}

/// Checks that jobs that were in flight at several crashes run alone.
fn check_suspects(name: &str, history: &History, queue: &Queue) {
    let is_suspect = |sent: &Sent| queue.suspects.contains(&sent.job);
    let next = history.sent.iter().skip(1).chain(history.sent.last());
    for (sent, next) in history.sent.iter().zip(next) {
        let alone = sent.others == 0 && (next.others == 0 || sent.job == next.job);
        assert!(!is_suspect(sent) || alone, "{name}: {sent:?}, {next:?}");
    }
}

/// Checks that no key and no group is used more often than its rate limit allows, in any minute.
fn check_rates(scenario: &Scenario, history: &History) {
    for (index, quota) in scenario.keys.iter().enumerate() {
        let member = |key: usize| key == index;
        check_rate(scenario, history, quota.limits.rpm, member);
        let group = |key: usize| quota.group.is_some() && scenario.keys[key].group == quota.group;
        check_rate(scenario, history, quota.group_limits.rpm, group);
    }
}

fn check_rate(
    scenario: &Scenario,
    history: &History,
    rpm: Option<NonZeroU32>,
    counted: impl Fn(usize) -> bool,
) {
    let Some(rpm) = rpm.map(NonZeroU32::get) else {
        return;
    };
    // The bursts are those of nine tenths of a second, and of one request at least.
    let allowed = usize::try_from((rpm * 609).div_ceil(600)).unwrap();
    let most = max_per_minute(&history.sent, |sent| counted(sent.key.0));
    assert!(most <= allowed, "{}: {most} in a minute", scenario.name);
}

fn lane_index(lane: LaneId) -> usize {
    usize::try_from(lane.0 - 1).unwrap()
}
