//! Reading a batch page by page, as an export does.

use promptmill::domain::job::JobState;
use promptmill::domain::verdict::Scope;

use super::fixture::{
    Fixture, NOW, OpenStore, cells, completion, done, failed, records, requeued, rows,
};

pub(crate) async fn pages_contain_each_row_once_in_order(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2_500).await;
    let batch = fixture.batch().await;
    for size in [1_000, 1_250, 2_499, 2_500, 9_999] {
        let all = records(&fixture.store, batch, size).await;
        let keys: Vec<_> = all.iter().map(|record| &*cells(record)[0]).collect();
        let expected: Vec<_> = (0..2_500).map(|number| format!("k{number}")).collect();
        assert_eq!(keys, expected, "in pages of {size}");
    }
    let (page, last) = fixture.store.page(batch, Some(1_999), 100).await.unwrap();
    assert_eq!((page.len(), last), (100, Some(2_099)));
    assert_eq!(cells(&page[0])[0], "k2000");
    let (page, last) = fixture.store.page(batch, Some(2_499), 100).await.unwrap();
    assert_eq!((page, last), (vec![], None));
    let (page, last) = fixture.store.page(batch + 1, None, 100).await.unwrap();
    assert_eq!((page, last), (vec![], None));
}

pub(crate) async fn pages_omit_withdrawn_rows(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 300).await;
    let input: Vec<_> = rows(300).into_iter().step_by(3).collect();
    fixture.import(&input).await;
    let exported = records(&fixture.store, fixture.batch().await, 7).await;
    let keys = exported.iter().map(|record| cells(record)[0].as_str());
    assert!(keys.eq(input.iter().map(|row| row.key.as_str())));
}

pub(crate) async fn counts_and_pages_agree(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 50).await;
    let claimed = fixture.claim(40).await;
    let settlements: Vec<_> = (claimed[..30].iter().enumerate())
        .map(|(number, job)| match number % 3 {
            0 => done(job, "a response"),
            1 => requeued(job, "overloaded", NOW + 9),
            _ => failed(job, Scope::Request, "too-long"),
        })
        .collect();
    fixture.settle(&settlements).await;
    let exported = fixture.records().await;
    let count_in = |state| {
        exported
            .iter()
            .filter(|record| record.state == state)
            .count() as u64
    };
    let counts = fixture.counts().await;
    assert_eq!((counts.total, counts.done), (50, count_in(JobState::Done)));
    assert_eq!(
        (counts.failed, counts.pending),
        (count_in(JobState::Failed), count_in(JobState::Pending))
    );
    assert_eq!((counts.running, count_in(JobState::Running)), (10, 10));
    assert_eq!((counts.done, counts.failed, counts.pending), (10, 10, 20));
    for record in exported {
        let is_done = record.state == JobState::Done;
        assert_eq!(record.completion, is_done.then(|| completion("a response")));
        let failed = record.attempts > 0 && !is_done;
        assert_eq!(record.error.is_some(), failed);
    }
}
