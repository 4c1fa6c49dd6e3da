//! Operations on selected rows: reopening, canceling, finding by name, and reading.

use promptmill::domain::job::{JobId, JobState};
use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;
use promptmill::store::{CancelReport, RowFilter};

use super::fixture::{
    Fixture, NOW, OpenStore, claimed_keys, completion, done, failed, requeued, rows,
};

/// Creates ten rows that alternately failed with the rules `too-long` and `filtered`.
async fn failed_rows_fixture<O: OpenStore>(open: O) -> Fixture<O> {
    let fixture = Fixture::with_rows(open, 10).await;
    let claimed = fixture.claim(10).await;
    let settlements: Vec<_> = (claimed.iter().enumerate())
        .map(|(number, job)| match number % 2 {
            0 => failed(job, Scope::Request, "too-long"),
            _ => failed(job, Scope::Endpoint, "filtered"),
        })
        .collect();
    fixture.settle(&settlements).await;
    fixture
}

pub(crate) async fn failed_rows_are_reopened_by_rule_scope_job_and_limit(open: impl OpenStore) {
    let fixture = failed_rows_fixture(open).await;
    let batch = fixture.batch().await;
    let too_long = RowFilter {
        rules: vec!["too-long".to_owned(), "unknown".to_owned()],
        limit: Some(2),
        ..RowFilter::default()
    };
    assert_eq!(fixture.store.reopen(batch, &too_long).await.unwrap(), 2);
    assert_eq!(claimed_keys(&fixture.claim(10).await), ["k0", "k2"]);
    let endpoint = RowFilter {
        scopes: vec![Scope::Endpoint],
        jobs: Some(vec![JobId(4), JobId(5), JobId(8)]),
        ..RowFilter::default()
    };
    assert_eq!(fixture.store.reopen(batch, &endpoint).await.unwrap(), 2);
    assert_eq!(fixture.counts().await.failed, 6);
    assert_eq!(
        fixture
            .store
            .reopen(batch + 1, &RowFilter::default())
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        fixture
            .store
            .reopen(batch, &RowFilter::default())
            .await
            .unwrap(),
        6
    );
}

pub(crate) async fn a_canceled_row_is_not_sent_until_it_is_reopened(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 5).await;
    let batch = fixture.batch().await;
    let claimed = fixture.claim(2).await;
    fixture.settle(&[done(&claimed[0], "a response")]).await;
    let now = Timestamp::from_millis(NOW);
    let report = fixture.store.cancel(batch, None, now).await.unwrap();
    let expected = CancelReport {
        canceled: 3,
        running: 1,
        settled: 1,
    };
    assert_eq!(report, expected);
    assert_eq!(fixture.claim(9).await, []);
    let causes = fixture.store.failed_causes(batch, 9).await.unwrap();
    assert_eq!((causes[0].rule.as_str(), causes[0].jobs), ("cancelled", 3));
    // The run still settles the job in flight.
    fixture
        .settle(&[requeued(&claimed[1], "overloaded", NOW)])
        .await;
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k1"]);
    assert_eq!(
        fixture
            .store
            .reopen(batch, &RowFilter::default())
            .await
            .unwrap(),
        3
    );
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k2", "k3", "k4"]);
}

pub(crate) async fn only_the_given_rows_are_canceled(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 5).await;
    let batch = fixture.batch().await;
    let claimed = fixture.claim(1).await;
    let named = [claimed[0].id, JobId(claimed[0].id.0 + 2)];
    let now = Timestamp::from_millis(NOW);
    let report = fixture
        .store
        .cancel(batch, Some(&named), now)
        .await
        .unwrap();
    assert_eq!((report.canceled, report.running, report.settled), (1, 1, 0));
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k1", "k3", "k4"]);
}

pub(crate) async fn rows_are_found_by_key_then_by_number(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 12).await;
    let batch = fixture.batch().await;
    let mut renamed = rows(12);
    renamed[4].key = "2".to_owned();
    fixture.import(&renamed).await;
    let names = ["k0", "2", "#3", "12", "13", "0", "-1", "none", ""].map(str::to_owned);
    let found = fixture.store.find_rows(batch, &names).await.unwrap();
    let is_found: Vec<_> = found.iter().map(Option::is_some).collect();
    assert_eq!(
        is_found,
        [true, true, true, true, false, false, false, false, false]
    );
    let mut shown = Vec::new();
    for job in found.into_iter().flatten() {
        shown.push(fixture.store.row_detail(job).await.unwrap().unwrap().row);
    }
    assert_eq!(shown, [1, 5, 3, 12]);
}

pub(crate) async fn a_row_is_read_with_its_attempts_and_its_response(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    let claimed = fixture.claim(1).await;
    fixture
        .settle(&[requeued(&claimed[0], "overloaded", NOW)])
        .await;
    let claimed = fixture.claim(1).await;
    fixture.settle(&[done(&claimed[0], "a response")]).await;
    let detail = fixture
        .store
        .row_detail(claimed[0].id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((detail.row, detail.key.as_str()), (1, "k0"));
    assert_eq!((detail.state, detail.requests), (JobState::Done, 2));
    assert_eq!(detail.request, claimed[0].request);
    let attempts: Vec<_> = detail
        .attempts
        .iter()
        .map(|attempt| attempt.rule.as_str())
        .collect();
    assert_eq!(attempts, ["overloaded"]);
    assert!(!detail.attempts[0].is_past);
    let (found, _, at) = detail.completion.unwrap();
    assert_eq!((found, at.as_millis()), (completion("a response"), NOW));
    assert_eq!(fixture.store.row_detail(JobId(99)).await.unwrap(), None);
}

pub(crate) async fn failed_rows_are_listed_page_by_page(open: impl OpenStore) {
    let fixture = failed_rows_fixture(open).await;
    let batch = fixture.batch().await;
    let filtered = RowFilter {
        rules: vec!["filtered".to_owned()],
        ..RowFilter::default()
    };
    let (mut after, mut listed) = (0, Vec::new());
    loop {
        let page = fixture
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
    // Reopened rows are not listed, and their attempts are marked as past.
    fixture
        .store
        .reopen(batch, &RowFilter::default())
        .await
        .unwrap();
    let all = fixture
        .store
        .failed_rows(batch, &RowFilter::default(), 0, 99)
        .await
        .unwrap();
    assert_eq!(all, []);
    assert_eq!(fixture.store.failed_causes(batch, 9).await.unwrap(), []);
    let detail = fixture.store.row_detail(JobId(1)).await.unwrap().unwrap();
    assert!(detail.attempts[0].is_past);
}
