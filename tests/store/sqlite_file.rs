//! The database from the point of view of other programs: the `answers` view and the stored data.

use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;
use promptmill::store::{KeyRow, RowFilter};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};

use super::fixture::{Fixture, NOW, OpenStore, done, failed, requeued, row, sqlite};

#[tokio::test]
async fn the_answers_view_has_the_documented_columns() {
    let fixture = Fixture::with_rows(sqlite, 5).await;
    let claimed = fixture.claim(4).await;
    let settled = [
        done(&claimed[0], "forty-\"two\" 😀"),
        failed(&claimed[1], Scope::Request, "too-long"),
        requeued(&claimed[2], "overloaded", NOW),
    ];
    fixture.settle(&settled).await;
    let input = ["k0", "k1", "k2", "k4"].map(|key| row(key, 0));
    fixture.import(&input).await;
    let mut connection = read_only(&fixture).await;
    let rows = sqlx::query(
        "SELECT row, key, input, prompt, response, status, error, attempts, batch
         FROM answers ORDER BY row",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(rows.len(), 4, "the withdrawn row was not omitted");
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
        "request: message of too-long (too-long)"
    );
    assert_eq!(text(2, "status").unwrap(), "pending");
    assert_eq!(
        text(2, "error").unwrap(),
        "transient: message of overloaded (overloaded)"
    );
    assert_eq!((text(3, "error"), text(3, "response")), (None, None));
    assert_eq!(rows[3].get::<i64, _>("attempts"), 0);
    assert_eq!(text(3, "batch").unwrap(), "questions");
}

#[tokio::test]
async fn the_answers_view_omits_the_history_of_a_reopened_job() {
    let fixture = Fixture::with_rows(sqlite, 1).await;
    let claimed = fixture.claim(1).await;
    fixture
        .settle(&[failed(&claimed[0], Scope::Request, "too-long")])
        .await;
    let batch = fixture.batch().await;
    fixture
        .store
        .reopen(batch, &RowFilter::default())
        .await
        .unwrap();
    let mut connection = read_only(&fixture).await;
    let error: Option<String> = sqlx::query_scalar("SELECT error FROM answers")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(error, None);
    assert_eq!(fixture.records().await[0].error, None);
}

#[tokio::test]
async fn failed_attempts_are_stored_with_all_details() {
    let fixture = Fixture::with_rows(sqlite, 1).await;
    let claimed = fixture.claim(1).await;
    fixture
        .settle(&[requeued(&claimed[0], "overloaded", NOW)])
        .await;
    let mut connection = read_only(&fixture).await;
    let row = sqlx::query(
        "SELECT claim_no || outcome || scope || rule || status || message || request_id || wait_ms
                || key_label || latency_ms || ended_at FROM attempts",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let stored: String = row.get(0);
    let expected = "1failedtransientoverloaded503message of overloadedr-11500key 1201000000";
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn the_file_passes_the_integrity_checks() {
    let fixture = Fixture::with_rows(sqlite, 500).await;
    let claimed = fixture.claim(300).await;
    let settlements: Vec<_> = claimed.iter().map(|job| done(job, "a response")).collect();
    fixture.settle(&settlements).await;
    fixture
        .import(&[row("k400", 3), row("k2", 3), row("k1", 0)])
        .await;
    let mut connection = read_only(&fixture).await;
    for pragma in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
        let stored: Vec<String> = sqlx::query_scalar(pragma)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert!(
            stored.is_empty() || stored == ["ok"],
            "{pragma}: {stored:?}"
        );
    }
}

/// Checks that the table has no columns for other data.
#[tokio::test]
async fn only_the_fingerprint_and_state_of_a_key_are_stored() {
    let fixture = Fixture::empty(sqlite).await;
    let key = KeyRow {
        model: String::new(),
        fingerprint: "fingerprint".to_owned(),
        base_url: "https://api.test/v1".to_owned(),
        label: "label".to_owned(),
        state: "dead".to_owned(),
        until: None,
        reason: "reason".to_owned(),
    };
    let now = Timestamp::from_millis(NOW);
    fixture.store.save_keys(&[key], "m", now).await.unwrap();
    let mut connection = read_only(&fixture).await;
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

async fn read_only<O: OpenStore>(fixture: &Fixture<O>) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(fixture.path());
    options.read_only(true).connect().await.unwrap()
}
