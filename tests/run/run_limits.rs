//! Limits of a run: rows, requests, duration, cost, tokens, and rate limits.

use std::time::Duration;

use promptmill::simulator::{
    Config, IncomingRequest, Reaction, Script, SimulatedLatency, SimulatedLimits,
};
use rustix::process::Signal;

use crate::support::{TestEnv, jobs};

/// Starts a provider that responds only to the first request.
fn env_with_one_response() -> TestEnv {
    let later = |request: &IncomingRequest<'_>| request.number > 1;
    let script = Script::new().on(later, Reaction::Hang);
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(40));
    env
}

#[test]
fn limit_stops_a_run_and_the_next_run_continues() {
    let env = TestEnv::with_rows(30);
    let run = "run jobs.csv -o out.csv --limit 20";
    env.run(run).exits(4).stderr_contains("--limit");
    assert_eq!(env.requests(), 20);
    env.run(run).exits(0);
    assert_eq!(env.requests(), 30);
    env.results("out.csv").assert_completed(30);
}

#[test]
fn max_requests_stops_a_run() {
    let env = TestEnv::with_rows(30);
    let run = "run jobs.csv -o out.csv --max-requests 7";
    env.run(run).exits(4).stderr_contains("--max-requests");
    assert_eq!(env.requests(), 7);
}

#[test]
fn a_max_runtime_of_zero_sends_nothing() {
    let env = TestEnv::with_rows(3);
    let run = "run jobs.csv -o out.csv --max-runtime 0s";
    env.run(run).exits(4).stderr_contains("--max-runtime");
    assert_eq!(env.requests(), 0);
}

#[test]
fn max_runtime_applies_without_responses() {
    let env = env_with_one_response();
    let run = "run jobs.csv -o out.csv --max-runtime 1s --grace 0s --timeout 10m";
    env.run(run).exits(4).stderr_contains("--max-runtime");
}

#[test]
fn requests_that_are_unlikely_to_finish_in_time_are_not_sent() {
    let latency = SimulatedLatency::Constant(Duration::from_secs(1));
    let env = TestEnv::new(Config::default().latency(latency));
    env.write("jobs.csv", &jobs(40));
    let run = "run jobs.csv -o out.csv --max-runtime 1900ms";
    env.run(run).exits(4).stderr_contains("--max-runtime");
    // No request is sent if the program is slow to start.
    assert!(env.requests() <= 1, "{}", env.requests());
}

#[test]
fn automatic_concurrency_starts_low() {
    let env = env_with_one_response();
    let run = env.start("run jobs.csv -o out.csv --concurrency auto --grace 0s");
    env.wait_for_requests(5);
    run.signal(Signal::TERM);
    run.finish().exits(143);
    assert_eq!(env.requests(), 5);
    env.run("run jobs.csv --concurrency some")
        .exits(2)
        .stderr_contains("or auto");
    env.write("promptmill.toml", "concurrency = \"auto\"\n");
    let text = env.run("estimate jobs.csv").exits(0).stdout;
    assert!(text.contains("4 to 256 in flight"), "{text}");
}

#[test]
fn max_cost_requires_a_price_and_is_enforced() {
    let env = TestEnv::with_rows(30);
    let run = "run jobs.csv -o out.csv --max-cost 0.0002usd --model";
    env.run(&format!("{run} my-model"))
        .exits(78)
        .stderr_contains("the price of \"my-model\" is unknown");
    assert_eq!(env.requests(), 0);
    env.write(
        "promptmill.toml",
        "[prices.my-model]\ninput = 1\noutput = 1\n",
    );
    env.run(&format!("{run} my-model"))
        .exits(4)
        .stderr_contains("--max-cost");
    assert!((1..30).contains(&env.requests()), "{}", env.requests());
}

#[test]
fn runs_of_the_same_day_share_the_daily_limit() {
    let env = TestEnv::with_rows(10);
    let run = "run jobs.csv -o out.csv --rpd 4 --max-wait 1s";
    env.run(run).exits(4);
    assert_eq!(env.requests(), 4);
    env.run(run).exits(4);
    assert_eq!(env.requests(), 4);
    env.run("run jobs.csv -o out.csv --rpd 6 --max-wait 1s")
        .exits(4);
    assert_eq!(env.requests(), 6);
}

#[test]
fn a_request_over_the_token_limit_fails_without_being_sent() {
    let env = TestEnv::with_rows(2);
    env.run("run jobs.csv -o out.csv --tpm 100 --set max_tokens=5000")
        .exits(3)
        .stderr_contains("larger-than-limit");
    assert_eq!(env.requests(), 0);
}

#[test]
fn rate_limit_headers_apply_from_the_first_response() {
    let limits = SimulatedLimits {
        requests_per_minute: Some(1200),
        request_burst: Some(22),
        ..SimulatedLimits::default()
    };
    let env = TestEnv::new(Config {
        limits,
        ..Config::default()
    });
    env.write("jobs.csv", &jobs(60));
    env.run("run jobs.csv -o out.csv --concurrency 32").exits(0);
    let refused = env.requests() - 60;
    assert!(refused <= 2, "{refused} requests were refused");
}
