//! Rows that are chosen: reopened by cause, cancelled, found by what people call them, shown.

use promptmill::domain::job::{JobId, JobState};
use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;
use promptmill::store::{Cancelled, Choice};

use super::stage::{NOW, Open, Stage, asked, completion, done, failed, requeued, rows};

/// Ten rows: every other one failed by `too-long`, the others by `filtered`.
async fn failures<O: Open>(open: O) -> Stage<O> {
    let stage = Stage::with_rows(open, 10).await;
    let held = stage.claim(10).await;
    let settlements: Vec<_> = (held.iter().enumerate())
        .map(|(number, job)| match number % 2 {
            0 => failed(job, Scope::Request, "too-long"),
            _ => failed(job, Scope::Endpoint, "filtered"),
        })
        .collect();
    stage.settle(&settlements).await;
    stage
}

pub(crate) async fn failed_rows_are_reopened_by_cause_by_scope_and_at_most_so_many(
    open: impl Open,
) {
    let stage = failures(open).await;
    let batch = stage.batch().await;
    let too_long = Choice {
        rules: vec!["too-long".to_owned(), "unheard-of".to_owned()],
        most: Some(2),
        ..Choice::default()
    };
    assert_eq!(stage.store.reopen(batch, &too_long).await.unwrap(), 2);
    assert_eq!(asked(&stage.claim(10).await), ["k0", "k2"]);
    let endpoint = Choice {
        scopes: vec![Scope::Endpoint],
        jobs: Some(vec![JobId(4), JobId(5), JobId(8)]),
        ..Choice::default()
    };
    assert_eq!(stage.store.reopen(batch, &endpoint).await.unwrap(), 2);
    assert_eq!(stage.counts().await.failed, 6);
    assert_eq!(
        stage
            .store
            .reopen(batch + 1, &Choice::default())
            .await
            .unwrap(),
        0
    );
    assert_eq!(stage.store.reopen_failed(batch).await.unwrap(), 6);
}

pub(crate) async fn a_cancelled_row_is_not_asked_until_it_is_reopened(open: impl Open) {
    let stage = Stage::with_rows(open, 5).await;
    let batch = stage.batch().await;
    let held = stage.claim(2).await;
    stage.settle(&[done(&held[0], "an answer")]).await;
    let now = Timestamp::from_millis(NOW);
    let done = stage.store.cancel(batch, None, now).await.unwrap();
    let expected = Cancelled {
        cancelled: 3,
        running: 1,
        settled: 1,
    };
    assert_eq!(done, expected);
    assert_eq!(stage.claim(9).await, []);
    let causes = stage.store.failed_causes(batch, 9).await.unwrap();
    assert_eq!((causes[0].rule.as_str(), causes[0].jobs), ("cancelled", 3));
    // What was in flight is settled by the run that has it.
    stage.settle(&[requeued(&held[1], "overloaded", NOW)]).await;
    assert_eq!(asked(&stage.claim(9).await), ["k1"]);
    assert_eq!(stage.store.reopen_failed(batch).await.unwrap(), 3);
    assert_eq!(asked(&stage.claim(9).await), ["k2", "k3", "k4"]);
}

pub(crate) async fn only_the_named_rows_are_cancelled(open: impl Open) {
    let stage = Stage::with_rows(open, 5).await;
    let batch = stage.batch().await;
    let held = stage.claim(1).await;
    let named = [held[0].id, JobId(held[0].id.0 + 2)];
    let now = Timestamp::from_millis(NOW);
    let done = stage.store.cancel(batch, Some(&named), now).await.unwrap();
    assert_eq!((done.cancelled, done.running, done.settled), (1, 1, 0));
    assert_eq!(asked(&stage.claim(9).await), ["k1", "k3", "k4"]);
}

pub(crate) async fn rows_are_found_by_key_then_by_number(open: impl Open) {
    let stage = Stage::with_rows(open, 12).await;
    let batch = stage.batch().await;
    let mut renamed = rows(12);
    renamed[4].key = "2".to_owned();
    stage.import(&renamed).await;
    let names = ["k0", "2", "#3", "12", "13", "0", "-1", "none", ""].map(str::to_owned);
    let found = stage.store.find_rows(batch, &names).await.unwrap();
    let positions: Vec<_> = found.iter().map(Option::is_some).collect();
    assert_eq!(
        positions,
        [true, true, true, true, false, false, false, false, false]
    );
    let mut shown = Vec::new();
    for job in found.into_iter().flatten() {
        shown.push(stage.store.row_detail(job).await.unwrap().unwrap().row);
    }
    assert_eq!(shown, [1, 5, 3, 12]);
}

pub(crate) async fn a_row_is_shown_with_its_attempts_and_its_answer(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    let held = stage.claim(1).await;
    stage.settle(&[requeued(&held[0], "overloaded", NOW)]).await;
    let held = stage.claim(1).await;
    stage.settle(&[done(&held[0], "an answer")]).await;
    let detail = stage.store.row_detail(held[0].id).await.unwrap().unwrap();
    assert_eq!((detail.row, detail.key.as_str()), (1, "k0"));
    assert_eq!((detail.state, detail.requests), (JobState::Done, 2));
    assert_eq!(detail.request, held[0].request);
    let attempts: Vec<_> = detail
        .attempts
        .iter()
        .map(|made| made.rule.as_str())
        .collect();
    assert_eq!(attempts, ["overloaded"]);
    assert!(!detail.attempts[0].is_past);
    let (found, _, at) = detail.completion.unwrap();
    assert_eq!((found, at.as_millis()), (completion("an answer"), NOW));
    assert_eq!(stage.store.row_detail(JobId(99)).await.unwrap(), None);
}

pub(crate) async fn what_failed_is_listed_page_by_page(open: impl Open) {
    let stage = failures(open).await;
    let batch = stage.batch().await;
    let filtered = Choice {
        rules: vec!["filtered".to_owned()],
        ..Choice::default()
    };
    let (mut after, mut listed) = (0, Vec::new());
    loop {
        let page = stage
            .store
            .failed_rows(batch, &filtered, after, 2)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = last.row;
        listed.extend(page.iter().map(|row| row.row));
    }
    assert_eq!(listed, [2, 4, 6, 8, 10]);
    // What is pending again has not failed, and its past is past.
    stage.store.reopen_failed(batch).await.unwrap();
    let all = stage
        .store
        .failed_rows(batch, &Choice::default(), 0, 99)
        .await
        .unwrap();
    assert_eq!(all, []);
    assert_eq!(stage.store.failed_causes(batch, 9).await.unwrap(), []);
    let detail = stage.store.row_detail(JobId(1)).await.unwrap().unwrap();
    assert!(detail.attempts[0].is_past);
}
