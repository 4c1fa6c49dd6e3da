//! Power loss: the write-ahead log is cut at every length, or damaged, and what is left is what was
//! acknowledged up to there, whole. And the path of the file, watched.

use std::fs;
use std::path::Path;

use promptmill::store::{Claim, Store, StoreError};

use super::stage::{BATCH, NOW, Stage, done, turn};
use promptmill::domain::time::Timestamp;

/// A frame: 24 bytes of header and a page. The log begins with 32 bytes.
const FRAME: u64 = 24 + 4096;
const ROUNDS: u64 = 12;

/// A database with its log, and how many jobs were acknowledged as settled at which length of it.
async fn logged() -> (Stage<impl super::stage::Open>, Vec<(u64, u64)>) {
    let stage = Stage::with_rows(super::sqlite, 60).await.reopen().await;
    let mut acknowledged = vec![(0, 0)];
    let mut held = stage.claim(5).await;
    for round in 1..=ROUNDS {
        let answers: Vec<_> = held.iter().map(|job| done(job, &"x".repeat(900))).collect();
        let batch = stage.batch().await;
        let claim = Claim { batch, limit: 5 };
        held = turn(&stage.store, &answers, claim, NOW).await.claimed;
        acknowledged.push((length(&stage.path()), round * 5));
    }
    (stage, acknowledged)
}

fn length(database: &Path) -> u64 {
    fs::metadata(database.with_extension("db-wal"))
        .unwrap()
        .len()
}

/// Opens what is left, and returns how many jobs are done in it.
async fn left(database: &[u8], log: &[u8]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    fs::write(&path, database).unwrap();
    fs::write(path.with_extension("db-wal"), log).unwrap();
    let store = Store::open(&path).await.unwrap();
    let soundness = store.verify().await.unwrap();
    assert_eq!(soundness.file, Vec::<String>::new());
    assert_eq!(soundness.content, Vec::<String>::new());
    store.rescue(Timestamp::from_millis(NOW)).await.unwrap();
    let batch = store.batch(BATCH).await.unwrap().id;
    let counts = store.counts(batch).await.unwrap();
    assert_eq!((counts.total, counts.running, counts.failed), (60, 0, 0));
    store.close().await.unwrap();
    counts.done
}

#[tokio::test]
async fn a_log_cut_at_any_length_keeps_what_was_acknowledged_before() {
    let (stage, acknowledged) = logged().await;
    let database = fs::read(stage.path()).unwrap();
    let log = fs::read(stage.path().with_extension("db-wal")).unwrap();
    let whole = log.len() as u64;
    assert_eq!(acknowledged.last(), Some(&(whole, ROUNDS * 5)));
    assert!(whole > 30 * FRAME, "{whole}");
    let mut cuts: Vec<u64> = (0..=(whole - 32) / FRAME)
        .map(|frame| 32 + frame * FRAME)
        .collect();
    // Within a frame too: its header, its page, its last byte.
    let torn: Vec<_> = cuts
        .iter()
        .step_by(7)
        .flat_map(|cut| [cut + 10, cut + 2_000, cut + FRAME - 1])
        .collect();
    cuts.extend(torn.into_iter().filter(|cut| *cut < whole));
    cuts.extend([0, 5, 31]);
    for cut in cuts {
        let kept = left(&database, &log[..cut as usize]).await;
        let owed = acknowledged
            .iter()
            .rev()
            .find(|(length, _)| *length <= cut)
            .unwrap()
            .1;
        assert!(
            kept >= owed,
            "cut at {cut}: {kept} are done, {owed} were acknowledged"
        );
        assert_eq!(kept % 5, 0, "cut at {cut}: half a transaction");
    }
}

#[tokio::test]
async fn a_log_with_a_damaged_byte_keeps_what_was_acknowledged_before_it() {
    let (stage, acknowledged) = logged().await;
    let database = fs::read(stage.path()).unwrap();
    let log = fs::read(stage.path().with_extension("db-wal")).unwrap();
    for at in (40..log.len()).step_by(3_331) {
        let mut torn = log.clone();
        torn[at] ^= 0x40;
        let kept = left(&database, &torn).await;
        let owed = acknowledged
            .iter()
            .rev()
            .find(|(length, _)| *length <= at as u64)
            .unwrap()
            .1;
        assert!(
            kept >= owed,
            "damaged at {at}: {kept} are done, {owed} were acknowledged"
        );
    }
}

#[tokio::test]
async fn a_file_that_was_removed_or_replaced_takes_no_settlement() {
    for replace in [false, true] {
        let stage = Stage::with_rows(super::sqlite, 2).await;
        let held = stage.claim(1).await;
        let batch = stage.batch().await;
        fs::rename(stage.path(), stage.folder.path().join("away.db")).unwrap();
        if replace {
            fs::write(stage.path(), "x").unwrap();
        }
        let claim = Claim { batch, limit: 1 };
        let settlements = [done(&held[0], "late")];
        let turned = stage
            .store
            .turn(&settlements, claim, Timestamp::from_millis(NOW))
            .await;
        assert!(matches!(turned, Err(StoreError::Gone { .. })), "{turned:?}");
        let _ = fs::remove_file(stage.path());
        fs::rename(stage.folder.path().join("away.db"), stage.path()).unwrap();
        assert_eq!(stage.settle(&settlements).await, 0);
        assert_eq!(stage.counts().await.done, 1);
    }
}

#[tokio::test]
async fn a_log_that_grows_without_an_end_is_noticed() {
    let stage = Stage::with_rows(super::sqlite, 2).await;
    assert_eq!(stage.store.long_log(), None);
    let log = fs::OpenOptions::new()
        .write(true)
        .open(stage.path().with_extension("db-wal"));
    let grown = 257 << 20;
    log.unwrap().set_len(grown).unwrap();
    assert_eq!(stage.store.long_log(), Some(grown));
    assert_eq!(
        stage.claim(1).await.len(),
        1,
        "what is behind the last frame is not read"
    );
}
