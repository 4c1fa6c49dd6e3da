//! Commands for failed rows: `failures`, `show`, `retry` and `cancel`.

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::{TestEnv, jobs, question};

const RUN: &str = "run jobs.csv -o out.csv --id-column id";

/// Runs ten rows, of which row 3 is filtered and row 7 is too long.
fn test_env() -> TestEnv {
    let filtered = r#"{"error":{"message":"Flagged by our \u001b[31mmoderation system.","code":"content_policy_violation"}}"#;
    let long = r#"{"error":{"message":"maximum context length is 8192 tokens","code":"context_length_exceeded"}}"#;
    let on = |row: usize| {
        move |request: &promptmill::simulator::IncomingRequest<'_>| request.prompt == question(row)
    };
    let script = Script::new()
        .on(on(3), Reaction::Json(400, filtered.to_owned()))
        .on(on(7), Reaction::Json(400, long.to_owned()));
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(10));
    env.run(RUN).exits(3);
    env
}

/// Returns the rule of the first attempt of a row.
fn rule(env: &TestEnv, row: usize) -> String {
    let shown = env
        .run(&format!("show jobs.csv {row} --json"))
        .exits(0)
        .json();
    shown["attempts"][0]["rule"].as_str().unwrap().to_owned()
}

#[test]
fn failures_are_listed_with_hints_and_retry_commands() {
    let env = test_env();
    let (filtered, long) = (rule(&env, 3), rule(&env, 7));
    let listed = env.run("failures jobs.csv").exits(0).stdout;
    for text in [
        "#3  3   ",
        "#7  7   ",
        "Flagged by our \\u{1b}[31mmoderation system.",
        "  hint:    ",
        &format!("  retry:   promptmill retry jobs.csv --cause {filtered}\n"),
        &format!("  retry:   promptmill retry jobs.csv --cause {long}\n"),
    ] {
        assert!(listed.contains(text), "{text:?} not found in:\n{listed}");
    }
    let one = env
        .run(&format!("failures jobs.csv --cause {long}"))
        .exits(0)
        .stdout;
    assert!(!one.contains("#3") && one.contains("#7"), "{one}");
    let first_page = env.run("failures jobs.csv --limit 1").exits(0).stdout;
    assert!(first_page.contains("… and 1 more"), "{first_page}");
    let json = env.run("failures jobs.csv --json").exits(0).json();
    let ids: Vec<_> = json["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["id"])
        .collect();
    assert_eq!(ids, ["3", "7"]);
    assert_eq!(json["causes"].as_array().unwrap().len(), 2);
}

#[test]
fn show_prints_all_details_of_a_row() {
    let env = test_env();
    let shown = env.run("show jobs.csv 3").exits(0).stdout;
    for text in [
        "jobs.csv, row 3 (3): failed, 1 request\n",
        "        \"content\": \"question 3\"\n",
        "key-1, status 400, after ",
        "message: Flagged by our \\u{1b}[31mmoderation",
        "hint: ",
    ] {
        assert!(shown.contains(text), "{text:?} not found in:\n{shown}");
    }
    let shown = env.run("show jobs.csv #4").exits(0).stdout;
    assert!(
        shown.starts_with("jobs.csv, row 4 (4): completed, 1 request\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\n  Simulated answer to \"question 4\" ("),
        "{shown}"
    );
    let json = env.run("show jobs.csv 4 --json").exits(0).json();
    assert_eq!(json["request"]["messages"][0]["content"], "question 4");
    assert_eq!(json["status"], "done");
    env.run("show jobs.csv 11")
        .exits(66)
        .stderr_contains("row not found in batch \"jobs.csv\": 11")
        .stderr_contains("a row number from 1 to 10");
}

#[test]
fn retry_affects_only_the_selected_rows() {
    let env = test_env();
    let (filtered, long) = (rule(&env, 3), rule(&env, 7));
    let near = format!("{}x", &long);
    env.run(&format!("retry jobs.csv --cause {near}"))
        .exits(66)
        .stderr_contains(&format!("did you mean --cause {long}?"));
    env.run("retry jobs.csv --scope sun")
        .exits(2)
        .stderr_contains("transient");
    env.run("retry jobs.csv --ids 3,99")
        .exits(66)
        .stderr_contains("row not found in batch \"jobs.csv\": 99");
    env.run(&format!("retry jobs.csv --cause {long} --max 5"))
        .exits(0)
        .stderr_contains("1 failed row set to pending; 1 failed row not retried")
        .stderr_contains("next: promptmill run jobs.csv");
    env.run(RUN).exits(3);
    let requests = env.provider.request_log();
    assert_eq!(
        (
            requests.count_by_prompt(&question(3)),
            requests.count_by_prompt(&question(7))
        ),
        (1, 2)
    );
    env.write("ids.txt", "3\n\n");
    env.run("retry jobs.csv --ids-file ids.txt").exits(0);
    env.run(RUN).exits(3);
    assert_eq!(env.provider.request_log().count_by_prompt(&question(3)), 2);
    assert_eq!(rule(&env, 3), filtered);
}

#[test]
fn canceled_rows_are_not_sent_until_they_are_retried() {
    let env = TestEnv::with_rows(5);
    env.run("import jobs.csv").exits(0);
    let output = env.run("cancel jobs.csv --ids 2,4").exits(0);
    output
        .stderr_contains("jobs.csv: 2 rows canceled")
        .stderr_contains("undo: promptmill retry jobs.csv --cause cancelled");
    env.run("run jobs.csv -o out.csv").exits(3);
    assert_eq!(env.requests(), 3);
    let results = env.results("out.csv");
    assert_eq!(
        results.column("status"),
        ["done", "failed", "done", "failed", "done"]
    );
    assert!(results.cell(2, "error").contains("cancelled"));
    let listed = env.run("failures jobs.csv").exits(0).stdout;
    assert!(listed.contains("2 rows: cancelled (request)"), "{listed}");
    env.run("cancel jobs.csv --ids 1")
        .exits(0)
        .stderr_contains("1 row was already done or failed");
    env.run("retry jobs.csv --cause cancelled").exits(0);
    env.run("run jobs.csv -o out.csv").exits(0);
    env.results("out.csv").assert_completed(5);
    assert_eq!(env.requests(), 5);
}

#[test]
fn rows_in_flight_cannot_be_canceled() {
    let env = TestEnv::with_rows(3);
    env.provider.hold();
    let run = env.start("run jobs.csv -o out.csv");
    env.wait_for_requests(1);
    env.run("cancel jobs.csv --ids 1")
        .exits(75)
        .stderr_contains("0 rows canceled")
        .stderr_contains("1 row is in flight and was not canceled");
    let json = env.run("cancel jobs.csv --json").exits(0).json();
    assert_eq!(
        (&json["cancelled"], &json["running"]),
        (&2.into(), &1.into())
    );
    env.provider.release();
    run.finish().exits(3);
    assert_eq!(env.requests(), 1);
}
