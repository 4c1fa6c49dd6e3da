//! Claiming: which jobs, in which order, when, and with what past.

use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;

use super::stage::{NOW, Open, Stage, asked, done, failed, import, released, requeued, row, rows};

pub(crate) async fn jobs_are_claimed_in_input_order_never_more_than_asked(open: impl Open) {
    let stage = Stage::with_rows(open, 5).await;
    assert_eq!(stage.claim(0).await, []);
    let first = stage.claim(2).await;
    assert_eq!(asked(&first), ["k0", "k1"]);
    assert_eq!(first[0].request, row("k0", 0).request);
    assert_eq!((first[0].claim_no, first[0].spent), (1, 0));
    assert!(first[0].rules.is_empty());
    assert!(first[0].id < first[1].id);
    // What is held is not claimed again.
    assert_eq!(asked(&stage.claim(2).await), ["k2", "k3"]);
    assert_eq!(asked(&stage.claim(2).await), ["k4"]);
    assert_eq!(stage.claim(2).await, []);
    assert_eq!(stage.counts().await.running, 5);
}

pub(crate) async fn short_and_long_requests_are_claimed_together(open: impl Open) {
    let stage = Stage::empty(open).await;
    let mut input = rows(4);
    for (number, length) in [(0, 0), (1, 64 * 1024), (2, 64 * 1024 + 1), (3, 300_000)] {
        input[number].request = "ä€😀 \"".chars().cycle().take(length).collect();
    }
    stage.import(&input).await;
    let requests = stage.claim(9).await.into_iter().map(|job| job.request);
    let expected = input.into_iter().map(|row| row.request);
    assert!(requests.eq(expected));
}

pub(crate) async fn what_waited_and_is_due_comes_before_what_was_never_asked(open: impl Open) {
    let stage = Stage::with_rows(open, 6).await;
    let held = stage.claim(3).await;
    let back = [released(&held[2], NOW), released(&held[1], NOW)];
    stage.settle(&back).await;
    // Both that waited, and one new one; within one claim the input order holds.
    assert_eq!(asked(&stage.claim(3).await), ["k1", "k2", "k3"]);
    let held = stage.claim(9).await;
    stage.settle(&[released(&held[1], NOW)]).await;
    assert_eq!(asked(&stage.claim(1).await), ["k5"]);
}

pub(crate) async fn nothing_is_claimed_before_its_time(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    let held = stage.claim(2).await;
    let back = [released(&held[0], NOW + 10), released(&held[1], NOW + 11)];
    // The same turn that sends them back does not claim them.
    assert_eq!(stage.turn(&back, 9, NOW).await.claimed, []);
    assert_eq!(stage.turn(&[], 9, NOW + 9).await.claimed, []);
    assert_eq!(asked(&stage.turn(&[], 9, NOW + 10).await.claimed), ["k0"]);
    assert_eq!(asked(&stage.turn(&[], 9, NOW + 11).await.claimed), ["k1"]);
}

pub(crate) async fn the_earliest_of_those_that_wait_come_first(open: impl Open) {
    let stage = Stage::with_rows(open, 4).await;
    let held = stage.claim(3).await;
    let back: Vec<_> = (held.iter().zip([3, 2, 1]))
        .map(|(job, wait)| released(job, NOW + wait))
        .collect();
    stage.settle(&back).await;
    assert_eq!(asked(&stage.turn(&[], 1, NOW + 9).await.claimed), ["k2"]);
    assert_eq!(asked(&stage.turn(&[], 1, NOW + 9).await.claimed), ["k1"]);
    // The new one comes last, though its place in the input is no reason for it.
    assert_eq!(asked(&stage.turn(&[], 1, NOW + 9).await.claimed), ["k0"]);
    assert_eq!(asked(&stage.turn(&[], 1, NOW + 9).await.claimed), ["k3"]);
}

pub(crate) async fn next_due_tells_when_there_is_something_to_claim(open: impl Open) {
    let stage = Stage::with_rows(open, 3).await;
    let at = |millis| Some(Timestamp::from_millis(millis));
    assert_eq!(stage.turn(&[], 0, NOW).await.next_due, at(0), "at once");
    let turn = stage.turn(&[], 3, NOW).await;
    assert_eq!(turn.next_due, None, "all are in flight");
    let held = turn.claimed;
    let back = [released(&held[0], NOW + 70), released(&held[1], NOW + 60)];
    assert_eq!(stage.turn(&back, 0, NOW).await.next_due, at(NOW + 60));
    // After the claim of one, the other one is next.
    assert_eq!(stage.turn(&[], 1, NOW + 99).await.next_due, at(NOW + 70));
    stage.import(&[row("k1", 0), row("k2", 0)]).await;
    let withdrawn = stage.turn(&[], 9, NOW + 99).await;
    assert_eq!((withdrawn.claimed, withdrawn.next_due), (vec![], None));
}

pub(crate) async fn a_claim_carries_the_rules_of_earlier_failures(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    let first = stage.claim(2).await;
    let back = [
        requeued(&first[0], "overloaded", NOW),
        released(&first[1], NOW),
    ];
    let second = stage.turn(&back, 2, NOW).await.claimed;
    assert_eq!(second[0].rules, ["overloaded"]);
    assert_eq!((second[0].claim_no, second[0].spent), (2, 1));
    assert_eq!((second[1].claim_no, second[1].spent), (2, 0));
    assert!(second[1].rules.is_empty());
    let back = [requeued(&second[0], "a \"rule\"", NOW)];
    let third = stage.turn(&back, 2, NOW).await.claimed;
    assert_eq!(third[0].rules, ["overloaded", "a \"rule\""]);
    assert_eq!(third[0].spent, 2);
}

pub(crate) async fn a_job_made_pending_again_starts_without_a_past(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    let held = stage.claim(2).await;
    let back: Vec<_> = (held.iter().map(|job| requeued(job, "overloaded", NOW))).collect();
    let held = stage.turn(&back, 2, NOW).await.claimed;
    let lost = [
        failed(&held[0], Scope::Request, "too-long"),
        failed(&held[1], Scope::Request, "too-long"),
    ];
    stage.settle(&lost).await;
    let batch = stage.batch().await;
    assert_eq!(stage.store.reopen_failed(batch).await.unwrap(), 2);
    let records = stage.records().await;
    assert_eq!(records[0].error, None);
    assert_eq!(records[0].attempts, 2, "what was sent was sent");
    // One by the wish of a person, one by a changed request.
    stage.import(&[row("k0", 0), row("k1", 1)]).await;
    let again = stage.claim(2).await;
    assert_eq!(again[0].claim_no, 3);
    assert!(
        again[1].claim_no > 3,
        "an answer to the old question is shut out"
    );
    for job in &again {
        assert_eq!((job.spent, job.rules.len()), (0, 0));
    }
    let back = [
        requeued(&again[0], "new", NOW),
        requeued(&again[1], "newer", NOW),
    ];
    let again = stage.turn(&back, 2, NOW).await.claimed;
    assert_eq!(
        (again[0].rules.as_slice(), again[0].spent),
        (&["new".to_owned()][..], 1)
    );
    assert_eq!(
        (again[1].rules.as_slice(), again[1].spent),
        (&["newer".to_owned()][..], 1)
    );
}

pub(crate) async fn only_failed_jobs_of_the_batch_are_made_pending_again(open: impl Open) {
    let stage = Stage::with_rows(open, 4).await;
    import(&stage.store, "other", &rows(2)).await;
    let held = stage.claim(3).await;
    let settled = [
        failed(&held[0], Scope::Request, "too-long"),
        failed(&held[1], Scope::Request, "too-long"),
        done(&held[2], "an answer"),
    ];
    stage.settle(&settled).await;
    let other = stage.store.batch("other").await.unwrap().id;
    assert_eq!(stage.store.reopen_failed(other).await.unwrap(), 0);
    // The first one is withdrawn: nobody asks for it any more.
    stage
        .import(&[row("k1", 0), row("k2", 0), row("k3", 0)])
        .await;
    let batch = stage.batch().await;
    assert_eq!(stage.store.reopen_failed(batch).await.unwrap(), 1);
    assert_eq!(stage.store.reopen_failed(batch).await.unwrap(), 0);
    assert_eq!(asked(&stage.claim(9).await), ["k1", "k3"]);
    assert_eq!(stage.counts().await.done, 1);
}
