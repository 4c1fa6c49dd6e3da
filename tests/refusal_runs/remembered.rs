//! What a run knows of its keys from the run before, and what keys of a group share.

use promptmill::domain::job::JobState;
use promptmill::simulator::{Arrival, KeyRefusal, Reaction, Script};

use crate::bench::{Bench, MODEL, error, label, secret, throttled};

#[tokio::test]
async fn a_key_that_was_dead_gets_no_request_in_the_next_run() {
    let invalid = Reaction::Refuse(KeyRefusal::Invalid);
    let quota = error(429, "requests per day: limit reached", "", "");
    let script = Script::new()
        .for_key(secret(0), invalid)
        .on(|arrival| arrival.number > 20, quota);
    let bench = Bench::new(2, 60, script.clone()).await;
    bench
        .run()
        .await
        .account("one key dead, then a daily quota");
    bench.simulator.set_script(Script::new());
    bench.forget_waits(true).await;
    let before = bench.simulator.ledger().of_key(&secret(0));
    assert_eq!(before, 1);
    let ran = bench.run().await;
    ran.account("the next run");
    assert_eq!(ran.end(), "done");
    assert_eq!(ran.ledger.of_key(&secret(0)), 1);
}

#[tokio::test]
async fn a_lone_key_that_rests_is_probed_once_in_the_next_run() {
    let script = Script::new().always(Reaction::Refuse(KeyRefusal::Disabled));
    let bench = Bench::new(1, 50, script).await;
    for (run, name) in ["first", "second"].iter().enumerate() {
        let ran = bench.run().await;
        ran.account(&format!("lone key disabled, {name} run"));
        assert_eq!((ran.requests, ran.end()), (1, "no key"), "run {run}");
        assert_eq!(ran.out(), [(0, "quarantined")]);
    }
    bench.simulator.set_script(Script::new());
    let ran = bench.run().await;
    ran.account("lone key mended");
    assert_eq!((ran.requests, ran.end()), (50, "done"));
    assert_eq!(ran.out(), []);
}

#[tokio::test]
async fn a_dead_lone_key_is_not_asked_again() {
    let script = Script::new().always(Reaction::Refuse(KeyRefusal::Invalid));
    let bench = Bench::new(1, 50, script).await;
    assert_eq!(bench.run().await.requests, 1);
    let again = bench.run().await;
    again.account("lone key dead, second run");
    assert_eq!((again.requests, again.end()), (0, "no key"));
    assert!(again.said().contains(&label(0)), "{}", again.said());
}

#[tokio::test]
async fn a_model_that_a_key_may_not_use_is_remembered_for_that_model_only() {
    let text = "Project `proj_x` does not have access to model `m-1`";
    let refusal = error(403, text, "invalid_request_error", "model_not_found");
    let script = Script::new().for_key(secret(0), refusal);
    let mut bench = Bench::new(2, 20, script).await;
    let ran = bench.run().await;
    ran.account("model refused for one key");
    let models: Vec<_> = ran.keys.iter().map(|key| key.model.as_str()).collect();
    assert_eq!(models, [MODEL, ""]);
    bench.simulator.set_script(Script::new());
    bench.store.reopen_failed(bench.batch.id).await.unwrap();
    bench.ask("m-2");
    let other = bench.run().await;
    assert_eq!(other.out(), [], "the key may be used for another model");
}

#[tokio::test]
async fn keys_of_a_group_rest_together_and_are_not_rotated() {
    let shared = |arrival: &Arrival<'_>| arrival.number == 1;
    let mut bench = Bench::new(3, 30, Script::new().on(shared, throttled(300))).await;
    bench.groups = vec![Some("account".to_owned()); 3];
    let ran = bench.run().await;
    ran.account("429 in a group of 3");
    assert_eq!((ran.requests, ran.end()), (31, "done"));
    // Two more were in flight with the first; then nothing until the rest is over.
    let at: Vec<_> = ran.ledger.entries.iter().map(|entry| entry.at).collect();
    let gap = at
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .max()
        .unwrap();
    assert!(gap.as_millis() >= 250, "{gap:?}");

    let dry = error(429, "quota", "", "insufficient_quota");
    let script = Script::new().on(|arrival| arrival.number > 10, dry);
    let mut bench = Bench::new(3, 300, script).await;
    bench.groups = vec![Some("account".to_owned()); 3];
    let ran = bench.run().await;
    ran.account("quota of a group of 3");
    assert_eq!(ran.end(), "no key");
    assert!(ran.requests <= 10 + 8, "{} requests", ran.requests);
    assert_eq!(ran.rows(JobState::Pending).len(), 290);
    assert_eq!(ran.out().len(), 3);
}
