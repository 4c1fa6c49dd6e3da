//! Mirroring an input: what is added, asked again, withdrawn and kept.

use promptmill::domain::job::{Chunk, JobState};
use promptmill::domain::time::Timestamp;
use promptmill::store::{Claim, Counts, StoreError, Sync, SyncReport};

use super::stage::{
    BATCH, NOW, Open, Stage, asked, cells, columns, done, feed, import, records, released, row,
    rows, sync, template, turn,
};

pub(crate) async fn a_first_import_adds_every_row(open: impl Open) {
    let stage = Stage::empty(open).await;
    let report = stage.import(&rows(20)).await;
    assert_eq!(report, told(20, 20, 0, 0));
    assert_eq!(stage.counts().await, pending(20));
    let first = &stage.records().await[0];
    assert_eq!(cells(first), ["k0", "what is k0, 0?"]);
    assert_eq!((first.state, first.attempts), (JobState::Pending, 0));
    assert_eq!((&first.completion, &first.error), (&None, &None));
}

pub(crate) async fn a_large_first_input_is_known_again_and_all_or_nothing(open: impl Open) {
    let stage = Stage::empty(open).await;
    let all = rows(21_000);
    let chunks = |end| {
        let mut chunks: Vec<_> = all.chunks(5_000).map(|chunk| Ok(chunk.to_vec())).collect();
        chunks.push(end);
        chunks
    };
    let broken = sync(&stage.store, BATCH, chunks(Err("line 21,002"))).await;
    assert_eq!(broken.unwrap(), Err("line 21,002"));
    assert_eq!(stage.store.batches().await.unwrap(), []);
    for added in [21_000, 0] {
        let report = sync(&stage.store, BATCH, chunks(Ok(Vec::new()))).await;
        assert_eq!(report.unwrap(), Ok(told(21_000, added, 0, 0)));
    }
    let mut doubled = rows(2);
    doubled.push(row("k1", 0));
    let report = sync(&stage.store, "other", vec![Ok(doubled), Ok(Vec::new())]).await;
    assert!(report.is_err(), "two rows of one key");
}

pub(crate) async fn the_same_input_again_changes_nothing(open: impl Open) {
    let stage = Stage::with_rows(open, 20).await;
    let held = stage.claim(3).await;
    stage.settle(&[done(&held[0], "one")]).await;
    let before = stage.records().await;
    assert_eq!(stage.import(&rows(20)).await, told(20, 0, 0, 0));
    assert_eq!(stage.records().await, before);
    // What is in flight stays so: its answers still count.
    let settled = [done(&held[1], "two"), done(&held[2], "three")];
    assert_eq!(stage.settle(&settled).await, 0);
    assert_eq!(stage.counts().await.done, 3);
}

pub(crate) async fn new_rows_are_added_and_the_old_keep_their_answers(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    answer_all(&stage).await;
    assert_eq!(stage.import(&rows(5)).await, told(5, 3, 0, 0));
    let counts = stage.counts().await;
    assert_eq!((counts.done, counts.pending), (2, 3));
    assert_eq!(asked(&stage.claim(9).await), ["k2", "k3", "k4"]);
}

pub(crate) async fn a_changed_request_is_asked_again(open: impl Open) {
    let stage = Stage::with_rows(open, 3).await;
    answer_all(&stage).await;
    let mut input = rows(3);
    input[1] = row("k1", 1);
    assert_eq!(stage.import(&input).await, told(3, 0, 1, 0));
    let record = &stage.records().await[1];
    assert_eq!((record.state, record.attempts), (JobState::Pending, 0));
    assert_eq!(cells(record), ["k1", "what is k1, 1?"]);
    assert_eq!(
        record.completion, None,
        "the answer to the old question is gone"
    );
    let again = stage.claim(9).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].request, input[1].request);
    assert_eq!(again[0].spent, 0);
}

pub(crate) async fn an_answer_to_the_old_question_is_shut_out(open: impl Open) {
    let stage = Stage::with_rows(open, 1).await;
    let old = stage.claim(1).await;
    stage.import(&[row("k0", 1)]).await;
    assert_eq!(stage.settle(&[done(&old[0], "old")]).await, 1);
    assert_eq!(stage.counts().await, pending(1));
    let new = stage.claim(1).await;
    assert_eq!(stage.settle(&[done(&old[0], "old")]).await, 1);
    assert_eq!(stage.settle(&[done(&new[0], "new")]).await, 0);
    let completion = stage.records().await[0].completion.clone().unwrap();
    assert!(completion.body.contains("new"));
}

pub(crate) async fn other_changed_cells_keep_the_answer(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    answer_all(&stage).await;
    let mut input = rows(2);
    input[0].cells = r#"["k0","a note for people"]"#.to_owned();
    assert_eq!(stage.import(&input).await, told(2, 0, 0, 0));
    let record = &stage.records().await[0];
    assert_eq!(cells(record), ["k0", "a note for people"]);
    assert_eq!(record.state, JobState::Done);
    assert!(record.completion.is_some());
}

pub(crate) async fn a_withdrawn_row_is_kept_but_neither_claimed_nor_exported(open: impl Open) {
    let stage = Stage::with_rows(open, 4).await;
    let held = stage.claim(1).await;
    stage.settle(&[done(&held[0], "kept")]).await;
    let input = [row("k3", 0)];
    assert_eq!(stage.import(&input).await, told(1, 0, 0, 3));
    assert_eq!(stage.counts().await, pending(1));
    assert_eq!(stage.records().await.len(), 1);
    assert_eq!(asked(&stage.claim(9).await), ["k3"]);
    // Those that had gone before are no news.
    assert_eq!(stage.import(&input).await, told(1, 0, 0, 0));
    assert_eq!(stage.import(&[]).await, told(0, 0, 0, 1));
    let none = stage.turn(&[], 9, NOW).await;
    assert_eq!((none.claimed.len(), none.next_due), (0, None));
    assert_eq!(stage.counts().await, Counts::default());
}

pub(crate) async fn a_row_that_returns_has_its_answer(open: impl Open) {
    let stage = Stage::with_rows(open, 3).await;
    answer_all(&stage).await;
    let before = stage.records().await;
    assert_eq!(stage.import(&[row("k0", 0)]).await, told(1, 0, 0, 2));
    assert_eq!(stage.import(&rows(3)).await, told(3, 0, 0, 0));
    assert_eq!(stage.records().await, before);
    assert_eq!(stage.claim(9).await, []);
}

pub(crate) async fn a_row_that_returns_changed_is_asked_again(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    answer_all(&stage).await;
    stage.import(&[]).await;
    let input = [row("k1", 7), row("k0", 0)];
    assert_eq!(stage.import(&input).await, told(2, 0, 1, 0));
    assert_eq!(asked(&stage.claim(9).await), ["k1"]);
}

pub(crate) async fn bad_input_midway_leaves_all_as_it_was(open: impl Open) {
    let stage = Stage::with_rows(open, 3).await;
    answer_all(&stage).await;
    let (batch, before) = (
        stage.store.batch(BATCH).await.unwrap(),
        stage.records().await,
    );
    let chunks = vec![Ok(vec![row("k0", 1), row("new", 0)]), Err("line 4")];
    let outcome = sync(&stage.store, BATCH, chunks).await.unwrap();
    assert_eq!(outcome, Err("line 4"));
    assert_eq!(stage.records().await, before);
    assert_eq!(stage.store.batch(BATCH).await.unwrap(), batch);
    assert_eq!(stage.claim(9).await, []);
    // A batch that never came about is none.
    let chunks = vec![Ok(rows(2)), Err("line 3")];
    assert_eq!(
        sync(&stage.store, "other", chunks).await.unwrap(),
        Err("line 3")
    );
    assert_eq!(stage.store.find_batch("other").await.unwrap(), None);
    // And the store goes on.
    assert_eq!(stage.import(&rows(4)).await, told(4, 1, 0, 0));
}

pub(crate) async fn an_input_that_breaks_off_is_an_error_and_leaves_all_as_it_was(open: impl Open) {
    let stage = Stage::with_rows(open, 3).await;
    let before = stage.records().await;
    let broken = sync(&stage.store, BATCH, vec![Ok(vec![row("k9", 0)])]).await;
    assert!(broken.is_err(), "{broken:?}");
    let broken = sync(&stage.store, BATCH, vec![]).await;
    assert!(broken.is_err(), "{broken:?}");
    assert_eq!(stage.records().await, before);
    assert_eq!(stage.import(&rows(3)).await, told(3, 0, 0, 0));
}

pub(crate) async fn two_batches_are_apart(open: impl Open) {
    let stage = Stage::with_rows(open, 3).await;
    // The same keys, other questions.
    let others = [row("k1", 5), row("k0", 5)];
    assert_eq!(
        import(&stage.store, "other", &others).await,
        told(2, 2, 0, 0)
    );
    let other = stage.store.batch("other").await.unwrap().id;
    assert_eq!(asked(&stage.claim(9).await), ["k0", "k1", "k2"]);
    let claim = Claim {
        batch: other,
        limit: 9,
    };
    let held = turn(&stage.store, &[], claim, NOW).await.claimed;
    assert_eq!(asked(&held), ["k1", "k0"]);
    // Settling one and waiting in the other touch nothing of each other.
    let next = turn(&stage.store, &[released(&held[0], NOW + 5)], claim, NOW).await;
    assert_eq!(next.next_due, Some(Timestamp::from_millis(NOW + 5)));
    assert_eq!(stage.turn(&[], 0, NOW).await.next_due, None);
    assert_eq!(import(&stage.store, "other", &[]).await, told(0, 0, 0, 2));
    assert_eq!(stage.records().await.len(), 3);
    assert_eq!(records(&stage.store, other, 10).await, []);
    let names: Vec<_> = stage.store.statuses().await.unwrap();
    assert_eq!(names[0].name, BATCH);
    assert_eq!((names[0].counts.running, names[1].counts.total), (3, 0));
}

pub(crate) async fn what_a_batch_is_follows_the_last_import(open: impl Open) {
    let stage = Stage::with_rows(open, 1).await;
    let before = stage.store.batch(BATCH).await.unwrap();
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
    let sync = Sync {
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
    stage
        .store
        .sync_batch(&sync, chunks)
        .await
        .unwrap()
        .unwrap();
    let after = stage.store.batch(BATCH).await.unwrap();
    assert_eq!(after.id, before.id);
    assert_eq!((after.template, after.columns), (template, columns));
    assert_eq!(after.source, "elsewhere/in.csv");
    assert_eq!((after.stamp, after.simulated), (None, true));
    assert_eq!(cells(&stage.records().await[0]), ["k0", "p", "n"]);
}

pub(crate) async fn many_chunks_keep_the_input_order(open: impl Open) {
    let stage = Stage::empty(open).await;
    let input = rows(10_000);
    let mut chunks: Vec<_> = input.chunks(2_000).map(|c| Ok(c.to_vec())).collect();
    chunks.push(Ok(Vec::new()));
    let report = sync(&stage.store, BATCH, chunks).await.unwrap().unwrap();
    assert_eq!(report, told(10_000, 10_000, 0, 0));
    let exported = stage.records().await;
    assert_eq!(exported.len(), input.len());
    let keys = exported.iter().map(|record| cells(record)[0].as_str());
    assert!(keys.eq(input.iter().map(|row| row.key.as_str())));
    let claimed = stage.claim(20_000).await;
    let requests = claimed.iter().map(|job| job.request.as_str());
    assert!(requests.eq(input.iter().map(|row| row.request.as_str())));
}

pub(crate) async fn a_new_order_of_the_input_is_the_order_of_the_export(open: impl Open) {
    let stage = Stage::with_rows(open, 30).await;
    answer_all(&stage).await;
    let mut input = rows(31);
    input.reverse();
    assert_eq!(stage.import(&input).await, told(31, 1, 0, 0));
    let exported = stage.records().await;
    let keys = exported.iter().map(|record| cells(record)[0].as_str());
    assert!(keys.eq(input.iter().map(|row| row.key.as_str())));
    assert_eq!(stage.counts().await.done, 30);
}

pub(crate) async fn an_unknown_batch_is_an_error_that_names_those_there_are(open: impl Open) {
    let stage = Stage::empty(open).await;
    assert_eq!(stage.store.find_batch("none").await.unwrap(), None);
    let error = stage.store.batch("none").await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchBatch { .. }));
    assert!(error.to_string().contains("the database is empty"));
    stage.import(&rows(1)).await;
    import(&stage.store, "other", &[]).await;
    let error = stage.store.batch("none").await.unwrap_err().to_string();
    assert!(
        error.contains("hint: there are: questions, other"),
        "{error}"
    );
}

async fn answer_all(stage: &Stage<impl Open>) {
    let held = stage.claim(1_000).await;
    let answers: Vec<_> = held.iter().map(|job| done(job, "an answer")).collect();
    assert_eq!(stage.settle(&answers).await, 0);
}

fn told(total: u64, added: u64, changed: u64, withdrawn: u64) -> SyncReport {
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
