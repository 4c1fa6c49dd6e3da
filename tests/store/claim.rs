//! Claiming jobs: selection, order, due times and history.

use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;
use promptmill::store::{Claim, QueueUpdate, RowFilter, Settlement};

use super::fixture::{
    BATCH, Fixture, NOW, OpenStore, claimed_keys, done, failed, import, released, requeued, row,
    rows, settle_and_claim,
};

pub(crate) async fn jobs_are_claimed_in_input_order_up_to_the_limit(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 5).await;
    assert_eq!(fixture.claim(0).await, []);
    let first = fixture.claim(2).await;
    assert_eq!(claimed_keys(&first), ["k0", "k1"]);
    assert_eq!(first[0].request, row("k0", 0).request);
    assert_eq!((first[0].claim_no, first[0].spent), (1, 0));
    assert!(first[0].rules.is_empty());
    assert!(first[0].id < first[1].id);
    // Claimed jobs are not claimed again.
    assert_eq!(claimed_keys(&fixture.claim(2).await), ["k2", "k3"]);
    assert_eq!(claimed_keys(&fixture.claim(2).await), ["k4"]);
    assert_eq!(fixture.claim(2).await, []);
    assert_eq!(fixture.counts().await.running, 5);
}

pub(crate) async fn short_and_long_requests_are_claimed_together(open: impl OpenStore) {
    let fixture = Fixture::empty(open).await;
    let mut input = rows(4);
    for (number, length) in [(0, 0), (1, 64 * 1024), (2, 64 * 1024 + 1), (3, 300_000)] {
        input[number].request = "ä€😀 \"".chars().cycle().take(length).collect();
    }
    fixture.import(&input).await;
    let requests = fixture.claim(9).await.into_iter().map(|job| job.request);
    let expected = input.into_iter().map(|row| row.request);
    assert!(requests.eq(expected));
}

pub(crate) async fn due_retries_are_claimed_before_new_jobs(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 6).await;
    let claimed = fixture.claim(3).await;
    let settlements = [released(&claimed[2], NOW), released(&claimed[1], NOW)];
    fixture.settle(&settlements).await;
    // Both retries and one new job, in input order.
    assert_eq!(claimed_keys(&fixture.claim(3).await), ["k1", "k2", "k3"]);
    let claimed = fixture.claim(9).await;
    fixture.settle(&[released(&claimed[1], NOW)]).await;
    assert_eq!(claimed_keys(&fixture.claim(1).await), ["k5"]);
}

pub(crate) async fn no_job_is_claimed_before_it_is_due(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    let claimed = fixture.claim(2).await;
    let settlements = [
        released(&claimed[0], NOW + 10),
        released(&claimed[1], NOW + 11),
    ];
    // The transaction that requeues the jobs does not claim them.
    assert_eq!(
        fixture.settle_and_claim(&settlements, 9, NOW).await.claimed,
        []
    );
    assert_eq!(fixture.settle_and_claim(&[], 9, NOW + 9).await.claimed, []);
    assert_eq!(
        claimed_keys(&fixture.settle_and_claim(&[], 9, NOW + 10).await.claimed),
        ["k0"]
    );
    assert_eq!(
        claimed_keys(&fixture.settle_and_claim(&[], 9, NOW + 11).await.claimed),
        ["k1"]
    );
}

pub(crate) async fn waiting_jobs_are_claimed_by_due_time(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 4).await;
    let claimed = fixture.claim(3).await;
    let settlements: Vec<_> = (claimed.iter().zip([3, 2, 1]))
        .map(|(job, wait)| released(job, NOW + wait))
        .collect();
    fixture.settle(&settlements).await;
    assert_eq!(
        claimed_keys(&fixture.settle_and_claim(&[], 1, NOW + 9).await.claimed),
        ["k2"]
    );
    assert_eq!(
        claimed_keys(&fixture.settle_and_claim(&[], 1, NOW + 9).await.claimed),
        ["k1"]
    );
    assert_eq!(
        claimed_keys(&fixture.settle_and_claim(&[], 1, NOW + 9).await.claimed),
        ["k0"]
    );
    assert_eq!(
        claimed_keys(&fixture.settle_and_claim(&[], 1, NOW + 9).await.claimed),
        ["k3"]
    );
}

pub(crate) async fn next_due_is_the_time_at_which_the_next_job_can_be_claimed(
    open: impl OpenStore,
) {
    let fixture = Fixture::with_rows(open, 3).await;
    let at = |millis| Some(Timestamp::from_millis(millis));
    assert_eq!(
        fixture.settle_and_claim(&[], 0, NOW).await.next_due,
        at(0),
        "now"
    );
    let update = fixture.settle_and_claim(&[], 3, NOW).await;
    assert_eq!(update.next_due, None, "all jobs are in flight");
    let claimed = update.claimed;
    let settlements = [
        released(&claimed[0], NOW + 70),
        released(&claimed[1], NOW + 60),
    ];
    assert_eq!(
        fixture
            .settle_and_claim(&settlements, 0, NOW)
            .await
            .next_due,
        at(NOW + 60)
    );
    // Once one of the jobs is claimed, the other one is next.
    assert_eq!(
        fixture.settle_and_claim(&[], 1, NOW + 99).await.next_due,
        at(NOW + 70)
    );
    fixture.import(&[row("k1", 0), row("k2", 0)]).await;
    let withdrawn = fixture.settle_and_claim(&[], 9, NOW + 99).await;
    assert_eq!((withdrawn.claimed, withdrawn.next_due), (vec![], None));
}

pub(crate) async fn several_batches_are_claimed_in_one_transaction(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 3).await;
    import(&fixture.store, "other", &rows(2)).await;
    let batch = fixture.batch().await;
    let other = fixture.store.batch("other").await.unwrap().id;
    let claim = async |settlements: &[Settlement], limits: [(i64, usize); 2]| {
        let claims = limits.map(|(batch, limit)| Claim { batch, limit });
        let now = Timestamp::from_millis(NOW);
        let update = fixture.store.settle_and_claim(settlements, &claims, now);
        update.await.unwrap()
    };
    let first = claim(&[], [(other, 9), (batch, 1)]).await;
    assert_eq!(claimed_keys(&first.claims[0].jobs), ["k0", "k1"]);
    assert_eq!(claimed_keys(&first.claims[1].jobs), ["k0"]);
    let at = |millis| Some(Timestamp::from_millis(millis));
    let due = |update: &QueueUpdate| [update.claims[0].next_due, update.claims[1].next_due];
    assert_eq!(due(&first), [None, at(0)]);
    // Settlements of both batches are applied before the claims.
    let settlements = [
        released(&first.claims[0].jobs[0], NOW + 5),
        released(&first.claims[1].jobs[0], NOW),
    ];
    let second = claim(&settlements, [(other, 9), (batch, 2)]).await;
    assert_eq!((second.stale, second.claims.len()), (0, 2));
    assert_eq!(second.claims[0].jobs, []);
    assert_eq!(claimed_keys(&second.claims[1].jobs), ["k0", "k1"]);
    assert_eq!(due(&second), [at(NOW + 5), at(0)]);
    let none = fixture
        .store
        .settle_and_claim(&[], &[], Timestamp::default());
    assert_eq!(none.await.unwrap(), QueueUpdate::default());
}

pub(crate) async fn claims_on_a_restricted_batch_are_limited_to_its_jobs(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 4).await;
    import(&fixture.store, "other", &rows(2)).await;
    let claimed = fixture.claim(9).await;
    let (jobs, batch) = ([claimed[1].id, claimed[3].id], fixture.batch().await);
    let settlements: Vec<_> = claimed.iter().map(|job| released(job, NOW)).collect();
    fixture.settle(&settlements).await;
    fixture.store.restrict_to(batch, &jobs);
    assert_eq!(fixture.store.claimable(batch).await.unwrap(), 2);
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k1", "k3"]);
    let restricted = fixture.settle_and_claim(&[], 9, NOW).await;
    assert_eq!((restricted.claimed, restricted.next_due), (vec![], None));
    // Other batches are not restricted.
    let batch = fixture.store.batch("other").await.unwrap().id;
    let claim = Claim { batch, limit: 9 };
    let update = settle_and_claim(&fixture.store, &[], claim, NOW).await;
    assert_eq!(claimed_keys(&update.claimed), ["k0", "k1"]);
    // The restriction is not stored.
    let fixture = fixture.reopen().await;
    let batch = fixture.store.batch(BATCH).await.unwrap().id;
    assert_eq!(fixture.store.claimable(batch).await.unwrap(), 2);
}

pub(crate) async fn a_claim_includes_the_rules_of_earlier_failures(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    let first = fixture.claim(2).await;
    let settlements = [
        requeued(&first[0], "overloaded", NOW),
        released(&first[1], NOW),
    ];
    let second = fixture.settle_and_claim(&settlements, 2, NOW).await.claimed;
    assert_eq!(second[0].rules, ["overloaded"]);
    assert_eq!((second[0].claim_no, second[0].spent), (2, 1));
    assert_eq!((second[1].claim_no, second[1].spent), (2, 0));
    assert!(second[1].rules.is_empty());
    let settlements = [requeued(&second[0], "a \"rule\"", NOW)];
    let third = fixture.settle_and_claim(&settlements, 2, NOW).await.claimed;
    assert_eq!(third[0].rules, ["overloaded", "a \"rule\""]);
    assert_eq!(third[0].spent, 2);
}

pub(crate) async fn a_reopened_job_has_no_history(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    let claimed = fixture.claim(2).await;
    let settlements: Vec<_> =
        (claimed.iter().map(|job| requeued(job, "overloaded", NOW))).collect();
    let claimed = fixture.settle_and_claim(&settlements, 2, NOW).await.claimed;
    let settlements = [
        failed(&claimed[0], Scope::Request, "too-long"),
        failed(&claimed[1], Scope::Request, "too-long"),
    ];
    fixture.settle(&settlements).await;
    let batch = fixture.batch().await;
    assert_eq!(
        fixture
            .store
            .reopen(batch, &RowFilter::default())
            .await
            .unwrap(),
        2
    );
    let records = fixture.records().await;
    assert_eq!(records[0].error, None);
    assert_eq!(records[0].attempts, 2, "the requests are no longer counted");
    // The second job is also reopened by a changed request.
    fixture.import(&[row("k0", 0), row("k1", 1)]).await;
    let again = fixture.claim(2).await;
    assert_eq!(again[0].claim_no, 3);
    assert!(
        again[1].claim_no > 3,
        "a response to the old request would not be stale"
    );
    for job in &again {
        assert_eq!((job.spent, job.rules.len()), (0, 0));
    }
    let settlements = [
        requeued(&again[0], "new", NOW),
        requeued(&again[1], "newer", NOW),
    ];
    let again = fixture.settle_and_claim(&settlements, 2, NOW).await.claimed;
    assert_eq!(
        (again[0].rules.as_slice(), again[0].spent),
        (&["new".to_owned()][..], 1)
    );
    assert_eq!(
        (again[1].rules.as_slice(), again[1].spent),
        (&["newer".to_owned()][..], 1)
    );
}

pub(crate) async fn only_failed_jobs_of_the_batch_are_reopened(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 4).await;
    import(&fixture.store, "other", &rows(2)).await;
    let claimed = fixture.claim(3).await;
    let settled = [
        failed(&claimed[0], Scope::Request, "too-long"),
        failed(&claimed[1], Scope::Request, "too-long"),
        done(&claimed[2], "a response"),
    ];
    fixture.settle(&settled).await;
    let other = fixture.store.batch("other").await.unwrap().id;
    assert_eq!(
        fixture
            .store
            .reopen(other, &RowFilter::default())
            .await
            .unwrap(),
        0
    );
    // The first job is withdrawn, and not reopened.
    fixture
        .import(&[row("k1", 0), row("k2", 0), row("k3", 0)])
        .await;
    let batch = fixture.batch().await;
    assert_eq!(
        fixture
            .store
            .reopen(batch, &RowFilter::default())
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        fixture
            .store
            .reopen(batch, &RowFilter::default())
            .await
            .unwrap(),
        0
    );
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k1", "k3"]);
    assert_eq!(fixture.counts().await.done, 1);
}
