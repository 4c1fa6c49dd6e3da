//! The spool: what the database could not take is settled from it once, under its own claims only.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use promptmill::domain::job::JobState;
use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;
use promptmill::store::{Settlement, SpoolOutcome, StoreError};

use super::stage::{NOW, Stage, completion, done, failed, requeued, row};

const LATER: Timestamp = Timestamp::from_millis(NOW + 500);

fn spool(stage: &Stage<impl super::stage::Open>) -> PathBuf {
    stage.folder.path().join("queue.db.spool")
}

/// Keeps settlements as a run does that cannot write any more.
async fn keep(stage: &Stage<impl super::stage::Open>, settlements: &[Settlement]) {
    let mut spool = stage.store.reserve_spool(1 << 20).await.unwrap();
    let kept = spool.keep(settlements, LATER);
    let all = settlements.len() as u64;
    assert_eq!(kept, SpoolOutcome { kept: all, lost: 0 });
}

#[tokio::test]
async fn what_is_kept_is_settled_once_as_it_would_have_been() {
    let mut stage = Stage::with_rows(super::sqlite, 4).await;
    let held = stage.claim(4).await;
    let odd = "line\nbreak \u{0}\u{1f600} \"quoted\"";
    let settlements = [
        done(&held[0], odd),
        failed(&held[1], Scope::Request, "too-long"),
        requeued(&held[2], "overloaded", NOW + 9),
    ];
    keep(&stage, &settlements).await;
    let mode = fs::metadata(spool(&stage)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    stage.crash().await;
    assert_eq!(stage.store.take_in_spool().await.unwrap(), 3);
    assert!(!spool(&stage).exists());
    assert_eq!(stage.store.take_in_spool().await.unwrap(), 0);
    assert_eq!(stage.store.rescue(LATER).await.unwrap(), 1);
    let records = stage.records().await;
    assert_eq!(records[0].completion, Some(completion(odd)));
    let error = |at: usize| records[at].error.as_deref().unwrap();
    assert_eq!(error(1), "request: said by too-long (too-long)");
    assert_eq!(error(2), "transient: said by overloaded (overloaded)");
    assert!(error(3).ends_with("(crashed-in-flight)"));
}

#[tokio::test]
async fn what_was_settled_or_changed_meanwhile_stays_as_it_is() {
    let stage = Stage::with_rows(super::sqlite, 3).await;
    let held = stage.claim(3).await;
    let kept: Vec<_> = held.iter().map(|job| done(job, "from the spool")).collect();
    keep(&stage, &kept).await;
    stage.settle(&[done(&held[0], "first")]).await;
    stage
        .import(&[row("k0", 0), row("k1", 1), row("k2", 0)])
        .await;
    assert_eq!(stage.store.take_in_spool().await.unwrap(), 1);
    let records = stage.records().await;
    assert_eq!(records[0].completion, Some(completion("first")));
    assert_eq!(
        records[1].state,
        JobState::Pending,
        "it asks another question"
    );
    assert_eq!(records[2].completion, Some(completion("from the spool")));
}

#[tokio::test]
async fn a_spool_that_broke_off_gives_what_is_whole() {
    for cut in [1, 30] {
        let stage = Stage::with_rows(super::sqlite, 3).await;
        let held = stage.claim(3).await;
        let kept: Vec<_> = held.iter().map(|job| done(job, "an answer")).collect();
        keep(&stage, &kept).await;
        let file = OpenOptions::new().write(true).open(spool(&stage)).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - cut).unwrap();
        assert_eq!(stage.store.take_in_spool().await.unwrap(), 2);
        assert!(!spool(&stage).exists());
    }
}

#[tokio::test]
async fn an_empty_spool_and_one_without_a_whole_first_line_are_no_hindrance() {
    let stage = Stage::with_rows(super::sqlite, 1).await;
    for text in ["", "{\"spool_of\":\"0011", "no spool\n"] {
        fs::write(spool(&stage), text).unwrap();
        assert_eq!(stage.store.take_in_spool().await.unwrap(), 0);
        assert!(!spool(&stage).exists());
    }
}

#[tokio::test]
async fn the_spool_of_another_database_is_refused_and_kept() {
    let (ours, theirs) = (
        Stage::with_rows(super::sqlite, 1).await,
        Stage::with_rows(super::sqlite, 1).await,
    );
    let held = theirs.claim(1).await;
    keep(&theirs, &[done(&held[0], "theirs")]).await;
    ours.claim(1).await;
    fs::copy(spool(&theirs), spool(&ours)).unwrap();
    let error = ours.store.take_in_spool().await.unwrap_err();
    assert!(
        matches!(error, StoreError::ForeignSpool { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("\nhint: "));
    assert!(spool(&ours).exists());
    assert_eq!(ours.counts().await.done, 0);
}

#[tokio::test]
async fn more_is_kept_behind_what_is_kept_already() {
    let stage = Stage::with_rows(super::sqlite, 200).await;
    let held = stage.claim(200).await;
    let mut spool = stage.store.reserve_spool(1 << 20).await.unwrap();
    for group in held.chunks(70) {
        let group: Vec<_> = group.iter().map(|job| done(job, "an answer")).collect();
        let kept = spool.keep(&group, LATER);
        assert_eq!((kept.kept, kept.lost), (group.len() as u64, 0));
    }
    assert_eq!(spool.keep(&[], LATER), SpoolOutcome::default());
    assert_eq!(stage.store.take_in_spool().await.unwrap(), 200);
    assert_eq!(stage.counts().await.done, 200);
}

#[tokio::test]
async fn half_a_line_in_the_middle_ends_what_is_taken_in() {
    let stage = Stage::with_rows(super::sqlite, 2).await;
    let held = stage.claim(2).await;
    keep(&stage, &[done(&held[0], "whole")]).await;
    let mut file = OpenOptions::new().append(true).open(spool(&stage)).unwrap();
    file.write_all(b"{\"id\":2,\"claim_no\"\n").unwrap();
    assert_eq!(stage.store.take_in_spool().await.unwrap(), 1);
}
