//! Checks the request log of a provider: requested waits are respected, permanent errors are not
//! retried, and retries back off.

use std::collections::BTreeMap;
use std::time::Duration;

use promptmill::simulator::{Config, Reaction, RequestLogEntry, Script};

use crate::support::{TestEnv, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

fn test_env(rows: usize, script: Script) -> TestEnv {
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(rows));
    env
}

/// Returns the requests by prompt, each in order of arrival.
fn requests_by_prompt(env: &TestEnv) -> BTreeMap<String, Vec<RequestLogEntry>> {
    let mut found: BTreeMap<String, Vec<RequestLogEntry>> = BTreeMap::new();
    for entry in env.provider.request_log().entries {
        found.entry(entry.prompt.clone()).or_default().push(entry);
    }
    found
}

#[test]
fn no_request_arrives_before_the_requested_wait_is_over() {
    let wait = Duration::from_secs(2);
    let script = Script::new()
        .rule(move |request| (request.number == 3).then_some(Reaction::RateLimited(wait)));
    let env = test_env(12, script);
    env.run(&format!("{RUN} --concurrency 1")).exits(0);
    let entries = env.provider.request_log().entries;
    let throttled = entries.iter().position(|entry| entry.status == Some(429));
    let throttled = &entries[throttled.unwrap()];
    let early = entries
        .iter()
        .find(|entry| entry.at > throttled.at && entry.at < throttled.at + wait);
    assert!(
        early.is_none(),
        "{early:?} arrived too early after {throttled:?}"
    );
    assert_eq!(entries.len(), 13);
}

#[test]
fn permanent_errors_are_not_retried() {
    for (status, code) in [
        (400, "context_length_exceeded"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
    ] {
        let body = format!(r#"{{"error":{{"message":"no, {code}","code":"{code}"}}}}"#);
        let script = Script::new().rule(move |request| {
            let bad = request.prompt == "question 2";
            bad.then(|| Reaction::Json(status, body.clone()))
        });
        let env = test_env(4, script);
        env.run(RUN).exits(3);
        for (prompt, entries) in requests_by_prompt(&env) {
            assert_eq!(entries.len(), 1, "status {status}, {prompt}");
        }
    }
}

#[test]
fn retries_of_a_row_back_off() {
    let script = Script::new().rule(|request| {
        (request.prompt == "question 1" && request.prompt_count <= 3)
            .then_some(Reaction::Status(500))
    });
    let env = test_env(60, script);
    env.run(&format!("{RUN} --concurrency 2")).exits(0);
    let entries = &requests_by_prompt(&env)["question 1"];
    assert_eq!(entries.len(), 4);
    let pauses: Vec<_> = entries
        .windows(2)
        .map(|pair| pair[1].at.checked_sub(pair[0].at).unwrap())
        .collect();
    // Half of 500 ms, 1 s and 2 s; the other half is jitter.
    let minimums = [250, 500, 1_000].map(Duration::from_millis);
    for (pause, minimum) in pauses.iter().zip(minimums) {
        assert!(*pause >= minimum, "pauses: {pauses:?}");
    }
}

#[test]
fn few_requests_are_sent_during_an_outage() {
    let script = Script::new().always(Reaction::Status(503));
    let env = test_env(500, script);
    let command = format!("{RUN} --concurrency 64 --max-outage 3s");
    env.run(&command).exits(69);
    let requests = env.requests();
    assert!(requests <= 100, "{requests} requests during the outage");
    assert_eq!(env.results("out.csv").count("pending"), 500);
}
