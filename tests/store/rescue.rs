//! After a crash: what was in flight is taken back, once, and is told apart from what failed.

use promptmill::domain::job::JobState;
use promptmill::domain::time::Timestamp;

use super::stage::{NOW, Open, Stage, asked, completion, done, requeued};

const UNKNOWN: &str = "transient: the program ended while this request was in flight";

pub(crate) async fn jobs_in_flight_are_taken_back_and_their_requests_are_unknown(open: impl Open) {
    let mut stage = Stage::with_rows(open, 4).await;
    let held = stage.claim(3).await;
    stage
        .settle(&[requeued(&held[2], "overloaded", NOW + 50)])
        .await;
    stage.crash().await;
    assert_eq!(stage.counts().await.running, 2);
    assert_eq!(rescue(&stage).await, 2);
    assert_eq!(rescue(&stage).await, 0, "once only");
    let records = stage.records().await;
    for record in &records[..2] {
        assert_eq!((record.state, record.attempts), (JobState::Pending, 1));
        let error = record.error.as_deref();
        assert_eq!(error, Some(&*format!("{UNKNOWN} (crashed-in-flight)")));
    }
    assert_eq!((records[2].attempts, records[3].attempts), (1, 0));
    // Two at once; the third keeps its time. A crash uses up no attempt.
    let again = stage.claim(2).await;
    assert_eq!(asked(&again), ["k0", "k1"]);
    assert_eq!((again[0].claim_no, again[0].spent), (2, 0));
    assert_eq!(again[0].rules, ["crashed-in-flight"]);
    assert_eq!(asked(&stage.claim(9).await), ["k3"]);
    assert_eq!(asked(&stage.turn(&[], 9, NOW + 50).await.claimed), ["k2"]);
}

pub(crate) async fn the_settlement_of_a_dead_run_is_stale(open: impl Open) {
    let mut stage = Stage::with_rows(open, 1).await;
    let dead = stage.claim(1).await.remove(0);
    stage.crash().await;
    rescue(&stage).await;
    assert_eq!(stage.settle(&[done(&dead, "late")]).await, 1);
    let held = stage.claim(1).await.remove(0);
    assert_eq!(
        stage
            .settle(&[done(&dead, "late"), done(&held, "good")])
            .await,
        1
    );
    let record = stage.records().await.remove(0);
    assert_eq!(
        (record.completion, record.attempts),
        (Some(completion("good")), 2)
    );
}

pub(crate) async fn what_was_settled_stays_settled(open: impl Open) {
    let mut stage = Stage::with_rows(open, 3).await;
    let held = stage.claim(2).await;
    stage
        .settle(&[done(&held[0], "kept"), done(&held[1], "kept")])
        .await;
    let before = stage.records().await;
    stage.crash().await;
    assert_eq!(stage.records().await, before);
    assert_eq!(rescue(&stage).await, 0);
    assert_eq!(stage.records().await, before);
}

pub(crate) async fn a_job_in_flight_at_five_crashes_has_failed(open: impl Open) {
    let mut stage = Stage::with_rows(open, 2).await;
    for crash in 1..=5 {
        assert_eq!(asked(&stage.claim(1).await), ["k0"], "before crash {crash}");
        stage.crash().await;
        assert_eq!(rescue(&stage).await, 1);
    }
    let record = stage.records().await.remove(0);
    assert_eq!((record.state, record.attempts), (JobState::Failed, 5));
    assert_eq!(
        record.error.as_deref(),
        Some(&*format!("{UNKNOWN} (crash-loop)"))
    );
    assert_eq!(asked(&stage.claim(9).await), ["k1"]);
    let batch = stage.batch().await;
    let causes = stage.store.causes(batch, 9).await.unwrap();
    assert_eq!((&*causes[0].rule, causes[0].jobs), ("crash-loop", 1));
    // Asked for again by a person, it has all its chances.
    assert_eq!(stage.store.reopen_failed(batch).await.unwrap(), 1);
    let held = stage.claim(1).await;
    assert_eq!(
        (asked(&held), held[0].rules.len()),
        (vec!["k0".to_owned()], 0)
    );
    stage.crash().await;
    rescue(&stage).await;
    assert_eq!(stage.counts().await.pending, 2);
}

pub(crate) async fn a_withdrawn_job_in_flight_is_taken_back(open: impl Open) {
    let mut stage = Stage::with_rows(open, 1).await;
    stage.claim(1).await;
    stage.import(&[]).await;
    stage.crash().await;
    assert_eq!(rescue(&stage).await, 1);
    assert_eq!(stage.claim(9).await, []);
    stage.import(&super::stage::rows(1)).await;
    assert_eq!(stage.claim(9).await[0].rules, ["crashed-in-flight"]);
}

async fn rescue(stage: &Stage<impl Open>) -> u64 {
    let now = Timestamp::from_millis(NOW + 1);
    stage.store.rescue(now).await.unwrap()
}
