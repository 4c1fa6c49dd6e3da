//! Changes in the middle of a run: revoked keys, a new firewall, an exhausted account. They must
//! not fail any row.

use promptmill::domain::job::JobState;
use promptmill::simulator::{IncomingRequest, Reaction, Script};

use crate::fixture::{Fixture, RunResult, error, secret, unknown_403};

async fn run(name: &str, keys: usize, jobs: usize, script: Script) -> RunResult {
    let fixture = Fixture::new(keys, jobs, script).await;
    let result = fixture.run().await;
    result.check_accounting(&format!("{name}, {keys} keys"));
    result
}

/// Checks that no row fails and the run stops soon if all requests after the 60th are rejected.
async fn check_all_refused_later(name: &str, refusal: Reaction) {
    let late = |request: &IncomingRequest<'_>| request.number > 60;
    for keys in [1, 2, 5] {
        let result = run(name, keys, 2000, Script::new().on(late, refusal.clone())).await;
        assert!(result.rows(JobState::Failed).is_empty(), "{keys} keys");
        assert_eq!(result.rows(JobState::Done).len(), 60, "{keys} keys");
        assert!(result.requests <= 60 + 24, "{} requests", result.requests);
        assert_eq!(result.end(), "no key", "{}", result.message());
        assert_eq!(result.disabled(), [], "{keys} keys");
    }
}

#[tokio::test]
async fn an_unknown_error_for_every_request_fails_no_row() {
    check_all_refused_later("unknown 403 after request 60", unknown_403()).await;
}

#[tokio::test]
async fn a_new_firewall_fails_no_row() {
    let page = Reaction::Raw {
        status: 403,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: "<html><title>Just a moment...</title></html>".to_owned(),
    };
    check_all_refused_later("firewall page after request 60", page).await;
}

#[tokio::test]
async fn a_new_firewall_near_the_end_fails_no_row() {
    let late = |request: &IncomingRequest<'_>| request.number > 60;
    let script = Script::new().on(late, unknown_403());
    let result = run("unknown 403 for the last 6 rows", 3, 66, script).await;
    assert!(result.rows(JobState::Failed).is_empty());
    assert_eq!(result.end(), "no key");
    assert!(result.message().contains("m-1"), "{}", result.message());
}

#[tokio::test]
async fn two_of_three_keys_revoked_with_an_unknown_message_fail_no_row() {
    let revoked = |request: &IncomingRequest<'_>| request.number > 60 && request.key != secret(2);
    let script = Script::new().on(revoked, unknown_403());
    let result = run("2 of 3 keys revoked, unknown message", 3, 400, script).await;
    assert!(result.rows(JobState::Failed).is_empty());
    assert_eq!(result.end(), "done");
    assert_eq!(result.disabled(), [(0, "quarantined"), (1, "quarantined")]);
    assert!(result.requests <= 400 + 40, "{} requests", result.requests);
}

#[tokio::test]
async fn a_revoked_key_is_quarantined_and_costs_only_the_requests_in_flight() {
    let text = "Incorrect API key provided";
    let refusal = error(401, text, "", "invalid_api_key");
    let revoked = |request: &IncomingRequest<'_>| request.number > 60 && request.key == secret(0);
    let result = run("revoked key", 3, 200, Script::new().on(revoked, refusal)).await;
    assert_eq!(result.end(), "done");
    assert!(result.rows(JobState::Failed).is_empty());
    assert_eq!(result.disabled(), [(0, "quarantined")]);
    assert!(result.requests <= 200 + 8, "{} requests", result.requests);
}

#[tokio::test]
async fn an_account_exhausted_for_all_keys_stops_the_run() {
    let refusal = error(429, "quota", "", "insufficient_quota");
    let exhausted = |request: &IncomingRequest<'_>| request.number > 60;
    let result = run(
        "account exhausted",
        5,
        2000,
        Script::new().on(exhausted, refusal),
    )
    .await;
    assert_eq!(result.end(), "no key", "{}", result.message());
    assert!(result.rows(JobState::Failed).is_empty());
    assert!(
        result.requests <= 60 + 8 + 5,
        "{} requests",
        result.requests
    );
}
