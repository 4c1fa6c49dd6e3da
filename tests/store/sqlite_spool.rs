//! The spool: settlements are applied once, and only to the claims that they belong to.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use promptmill::domain::job::JobState;
use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;
use promptmill::store::{Settlement, SpoolOutcome, StoreError};

use super::fixture::{Fixture, NOW, completion, done, failed, requeued, row, sqlite};

const LATER: Timestamp = Timestamp::from_millis(NOW + 500);

fn spool_path(fixture: &Fixture<impl super::fixture::OpenStore>) -> PathBuf {
    fixture.dir.path().join("queue.db.spool")
}

/// Spools settlements, like a run that can no longer write to the database.
async fn spool_settlements(
    fixture: &Fixture<impl super::fixture::OpenStore>,
    settlements: &[Settlement],
) {
    let mut spool = fixture.store.reserve_spool(1 << 20).await.unwrap();
    let outcome = spool.append(settlements, LATER);
    let all = settlements.len() as u64;
    assert_eq!(
        outcome,
        SpoolOutcome {
            spooled: all,
            lost: 0
        }
    );
}

#[tokio::test]
async fn spooled_settlements_are_applied_once() {
    let mut fixture = Fixture::with_rows(sqlite, 4).await;
    let claimed = fixture.claim(4).await;
    let odd = "line\nbreak \u{0}\u{1f600} \"quoted\"";
    let settlements = [
        done(&claimed[0], odd),
        failed(&claimed[1], Scope::Request, "too-long"),
        requeued(&claimed[2], "overloaded", NOW + 9),
    ];
    spool_settlements(&fixture, &settlements).await;
    let mode = fs::metadata(spool_path(&fixture))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    fixture.crash().await;
    assert_eq!(fixture.store.settle_spool().await.unwrap(), 3);
    assert!(!spool_path(&fixture).exists());
    assert_eq!(fixture.store.settle_spool().await.unwrap(), 0);
    assert_eq!(fixture.store.recover(LATER).await.unwrap(), 1);
    let records = fixture.records().await;
    assert_eq!(records[0].completion, Some(completion(odd)));
    let error = |at: usize| records[at].error.as_deref().unwrap();
    assert_eq!(error(1), "request: message of too-long (too-long)");
    assert_eq!(error(2), "transient: message of overloaded (overloaded)");
    assert!(error(3).ends_with("(crashed-in-flight)"));
}

#[tokio::test]
async fn the_spool_does_not_overwrite_settled_or_changed_rows() {
    let fixture = Fixture::with_rows(sqlite, 3).await;
    let claimed = fixture.claim(3).await;
    let spooled: Vec<_> = claimed
        .iter()
        .map(|job| done(job, "from the spool"))
        .collect();
    spool_settlements(&fixture, &spooled).await;
    fixture.settle(&[done(&claimed[0], "first")]).await;
    fixture
        .import(&[row("k0", 0), row("k1", 1), row("k2", 0)])
        .await;
    assert_eq!(fixture.store.settle_spool().await.unwrap(), 1);
    let records = fixture.records().await;
    assert_eq!(records[0].completion, Some(completion("first")));
    assert_eq!(
        records[1].state,
        JobState::Pending,
        "the response to the old request was applied"
    );
    assert_eq!(records[2].completion, Some(completion("from the spool")));
}

#[tokio::test]
async fn complete_lines_of_a_truncated_spool_are_settled() {
    for cut in [1, 30] {
        let fixture = Fixture::with_rows(sqlite, 3).await;
        let claimed = fixture.claim(3).await;
        let spooled: Vec<_> = claimed.iter().map(|job| done(job, "a response")).collect();
        spool_settlements(&fixture, &spooled).await;
        let file = OpenOptions::new()
            .write(true)
            .open(spool_path(&fixture))
            .unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - cut).unwrap();
        assert_eq!(fixture.store.settle_spool().await.unwrap(), 2);
        assert!(!spool_path(&fixture).exists());
    }
}

#[tokio::test]
async fn spools_without_a_complete_header_are_removed() {
    let fixture = Fixture::with_rows(sqlite, 1).await;
    for text in ["", "{\"spool_of\":\"0011", "not a spool\n"] {
        fs::write(spool_path(&fixture), text).unwrap();
        assert_eq!(fixture.store.settle_spool().await.unwrap(), 0);
        assert!(!spool_path(&fixture).exists());
    }
}

#[tokio::test]
async fn the_spool_of_another_database_is_rejected_and_kept() {
    let (ours, theirs) = (
        Fixture::with_rows(sqlite, 1).await,
        Fixture::with_rows(sqlite, 1).await,
    );
    let claimed = theirs.claim(1).await;
    spool_settlements(&theirs, &[done(&claimed[0], "theirs")]).await;
    ours.claim(1).await;
    fs::copy(spool_path(&theirs), spool_path(&ours)).unwrap();
    let error = ours.store.settle_spool().await.unwrap_err();
    assert!(
        matches!(error, StoreError::ForeignSpool { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("\nhint: "));
    assert!(spool_path(&ours).exists());
    assert_eq!(ours.counts().await.done, 0);
}

#[tokio::test]
async fn settlements_are_appended_to_the_spool() {
    let fixture = Fixture::with_rows(sqlite, 200).await;
    let claimed = fixture.claim(200).await;
    let mut spool = fixture.store.reserve_spool(1 << 20).await.unwrap();
    for group in claimed.chunks(70) {
        let group: Vec<_> = group.iter().map(|job| done(job, "a response")).collect();
        let outcome = spool.append(&group, LATER);
        assert_eq!((outcome.spooled, outcome.lost), (group.len() as u64, 0));
    }
    assert_eq!(spool.append(&[], LATER), SpoolOutcome::default());
    assert_eq!(fixture.store.settle_spool().await.unwrap(), 200);
    assert_eq!(fixture.counts().await.done, 200);
}

#[tokio::test]
async fn settling_the_spool_stops_at_an_invalid_line() {
    let fixture = Fixture::with_rows(sqlite, 2).await;
    let claimed = fixture.claim(2).await;
    spool_settlements(&fixture, &[done(&claimed[0], "complete")]).await;
    let mut file = OpenOptions::new()
        .append(true)
        .open(spool_path(&fixture))
        .unwrap();
    file.write_all(b"{\"id\":2,\"claim_no\"\n").unwrap();
    assert_eq!(fixture.store.settle_spool().await.unwrap(), 1);
}
