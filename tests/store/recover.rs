//! Recovering jobs that were in flight at a crash.

use promptmill::domain::job::JobState;
use promptmill::domain::time::Timestamp;
use promptmill::store::RowFilter;

use super::fixture::{Fixture, NOW, OpenStore, claimed_keys, completion, done, requeued};

const UNKNOWN: &str = "transient: the program ended while this request was in flight";

pub(crate) async fn jobs_in_flight_are_recovered_and_their_requests_are_unknown(
    open: impl OpenStore,
) {
    let mut fixture = Fixture::with_rows(open, 4).await;
    let claimed = fixture.claim(3).await;
    fixture
        .settle(&[requeued(&claimed[2], "overloaded", NOW + 50)])
        .await;
    fixture.crash().await;
    assert_eq!(fixture.counts().await.running, 2);
    assert_eq!(recover(&fixture).await, 2);
    assert_eq!(recover(&fixture).await, 0, "the jobs were recovered twice");
    let records = fixture.records().await;
    for record in &records[..2] {
        assert_eq!((record.state, record.attempts), (JobState::Pending, 1));
        let error = record.error.as_deref();
        assert_eq!(error, Some(&*format!("{UNKNOWN} (crashed-in-flight)")));
    }
    assert_eq!((records[2].attempts, records[3].attempts), (1, 0));
    // Two jobs are due immediately, and the third keeps its due time. A crash does not count as an
    // attempt.
    let again = fixture.claim(2).await;
    assert_eq!(claimed_keys(&again), ["k0", "k1"]);
    assert_eq!((again[0].claim_no, again[0].spent), (2, 0));
    assert_eq!(again[0].rules, ["crashed-in-flight"]);
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k3"]);
    assert_eq!(
        claimed_keys(&fixture.settle_and_claim(&[], 9, NOW + 50).await.claimed),
        ["k2"]
    );
}

pub(crate) async fn the_settlement_of_a_crashed_run_is_stale(open: impl OpenStore) {
    let mut fixture = Fixture::with_rows(open, 1).await;
    let crashed = fixture.claim(1).await.remove(0);
    fixture.crash().await;
    recover(&fixture).await;
    assert_eq!(fixture.settle(&[done(&crashed, "late")]).await, 1);
    let claimed = fixture.claim(1).await.remove(0);
    assert_eq!(
        fixture
            .settle(&[done(&crashed, "late"), done(&claimed, "good")])
            .await,
        1
    );
    let record = fixture.records().await.remove(0);
    assert_eq!(
        (record.completion, record.attempts),
        (Some(completion("good")), 2)
    );
}

pub(crate) async fn settled_jobs_stay_settled(open: impl OpenStore) {
    let mut fixture = Fixture::with_rows(open, 3).await;
    let claimed = fixture.claim(2).await;
    fixture
        .settle(&[done(&claimed[0], "kept"), done(&claimed[1], "kept")])
        .await;
    let before = fixture.records().await;
    fixture.crash().await;
    assert_eq!(fixture.records().await, before);
    assert_eq!(recover(&fixture).await, 0);
    assert_eq!(fixture.records().await, before);
}

pub(crate) async fn a_job_in_flight_at_five_crashes_fails(open: impl OpenStore) {
    let mut fixture = Fixture::with_rows(open, 2).await;
    for crash in 1..=5 {
        assert_eq!(
            claimed_keys(&fixture.claim(1).await),
            ["k0"],
            "before crash {crash}"
        );
        fixture.crash().await;
        assert_eq!(recover(&fixture).await, 1);
    }
    let record = fixture.records().await.remove(0);
    assert_eq!((record.state, record.attempts), (JobState::Failed, 5));
    assert_eq!(
        record.error.as_deref(),
        Some(&*format!("{UNKNOWN} (crash-loop)"))
    );
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k1"]);
    let batch = fixture.batch().await;
    let causes = fixture.store.causes(batch, 9).await.unwrap();
    assert_eq!((&*causes[0].rule, causes[0].jobs), ("crash-loop", 1));
    // A reopened job has all of its attempts again.
    assert_eq!(
        fixture
            .store
            .reopen(batch, &RowFilter::default())
            .await
            .unwrap(),
        1
    );
    let claimed = fixture.claim(1).await;
    assert_eq!(
        (claimed_keys(&claimed), claimed[0].rules.len()),
        (vec!["k0".to_owned()], 0)
    );
    fixture.crash().await;
    recover(&fixture).await;
    assert_eq!(fixture.counts().await.pending, 2);
}

pub(crate) async fn a_withdrawn_job_in_flight_is_recovered(open: impl OpenStore) {
    let mut fixture = Fixture::with_rows(open, 1).await;
    fixture.claim(1).await;
    fixture.import(&[]).await;
    fixture.crash().await;
    assert_eq!(recover(&fixture).await, 1);
    assert_eq!(fixture.claim(9).await, []);
    fixture.import(&super::fixture::rows(1)).await;
    assert_eq!(fixture.claim(9).await[0].rules, ["crashed-in-flight"]);
}

async fn recover(fixture: &Fixture<impl OpenStore>) -> u64 {
    let now = Timestamp::from_millis(NOW + 1);
    fixture.store.recover(now).await.unwrap()
}
