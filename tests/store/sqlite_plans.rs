//! No statement of the store grows with the queue unless it must: every one is explained by SQLite
//! itself, as it stands in the source.

use std::fs;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};

use super::stage::Stage;

/// Tables and aliases of what grows with the queue.
const LARGE: [&str; 9] = [
    "jobs", "rows", "results", "attempts", "j", "r", "x", "a", "last",
];

/// Statements that may read a whole table, by words in them, and why they may.
const MAY_SCAN: [(&str, &str); 3] = [
    (
        "WITH same AS MATERIALIZED",
        "rows that ask the same are looked for once a run, over an index that is made for it",
    ),
    (
        "FROM jobs NOT INDEXED",
        "an input has lost rows: which, is found in one pass by number",
    ),
    (
        "INSERT INTO batches",
        "the plan lists the check of foreign keys, which runs only if the id changed",
    ),
];

/// Statements that may sort, by words in them, and why they may.
const MAY_SORT: [(&str, &str); 5] = [
    (
        "WITH same AS MATERIALIZED",
        "not with the index that is made for it",
    ),
    ("ORDER BY a.id) FROM attempts", "the failures of one job"),
    ("GROUP BY last.scope", "as many groups as there are rules"),
    ("ORDER BY base_url, label", "as many keys as there are"),
    ("ORDER BY v.key", "as many rows as were handed over"),
];

#[tokio::test]
async fn no_statement_reads_a_whole_table_or_sorts_without_a_reason() {
    let stage = Stage::with_rows(super::sqlite, 3).await;
    let mut connection = connect(&stage.path()).await;
    let statements = statements();
    assert!(statements.len() > 20, "{} statements", statements.len());
    for sql in statements {
        let may_scan = MAY_SCAN.iter().any(|(words, _)| sql.contains(words));
        let may_sort = MAY_SORT.iter().any(|(words, _)| sql.contains(words));
        for step in plan(&mut connection, &sql).await {
            let scans = step.strip_prefix("SCAN ").is_some_and(is_large);
            assert!(may_scan || !scans, "{step}, in: {sql}");
            let sorts = step.contains("TEMP B-TREE");
            assert!(may_sort || !sorts, "{step}, in: {sql}");
        }
    }
}

#[tokio::test]
async fn every_exception_is_needed() {
    let all = statements();
    for (words, _) in MAY_SCAN.iter().chain(&MAY_SORT) {
        assert!(all.iter().any(|sql| sql.contains(words)), "{words}");
    }
}

#[tokio::test]
async fn what_every_turn_asks_is_read_from_its_index_alone() {
    check(
        "AND not_before > 0 AND not_before",
        "jobs_ready (batch_id=? AND not_before>? AND not_before<?)",
    )
    .await;
    check(
        "AND not_before > 0 AND not_before",
        "jobs_ready (batch_id=? AND not_before=?)",
    )
    .await;
    check(
        "SELECT min(not_before)",
        "SEARCH jobs USING INDEX jobs_ready (batch_id=?)",
    )
    .await;
    for words in [
        "r.cells, x.body",
        "SELECT j.position, x.model",
        "page.history_from",
    ] {
        check(words, "jobs_position (batch_id=? AND position>?)").await;
    }
    check("FROM jobs WHERE state = 1", "jobs_running").await;
    check(
        "UPDATE jobs SET state = v.value",
        "INTEGER PRIMARY KEY (rowid=?)",
    )
    .await;
    check("r.digest = v.value", "rows_key (batch_id=? AND key=?)").await;
}

/// Checks that the plan of the statement with these words has a step with those.
async fn check(words: &str, expected: &str) {
    let stage = Stage::with_rows(super::sqlite, 3).await;
    let mut connection = connect(&stage.path()).await;
    let all = statements();
    let found: Vec<_> = all.iter().filter(|sql| sql.contains(words)).collect();
    assert_eq!(found.len(), 1, "statements with \"{words}\"");
    let plan = plan(&mut connection, found[0]).await;
    assert!(
        plan.iter().any(|step| step.contains(expected)),
        "{expected}: {plan:#?}"
    );
}

/// Tells whether what is scanned grows with the queue. The index of what is in flight does not.
fn is_large(scanned: &str) -> bool {
    let table = scanned.split(' ').next().unwrap_or_default();
    LARGE.contains(&table) && !scanned.ends_with("INDEX jobs_running")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the text is the store's own, and is explained only"
)]
async fn plan(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    // The statement comes from the store's own source and is explained, not executed.
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::query(explain).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error}, in: {sql}"));
    rows.iter().map(|row| row.get("detail")).collect()
}

/// All statements of the store: the string literals of its source that begin as one. Those that
/// verify a database are not among them: to read all of it is what they are for.
fn statements() -> Vec<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store")];
    let mut statements = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("verify.rs") {
                statements.extend(statements_of(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    statements
}

fn statements_of(source: &str) -> Vec<String> {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: Vec<_> = code.collect();
    // The store's literals hold no escaped quotes but in messages, and those begin otherwise.
    let code = code.join("\n");
    let literals = code.split('"').map(str::trim_start);
    let statements = literals.filter(|text| is_statement(text));
    statements.map(str::to_owned).collect()
}

fn is_statement(text: &str) -> bool {
    let verb = text.split_whitespace().next().unwrap_or_default();
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&verb) && text.contains(' ')
}

async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}
