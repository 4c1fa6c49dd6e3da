//! Databases that somebody has tampered with: whatever is in them, nothing panics, nothing runs for
//! ever, and what a row says does not reach the terminal as a command.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::support::{Scene, jobs};

/// Statements that a person of ill will might have run on a database of ours.
const TAMPERED: [&str; 24] = [
    "UPDATE jobs SET state = 7",
    "UPDATE jobs SET state = -1 WHERE id = 1",
    "UPDATE jobs SET state = 2 WHERE state = 0",
    "UPDATE jobs SET position = -5 WHERE id = 1",
    "UPDATE jobs SET position = 9223372036854775807 WHERE id = 1",
    "UPDATE jobs SET claim_no = 9223372036854775807",
    "UPDATE jobs SET requests = -3, spent = 9223372036854775807, crashes = -1",
    "UPDATE jobs SET not_before = 9223372036854775807 WHERE state = 0",
    "UPDATE jobs SET twin_of = id",
    "UPDATE rows SET request = 'no JSON'",
    "UPDATE rows SET cells = '{' WHERE job_id = 1",
    "UPDATE rows SET cells = CAST(x'ff00fe' AS TEXT), request = CAST(x'c328' AS TEXT)",
    "UPDATE rows SET key = char(27) || ']52;c;cm0gLXJmIH4K' || char(7) || job_id",
    "UPDATE results SET body = char(27) || '[2J' || char(8238), model = char(27) || '[31m'",
    "UPDATE results SET body = CAST(x'fffe00' AS TEXT), prompt_tokens = -1, latency_ms = -1",
    "UPDATE results SET ended_at = 9223372036854775807, completion_tokens = 9223372036854775807",
    "UPDATE batches SET recipe = '{}'",
    "UPDATE batches SET recipe = 'no JSON'",
    "UPDATE batches SET columns = '[1, 2', name = char(27) || '[2J'",
    "UPDATE batches SET recipe = json_set(recipe, '$.schema', 'no schema')",
    "DELETE FROM rows",
    "DELETE FROM batches",
    "CREATE TRIGGER evil AFTER UPDATE ON jobs BEGIN DELETE FROM rows; END",
    "DROP VIEW answers; CREATE VIEW answers AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
];

/// Makes a batch that is half done, one row of it failed.
fn half_done() -> Scene {
    let scene = Scene::with_rows(6);
    scene.run("run jobs.csv -o out.csv --limit 3").exits(4);
    scene
}

fn tamper(scene: &Scene, sql: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let options = SqliteConnectOptions::new()
        .filename(scene.path("promptmill.db"))
        .foreign_keys(false)
        .pragma("ignore_check_constraints", "ON");
    runtime.block_on(async {
        let mut connection: SqliteConnection = options.connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_database_that_was_tampered_with_does_no_harm() {
    for sql in TAMPERED {
        let scene = half_done();
        tamper(&scene, sql);
        scene.write("jobs.csv", &jobs(7));
        for words in [
            "status",
            "status --json",
            "failures jobs.csv",
            "show jobs.csv 1",
            "export jobs.csv",
            "export jobs.csv --output-format jsonl",
            "export jobs.csv --output-format batch",
            "report jobs.csv -o report.html",
            "estimate jobs.csv",
            "verify",
            "run jobs.csv -o out.csv --max-runtime 5s --max-wait 0s",
            "retry jobs.csv",
            "cancel jobs.csv",
            "verify jobs.csv -o out.csv",
            "doctor --no-spend",
        ] {
            let ran = scene.run(words);
            let code = ran.status.code().unwrap_or(-1);
            assert!(
                code != 1 && code != 101 && code >= 0,
                "{sql}; {words}: {}\n{}",
                ran.status,
                ran.stderr
            );
            let raw = |text: &str| text.contains(['\u{1b}', '\u{7}', '\u{202e}']);
            let shows = !words.starts_with("export") && raw(&ran.stdout);
            assert!(
                !shows && !raw(&ran.stderr),
                "{sql}; {words}:\n{}{}",
                ran.stdout,
                ran.stderr
            );
        }
    }
}
