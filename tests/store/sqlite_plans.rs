//! Checks the query plans of all statements in the source of the store: no statement scans a
//! table or sorts without a reason.

use std::fs;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};

use super::fixture::{Fixture, sqlite};

/// Tables, and aliases of tables, that grow with the queue.
const LARGE: [&str; 9] = [
    "jobs", "rows", "results", "attempts", "j", "r", "x", "a", "last",
];

/// Fragments of the statements that are allowed to scan a table, with the reason.
const MAY_SCAN: [(&str, &str); 3] = [
    (
        "WITH same AS MATERIALIZED",
        "duplicates are searched once per run, with an index created for the search",
    ),
    (
        "FROM jobs NOT INDEXED",
        "rows that are missing from an input are found in one pass by id",
    ),
    (
        "INSERT INTO batches",
        "the plan contains the foreign key check, which only runs if the id changes",
    ),
];

/// Fragments of the statements that are allowed to sort, with the reason.
const MAY_SORT: [(&str, &str); 5] = [
    (
        "WITH same AS MATERIALIZED",
        "the index created for the search avoids the sort",
    ),
    (
        "ORDER BY a.id) FROM attempts",
        "sorts the failures of one job",
    ),
    ("GROUP BY last.scope", "sorts one group per rule"),
    ("ORDER BY base_url, label", "sorts one row per key"),
    ("ORDER BY v.key", "sorts the values in the parameter"),
];

#[tokio::test]
async fn statements_neither_scan_tables_nor_sort_without_a_reason() {
    let fixture = Fixture::with_rows(sqlite, 3).await;
    let mut connection = connect(&fixture.path()).await;
    let statements = statements();
    assert!(statements.len() > 20, "{} statements", statements.len());
    for sql in statements {
        let may_scan = MAY_SCAN.iter().any(|(fragment, _)| sql.contains(fragment));
        let may_sort = MAY_SORT.iter().any(|(fragment, _)| sql.contains(fragment));
        for step in plan(&mut connection, &sql).await {
            let scans = step.strip_prefix("SCAN ").is_some_and(is_large);
            assert!(may_scan || !scans, "{step}, in: {sql}");
            let sorts = step.contains("TEMP B-TREE");
            assert!(may_sort || !sorts, "{step}, in: {sql}");
        }
    }
}

#[tokio::test]
async fn every_exception_matches_a_statement() {
    let all = statements();
    for (fragment, _) in MAY_SCAN.iter().chain(&MAY_SORT) {
        assert!(
            all.iter().any(|sql| sql.contains(fragment)),
            "no statement contains {fragment:?}"
        );
    }
}

#[tokio::test]
async fn frequent_statements_use_their_indexes() {
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
    for fragment in [
        "r.cells, x.body",
        "SELECT j.position, x.model",
        "page.history_from",
    ] {
        check(fragment, "jobs_position (batch_id=? AND position>?)").await;
    }
    check("FROM jobs WHERE state = 1", "jobs_running").await;
    check(
        "UPDATE jobs SET state = v.value",
        "INTEGER PRIMARY KEY (rowid=?)",
    )
    .await;
    check("r.digest = v.value", "rows_key (batch_id=? AND key=?)").await;
}

/// Checks that the plan of the statement containing `fragment` has a step containing `expected`.
async fn check(fragment: &str, expected: &str) {
    let fixture = Fixture::with_rows(sqlite, 3).await;
    let mut connection = connect(&fixture.path()).await;
    let all = statements();
    let found: Vec<_> = all.iter().filter(|sql| sql.contains(fragment)).collect();
    assert_eq!(found.len(), 1, "statements with \"{fragment}\"");
    let plan = plan(&mut connection, found[0]).await;
    assert!(
        plan.iter().any(|step| step.contains(expected)),
        "{expected}: {plan:#?}"
    );
}

/// Returns whether the scanned table or index grows with the queue. The index of running jobs does
/// not.
fn is_large(scanned: &str) -> bool {
    let table = scanned.split(' ').next().unwrap_or_default();
    LARGE.contains(&table) && !scanned.ends_with("INDEX jobs_running")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the statement is from the source of the store, and is not executed"
)]
async fn plan(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::query(explain).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error}, in: {sql}"));
    rows.iter().map(|row| row.get("detail")).collect()
}

/// Returns the statements of the store: the string literals in its source that start with an SQL
/// verb. Those of `verify` are excluded, because they must read everything.
fn statements() -> Vec<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sqlite")];
    let mut statements = Vec::new();
    while let Some(dir) = folders.pop() {
        for entry in fs::read_dir(dir).unwrap() {
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
    // Only messages contain escaped quotes, and they do not start with an SQL verb.
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
