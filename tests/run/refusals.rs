//! Failures caused by a row, the model, a rate limit or the endpoint, not by a key.

use std::time::Duration;

use promptmill::simulator::{Config, IncomingRequest, Reaction, Script, SimulatedLimits};

use crate::closed_port::ClosedPort;
use crate::support::{CsvResults, TestEnv, jobs, question};

const RUN: &str = "run jobs.csv -o out.csv";
const ROWS: usize = 30;
/// The row that fails.
const BAD: usize = 7;

fn test_env(script: Script, keys: usize) -> TestEnv {
    let keys: Vec<_> = (0..keys)
        .map(|n| format!("sk-key-{n}-0123456789abcdef"))
        .collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let env = TestEnv::new(Config::default().script(script)).keys(&keys);
    env.write("jobs.csv", &jobs(ROWS));
    env
}

fn on_bad_row(reaction: Reaction) -> Script {
    on_row(BAD, reaction)
}

fn on_row(row: usize, reaction: Reaction) -> Script {
    Script::new().on(move |request| request.prompt == question(row), reaction)
}

/// Asserts that the bad row has failed and all others are done.
#[track_caller]
fn assert_only_bad_row_failed(results: &CsvResults) {
    assert_only_failed(results, BAD);
}

#[track_caller]
fn assert_only_failed(results: &CsvResults, row: usize) {
    assert_eq!(
        (results.count("done"), results.count("failed")),
        (ROWS - 1, 1)
    );
    assert_eq!(results.cell(row, "status"), "failed");
    assert!(!results.cell(row, "error").is_empty());
}

#[track_caller]
fn assert_keys_healthy(env: &TestEnv) {
    let keys = env.run("keys list --json").exits(0).json();
    for key in keys["keys"].as_array().unwrap() {
        assert_eq!(key["state"], "healthy", "{key}");
    }
}

#[test]
fn a_moderated_prompt_fails_its_row_and_disables_no_key() {
    let body = r#"{"error":{"message":"Your input was flagged by our moderation system.",
                   "type":"invalid_request_error","code":"content_policy_violation"}}"#;
    let env = test_env(on_bad_row(Reaction::Json(403, body.to_owned())), 3);
    env.run(RUN)
        .exits(3)
        .stderr_contains("1 of 30 rows of jobs.csv failed");
    assert_only_bad_row_failed(&env.results("out.csv"));
    assert_keys_healthy(&env);
    assert_eq!(
        env.provider.request_log().count_by_prompt(&question(BAD)),
        1
    );
}

#[test]
fn a_prompt_that_is_refused_with_every_key_fails_its_row_and_disables_no_key() {
    for row in [1, 2, BAD, ROWS] {
        for keys in [1, 2, 3, 8] {
            let body = r#"{"error":{"message":"Forbidden"}}"#.to_owned();
            let env = test_env(on_row(row, Reaction::Json(403, body)), keys);
            let output = env.run(RUN);
            let sent = env.provider.request_log().count_by_prompt(&question(row));
            assert_eq!(
                output.status.code(),
                Some(3),
                "row {row}, {keys} keys:\n{}",
                output.stderr
            );
            assert_only_failed(&env.results("out.csv"), row);
            assert_keys_healthy(&env);
            assert!(sent <= 3, "row {row}, {keys} keys: {sent} requests");
        }
    }
}

#[test]
fn a_bad_request_fails_its_row_after_one_request() {
    let env = test_env(on_bad_row(Reaction::Status(400)), 1);
    env.run(RUN)
        .exits(3)
        .stderr_contains("Simulated error 400.");
    let results = env.results("out.csv");
    assert_only_bad_row_failed(&results);
    assert_eq!(results.cell(BAD, "attempts"), "1");
    // Failed rows are not sent again.
    env.run(RUN)
        .exits(3)
        .stderr_contains("nothing to do: 29 of 30 rows of jobs.csv are completed, 1 failed");
    assert_eq!(env.requests(), ROWS as u64);
}

#[test]
fn a_server_error_is_retried_and_counted() {
    let script = Script::new().on(
        |request| request.prompt == question(BAD) && request.prompt_count <= 2,
        Reaction::Status(500),
    );
    let env = test_env(script, 1);
    env.run(RUN).exits(0);
    let results = env.results("out.csv");
    results.assert_completed(ROWS);
    assert_eq!(results.cell(BAD, "attempts"), "3");
    assert_eq!(env.requests(), ROWS as u64 + 2);
}

#[test]
fn max_attempts_limits_the_attempts_of_a_row() {
    let env = test_env(on_bad_row(Reaction::Status(500)), 1);
    env.run(&format!("{RUN} --max-attempts 2")).exits(3);
    let results = env.results("out.csv");
    assert_only_bad_row_failed(&results);
    assert_eq!(results.cell(BAD, "attempts"), "2");
}

#[test]
fn an_unknown_model_stops_the_run_with_all_rows_pending() {
    let env = TestEnv::new(Config::default().model("gpt-4o-mini"));
    env.write("jobs.csv", &jobs(ROWS));
    env.run(&format!("{RUN} --model gpt-5o-mini"))
        .exits(78)
        .stderr_contains("gpt-5o-mini")
        .stderr_contains("Check the model name");
    assert_eq!(env.requests(), 1);
    assert_eq!(env.results("out.csv").count("pending"), ROWS);
    // The request settings can change, because the batch has no responses yet.
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(ROWS);
}

#[test]
fn a_wrong_base_url_stops_the_run_with_all_rows_pending() {
    let env = TestEnv::with_rows(ROWS);
    let url = env.provider.base_url().replace("/v1", "/v7");
    env.run(&format!("{RUN} --base-url {url}")).exits(78);
    assert!(env.requests() <= 3, "{}", env.requests());
    assert_eq!(env.results("out.csv").count("pending"), ROWS);
    env.run(RUN).exits(0);
}

#[test]
fn waiting_for_a_rate_limit_does_not_use_up_an_attempt() {
    let rate_limited = Reaction::RateLimited(Duration::from_millis(300));
    let script = Script::new().on(
        |request| request.number == 3 || request.number == 4,
        rate_limited,
    );
    let env = test_env(script, 1);
    let output = env.run(&format!("{RUN} --max-attempts 1 --json")).exits(0);
    let throttled = output.json()["throttled"].as_u64().unwrap();
    assert_eq!(throttled, 2);
    env.results("out.csv").assert_completed(ROWS);
    assert_eq!(env.requests(), ROWS as u64 + throttled);
}

#[test]
fn a_rate_limited_key_waits_and_all_rows_complete() {
    let limits = SimulatedLimits {
        requests_per_minute: Some(600),
        request_burst: Some(1),
        ..SimulatedLimits::default()
    };
    let env = TestEnv::new(Config::default().limits(limits));
    env.write("jobs.csv", &jobs(ROWS));
    let output = env.run(&format!("{RUN} --max-attempts 1 --json")).exits(0);
    env.results("out.csv").assert_completed(ROWS);
    assert_eq!(
        env.provider.request_log().count_by_status(429),
        output.json()["throttled"]
    );
    assert!(output.json()["throttled"].as_u64().unwrap() > 0);
}

#[test]
fn rpm_limits_the_request_rate() {
    let env = TestEnv::with_rows(8);
    env.run(&format!("{RUN} --rpm 240")).exits(0);
    let entries = env.provider.request_log().entries;
    assert_eq!(entries.len(), 8);
    // A burst of four, then one request every 250 ms. The first one may have arrived late.
    let spread = entries[7].at.saturating_sub(entries[0].at);
    assert!(spread > Duration::from_millis(700), "{spread:?}");
}

#[test]
fn a_daily_quota_stops_the_run_with_the_time_to_resume() {
    let env = test_env(Script::new().rule(refuse_after_ten), 1);
    let output = env
        .run(&format!("{RUN} --json"))
        .exits(4)
        .stderr_contains("rate limited: remaining rows are waiting; 20 of 30 rows")
        .stderr_contains("not before")
        .stderr_contains("promptmill run jobs.csv -o out.csv");
    let json = output.json();
    assert_eq!((&json["done"], &json["left"]), (&10.into(), &20.into()));
    assert_eq!(json["stopped_by"], "quota");
    assert!(json["resume_at"].as_str().unwrap().ends_with('Z'), "{json}");
    let sent = env.requests();
    assert!(sent <= 10 + 16, "{sent}");
    let again = env.run(&format!("{RUN} --json")).exits(4).json();
    assert_eq!(again["requests"], 0);
    assert_eq!(again["resume_at"], json["resume_at"]);
    assert_eq!(env.requests(), sent);
    let results = env.results("out.csv");
    assert_eq!((results.count("done"), results.count("pending")), (10, 20));
}

/// Simulates a daily quota of ten requests.
fn refuse_after_ten(request: &IncomingRequest<'_>) -> Option<Reaction> {
    let body = r#"{"error":{"message":"Rate limit reached on requests per day (RPD): Limit 10, Used 10. Please try again in 7h12m0s.","type":"requests","code":"rate_limit_exceeded"}}"#;
    (request.number > 10).then(|| Reaction::Json(429, body.to_owned()))
}

#[test]
fn a_second_key_continues_when_the_daily_quota_of_the_first_is_used_up() {
    let limits = SimulatedLimits {
        requests_per_day: Some(20),
        ..SimulatedLimits::default()
    };
    let keys = ["sk-first-0123456789abcdef", "sk-second-0123456789abcde"];
    let env = TestEnv::new(Config::default().limits(limits)).keys(&keys);
    env.write("jobs.csv", &jobs(ROWS));
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(ROWS);
}

#[test]
fn an_endpoint_that_is_down_for_too_long_stops_the_run() {
    let env = test_env(Script::new().always(Reaction::Status(503)), 1);
    env.run(&format!("{RUN} --max-outage 1s"))
        .exits(69)
        .stderr_contains("the endpoint was unavailable for too long; 30 of 30 rows");
    let results = env.results("out.csv");
    assert_eq!(results.count("pending"), ROWS);
    assert!(env.requests() < 30, "{}", env.requests());
}

#[test]
fn an_endpoint_that_refuses_connections_stops_the_run() {
    let env = TestEnv::with_rows(5);
    let closed = ClosedPort::new();
    let args = format!("{RUN} --base-url {} --max-outage 1s", closed.base_url());
    env.run(&args).exits(69);
    assert_eq!(env.results("out.csv").count("pending"), 5);
}

#[test]
fn a_rate_limit_longer_than_max_wait_stops_the_run() {
    let rate_limited = Reaction::RateLimited(Duration::from_secs(90));
    let env = test_env(Script::new().always(rate_limited), 1);
    let args = format!("{RUN} --max-wait 30s --json");
    let json = env.run(&args).exits(4).json();
    assert_eq!(
        (&json["stopped_by"], &json["left"]),
        (&"quota".into(), &ROWS.into())
    );
    assert!(json["resume_at"].is_string(), "{json}");
    assert_eq!(env.requests(), 1);
    assert_eq!(env.run(&args).exits(4).json()["requests"], 0);
    // `keys reset` discards the stored wait.
    env.provider.set_script(Script::new());
    env.run("keys reset").exits(0);
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(ROWS);
}
