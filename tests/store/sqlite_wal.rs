//! Simulated power loss: the WAL is truncated or damaged, and all transactions acknowledged before
//! that point must be intact. Also tests of a moved database and of the WAL size.

use std::fs;
use std::path::Path;

use promptmill::store::{Claim, Location, Store, StoreError};

use super::fixture::{BATCH, Fixture, NOW, done, settle_and_claim, sqlite};
use promptmill::domain::time::Timestamp;

/// Size of a WAL frame: a header of 24 bytes and a page. The WAL itself has a header of 32 bytes.
const FRAME: u64 = 24 + 4096;
/// Number of transactions in the WAL.
const ROUNDS: u64 = 12;

/// Creates a database with a WAL. Returns the number of settled jobs that were acknowledged at each
/// length of the WAL.
async fn with_wal() -> (Fixture<impl super::fixture::OpenStore>, Vec<(u64, u64)>) {
    let fixture = Fixture::with_rows(sqlite, 60).await.reopen().await;
    let mut acknowledged = vec![(0, 0)];
    let mut claimed = fixture.claim(5).await;
    for round in 1..=ROUNDS {
        let settlements: Vec<_> = claimed
            .iter()
            .map(|job| done(job, &"x".repeat(900)))
            .collect();
        let batch = fixture.batch().await;
        let claim = Claim { batch, limit: 5 };
        claimed = settle_and_claim(&fixture.store, &settlements, claim, NOW)
            .await
            .claimed;
        acknowledged.push((wal_length(&fixture.path()), round * 5));
    }
    (fixture, acknowledged)
}

fn wal_length(database: &Path) -> u64 {
    fs::metadata(database.with_extension("db-wal"))
        .unwrap()
        .len()
}

/// Opens a copy of the database with this WAL, and returns the number of completed jobs.
async fn completed_jobs(database: &[u8], wal: &[u8]) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.db");
    fs::write(&path, database).unwrap();
    fs::write(path.with_extension("db-wal"), wal).unwrap();
    let store = Store::open(&Location::new(&path)).await.unwrap();
    let integrity = store.verify().await.unwrap();
    assert_eq!(integrity.file_errors, Vec::<String>::new());
    assert_eq!(integrity.inconsistencies, Vec::<String>::new());
    store.recover(Timestamp::from_millis(NOW)).await.unwrap();
    let batch = store.batch(BATCH).await.unwrap().id;
    let counts = store.counts(batch).await.unwrap();
    assert_eq!((counts.total, counts.running, counts.failed), (60, 0, 0));
    store.close().await.unwrap();
    counts.done
}

#[tokio::test]
async fn a_truncated_wal_keeps_acknowledged_transactions() {
    let (fixture, acknowledged) = with_wal().await;
    let database = fs::read(fixture.path()).unwrap();
    let wal = fs::read(fixture.path().with_extension("db-wal")).unwrap();
    let full = wal.len() as u64;
    assert_eq!(acknowledged.last(), Some(&(full, ROUNDS * 5)));
    assert!(full > 30 * FRAME, "{full}");
    let mut lengths: Vec<u64> = (0..=(full - 32) / FRAME)
        .map(|frame| 32 + frame * FRAME)
        .collect();
    // Also truncate within frames: in the header, in the page, before the last byte.
    let within: Vec<_> = lengths
        .iter()
        .step_by(7)
        .flat_map(|length| [length + 10, length + 2_000, length + FRAME - 1])
        .collect();
    lengths.extend(within.into_iter().filter(|length| *length < full));
    lengths.extend([0, 5, 31]);
    for length in lengths {
        let completed = completed_jobs(&database, &wal[..length as usize]).await;
        let expected = acknowledged
            .iter()
            .rev()
            .find(|(end, _)| *end <= length)
            .unwrap()
            .1;
        assert!(
            completed >= expected,
            "length {length}: {completed} are completed, {expected} were acknowledged"
        );
        assert_eq!(completed % 5, 0, "length {length}: partial transaction");
    }
}

#[tokio::test]
async fn a_damaged_wal_keeps_the_transactions_before_the_damage() {
    let (fixture, acknowledged) = with_wal().await;
    let database = fs::read(fixture.path()).unwrap();
    let wal = fs::read(fixture.path().with_extension("db-wal")).unwrap();
    for at in (40..wal.len()).step_by(3_331) {
        let mut damaged = wal.clone();
        damaged[at] ^= 0x40;
        let completed = completed_jobs(&database, &damaged).await;
        let expected = acknowledged
            .iter()
            .rev()
            .find(|(end, _)| *end <= at as u64)
            .unwrap()
            .1;
        assert!(
            completed >= expected,
            "damaged at {at}: {completed} are completed, {expected} were acknowledged"
        );
    }
}

#[tokio::test]
async fn settling_fails_if_the_file_was_removed_or_replaced() {
    for replace in [false, true] {
        let fixture = Fixture::with_rows(sqlite, 2).await;
        let claimed = fixture.claim(1).await;
        let batch = fixture.batch().await;
        fs::rename(fixture.path(), fixture.dir.path().join("away.db")).unwrap();
        if replace {
            fs::write(fixture.path(), "x").unwrap();
        }
        let claim = Claim { batch, limit: 1 };
        let settlements = [done(&claimed[0], "late")];
        let result = fixture
            .store
            .settle_and_claim(&settlements, &[claim], Timestamp::from_millis(NOW))
            .await;
        assert!(matches!(result, Err(StoreError::Gone { .. })), "{result:?}");
        let _ = fs::remove_file(fixture.path());
        fs::rename(fixture.dir.path().join("away.db"), fixture.path()).unwrap();
        assert_eq!(fixture.settle(&settlements).await, 0);
        assert_eq!(fixture.counts().await.done, 1);
    }
}

#[tokio::test]
async fn an_oversized_wal_is_detected() {
    let fixture = Fixture::with_rows(sqlite, 2).await;
    assert_eq!(fixture.store.oversized_wal(), None);
    let wal = fs::OpenOptions::new()
        .write(true)
        .open(fixture.path().with_extension("db-wal"));
    let size = 257 << 20;
    wal.unwrap().set_len(size).unwrap();
    assert_eq!(fixture.store.oversized_wal(), Some(size));
    assert_eq!(
        fixture.claim(1).await.len(),
        1,
        "data after the last frame was not ignored"
    );
}
