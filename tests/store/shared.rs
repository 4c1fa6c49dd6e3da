//! Several stores that use the same database, like a run in one process and an import or export in
//! another.

use std::path::Path;
use std::sync::Barrier;
use std::thread;

use promptmill::store::{Claim, Store};

use super::fixture::{
    Fixture, NOW, OpenStore, cells, claimed_keys, done, import, records, row, rows,
    settle_and_claim,
};

/// Number of stores that open a database concurrently.
const OPENERS: usize = 6;
/// Number of imports into each batch during the runs.
const IMPORTS: usize = 12;

pub(crate) async fn a_new_database_can_be_opened_concurrently(open: impl OpenStore) {
    for round in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queue.db");
        // Create the file first. If a store created it, closing it afterward would release the file
        // locks of the other stores in this process.
        std::fs::write(&path, "").unwrap();
        let barrier = Barrier::new(OPENERS);
        let salts: Vec<_> = thread::scope(|scope| {
            let openers: Vec<_> = (0..OPENERS)
                .map(|number| {
                    let (path, barrier) = (&path, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        block_on(async {
                            let store = open(path).await;
                            import(&store, &format!("batch {number}"), &rows(3)).await;
                            let salt = store.salt().await.unwrap();
                            store.close().await.unwrap();
                            salt
                        })
                    })
                })
                .collect();
            openers.into_iter().map(|o| o.join().unwrap()).collect()
        });
        assert!(salts.iter().all(|salt| *salt == salts[0]), "round {round}");
        let store = open(&path).await;
        let statuses = store.statuses().await.unwrap();
        assert_eq!(statuses.len(), OPENERS, "round {round}");
        assert!(statuses.iter().all(|status| status.counts.pending == 3));
    }
}

pub(crate) async fn concurrent_settling_and_importing_loses_nothing(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 200).await;
    let (path, batch) = (fixture.path(), fixture.batch().await);
    let barrier = Barrier::new(3);
    let completed: Vec<Vec<String>> = thread::scope(|scope| {
        let runs = [0, 1].map(|_| {
            let (path, barrier) = (&path, &barrier);
            scope.spawn(move || {
                barrier.wait();
                block_on(async { complete_jobs(open(path).await, batch).await })
            })
        });
        let (path, barrier) = (&path, &barrier);
        let imports = scope.spawn(move || {
            barrier.wait();
            block_on(import_growing_inputs(open, path));
        });
        imports.join().unwrap();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    // Complete the rows that were added after both runs found an empty queue.
    let rest = complete_jobs(fixture.store, batch).await;
    let mut keys: Vec<_> = completed.into_iter().flatten().chain(rest).collect();
    keys.sort();
    let mut expected: Vec<_> = (0..200 + IMPORTS)
        .map(|number| format!("k{number}"))
        .collect();
    expected.sort();
    assert_eq!(keys, expected, "some rows were not claimed exactly once");
    let store = open(&path).await;
    for record in records(&store, batch, 50).await {
        let body = &record
            .completion
            .as_ref()
            .expect("each row has a response")
            .body;
        assert!(body.contains(&format!("response to {}\"", cells(&record)[0])));
        assert_eq!(record.attempts, 1);
    }
    let other = store.batch("other").await.unwrap().id;
    assert_eq!(store.counts(other).await.unwrap().total, IMPORTS as u64);
}

pub(crate) async fn a_reader_sees_the_settlements_of_another_store(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    let other = open(&fixture.path()).await;
    let batch = fixture.batch().await;
    assert_eq!(other.counts(batch).await.unwrap().pending, 2);
    let claimed = fixture.claim(1).await;
    assert_eq!(other.counts(batch).await.unwrap().running, 1);
    fixture.settle(&[done(&claimed[0], "seen")]).await;
    assert_eq!(other.counts(batch).await.unwrap().done, 1);
    let (page, _) = other.page(batch, None, 1).await.unwrap();
    assert!(page[0].completion.is_some());
    // Closing the other store does not affect this one.
    other.close().await.unwrap();
    assert_eq!(claimed_keys(&fixture.claim(1).await), ["k1"]);
}

/// Completes all jobs, a few at a time, and returns their keys in the order of the claims.
async fn complete_jobs(store: Store, batch: i64) -> Vec<String> {
    let claim = Claim { batch, limit: 3 };
    let (mut keys, mut settlements) = (Vec::new(), Vec::new());
    loop {
        let update = settle_and_claim(&store, &settlements, claim, NOW).await;
        assert_eq!(update.stale, 0);
        let claimed = claimed_keys(&update.claimed);
        settlements = (update.claimed.iter().zip(&claimed))
            .map(|(job, key)| done(job, &format!("response to {key}")))
            .collect();
        if claimed.is_empty() {
            store.close().await.unwrap();
            return keys;
        }
        keys.extend(claimed);
    }
}

/// Repeatedly adds a row to each of two batches.
async fn import_growing_inputs(open: impl OpenStore, path: &Path) {
    let store = open(path).await;
    for added in 1..=IMPORTS {
        let report = import(&store, super::fixture::BATCH, &rows(200 + added)).await;
        assert_eq!((report.added, report.changed, report.withdrawn), (1, 0, 0));
        let others: Vec<_> = (0..added)
            .map(|number| row(&format!("o{number}"), 0))
            .collect();
        assert_eq!(import(&store, "other", &others).await.added, 1);
    }
    store.close().await.unwrap();
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}
