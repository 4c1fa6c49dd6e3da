//! How far and how fast a run goes, through the program: rows, requests, money, days, tokens.

use std::time::Duration;

use promptmill::simulator::{Arrival, Config, Latency, Reaction, Script, SimulatedLimits};
use rustix::process::Signal;

use crate::support::{Scene, jobs};

/// A provider that answers the first request and no other.
fn silent_after_one() -> Scene {
    let later = |arrival: &Arrival<'_>| arrival.number > 1;
    let script = Script::new().on(later, Reaction::Hang);
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(40));
    scene
}

#[test]
fn a_run_ends_at_its_bound_of_rows_and_the_next_one_goes_on() {
    let scene = Scene::with_rows(30);
    let run = "run jobs.csv -o out.csv --limit 20";
    scene.run(run).exits(4).says("--limit");
    assert_eq!(scene.requests(), 20);
    scene.run(run).exits(0);
    assert_eq!(scene.requests(), 30);
    scene.sheet("out.csv").answers(30);
}

#[test]
fn a_run_ends_at_its_bound_of_requests() {
    let scene = Scene::with_rows(30);
    let run = "run jobs.csv -o out.csv --max-requests 7";
    scene.run(run).exits(4).says("--max-requests");
    assert_eq!(scene.requests(), 7);
}

#[test]
fn a_run_that_may_last_no_time_sends_nothing() {
    let scene = Scene::with_rows(3);
    let run = "run jobs.csv -o out.csv --max-runtime 0s";
    scene.run(run).exits(4).says("--max-runtime");
    assert_eq!(scene.requests(), 0);
}

#[test]
fn the_time_of_a_run_is_kept_when_nothing_comes_back() {
    let scene = silent_after_one();
    let run = "run jobs.csv -o out.csv --max-runtime 1s --grace 0s --timeout 10m";
    scene.run(run).exits(4).says("--max-runtime");
}

#[test]
fn nothing_is_sent_that_would_hardly_come_back_in_time() {
    let latency = Latency::Constant(Duration::from_secs(1));
    let scene = Scene::new(Config::default().latency(latency));
    scene.write("jobs.csv", &jobs(40));
    let run = "run jobs.csv -o out.csv --max-runtime 1900ms";
    scene.run(run).exits(4).says("--max-runtime");
    // One, or none where the program takes that long to start.
    assert!(scene.requests() <= 1, "{}", scene.requests());
}

#[test]
fn a_window_that_is_found_out_begins_small() {
    let scene = silent_after_one();
    let run = scene.start("run jobs.csv -o out.csv --concurrency auto --grace 0s");
    scene.wait_for(5);
    run.signal(Signal::TERM);
    run.finish().exits(143);
    assert_eq!(scene.requests(), 5);
    scene
        .run("run jobs.csv --concurrency some")
        .exits(2)
        .says("or auto");
    scene.write("promptmill.toml", "concurrency = \"auto\"\n");
    let told = scene.run("estimate jobs.csv").exits(0).stdout;
    assert!(told.contains("4 to 256 in flight"), "{told}");
}

#[test]
fn a_bound_of_money_needs_a_price_and_is_kept() {
    let scene = Scene::with_rows(30);
    let run = "run jobs.csv -o out.csv --max-cost 0.0002usd --model";
    scene
        .run(&format!("{run} my-model"))
        .exits(78)
        .says("the price of \"my-model\" is not known");
    assert_eq!(scene.requests(), 0);
    scene.write(
        "promptmill.toml",
        "[prices.my-model]\ninput = 1\noutput = 1\n",
    );
    scene
        .run(&format!("{run} my-model"))
        .exits(4)
        .says("--max-cost");
    assert!((1..30).contains(&scene.requests()), "{}", scene.requests());
}

#[test]
fn the_runs_of_a_day_share_its_requests() {
    let scene = Scene::with_rows(10);
    let run = "run jobs.csv -o out.csv --rpd 4 --max-wait 1s";
    scene.run(run).exits(4);
    assert_eq!(scene.requests(), 4);
    scene.run(run).exits(4);
    assert_eq!(scene.requests(), 4);
    scene
        .run("run jobs.csv -o out.csv --rpd 6 --max-wait 1s")
        .exits(4);
    assert_eq!(scene.requests(), 6);
}

#[test]
fn a_request_that_no_key_may_send_fails_without_being_sent() {
    let scene = Scene::with_rows(2);
    scene
        .run("run jobs.csv -o out.csv --tpm 100 --set max_tokens=5000")
        .exits(3)
        .says("larger-than-limit");
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_limit_that_is_told_in_headers_is_kept_from_the_first_answer_on() {
    let limits = SimulatedLimits {
        requests_per_minute: Some(1200),
        request_burst: Some(22),
        ..SimulatedLimits::default()
    };
    let scene = Scene::new(Config {
        limits,
        ..Config::default()
    });
    scene.write("jobs.csv", &jobs(60));
    scene
        .run("run jobs.csv -o out.csv --concurrency 32")
        .exits(0);
    let refused = scene.requests() - 60;
    assert!(refused <= 2, "{refused} requests were refused");
}
