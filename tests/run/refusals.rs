//! Refusals that are not the key's fault: the row's, the model's, a limit's, the endpoint's.

use std::time::Duration;

use promptmill::simulator::{Arrival, Config, Reaction, Script, SimulatedLimits};

use crate::deaf::Deaf;
use crate::support::{Scene, Sheet, jobs, question};

const RUN: &str = "run jobs.csv -o out.csv";
const ROWS: usize = 30;
/// The row that is treated badly.
const BAD: usize = 7;

fn scene(script: Script, keys: usize) -> Scene {
    let keys: Vec<_> = (0..keys)
        .map(|n| format!("sk-key-{n}-0123456789abcdef"))
        .collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let scene = Scene::new(Config::default().script(script)).keys(&keys);
    scene.write("jobs.csv", &jobs(ROWS));
    scene
}

fn on_bad_row(reaction: Reaction) -> Script {
    on_row(BAD, reaction)
}

fn on_row(row: usize, reaction: Reaction) -> Script {
    Script::new().on(move |arrival| arrival.prompt == question(row), reaction)
}

/// Holds results to all rows being answered but the bad one, which has failed.
#[track_caller]
fn only_the_bad_row_failed(sheet: &Sheet) {
    only_failed(sheet, BAD);
}

#[track_caller]
fn only_failed(sheet: &Sheet, row: usize) {
    assert_eq!((sheet.count("done"), sheet.count("failed")), (ROWS - 1, 1));
    assert_eq!(sheet.cell(row, "status"), "failed");
    assert!(!sheet.cell(row, "error").is_empty());
}

#[track_caller]
fn keys_are_healthy(scene: &Scene) {
    let keys = scene.run("keys list --json").exits(0).json();
    for key in keys["keys"].as_array().unwrap() {
        assert_eq!(key["state"], "healthy", "{key}");
    }
}

#[test]
fn a_moderated_prompt_fails_its_row_and_no_key() {
    let body = r#"{"error":{"message":"Your input was flagged by our moderation system.",
                   "type":"invalid_request_error","code":"content_policy_violation"}}"#;
    let scene = scene(on_bad_row(Reaction::Json(403, body.to_owned())), 3);
    scene
        .run(RUN)
        .exits(3)
        .says("1 of 30 rows of jobs.csv failed");
    only_the_bad_row_failed(&scene.sheet("out.csv"));
    keys_are_healthy(&scene);
    assert_eq!(scene.provider.ledger().of_prompt(&question(BAD)), 1);
}

#[test]
fn a_prompt_that_every_key_is_refused_for_fails_its_row_and_no_key() {
    for row in [1, 2, BAD, ROWS] {
        for keys in [1, 2, 3, 8] {
            let body = r#"{"error":{"message":"Forbidden"}}"#.to_owned();
            let scene = scene(on_row(row, Reaction::Json(403, body)), keys);
            let ran = scene.run(RUN);
            let asked = scene.provider.ledger().of_prompt(&question(row));
            assert_eq!(
                ran.status.code(),
                Some(3),
                "row {row}, {keys} keys:\n{}",
                ran.stderr
            );
            only_failed(&scene.sheet("out.csv"), row);
            keys_are_healthy(&scene);
            assert!(asked <= 3, "row {row}, {keys} keys: {asked} requests");
        }
    }
}

#[test]
fn a_bad_request_fails_its_row_after_one_request() {
    let scene = scene(on_bad_row(Reaction::Status(400)), 1);
    scene.run(RUN).exits(3).says("Simulated error 400.");
    let sheet = scene.sheet("out.csv");
    only_the_bad_row_failed(&sheet);
    assert_eq!(sheet.cell(BAD, "attempts"), "1");
    // Again: what has failed for good is not asked.
    scene
        .run(RUN)
        .exits(3)
        .says("nothing to do: of 30 rows of jobs.csv, 29 are answered and 1 failed");
    assert_eq!(scene.requests(), ROWS as u64);
}

#[test]
fn a_server_error_is_asked_again_and_counted() {
    let script = Script::new().on(
        |arrival| arrival.prompt == question(BAD) && arrival.turn <= 2,
        Reaction::Status(500),
    );
    let scene = scene(script, 1);
    scene.run(RUN).exits(0);
    let sheet = scene.sheet("out.csv");
    sheet.answers(ROWS);
    assert_eq!(sheet.cell(BAD, "attempts"), "3");
    assert_eq!(scene.requests(), ROWS as u64 + 2);
}

#[test]
fn a_row_has_as_many_attempts_as_it_was_given() {
    let scene = scene(on_bad_row(Reaction::Status(500)), 1);
    scene.run(&format!("{RUN} --max-attempts 2")).exits(3);
    let sheet = scene.sheet("out.csv");
    only_the_bad_row_failed(&sheet);
    assert_eq!(sheet.cell(BAD, "attempts"), "2");
}

#[test]
fn a_model_that_is_not_there_stops_the_run_with_all_rows_left() {
    let scene = Scene::new(Config::default().model("gpt-4o-mini"));
    scene.write("jobs.csv", &jobs(ROWS));
    scene
        .run(&format!("{RUN} --model gpt-5o-mini"))
        .exits(78)
        .says("gpt-5o-mini")
        .says("Check the model's name");
    assert_eq!(scene.requests(), 1);
    assert_eq!(scene.sheet("out.csv").count("pending"), ROWS);
    // Nothing was answered, so that the recipe may change freely.
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(ROWS);
}

#[test]
fn an_address_that_is_not_there_stops_the_run_with_all_rows_left() {
    let scene = Scene::with_rows(ROWS);
    let url = scene.provider.base_url().replace("/v1", "/v7");
    scene.run(&format!("{RUN} --base-url {url}")).exits(78);
    assert!(scene.requests() <= 3, "{}", scene.requests());
    assert_eq!(scene.sheet("out.csv").count("pending"), ROWS);
    scene.run(RUN).exits(0);
}

#[test]
fn waiting_for_a_rate_limit_is_no_attempt_that_counts() {
    let limited = Reaction::RateLimited(Duration::from_millis(300));
    let script = Script::new().on(
        |arrival| arrival.number == 3 || arrival.number == 4,
        limited,
    );
    let scene = scene(script, 1);
    let ran = scene
        .run(&format!("{RUN} --max-attempts 1 --json"))
        .exits(0);
    let throttled = ran.json()["throttled"].as_u64().unwrap();
    assert_eq!(throttled, 2);
    scene.sheet("out.csv").answers(ROWS);
    assert_eq!(scene.requests(), ROWS as u64 + throttled);
}

#[test]
fn a_key_at_its_limit_waits_and_the_rows_are_all_answered() {
    let limits = SimulatedLimits {
        requests_per_minute: Some(600),
        request_burst: Some(1),
        ..SimulatedLimits::default()
    };
    let scene = Scene::new(Config::default().limits(limits));
    scene.write("jobs.csv", &jobs(ROWS));
    let ran = scene
        .run(&format!("{RUN} --max-attempts 1 --json"))
        .exits(0);
    scene.sheet("out.csv").answers(ROWS);
    assert_eq!(
        scene.provider.ledger().of_status(429),
        ran.json()["throttled"]
    );
    assert!(ran.json()["throttled"].as_u64().unwrap() > 0);
}

#[test]
fn a_pace_that_is_asked_for_is_kept() {
    let scene = Scene::with_rows(8);
    scene.run(&format!("{RUN} --rpm 240")).exits(0);
    let entries = scene.provider.ledger().entries;
    assert_eq!(entries.len(), 8);
    // Four at once, then one each quarter of a second; the first one may have come late.
    let spread = entries[7].at.saturating_sub(entries[0].at);
    assert!(spread > Duration::from_millis(700), "{spread:?}");
}

#[test]
fn a_daily_quota_ends_the_run_with_the_moment_to_come_back() {
    let scene = scene(Script::new().rule(after_ten), 1);
    let ran = scene
        .run(&format!("{RUN} --json"))
        .exits(4)
        .says("what is left waits for a limit; 20 of 30 rows")
        .says("not before")
        .says("promptmill run jobs.csv -o out.csv");
    let said = ran.json();
    assert_eq!((&said["done"], &said["left"]), (&10.into(), &20.into()));
    assert_eq!(said["stopped_by"], "quota");
    assert!(said["resume_at"].as_str().unwrap().ends_with('Z'), "{said}");
    let asked = scene.requests();
    assert!(asked <= 10 + 16, "{asked}");
    let again = scene.run(&format!("{RUN} --json")).exits(4).json();
    assert_eq!(again["requests"], 0);
    assert_eq!(again["resume_at"], said["resume_at"]);
    assert_eq!(scene.requests(), asked);
    let sheet = scene.sheet("out.csv");
    assert_eq!((sheet.count("done"), sheet.count("pending")), (10, 20));
}

/// A day of ten requests.
fn after_ten(arrival: &Arrival<'_>) -> Option<Reaction> {
    let body = r#"{"error":{"message":"Rate limit reached on requests per day (RPD): Limit 10, Used 10. Please try again in 7h12m0s.","type":"requests","code":"rate_limit_exceeded"}}"#;
    (arrival.number > 10).then(|| Reaction::Json(429, body.to_owned()))
}

#[test]
fn a_second_key_goes_on_when_the_first_has_used_up_its_day() {
    let limits = SimulatedLimits {
        requests_per_day: Some(20),
        ..SimulatedLimits::default()
    };
    let keys = ["sk-first-0123456789abcdef", "sk-second-0123456789abcde"];
    let scene = Scene::new(Config::default().limits(limits)).keys(&keys);
    scene.write("jobs.csv", &jobs(ROWS));
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(ROWS);
}

#[test]
fn an_endpoint_that_is_down_for_too_long_ends_the_run() {
    let scene = scene(Script::new().always(Reaction::Status(503)), 1);
    scene
        .run(&format!("{RUN} --max-outage 1s"))
        .exits(69)
        .says("the endpoint did not answer for too long; 30 of 30 rows");
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.count("pending"), ROWS);
    assert!(scene.requests() < 30, "{}", scene.requests());
}

#[test]
fn an_endpoint_that_nobody_listens_at_ends_the_run() {
    let scene = Scene::with_rows(5);
    let deaf = Deaf::new();
    let words = format!("{RUN} --base-url {} --max-outage 1s", deaf.base_url());
    scene.run(&words).exits(69);
    assert_eq!(scene.sheet("out.csv").count("pending"), 5);
}

#[test]
fn a_limit_that_lasts_longer_than_the_patience_ends_the_run() {
    let limited = Reaction::RateLimited(Duration::from_secs(90));
    let scene = scene(Script::new().always(limited), 1);
    let words = format!("{RUN} --max-wait 30s --json");
    let said = scene.run(&words).exits(4).json();
    assert_eq!(
        (&said["stopped_by"], &said["left"]),
        (&"quota".into(), &ROWS.into())
    );
    assert!(said["resume_at"].is_string(), "{said}");
    assert_eq!(scene.requests(), 1);
    assert_eq!(scene.run(&words).exits(4).json()["requests"], 0);
    // Whoever knows better says so.
    scene.provider.set_script(Script::new());
    scene.run("keys reset").exits(0);
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(ROWS);
}
