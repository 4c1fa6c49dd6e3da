//! Estimates are correct, send no request, and leave no files behind.

use promptmill::simulator::Config;

use crate::support::{KEY, TestEnv, jobs};

#[track_caller]
fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} not found in:\n{text}");
    }
}

#[test]
fn estimate_requires_no_key_and_leaves_no_files_behind() {
    let env = TestEnv::with_rows(30).set_var("PROMPTMILL_API_KEYS", "");
    for args in ["estimate jobs.csv", "run jobs.csv --dry-run"] {
        let args = format!("{args} --set max_tokens=50 --rpm 10");
        let stdout = env.run(&args).exits(0).stdout;
        assert_contains(
            &stdout,
            &[
                "jobs.csv: 30 rows\n",
                "to send    30 rows (30 new)\n",
                "responses  600 to 1,500 tokens (up to max_tokens)\n",
                "time       3m 0s (10 requests per minute, one key)\n",
                "cost       $0.000",
                "3 of the requests, as sent:",
                "row 1\n",
                "\"content\": \"question 30\"",
                "\"max_tokens\": 50",
            ],
        );
    }
    assert_eq!(
        (env.files(), env.requests()),
        (vec!["jobs.csv".to_owned()], 0)
    );
}

#[test]
fn completed_rows_are_skipped_and_used_for_averages() {
    let env = TestEnv::with_rows(6);
    env.run("run jobs.csv -o out.csv").exits(0);
    let stdout = env.run("estimate jobs.csv").exits(0).stdout;
    assert_contains(
        &stdout,
        &["to send    nothing\n", "skipped    6 rows (6 completed)\n"],
    );
    env.write("jobs.csv", &jobs(8));
    let json = env.run("estimate jobs.csv --json").exits(0).json();
    assert_eq!(
        (&json["to_ask"], &json["new"], &json["answered"]),
        (&2.into(), &2.into(), &6.into())
    );
    let stdout = env.run("estimate jobs.csv").exits(0).stdout;
    assert_contains(
        &stdout,
        &[
            "to send    2 rows (2 new)\n",
            "based on 6 responses of this batch",
        ],
    );
    let stdout = env.run("estimate jobs.csv --model gpt-4o").exits(0).stdout;
    assert_contains(
        &stdout,
        &[
            "8 rows (2 new, 6 changed)",
            "`run` would reject this batch",
            "--redo",
        ],
    );
    assert_eq!(env.requests(), 6);
    env.run("run jobs.csv -o out.csv").exits(0);
    env.results("out.csv").assert_completed(8);
    assert_eq!(env.requests(), 8);
}

#[test]
fn the_time_depends_on_the_number_of_keys() {
    let second = format!("{KEY}2");
    let env = TestEnv::with_rows(30).keys(&[KEY, &second]);
    let stdout = env.run("estimate jobs.csv --rpm 10").exits(0).stdout;
    assert_contains(
        &stdout,
        &["time       1m 30s (10 requests per minute per key, 2 keys)\n"],
    );
    let stdout = env
        .run("estimate jobs.csv --model home-made")
        .exits(0)
        .stdout;
    assert_contains(&stdout, &["cost       unknown: no price for this model\n"]);
}

#[test]
fn input_errors_are_reported_like_those_of_an_import() {
    let env = TestEnv::new(Config::default());
    env.write("jobs.csv", "id,text\n1,a\n");
    env.run("estimate jobs.csv --prompt {{txt}}")
        .exits(65)
        .stderr_contains("did you mean `text`?");
    env.run("estimate none.csv")
        .exits(66)
        .stderr_contains("no such file");
    env.write("jobs.csv", "id,prompt\n1,\"a \u{1b}[31m\"\n");
    let stdout = env.run("estimate jobs.csv").exits(0).stdout;
    assert!(!stdout.contains('\u{1b}'), "{stdout:?}");
}
