//! Tampered databases: the program must not panic or hang, and must not print the terminal escape
//! sequences in them.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::support::{TestEnv, jobs};

/// Statements that an attacker could execute on a database.
const STATEMENTS: [&str; 24] = [
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

/// Runs half of the rows of a batch.
fn half_completed() -> TestEnv {
    let env = TestEnv::with_rows(6);
    env.run("run jobs.csv -o out.csv --limit 3").exits(4);
    env
}

fn tamper(env: &TestEnv, sql: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let options = SqliteConnectOptions::new()
        .filename(env.path("promptmill.db"))
        .foreign_keys(false)
        .pragma("ignore_check_constraints", "ON");
    runtime.block_on(async {
        let mut connection: SqliteConnection = options.connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_tampered_database_causes_no_panic_and_no_terminal_escapes() {
    for sql in STATEMENTS {
        let env = half_completed();
        tamper(&env, sql);
        env.write("jobs.csv", &jobs(7));
        for args in [
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
            let output = env.run(args);
            let code = output.status.code().unwrap_or(-1);
            assert!(
                code != 1 && code != 101 && code >= 0,
                "{sql}; {args}: {}\n{}",
                output.status,
                output.stderr
            );
            let raw = |text: &str| text.contains(['\u{1b}', '\u{7}', '\u{202e}']);
            let prints_raw = !args.starts_with("export") && raw(&output.stdout);
            assert!(
                !prints_raw && !raw(&output.stderr),
                "{sql}; {args}:\n{}{}",
                output.stdout,
                output.stderr
            );
        }
    }
}
