//! A batch is kept in sync with its input file: new rows are sent, changed rows are sent again, and
//! removed rows are withdrawn but keep their responses.

use std::fmt::Write as _;
use std::time::Duration;

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::{TestEnv, jobs};

const RUN: &str = "run jobs.csv -o out.csv";
const BY_ID: &str = "run jobs.csv -o out.csv --id-column id";

/// Writes an input file with the columns `id`, `prompt` and `remark`.
fn write(env: &TestEnv, rows: &[(&str, &str, &str)]) {
    let mut text = "id,prompt,remark\n".to_owned();
    for (id, prompt, remark) in rows {
        writeln!(text, "{id},{prompt},{remark}").unwrap();
    }
    env.write("jobs.csv", &text);
}

/// Runs a command, and checks the number of requests and the results.
#[track_caller]
fn check_requests(env: &TestEnv, args: &str, requests: u64) {
    let before = env.requests();
    env.run(args).exits(0);
    assert_eq!(env.requests() - before, requests);
    let (file, results) = (env.read("jobs.csv"), env.results("out.csv"));
    assert_eq!(results.len(), file.lines().count() - 1);
    for (row, line) in file.lines().skip(1).enumerate() {
        let prompt = results.cell(row + 1, "prompt");
        assert!(
            line.contains(prompt),
            "the input is {line:?}, but the prompt is {prompt:?}"
        );
        let completion = results.cell(row + 1, "response");
        assert!(
            completion.contains(&format!("\"{prompt}\"")),
            "the response to {prompt:?} is {completion:?}"
        );
    }
}

#[test]
fn only_appended_rows_are_sent() {
    let env = TestEnv::with_rows(20);
    check_requests(&env, RUN, 20);
    env.write("jobs.csv", &jobs(25));
    check_requests(&env, RUN, 5);
    env.results("out.csv").assert_completed(25);
}

#[test]
fn reordered_rows_are_exported_in_the_new_order_without_requests() {
    let env = TestEnv::new(Config::default());
    write(
        &env,
        &[("1", "one", ""), ("2", "two", ""), ("3", "three", "")],
    );
    check_requests(&env, RUN, 3);
    write(
        &env,
        &[("3", "three", ""), ("1", "one", ""), ("2", "two", "")],
    );
    check_requests(&env, RUN, 0);
    assert_eq!(env.results("out.csv").column("id"), ["3", "1", "2"]);
}

#[test]
fn identical_rows_are_each_sent() {
    let env = TestEnv::new(Config::default());
    write(
        &env,
        &[("1", "one", ""), ("1", "one", ""), ("1", "one", "")],
    );
    check_requests(&env, RUN, 3);
    check_requests(&env, RUN, 0);
    write(&env, &[("1", "one", ""); 4]);
    check_requests(&env, RUN, 1);
}

#[test]
fn a_changed_prompt_is_sent_again() {
    let env = TestEnv::new(Config::default());
    write(
        &env,
        &[("1", "one", "x"), ("2", "two", "x"), ("3", "three", "x")],
    );
    check_requests(&env, BY_ID, 3);
    write(
        &env,
        &[("1", "one", "x"), ("2", "deux", "x"), ("3", "three", "x")],
    );
    let output = env.run(BY_ID).exits(0);
    output.stderr_contains("jobs.csv: 3 rows (1 changed and pending again)");
    assert_eq!(env.requests(), 4);
    check_requests(&env, BY_ID, 0);
}

#[test]
fn a_change_in_another_column_is_exported_without_requests() {
    let env = TestEnv::new(Config::default());
    write(&env, &[("1", "one", "x"), ("2", "two", "x")]);
    check_requests(&env, BY_ID, 2);
    write(&env, &[("1", "one", "x"), ("2", "two", "reviewed")]);
    check_requests(&env, BY_ID, 0);
    assert_eq!(env.results("out.csv").column("remark"), ["x", "reviewed"]);
}

#[test]
fn a_new_column_is_exported_without_requests() {
    let env = TestEnv::new(Config::default());
    env.write("jobs.csv", "id,prompt\n1,one\n2,two\n");
    check_requests(&env, BY_ID, 2);
    env.write("jobs.csv", "mood,id,prompt\ngood,1,one\nbad,2,two\n");
    check_requests(&env, BY_ID, 0);
    let results = env.results("out.csv");
    assert_eq!(results.columns[..3], ["mood", "id", "prompt"]);
    assert_eq!(results.column("mood"), ["good", "bad"]);
}

#[test]
fn withdrawn_rows_keep_their_responses_when_they_are_added_again() {
    let env = TestEnv::with_rows(10);
    check_requests(&env, RUN, 10);
    let before = env.read("out.csv");
    env.write("jobs.csv", &jobs(6));
    let output = env
        .run(RUN)
        .exits(0)
        .stderr_contains("jobs.csv: 6 rows (4 removed)");
    assert!(
        output.stderr.contains("nothing to do: all 6 rows"),
        "{}",
        output.stderr
    );
    env.results("out.csv").assert_completed(6);
    let status = env.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["total"], 6);
    env.write("jobs.csv", &jobs(10));
    check_requests(&env, RUN, 0);
    assert_eq!(env.read("out.csv"), before);
}

#[test]
fn an_invalid_file_leaves_the_batch_unchanged() {
    let env = TestEnv::with_rows(10);
    check_requests(&env, RUN, 10);
    let before = env.read("out.csv");
    env.write("jobs.csv", &format!("{}11,ragged\n", jobs(5)));
    env.run(RUN).exits(65).stderr_contains("jobs.csv:7: ");
    let status = env.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["done"], 10);
    assert_eq!(env.read("out.csv"), before);
}

#[test]
fn rows_imported_during_a_run_are_sent_by_it() {
    let env = TestEnv::with_rows(3);
    env.provider.hold();
    let run = env.start(RUN);
    env.wait_for_requests(1);
    env.write("jobs.csv", &jobs(8));
    env.run("import jobs.csv")
        .exits(0)
        .stderr_contains("5 added");
    env.provider.release();
    run.finish().exits(0);
    env.results("out.csv").assert_completed(8);
    assert_eq!(env.requests(), 8);
}

#[test]
fn a_response_to_a_prompt_that_has_changed_is_discarded() {
    let env = TestEnv::new(Config::default());
    write(&env, &[("1", "old", "x")]);
    env.provider.hold();
    let run = env.start(BY_ID);
    env.wait_for_requests(1);
    write(&env, &[("1", "new", "x")]);
    env.run("import jobs.csv --id-column id").exits(0);
    env.provider.release();
    run.finish().exits(0);
    let completion = env.results("out.csv").cell(1, "response").to_owned();
    assert!(completion.contains("\"new\""), "{completion}");
    assert_eq!(env.requests(), 2);
}

#[test]
fn a_response_to_the_old_prompt_does_not_complete_the_new_one_in_flight() {
    // The old response arrives while the new request is in flight.
    let script = Script::new()
        .on(|request| request.prompt == "old", delayed("old", 300))
        .on(|request| request.prompt == "new", delayed("new", 600));
    let keys = ["sk-first-0123456789abcdef", "sk-second-0123456789abcde"];
    let env = TestEnv::new(Config::default().script(script)).keys(&keys);
    write(&env, &[("1", "old", "x"), ("2", "other", "x")]);
    env.provider.hold();
    let run = env.start(BY_ID);
    env.wait_for_requests(2);
    write(&env, &[("1", "new", "x"), ("2", "other", "x")]);
    env.run("import jobs.csv --id-column id").exits(0);
    env.provider.release();
    run.finish().exits(0);
    assert_eq!(env.results("out.csv").cell(1, "response"), "\"new\"");
    assert_eq!(env.requests(), 3);
    check_requests(&env, BY_ID, 0);
}

fn delayed(prompt: &str, millis: u64) -> Reaction {
    Reaction::Text(format!("\"{prompt}\"")).after(Duration::from_millis(millis))
}
