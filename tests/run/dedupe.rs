//! Deduplication: identical requests are sent once.

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::{CsvResults, TestEnv};

/// Six rows of three prompts.
const ROWS: &str = "id,prompt\n1,a\n2,b\n3,a\n4,a\n5,c\n6,b\n";
const RUN: &str = "run jobs.csv -o out.csv --id-column id --set temperature=0 --dedupe";

fn test_env(config: Config) -> TestEnv {
    let env = TestEnv::new(config);
    env.write("jobs.csv", ROWS);
    env
}

/// Checks that rows with the same prompt have the same response, and that tokens are counted once.
#[track_caller]
fn check_results(results: &CsvResults, attempts: &[&str]) {
    assert_eq!(results.count("done"), results.len());
    let (prompts, responses) = (results.column("prompt"), results.column("response"));
    for (prompt, completion) in prompts.iter().zip(&responses) {
        let first = prompts.iter().position(|other| other == prompt).unwrap();
        assert_eq!(*completion, responses[first]);
        assert!(
            completion.contains(&format!("\"{prompt}\"")),
            "{completion}"
        );
    }
    assert_eq!(results.column("attempts"), attempts);
    let tokens = results.column("prompt_tokens");
    for (attempts, tokens) in attempts.iter().zip(tokens) {
        assert_eq!(*attempts == "0", tokens.is_empty());
    }
}

#[test]
fn identical_requests_are_sent_once() {
    let env = test_env(Config::default());
    env.run(RUN)
        .exits(0)
        .stderr_contains("3 rows reused the response")
        .stderr_contains("6 done, 0 failed, 0 remaining");
    assert_eq!(env.requests(), 3);
    check_results(&env.results("out.csv"), &["1", "1", "0", "0", "1", "0"]);
    env.run("verify jobs.csv -o out.csv").exits(0);
    env.run(RUN).exits(0).stderr_contains("nothing to do");
    // A new row reuses the response of a completed one.
    env.write("jobs.csv", &format!("{ROWS}7,b\n"));
    env.run(RUN).exits(0);
    assert_eq!(env.requests(), 3);
    check_results(
        &env.results("out.csv"),
        &["1", "1", "0", "0", "1", "0", "0"],
    );
}

#[test]
fn requests_with_a_temperature_are_deduplicated_only_with_always() {
    let run = "run jobs.csv -o out.csv --dedupe";
    let default = test_env(Config::default());
    default.run(run).exits(0);
    assert_eq!(default.requests(), 6);
    let always = test_env(Config::default());
    always.run(&format!("{run}=always")).exits(0);
    assert_eq!(always.requests(), 3);
    let never = test_env(Config::default());
    never.run(&format!("{RUN}=never")).exits(0);
    assert_eq!(never.requests(), 6);
}

#[test]
fn a_failure_applies_to_all_duplicates_and_a_retry_sends_one() {
    let body = r#"{"error":{"message":"Too long.","code":"context_length_exceeded"}}"#;
    let refusal = move |request: &promptmill::simulator::IncomingRequest<'_>| {
        let refused = request.prompt == "a" && request.prompt_count == 1;
        refused.then(|| Reaction::Json(400, body.to_owned()))
    };
    let env = test_env(Config::default().script(Script::new().rule(refusal)));
    env.run(RUN)
        .exits(3)
        .stderr_contains("3 done, 3 failed, 0 remaining");
    let results = env.results("out.csv");
    for row in [1, 3, 4] {
        assert!(results.cell(row, "error").contains("Too long."));
    }
    env.run("verify jobs.csv -o out.csv").exits(0);
    env.run("retry jobs.csv").exits(0);
    env.run(RUN).exits(0);
    assert_eq!(env.requests(), 4);
    let results = env.results("out.csv");
    assert_eq!(results.count("done"), 6);
}

#[test]
fn duplicates_survive_a_killed_run() {
    let env = test_env(Config::default());
    env.provider.hold();
    let run = env.start(&format!("{RUN} --concurrency 1"));
    env.wait_for_requests(1);
    run.kill();
    env.provider.release();
    env.run(RUN).exits(0);
    // Only the request that was in flight is sent again.
    assert_eq!(env.requests(), 4);
    check_results(&env.results("out.csv"), &["2", "1", "0", "0", "1", "0"]);
}

#[test]
fn duplicates_of_a_limited_run_are_completed_by_the_next_one() {
    let env = test_env(Config::default());
    env.run(&format!("{RUN} --limit 1")).exits(4);
    assert_eq!(env.requests(), 1);
    env.run(&RUN.replace(" --dedupe", "")).exits(0);
    // Rows 3 and 4 reuse the response of row 1; each remaining row is sent.
    assert_eq!(env.requests(), 4);
    check_results(&env.results("out.csv"), &["1", "1", "0", "0", "1", "1"]);
}
