//! Decisions of the scheduler: given a state and an event, which effects follow.

use std::num::NonZeroU32;
use std::time::Duration;

use promptmill::domain::failure::{ErrorResponse, Failure};
use promptmill::domain::job::{Completion, JobClaim, JobId};
use promptmill::domain::key::{Key, KeyState};
use promptmill::domain::keyring::KeyIndex;
use promptmill::domain::limits::KeyLimits;
use promptmill::domain::price::Prices;
use promptmill::domain::retry::Transition;
use promptmill::domain::run_stats::StopReason;
use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::LARGER_THAN_LIMIT;
use promptmill::progress::event::RunEvent;

use promptmill::scheduler::{
    Candidate, Effect, EndpointName, Event, KeyQuota, LaneEnd, LaneId, LaneSetup, Scheduler,
    Settings, StopLevel,
};

const NOW: Timestamp = Timestamp::from_millis(1_795_464_000_000);
const A: LaneId = LaneId(1);
const B: LaneId = LaneId(2);
const C: LaneId = LaneId(3);

/// A scheduler with a clock.
struct Bench {
    scheduler: Scheduler,
    keys: usize,
    now: Timestamp,
}

impl Bench {
    fn new(settings: Settings, quotas: &[KeyQuota]) -> Self {
        let (endpoint, prices) = (EndpointName::default(), Prices::default());
        Self {
            scheduler: Scheduler::new(settings, endpoint, prices, quotas, (7, NOW)),
            keys: quotas.len(),
            now: NOW,
        }
    }

    /// A bench with keys without limits.
    fn with_keys(keys: usize) -> Self {
        Self::new(Settings::default(), &vec![KeyQuota::default(); keys])
    }

    /// Opens a lane that all keys serve.
    fn open(mut self, lane: LaneId, model: &str) -> Self {
        self.open_lane(lane, model, false);
        self
    }

    fn open_lane(&mut self, lane: LaneId, model: &str, has_suspects: bool) {
        let key = |n| (KeyIndex(n), Key::new(format!("key-{n}"), format!("f{n}")));
        let setup = LaneSetup {
            model: model.to_owned(),
            keys: (0..self.keys).map(key).collect(),
            has_suspects,
            ..LaneSetup::default()
        };
        self.on(Event::LaneOpened(lane, setup));
    }

    fn on(&mut self, event: Event<'_>) -> Vec<Effect> {
        self.scheduler.on(event, self.now)
    }

    fn ready(&mut self) -> Vec<Effect> {
        self.on(Event::Ready { unwritten: false })
    }

    fn stop(&mut self, level: StopLevel) -> Vec<Effect> {
        self.on(Event::StopRequested(level, Some(StopReason::Terminated)))
    }

    /// Claims jobs that need this many tokens each, and none of the other lanes. More jobs can be
    /// claimed at any time.
    fn claim_with_tokens(&mut self, lane: LaneId, jobs: &[i64], tokens: u64) -> Vec<Effect> {
        for (other, _) in claims(&self.ready()) {
            if other != lane {
                assert_eq!(self.claimed(other, Vec::new()), []);
            }
        }
        let candidate = |job: &i64| Candidate {
            claim: claim(*job),
            request_tokens: tokens,
            max_completion_tokens: Some(0),
            ..Candidate::default()
        };
        self.claimed(lane, jobs.iter().map(candidate).collect())
    }

    fn claimed(&mut self, lane: LaneId, jobs: Vec<Candidate>) -> Vec<Effect> {
        let next_due = Some(Timestamp::default());
        self.on(Event::Claimed {
            lane,
            jobs,
            next_due,
        })
    }

    fn claim(&mut self, lane: LaneId, jobs: &[i64]) -> Vec<Effect> {
        self.claim_with_tokens(lane, jobs, 0)
    }

    fn complete(&mut self, job: i64) -> Vec<Effect> {
        self.on(Event::Completed {
            claim: claim(job),
            completion: &Completion {
                body: String::new(),
                model: String::new(),
                finish_reason: String::new(),
                prompt_tokens: None,
                completion_tokens: None,
                latency_ms: 0,
                request_id: String::new(),
            },
            violation: None,
            latency: Duration::from_secs(1),
        })
    }

    fn fail(&mut self, job: i64, status: u16, code: &str) -> Vec<Effect> {
        self.on(Event::Failed {
            claim: claim(job),
            failure: &Failure::ErrorResponse(ErrorResponse {
                status,
                code: code.to_owned(),
                message: "an error".to_owned(),
                ..ErrorResponse::default()
            }),
            latency: Duration::from_secs(1),
        })
    }
}

fn claim(job: i64) -> JobClaim {
    let (job, number) = (JobId(job), 1);
    JobClaim { job, number }
}

/// Returns the jobs that are sent, with their keys.
fn sent(effects: &[Effect]) -> Vec<(i64, usize)> {
    let send = |effect: &Effect| match effect {
        Effect::Send { claim, key, .. } => Some((claim.job.0, key.0)),
        _ => None,
    };
    effects.iter().filter_map(send).collect()
}

/// Returns the claims of at least one job.
fn claims(effects: &[Effect]) -> Vec<(LaneId, usize)> {
    let claim = |effect: &Effect| match effect {
        Effect::Claim(lane, jobs) if *jobs > 0 => Some((*lane, *jobs)),
        _ => None,
    };
    effects.iter().filter_map(claim).collect()
}

/// Returns the transitions of the settled jobs, each with the rule of its failed attempt.
fn transitions(effects: &[Effect]) -> Vec<(Transition, &str)> {
    let transition = |effect| match effect {
        &Effect::Settle {
            transition,
            ref attempt,
            ..
        } => {
            let rule = attempt.as_ref().map_or("", |attempt| &attempt.rule);
            Some((transition, rule))
        }
        _ => None,
    };
    effects.iter().filter_map(transition).collect()
}

fn requeued_at(not_before: Timestamp) -> Transition {
    let counted = false;
    Transition::Requeue {
        not_before,
        counted,
    }
}

#[track_caller]
fn check_end(effects: &[Effect], expected: StopReason) {
    let [
        Effect::SaveKeys { .. },
        Effect::EndLane(A, LaneEnd { reason, .. }),
    ] = effects
    else {
        panic!("{effects:?}");
    };
    assert_eq!(*reason, Some(expected));
}

#[test]
fn a_drained_run_claims_nothing_and_ends_after_its_requests() {
    let mut bench = Bench::with_keys(1).open(A, "a");
    assert_eq!(sent(&bench.claim(A, &[1])), [(1, 0)]);
    assert_eq!(bench.stop(StopLevel::Run), []);
    let draining = Effect::Report(RunEvent::Draining { in_flight: 1 });
    assert_eq!(bench.stop(StopLevel::Drain), [draining]);
    assert_eq!(bench.stop(StopLevel::Drain), []);
    assert_eq!(claims(&bench.ready()), []);
    let grace_ends = NOW + Settings::default().grace;
    assert_eq!(bench.on(Event::Idle), [Effect::Wait(Some(grace_ends))]);
    assert!(matches!(bench.complete(1)[..], [Effect::Complete { .. }]));
    check_end(&bench.on(Event::Idle), StopReason::Terminated);
}

#[test]
fn requests_are_abandoned_at_the_end_of_the_grace_period_or_at_the_second_signal() {
    let grace = Settings::default().grace;
    for (level, wait) in [
        (StopLevel::Drain, grace),
        (StopLevel::Abort, Duration::ZERO),
    ] {
        let mut bench = Bench::with_keys(1).open(A, "a");
        bench.claim(A, &[1]);
        assert_ne!(bench.stop(StopLevel::Drain), []);
        if !wait.is_zero() {
            bench.now = NOW + wait.saturating_sub(Duration::from_millis(1));
            assert_eq!(bench.stop(level), []);
        }
        bench.now = NOW + wait;
        assert_eq!(bench.stop(level), [Effect::Abandon]);
        let abandoned = bench.on(Event::Abandoned(claim(1)));
        let expected = (requeued_at(Timestamp::default()), "stopped-in-flight");
        assert_eq!(transitions(&abandoned), [expected]);
        check_end(&bench.on(Event::Idle), StopReason::Terminated);
    }
}

#[test]
fn the_maximum_runtime_drains_the_run() {
    let mut settings = Settings::default();
    let until = NOW + Duration::from_mins(1);
    settings.limits.until = Some(until);
    let mut bench = Bench::new(settings, &[KeyQuota::default()]).open(A, "a");
    bench.claim(A, &[1]);
    bench.now = NOW + Duration::from_secs(59);
    assert_eq!(bench.stop(StopLevel::Run), []);
    assert_eq!(bench.on(Event::Idle), [Effect::Wait(Some(until))]);
    bench.now = until;
    assert_eq!(bench.stop(StopLevel::Run), []);
    assert!(!bench.scheduler.accepts_lanes(until));
    assert_eq!(claims(&bench.ready()), []);
    let grace_ends = until + settings.grace;
    assert_eq!(bench.on(Event::Idle), [Effect::Wait(Some(grace_ends))]);
    bench.now = grace_ends;
    assert_eq!(bench.stop(StopLevel::Run), [Effect::Abandon]);
    bench.on(Event::Abandoned(claim(1)));
    check_end(&bench.on(Event::Idle), StopReason::Limit("--max-runtime"));
}

#[test]
fn a_suspect_runs_alone_until_its_result_is_written() {
    let mut bench = Bench::with_keys(2).open(A, "a");
    bench.open_lane(B, "a", true);
    for suspect in [11, 12] {
        let effects = bench.ready();
        assert!(effects.contains(&Effect::ClaimSuspect(B)), "{effects:?}");
        assert_eq!(claims(&effects), []);
        let job = Candidate {
            claim: claim(suspect),
            ..Candidate::default()
        };
        let effects = bench.on(Event::SuspectClaimed(B, Some(job)));
        assert_eq!(sent(&effects).len(), 1);
        let in_flight = bench.ready();
        assert!(!in_flight.contains(&Effect::ClaimSuspect(B)));
        assert_eq!(claims(&in_flight), []);
        bench.complete(suspect);
        let unwritten = bench.on(Event::Ready { unwritten: true });
        assert!(!unwritten.contains(&Effect::ClaimSuspect(B)));
        assert_eq!(claims(&unwritten), []);
    }
    assert!(bench.ready().contains(&Effect::ClaimSuspect(B)));
    assert_eq!(bench.on(Event::SuspectClaimed(B, None)), []);
    let claimed: Vec<_> = claims(&bench.ready()).iter().map(|claim| claim.0).collect();
    assert_eq!(claimed, [A, B]);
}

#[test]
fn a_suspect_that_waits_for_its_key_does_not_block_other_lanes() {
    let mut bench = Bench::with_keys(1).open(A, "a");
    let until = NOW + Duration::from_mins(5);
    let mut key = Key::new("key-0".to_owned(), "f0".to_owned());
    (key.state, key.model_only) = (KeyState::Cooling { until }, true);
    let setup = LaneSetup {
        model: "b".to_owned(),
        keys: vec![(KeyIndex(0), key)],
        has_suspects: true,
        ..LaneSetup::default()
    };
    bench.on(Event::LaneOpened(B, setup));
    assert_eq!(sent(&bench.claim(A, &[1])).len(), 1);
    bench.complete(1);
    bench.now = until;
    let effects = bench.ready();
    assert!(effects.contains(&Effect::ClaimSuspect(B)), "{effects:?}");
    assert_eq!(claims(&effects), []);
}

/// Checks what happens to a job of this many tokens, with keys of these token limits.
#[track_caller]
fn check_tokens(limits: &[u32], tokens: u64, expected: Result<(), (Transition, &str)>) {
    let quota = |tpm: &u32| KeyQuota {
        limits: KeyLimits {
            tpm: NonZeroU32::new(*tpm),
            ..KeyLimits::default()
        },
        ..KeyQuota::default()
    };
    let quotas: Vec<_> = limits.iter().map(quota).collect();
    let mut bench = Bench::new(Settings::default(), &quotas).open(A, "a");
    let effects = bench.claim_with_tokens(A, &[1], tokens);
    match expected {
        Ok(()) => assert_eq!(sent(&effects).len(), 1, "{effects:?}"),
        Err(settled) => assert_eq!(transitions(&effects), [settled]),
    }
    if expected == Err((requeued_at(NOW), "")) {
        // The next permit reserves as many tokens as the job needs.
        bench.now = NOW + Duration::from_secs(2);
        let effects = bench.claim_with_tokens(A, &[1], tokens);
        assert_eq!(sent(&effects).len(), 1, "{effects:?}");
    }
}

#[test]
fn a_job_waits_for_tokens_or_fails_if_no_key_allows_as_many() {
    let too_large = Err((Transition::Fail, LARGER_THAN_LIMIT.0));
    check_tokens(&[6000], 50, Ok(()));
    check_tokens(&[6000], 100, Err((requeued_at(NOW), "")));
    check_tokens(&[6000], 6000, Err((requeued_at(NOW), "")));
    check_tokens(&[6000], 6001, too_large);
    check_tokens(&[6000, 9000], 9001, too_large);
    check_tokens(&[6000, 9000], 9000, Err((requeued_at(NOW), "")));
    // Zero means no limit.
    check_tokens(&[0], 9001, Ok(()));
}

/// Checks which keys another lane uses after one of two keys failed for a job of lane A.
#[track_caller]
fn check_keys_of_others(status: u16, code: &str, expected: &[(i64, usize)]) {
    let mut bench = Bench::with_keys(2).open(A, "a").open(B, "b");
    assert_eq!(sent(&bench.claim(A, &[1, 2])), [(1, 0), (2, 1)]);
    bench.fail(1, status, code);
    assert_eq!(
        sent(&bench.claim(B, &[11, 12])),
        expected,
        "{status} {code}"
    );
    // The state also holds for a lane that is opened later.
    bench.open_lane(C, "c", false);
    let later: Vec<_> = expected.iter().map(|(job, key)| (job + 10, *key)).collect();
    assert_eq!(sent(&bench.claim(C, &[21, 22])), later, "{status} {code}");
    // Lane A does not use the key in any case.
    bench.complete(2);
    let keys = sent(&bench.claim(A, &[3, 4, 5]));
    assert!(keys.iter().all(|(_, key)| *key == 1), "{keys:?}");
}

#[test]
fn a_penalty_of_an_account_holds_for_all_lanes_and_that_of_a_model_for_one() {
    let (one_key, both_keys) = (&[(11, 1)][..], &[(11, 0), (12, 1)][..]);
    check_keys_of_others(401, "invalid_api_key", one_key);
    check_keys_of_others(429, "insufficient_quota", one_key);
    check_keys_of_others(429, "rate_limit_exceeded", one_key);
    check_keys_of_others(403, "model_not_found", both_keys);
    check_keys_of_others(403, "no_access", both_keys);
}

#[test]
fn a_completion_for_one_model_does_not_show_that_another_works() {
    let mut bench = Bench::with_keys(1).open(A, "a").open(B, "b");
    assert_eq!(claims(&bench.ready()), [(A, 1), (B, 1)]);
    bench.claim(A, &[1]);
    bench.claim(B, &[]);
    bench.complete(1);
    assert_eq!(claims(&bench.ready()), [(A, 15), (B, 1)]);
}

#[test]
fn connections_are_replaced_at_most_once_a_minute() {
    let mut bench = Bench::with_keys(1).open(A, "a");
    bench.claim(A, &[1]);
    bench.complete(1);
    for (job, seconds, reconnects) in [(2, 0, true), (3, 59, false), (4, 60, true), (5, 119, false)]
    {
        bench.now = NOW + Duration::from_secs(seconds);
        assert_eq!(sent(&bench.claim(A, &[job])), [(job, 0)]);
        let effects = bench.fail(job, 403, "");
        let contains = effects.contains(&Effect::Reconnect);
        assert_eq!(contains, reconnects, "at {seconds} s: {effects:?}");
    }
}
