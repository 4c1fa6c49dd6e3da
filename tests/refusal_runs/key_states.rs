//! Key states that persist across runs, and states shared by the keys of a group.

use promptmill::domain::job::JobState;
use promptmill::simulator::{IncomingRequest, KeyRejection, Reaction, Script};
use promptmill::store::RowFilter;

use crate::fixture::{Fixture, MODEL, error, label, secret, throttled};

#[tokio::test]
async fn an_invalid_key_is_not_used_in_the_next_run() {
    let invalid = Reaction::Reject(KeyRejection::Invalid);
    let quota = error(429, "requests per day: limit reached", "", "");
    let script = Script::new()
        .for_key(secret(0), invalid)
        .on(|request| request.number > 20, quota);
    let fixture = Fixture::new(2, 60, script.clone()).await;
    fixture
        .run()
        .await
        .check_accounting("one invalid key, then a daily quota");
    fixture.simulator.set_script(Script::new());
    fixture.end_cooldowns().await;
    let before = fixture.simulator.request_log().count_by_key(&secret(0));
    assert_eq!(before, 1);
    let result = fixture.run().await;
    result.check_accounting("the next run");
    assert_eq!(result.end(), "done");
    assert_eq!(result.log.count_by_key(&secret(0)), 1);
}

#[tokio::test]
async fn a_single_disabled_key_is_tried_once_in_the_next_run() {
    let script = Script::new().always(Reaction::Reject(KeyRejection::Disabled));
    let fixture = Fixture::new(1, 50, script).await;
    for (run, name) in ["first", "second"].iter().enumerate() {
        let result = fixture.run().await;
        result.check_accounting(&format!("single key disabled, {name} run"));
        assert_eq!((result.requests, result.end()), (1, "no key"), "run {run}");
        assert_eq!(result.disabled(), [(0, "quarantined")]);
    }
    fixture.simulator.set_script(Script::new());
    let result = fixture.run().await;
    result.check_accounting("single key enabled again");
    assert_eq!((result.requests, result.end()), (50, "done"));
    assert_eq!(result.disabled(), []);
}

#[tokio::test]
async fn a_single_invalid_key_is_not_used_again() {
    let script = Script::new().always(Reaction::Reject(KeyRejection::Invalid));
    let fixture = Fixture::new(1, 50, script).await;
    assert_eq!(fixture.run().await.requests, 1);
    let second = fixture.run().await;
    second.check_accounting("single invalid key, second run");
    assert_eq!((second.requests, second.end()), (0, "no key"));
    assert!(second.message().contains(&label(0)), "{}", second.message());
}

#[tokio::test]
async fn missing_access_to_a_model_is_stored_for_that_model_only() {
    let text = "Project `proj_x` does not have access to model `m-1`";
    let refusal = error(403, text, "invalid_request_error", "model_not_found");
    let script = Script::new().for_key(secret(0), refusal);
    let mut fixture = Fixture::new(2, 20, script).await;
    let result = fixture.run().await;
    result.check_accounting("model refused for one key");
    let models: Vec<_> = result.keys.iter().map(|key| key.model.as_str()).collect();
    assert_eq!(models, [MODEL, ""]);
    fixture.simulator.set_script(Script::new());
    let all = RowFilter::default();
    fixture.store.reopen(fixture.batch.id, &all).await.unwrap();
    fixture.use_model("m-2");
    let other = fixture.run().await;
    assert_eq!(
        other.disabled(),
        [],
        "the key is disabled for another model too"
    );
}

#[tokio::test]
async fn keys_of_a_group_cool_down_together() {
    let shared = |request: &IncomingRequest<'_>| request.number == 1;
    let mut fixture = Fixture::new(3, 30, Script::new().on(shared, throttled(300))).await;
    fixture.groups = vec![Some("account".to_owned()); 3];
    let result = fixture.run().await;
    result.check_accounting("429 in a group of 3");
    assert_eq!((result.requests, result.end()), (31, "done"));
    // Two more requests were in flight with the first one. There are none until the cooldown ends.
    let at: Vec<_> = result.log.entries.iter().map(|entry| entry.at).collect();
    let gap = at
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .max()
        .unwrap();
    assert!(gap.as_millis() >= 250, "{gap:?}");

    let exhausted = error(429, "quota", "", "insufficient_quota");
    let script = Script::new().on(|request| request.number > 10, exhausted);
    let mut fixture = Fixture::new(3, 300, script).await;
    fixture.groups = vec![Some("account".to_owned()); 3];
    let result = fixture.run().await;
    result.check_accounting("quota of a group of 3");
    assert_eq!(result.end(), "no key");
    assert!(result.requests <= 10 + 8, "{} requests", result.requests);
    assert_eq!(result.rows(JobState::Pending).len(), 290);
    assert_eq!(result.disabled().len(), 3);
}
