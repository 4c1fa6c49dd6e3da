//! Syncing a batch with an input: added, changed, withdrawn and unchanged rows.

use promptmill::domain::job::{Chunk, JobState};
use promptmill::domain::time::Timestamp;
use promptmill::store::{Claim, Counts, StoreError, SyncParams, SyncReport};

use super::fixture::{
    BATCH, Fixture, NOW, OpenStore, cells, claimed_keys, columns, done, feed, import, records,
    released, row, rows, settle_and_claim, sync, template,
};

pub(crate) async fn a_first_import_adds_every_row(open: impl OpenStore) {
    let fixture = Fixture::empty(open).await;
    let report = fixture.import(&rows(20)).await;
    assert_eq!(report, sync_report(20, 20, 0, 0));
    assert_eq!(fixture.counts().await, pending(20));
    let first = &fixture.records().await[0];
    assert_eq!(cells(first), ["k0", "what is k0, 0?"]);
    assert_eq!((first.state, first.attempts), (JobState::Pending, 0));
    assert_eq!((&first.completion, &first.error), (&None, &None));
}

pub(crate) async fn a_large_first_import_is_atomic_and_idempotent(open: impl OpenStore) {
    let fixture = Fixture::empty(open).await;
    let all = rows(21_000);
    let chunks = |end| {
        let mut chunks: Vec<_> = all.chunks(5_000).map(|chunk| Ok(chunk.to_vec())).collect();
        chunks.push(end);
        chunks
    };
    let broken = sync(&fixture.store, BATCH, chunks(Err("line 21,002"))).await;
    assert_eq!(broken.unwrap(), Err("line 21,002"));
    assert_eq!(fixture.store.batches().await.unwrap(), []);
    for added in [21_000, 0] {
        let report = sync(&fixture.store, BATCH, chunks(Ok(Vec::new()))).await;
        assert_eq!(report.unwrap(), Ok(sync_report(21_000, added, 0, 0)));
    }
    let mut doubled = rows(2);
    doubled.push(row("k1", 0));
    let report = sync(&fixture.store, "other", vec![Ok(doubled), Ok(Vec::new())]).await;
    assert!(report.is_err(), "two rows with the same key were accepted");
}

pub(crate) async fn importing_the_same_input_again_changes_nothing(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 20).await;
    let claimed = fixture.claim(3).await;
    fixture.settle(&[done(&claimed[0], "one")]).await;
    let before = fixture.records().await;
    assert_eq!(fixture.import(&rows(20)).await, sync_report(20, 0, 0, 0));
    assert_eq!(fixture.records().await, before);
    // Requests in flight are not affected: their responses are stored.
    let settled = [done(&claimed[1], "two"), done(&claimed[2], "three")];
    assert_eq!(fixture.settle(&settled).await, 0);
    assert_eq!(fixture.counts().await.done, 3);
}

pub(crate) async fn new_rows_are_added_and_existing_responses_are_kept(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    complete_all(&fixture).await;
    assert_eq!(fixture.import(&rows(5)).await, sync_report(5, 3, 0, 0));
    let counts = fixture.counts().await;
    assert_eq!((counts.done, counts.pending), (2, 3));
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k2", "k3", "k4"]);
}

pub(crate) async fn a_changed_request_is_sent_again(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 3).await;
    complete_all(&fixture).await;
    let mut input = rows(3);
    input[1] = row("k1", 1);
    assert_eq!(fixture.import(&input).await, sync_report(3, 0, 1, 0));
    let record = &fixture.records().await[1];
    assert_eq!((record.state, record.attempts), (JobState::Pending, 0));
    assert_eq!(cells(record), ["k1", "what is k1, 1?"]);
    assert_eq!(
        record.completion, None,
        "the response to the old request was kept"
    );
    let again = fixture.claim(9).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].request, input[1].request);
    assert_eq!(again[0].spent, 0);
}

pub(crate) async fn a_response_to_the_old_request_is_discarded(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 1).await;
    let old = fixture.claim(1).await;
    fixture.import(&[row("k0", 1)]).await;
    assert_eq!(fixture.settle(&[done(&old[0], "old")]).await, 1);
    assert_eq!(fixture.counts().await, pending(1));
    let new = fixture.claim(1).await;
    assert_eq!(fixture.settle(&[done(&old[0], "old")]).await, 1);
    assert_eq!(fixture.settle(&[done(&new[0], "new")]).await, 0);
    let completion = fixture.records().await[0].completion.clone().unwrap();
    assert!(completion.body.contains("new"));
}

pub(crate) async fn changes_in_other_cells_keep_the_response(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    complete_all(&fixture).await;
    let mut input = rows(2);
    input[0].cells = r#"["k0","a note for people"]"#.to_owned();
    assert_eq!(fixture.import(&input).await, sync_report(2, 0, 0, 0));
    let record = &fixture.records().await[0];
    assert_eq!(cells(record), ["k0", "a note for people"]);
    assert_eq!(record.state, JobState::Done);
    assert!(record.completion.is_some());
}

pub(crate) async fn a_withdrawn_row_is_kept_but_neither_claimed_nor_exported(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 4).await;
    let claimed = fixture.claim(1).await;
    fixture.settle(&[done(&claimed[0], "kept")]).await;
    let input = [row("k3", 0)];
    assert_eq!(fixture.import(&input).await, sync_report(1, 0, 0, 3));
    assert_eq!(fixture.counts().await, pending(1));
    assert_eq!(fixture.records().await.len(), 1);
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k3"]);
    // Rows that were withdrawn before are not reported again.
    assert_eq!(fixture.import(&input).await, sync_report(1, 0, 0, 0));
    assert_eq!(fixture.import(&[]).await, sync_report(0, 0, 0, 1));
    let none = fixture.settle_and_claim(&[], 9, NOW).await;
    assert_eq!((none.claimed.len(), none.next_due), (0, None));
    assert_eq!(fixture.counts().await, Counts::default());
}

pub(crate) async fn a_row_that_is_added_again_keeps_its_response(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 3).await;
    complete_all(&fixture).await;
    let before = fixture.records().await;
    assert_eq!(
        fixture.import(&[row("k0", 0)]).await,
        sync_report(1, 0, 0, 2)
    );
    assert_eq!(fixture.import(&rows(3)).await, sync_report(3, 0, 0, 0));
    assert_eq!(fixture.records().await, before);
    assert_eq!(fixture.claim(9).await, []);
}

pub(crate) async fn a_row_that_is_added_again_with_changes_is_sent_again(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    complete_all(&fixture).await;
    fixture.import(&[]).await;
    let input = [row("k1", 7), row("k0", 0)];
    assert_eq!(fixture.import(&input).await, sync_report(2, 0, 1, 0));
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k1"]);
}

pub(crate) async fn invalid_input_changes_nothing(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 3).await;
    complete_all(&fixture).await;
    let (batch, before) = (
        fixture.store.batch(BATCH).await.unwrap(),
        fixture.records().await,
    );
    let chunks = vec![Ok(vec![row("k0", 1), row("new", 0)]), Err("line 4")];
    let outcome = sync(&fixture.store, BATCH, chunks).await.unwrap();
    assert_eq!(outcome, Err("line 4"));
    assert_eq!(fixture.records().await, before);
    assert_eq!(fixture.store.batch(BATCH).await.unwrap(), batch);
    assert_eq!(fixture.claim(9).await, []);
    // A new batch is not created either.
    let chunks = vec![Ok(rows(2)), Err("line 3")];
    assert_eq!(
        sync(&fixture.store, "other", chunks).await.unwrap(),
        Err("line 3")
    );
    assert_eq!(fixture.store.find_batch("other").await.unwrap(), None);
    // The store is still usable.
    assert_eq!(fixture.import(&rows(4)).await, sync_report(4, 1, 0, 0));
}

pub(crate) async fn an_incomplete_input_is_an_error_and_changes_nothing(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 3).await;
    let before = fixture.records().await;
    let broken = sync(&fixture.store, BATCH, vec![Ok(vec![row("k9", 0)])]).await;
    assert!(broken.is_err(), "{broken:?}");
    let broken = sync(&fixture.store, BATCH, vec![]).await;
    assert!(broken.is_err(), "{broken:?}");
    assert_eq!(fixture.records().await, before);
    assert_eq!(fixture.import(&rows(3)).await, sync_report(3, 0, 0, 0));
}

pub(crate) async fn batches_are_independent(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 3).await;
    // Use the same keys with different requests.
    let others = [row("k1", 5), row("k0", 5)];
    assert_eq!(
        import(&fixture.store, "other", &others).await,
        sync_report(2, 2, 0, 0)
    );
    let other = fixture.store.batch("other").await.unwrap().id;
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k0", "k1", "k2"]);
    let claim = Claim {
        batch: other,
        limit: 9,
    };
    let claimed = settle_and_claim(&fixture.store, &[], claim, NOW)
        .await
        .claimed;
    assert_eq!(claimed_keys(&claimed), ["k1", "k0"]);
    // Settling in one batch does not affect the other.
    let next = settle_and_claim(
        &fixture.store,
        &[released(&claimed[0], NOW + 5)],
        claim,
        NOW,
    )
    .await;
    assert_eq!(next.next_due, Some(Timestamp::from_millis(NOW + 5)));
    assert_eq!(fixture.settle_and_claim(&[], 0, NOW).await.next_due, None);
    assert_eq!(
        import(&fixture.store, "other", &[]).await,
        sync_report(0, 0, 0, 2)
    );
    assert_eq!(fixture.records().await.len(), 3);
    assert_eq!(records(&fixture.store, other, 10).await, []);
    let names: Vec<_> = fixture.store.statuses().await.unwrap();
    assert_eq!(names[0].name, BATCH);
    assert_eq!((names[0].counts.running, names[1].counts.total), (3, 0));
}

pub(crate) async fn a_deadline_is_kept_by_imports_until_it_is_removed(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    import(&fixture.store, "other", &rows(1)).await;
    let id = fixture.batch().await;
    let deadline = Some(Timestamp::from_millis(NOW + 5));
    assert_eq!(fixture.store.batch(BATCH).await.unwrap().deadline, None);
    fixture.store.set_deadline(id, deadline).await.unwrap();
    fixture.import(&rows(3)).await;
    let fixture = fixture.reopen().await;
    let batches = fixture.store.batches().await.unwrap();
    let batches = batches.iter().map(|batch| (&*batch.name, batch.deadline));
    assert!(batches.eq([(BATCH, deadline), ("other", None)]));
    fixture.store.set_deadline(id, None).await.unwrap();
    assert_eq!(fixture.store.batch(BATCH).await.unwrap().deadline, None);
}

pub(crate) async fn an_import_updates_the_batch(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 1).await;
    let before = fixture.store.batch(BATCH).await.unwrap();
    assert_eq!(before.columns, ["id", "prompt"]);
    assert_eq!(
        (before.template, before.source.as_str()),
        (template("m"), "in.csv")
    );
    assert_eq!(
        (before.stamp.as_deref(), before.simulated),
        (Some("1 2 3"), false)
    );
    let (template, columns) = (template("m2"), columns(&["id", "prompt", "a \"note\""]));
    let sync = SyncParams {
        name: BATCH,
        template: &template,
        columns: &columns,
        source: "elsewhere/in.csv",
        simulated: true,
        stamp: None,
        now: Timestamp::from_millis(NOW + 1),
    };
    let mut wider = row("k0", 0);
    wider.cells = r#"["k0","p","n"]"#.to_owned();
    let chunks = feed(vec![Ok::<_, ()>(vec![wider].into()), Ok(Chunk::default())]);
    fixture
        .store
        .sync_batch(&sync, chunks)
        .await
        .unwrap()
        .unwrap();
    let after = fixture.store.batch(BATCH).await.unwrap();
    assert_eq!(after.id, before.id);
    assert_eq!((after.template, after.columns), (template, columns));
    assert_eq!(after.source, "elsewhere/in.csv");
    assert_eq!((after.stamp, after.simulated), (None, true));
    assert_eq!(cells(&fixture.records().await[0]), ["k0", "p", "n"]);
}

pub(crate) async fn many_chunks_keep_the_input_order(open: impl OpenStore) {
    let fixture = Fixture::empty(open).await;
    let input = rows(10_000);
    let mut chunks: Vec<_> = input.chunks(2_000).map(|c| Ok(c.to_vec())).collect();
    chunks.push(Ok(Vec::new()));
    let report = sync(&fixture.store, BATCH, chunks).await.unwrap().unwrap();
    assert_eq!(report, sync_report(10_000, 10_000, 0, 0));
    let exported = fixture.records().await;
    assert_eq!(exported.len(), input.len());
    let keys = exported.iter().map(|record| cells(record)[0].as_str());
    assert!(keys.eq(input.iter().map(|row| row.key.as_str())));
    let claimed = fixture.claim(20_000).await;
    let requests = claimed.iter().map(|job| job.request.as_str());
    assert!(requests.eq(input.iter().map(|row| row.request.as_str())));
}

pub(crate) async fn the_export_follows_a_changed_input_order(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 30).await;
    complete_all(&fixture).await;
    let mut input = rows(31);
    input.reverse();
    assert_eq!(fixture.import(&input).await, sync_report(31, 1, 0, 0));
    let exported = fixture.records().await;
    let keys = exported.iter().map(|record| cells(record)[0].as_str());
    assert!(keys.eq(input.iter().map(|row| row.key.as_str())));
    assert_eq!(fixture.counts().await.done, 30);
}

pub(crate) async fn an_unknown_batch_is_an_error_that_lists_the_existing_ones(
    open: impl OpenStore,
) {
    let fixture = Fixture::empty(open).await;
    assert_eq!(fixture.store.find_batch("none").await.unwrap(), None);
    let error = fixture.store.batch("none").await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchBatch { .. }));
    assert!(error.to_string().contains("the database is empty"));
    fixture.import(&rows(1)).await;
    import(&fixture.store, "other", &[]).await;
    let error = fixture.store.batch("none").await.unwrap_err().to_string();
    assert!(
        error.contains("hint: existing batches: questions, other"),
        "{error}"
    );
}

async fn complete_all(fixture: &Fixture<impl OpenStore>) {
    let claimed = fixture.claim(1_000).await;
    let settlements: Vec<_> = claimed.iter().map(|job| done(job, "a response")).collect();
    assert_eq!(fixture.settle(&settlements).await, 0);
}

fn sync_report(total: u64, added: u64, changed: u64, withdrawn: u64) -> SyncReport {
    SyncReport {
        total,
        added,
        changed,
        withdrawn,
    }
}

fn pending(rows: u64) -> Counts {
    Counts {
        total: rows,
        pending: rows,
        ..Counts::default()
    }
}
