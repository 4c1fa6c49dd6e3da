//! Two stores on one database at once: a run in one process, an import or an export in another.

use std::path::Path;
use std::sync::Barrier;
use std::thread;

use promptmill::store::{Claim, Store};

use super::stage::{NOW, Open, Stage, asked, cells, done, import, records, row, rows, turn};

/// Stores that open one database at once.
const OPENERS: usize = 6;
/// Imports beside a run.
const IMPORTS: usize = 12;

pub(crate) async fn many_open_a_new_database_at_once(open: impl Open) {
    for round in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        // An empty file is a new database. It is there beforehand, because within one process the
        // one who makes it would drop, by closing it, the locks that the others hold on it.
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

pub(crate) async fn two_stores_settle_and_import_at_once_and_lose_nothing(open: impl Open) {
    let stage = Stage::with_rows(open, 200).await;
    let (path, batch) = (stage.path(), stage.batch().await);
    let barrier = Barrier::new(3);
    let answered: Vec<Vec<String>> = thread::scope(|scope| {
        let runs = [0, 1].map(|_| {
            let (path, barrier) = (&path, &barrier);
            scope.spawn(move || {
                barrier.wait();
                block_on(async { work(open(path).await, batch).await })
            })
        });
        let (path, barrier) = (&path, &barrier);
        let imports = scope.spawn(move || {
            barrier.wait();
            block_on(import_growing(open, path));
        });
        imports.join().unwrap();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    // What was added after both runs saw an empty queue.
    let rest = work(stage.store, batch).await;
    let mut keys: Vec<_> = answered.into_iter().flatten().chain(rest).collect();
    keys.sort();
    let mut expected: Vec<_> = (0..200 + IMPORTS)
        .map(|number| format!("k{number}"))
        .collect();
    expected.sort();
    assert_eq!(keys, expected, "each row is claimed once");
    let store = open(&path).await;
    for record in records(&store, batch, 50).await {
        let body = &record
            .completion
            .as_ref()
            .expect("each row has its answer")
            .body;
        assert!(body.contains(&format!("answer to {}\"", cells(&record)[0])));
        assert_eq!(record.attempts, 1);
    }
    let other = store.batch("other").await.unwrap().id;
    assert_eq!(store.counts(other).await.unwrap().total, IMPORTS as u64);
}

pub(crate) async fn a_reader_sees_what_the_other_store_settled(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    let other = open(&stage.path()).await;
    let batch = stage.batch().await;
    assert_eq!(other.counts(batch).await.unwrap().pending, 2);
    let held = stage.claim(1).await;
    assert_eq!(other.counts(batch).await.unwrap().running, 1);
    stage.settle(&[done(&held[0], "seen")]).await;
    assert_eq!(other.counts(batch).await.unwrap().done, 1);
    let (page, _) = other.page(batch, None, 1).await.unwrap();
    assert!(page[0].completion.is_some());
    // The other one closes; this one goes on.
    other.close().await.unwrap();
    assert_eq!(asked(&stage.claim(1).await), ["k1"]);
}

/// Answers all there is, a few at a time; returns the keys in the order of their claims.
async fn work(store: Store, batch: i64) -> Vec<String> {
    let claim = Claim { batch, limit: 3 };
    let (mut keys, mut settlements) = (Vec::new(), Vec::new());
    loop {
        let turn = turn(&store, &settlements, claim, NOW).await;
        assert_eq!(turn.stale, 0);
        let claimed = asked(&turn.claimed);
        settlements = (turn.claimed.iter().zip(&claimed))
            .map(|(job, key)| done(job, &format!("answer to {key}")))
            .collect();
        if claimed.is_empty() {
            store.close().await.unwrap();
            return keys;
        }
        keys.extend(claimed);
    }
}

/// Adds a row to each of two batches, again and again.
async fn import_growing(open: impl Open, path: &Path) {
    let store = open(path).await;
    for added in 1..=IMPORTS {
        let report = import(&store, super::stage::BATCH, &rows(200 + added)).await;
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
