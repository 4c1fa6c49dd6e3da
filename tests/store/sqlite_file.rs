//! The file as people and other programs find it: the view `answers`, and what is not in it.

use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;
use promptmill::store::KeyRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};

use super::stage::{NOW, Open, Stage, done, failed, requeued, row};

#[tokio::test]
async fn the_view_answers_reads_as_its_names_say() {
    let stage = Stage::with_rows(super::sqlite, 5).await;
    let held = stage.claim(4).await;
    let settled = [
        done(&held[0], "forty-\"two\" 😀"),
        failed(&held[1], Scope::Request, "too-long"),
        requeued(&held[2], "overloaded", NOW),
    ];
    stage.settle(&settled).await;
    let input = ["k0", "k1", "k2", "k4"].map(|key| row(key, 0));
    stage.import(&input).await;
    let mut connection = read_only(&stage).await;
    let rows = sqlx::query(
        "SELECT row, key, input, prompt, response, status, error, attempts, batch
         FROM answers ORDER BY row",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(rows.len(), 4, "the withdrawn row is not among them");
    let text = |at: usize, name: &str| rows[at].get::<Option<String>, _>(name);
    assert_eq!(rows[0].get::<i64, _>("row"), 1);
    assert_eq!(text(0, "key").unwrap(), "k0");
    let input = r#"{"id":"k0","prompt":"what is k0, 0?"}"#;
    assert_eq!(text(0, "input").unwrap(), input);
    assert_eq!(text(0, "prompt").unwrap(), "what is k0, 0?");
    assert_eq!(text(0, "response").unwrap(), "forty-\"two\" 😀");
    assert_eq!(
        (text(0, "status").unwrap(), text(0, "error")),
        ("done".to_owned(), None)
    );
    assert_eq!(text(1, "status").unwrap(), "failed");
    assert_eq!(
        text(1, "error").unwrap(),
        "request: said by too-long (too-long)"
    );
    assert_eq!(text(2, "status").unwrap(), "pending");
    assert_eq!(
        text(2, "error").unwrap(),
        "transient: said by overloaded (overloaded)"
    );
    assert_eq!((text(3, "error"), text(3, "response")), (None, None));
    assert_eq!(rows[3].get::<i64, _>("attempts"), 0);
    assert_eq!(text(3, "batch").unwrap(), "questions");
}

#[tokio::test]
async fn the_view_forgets_the_past_of_a_job_made_pending_again() {
    let stage = Stage::with_rows(super::sqlite, 1).await;
    let held = stage.claim(1).await;
    stage
        .settle(&[failed(&held[0], Scope::Request, "too-long")])
        .await;
    let batch = stage.batch().await;
    stage.store.reopen_failed(batch).await.unwrap();
    let mut connection = read_only(&stage).await;
    let error: Option<String> = sqlx::query_scalar("SELECT error FROM answers")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(error, None);
    assert_eq!(stage.records().await[0].error, None);
}

#[tokio::test]
async fn each_failure_is_kept_with_all_that_was_told() {
    let stage = Stage::with_rows(super::sqlite, 1).await;
    let held = stage.claim(1).await;
    stage.settle(&[requeued(&held[0], "overloaded", NOW)]).await;
    let mut connection = read_only(&stage).await;
    let row = sqlx::query(
        "SELECT claim_no || outcome || scope || rule || status || message || request_id || wait_ms
                || key_label || latency_ms || ended_at FROM attempts",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let told: String = row.get(0);
    let expected = "1failedtransientoverloaded503said by overloadedr-11500key 1201000000";
    assert_eq!(told, expected);
}

#[tokio::test]
async fn the_file_is_sound_after_all_that() {
    let stage = Stage::with_rows(super::sqlite, 500).await;
    let held = stage.claim(300).await;
    let answers: Vec<_> = held.iter().map(|job| done(job, "an answer")).collect();
    stage.settle(&answers).await;
    stage
        .import(&[row("k400", 3), row("k2", 3), row("k1", 0)])
        .await;
    let mut connection = read_only(&stage).await;
    for pragma in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
        let told: Vec<String> = sqlx::query_scalar(pragma)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert!(told.is_empty() || told == ["ok"], "{pragma}: {told:?}");
    }
}

/// What is kept of a key is what was handed over, so this shows only that the store adds nothing
/// of its own: no name but those of the state is written.
#[tokio::test]
async fn of_a_key_only_its_print_and_its_state_are_written() {
    let stage = Stage::empty(super::sqlite).await;
    let key = KeyRow {
        model: String::new(),
        fingerprint: "print-of-it".to_owned(),
        base_url: "https://api.test/v1".to_owned(),
        label: "label-of-it".to_owned(),
        state: "dead".to_owned(),
        until: None,
        reason: "reason-of-it".to_owned(),
    };
    let now = Timestamp::from_millis(NOW);
    stage.store.save_keys(&[key], "m", now).await.unwrap();
    let mut connection = read_only(&stage).await;
    let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info('keys')")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let known = [
        "fingerprint",
        "base_url",
        "model",
        "label",
        "state",
        "until",
        "reason",
        "changed_at",
    ];
    assert_eq!(columns, known);
}

async fn read_only<O: Open>(stage: &Stage<O>) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(stage.path());
    options.read_only(true).connect().await.unwrap()
}
