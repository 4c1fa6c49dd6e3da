//! Endpoints that break off, babble and stumble: every row gets its right answer all the same.

use std::time::Duration;

use promptmill::simulator::{Arrival, Config, FaultRates, Latency, Reaction, Script};

use crate::support::{Scene, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

/// What the first answer to each prompt is; each prompt has its own, and all of them come.
fn stumble(arrival: &Arrival<'_>) -> Option<Reaction> {
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
    let row = arrival
        .prompt
        .split(' ')
        .next_back()?
        .parse::<usize>()
        .ok()?;
    (arrival.turn == 1).then(|| faults[row % faults.len()].clone())
}

#[test]
fn a_first_answer_that_is_spoilt_is_asked_for_again() {
    let scene = Scene::new(Config::default().script(Script::new().rule(stumble)));
    scene.write("jobs.csv", &jobs(45));
    scene.run(RUN).exits(0);
    let sheet = scene.sheet("out.csv");
    sheet.answers(45);
    assert_eq!(scene.requests(), 90);
    assert_eq!(sheet.sum("attempts"), 90);
}

#[test]
fn faults_by_chance_change_no_answer() {
    let latency = Latency::Constant(Duration::from_millis(1));
    let config = Config::default().seed(7).latency(latency);
    let calm = Scene::new(config.clone());
    let wild = Scene::new(config.faults(FaultRates::spread(0.2)));
    for scene in [&calm, &wild] {
        scene.write("jobs.csv", &jobs(150));
        scene.run(&format!("{RUN} --max-attempts 20")).exits(0);
    }
    let (calm_sheet, wild_sheet) = (calm.sheet("out.csv"), wild.sheet("out.csv"));
    wild_sheet.answers(150);
    for column in ["id", "response", "status", "model", "completion_tokens"] {
        assert_eq!(calm_sheet.column(column), wild_sheet.column(column));
    }
    assert_eq!(wild_sheet.sum("attempts"), wild.requests());
    assert!(wild.requests() > 150);
}

#[test]
fn a_request_that_hangs_is_given_up_and_asked_again() {
    let script = Script::new().on(
        |arrival| arrival.prompt == "question 2" && arrival.turn == 1,
        Reaction::Hang,
    );
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(5));
    scene.run(&format!("{RUN} --timeout 300ms")).exits(0);
    scene.sheet("out.csv").answers(5);
    assert_eq!(scene.requests(), 6);
}

#[test]
fn a_redirect_is_not_followed_with_the_key() {
    let elsewhere = Scene::with_rows(0);
    let url = format!("{}/chat/completions", elsewhere.provider.base_url());
    let script = Script::new().always(Reaction::Redirect(url));
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(5));
    scene.run(RUN).exits(78);
    assert_eq!(elsewhere.requests(), 0);
    assert_eq!(scene.sheet("out.csv").count("pending"), 5);
}

#[test]
fn an_answer_without_end_is_cut_off_and_fails_its_row() {
    let script = Script::new().on(
        |arrival| arrival.prompt == "question 2",
        Reaction::Flood(200 * 1024 * 1024),
    );
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(3));
    scene.run(RUN).exits(3).says("answer-too-large");
    assert_eq!(
        scene.sheet("out.csv").column("status"),
        ["done", "failed", "done"]
    );
}
