//! Faulty endpoints: every row still gets the correct response.

use std::time::Duration;

use promptmill::simulator::{
    Config, FaultRates, IncomingRequest, Reaction, Script, SimulatedLatency,
};

use crate::support::{TestEnv, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

/// Returns a fault for the first request with each prompt. Every fault occurs.
fn first_fault(request: &IncomingRequest<'_>) -> Option<Reaction> {
    let faults = [
        Reaction::Reset,
        Reaction::HalfBody,
        Reaction::HalfBodyReset,
        Reaction::Html(200),
        Reaction::Html(502),
        Reaction::ErrorInOk,
        Reaction::EmptyChoices,
        Reaction::Status(500),
        Reaction::Status(529),
    ];
    let row = request
        .prompt
        .split(' ')
        .next_back()?
        .parse::<usize>()
        .ok()?;
    (request.prompt_count == 1).then(|| faults[row % faults.len()].clone())
}

#[test]
fn an_invalid_first_response_is_retried() {
    let env = TestEnv::new(Config::default().script(Script::new().rule(first_fault)));
    env.write("jobs.csv", &jobs(45));
    env.run(RUN).exits(0);
    let results = env.results("out.csv");
    results.assert_completed(45);
    assert_eq!(env.requests(), 90);
    assert_eq!(results.sum("attempts"), 90);
}

#[test]
fn random_faults_do_not_change_responses() {
    let latency = SimulatedLatency::Constant(Duration::from_millis(1));
    let config = Config::default().seed(7).latency(latency);
    let normal = TestEnv::new(config.clone());
    let faulty = TestEnv::new(config.faults(FaultRates::spread(0.2)));
    for env in [&normal, &faulty] {
        env.write("jobs.csv", &jobs(150));
        env.run(&format!("{RUN} --max-attempts 20")).exits(0);
    }
    let (normal_sheet, faulty_sheet) = (normal.results("out.csv"), faulty.results("out.csv"));
    faulty_sheet.assert_completed(150);
    for column in ["id", "response", "status", "model", "completion_tokens"] {
        assert_eq!(normal_sheet.column(column), faulty_sheet.column(column));
    }
    assert_eq!(faulty_sheet.sum("attempts"), faulty.requests());
    assert!(faulty.requests() > 150);
}

#[test]
fn a_hanging_request_times_out_and_is_retried() {
    let script = Script::new().on(
        |request| request.prompt == "question 2" && request.prompt_count == 1,
        Reaction::Hang,
    );
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(5));
    env.run(&format!("{RUN} --timeout 300ms")).exits(0);
    env.results("out.csv").assert_completed(5);
    assert_eq!(env.requests(), 6);
}

#[test]
fn a_redirect_is_not_followed_with_the_key() {
    let elsewhere = TestEnv::with_rows(0);
    let url = format!("{}/chat/completions", elsewhere.provider.base_url());
    let script = Script::new().always(Reaction::Redirect(url));
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(5));
    env.run(RUN).exits(78);
    assert_eq!(elsewhere.requests(), 0);
    assert_eq!(env.results("out.csv").count("pending"), 5);
}

#[test]
fn an_oversized_response_fails_its_row() {
    let script = Script::new().on(
        |request| request.prompt == "question 2",
        Reaction::Flood(200 * 1024 * 1024),
    );
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(3));
    env.run(RUN).exits(3).stderr_contains("answer-too-large");
    assert_eq!(
        env.results("out.csv").column("status"),
        ["done", "failed", "done"]
    );
}
