//! What changes in the middle of a run: keys that are revoked, a firewall that goes up, an account
//! that runs dry. The rows are not to pay for it.

use promptmill::domain::job::JobState;
use promptmill::simulator::{Arrival, Reaction, Script};

use crate::bench::{Bench, Ran, error, secret, unknown_403};

async fn run(name: &str, keys: usize, jobs: usize, script: Script) -> Ran {
    let bench = Bench::new(keys, jobs, script).await;
    let ran = bench.run().await;
    ran.account(&format!("{name}, {keys} keys"));
    ran
}

/// From request 61 on everybody is refused: no row is lost, and the run ends soon.
async fn all_refused_later(name: &str, refusal: Reaction) {
    let late = |arrival: &Arrival<'_>| arrival.number > 60;
    for keys in [1, 2, 5] {
        let ran = run(name, keys, 2000, Script::new().on(late, refusal.clone())).await;
        assert!(ran.rows(JobState::Failed).is_empty(), "{keys} keys");
        assert_eq!(ran.rows(JobState::Done).len(), 60, "{keys} keys");
        assert!(ran.requests <= 60 + 24, "{} requests", ran.requests);
        assert_eq!(ran.end(), "no key", "{}", ran.said());
        assert_eq!(ran.out(), [], "{keys} keys");
    }
}

#[tokio::test]
async fn an_unknown_refusal_of_everybody_loses_no_row() {
    all_refused_later("unknown 403 from request 61 on", unknown_403()).await;
}

#[tokio::test]
async fn a_firewall_that_goes_up_loses_no_row() {
    let page = Reaction::Raw {
        status: 403,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: "<html><title>Just a moment...</title></html>".to_owned(),
    };
    all_refused_later("firewall page from request 61 on", page).await;
}

#[tokio::test]
async fn a_firewall_that_goes_up_near_the_end_loses_no_row() {
    let late = |arrival: &Arrival<'_>| arrival.number > 60;
    let script = Script::new().on(late, unknown_403());
    let ran = run("unknown 403 for the last 6 rows", 3, 66, script).await;
    assert!(ran.rows(JobState::Failed).is_empty());
    assert_eq!(ran.end(), "no key");
    assert!(ran.said().contains("m-1"), "{}", ran.said());
}

#[tokio::test]
async fn two_keys_of_three_that_are_revoked_without_a_known_word_lose_no_row() {
    let revoked = |arrival: &Arrival<'_>| arrival.number > 60 && arrival.key != secret(2);
    let script = Script::new().on(revoked, unknown_403());
    let ran = run("2 of 3 revoked, unknown text", 3, 400, script).await;
    assert!(ran.rows(JobState::Failed).is_empty());
    assert_eq!(ran.end(), "done");
    assert_eq!(ran.out(), [(0, "quarantined"), (1, "quarantined")]);
    assert!(ran.requests <= 400 + 40, "{} requests", ran.requests);
}

#[tokio::test]
async fn a_revoked_key_is_tried_again_later_and_costs_what_was_in_flight() {
    let text = "Incorrect API key provided";
    let refusal = error(401, text, "", "invalid_api_key");
    let revoked = |arrival: &Arrival<'_>| arrival.number > 60 && arrival.key == secret(0);
    let ran = run("revoked key", 3, 200, Script::new().on(revoked, refusal)).await;
    assert_eq!(ran.end(), "done");
    assert!(ran.rows(JobState::Failed).is_empty());
    assert_eq!(ran.out(), [(0, "quarantined")]);
    assert!(ran.requests <= 200 + 8, "{} requests", ran.requests);
}

#[tokio::test]
async fn an_account_that_runs_dry_for_all_keys_ends_the_run() {
    let refusal = error(429, "quota", "", "insufficient_quota");
    let dry = |arrival: &Arrival<'_>| arrival.number > 60;
    let ran = run("runs dry", 5, 2000, Script::new().on(dry, refusal)).await;
    assert_eq!(ran.end(), "no key", "{}", ran.said());
    assert!(ran.rows(JobState::Failed).is_empty());
    assert!(ran.requests <= 60 + 8 + 5, "{} requests", ran.requests);
}
