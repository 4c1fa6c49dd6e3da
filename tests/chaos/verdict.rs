//! The verdict of a stranger: whoever sees nothing but when requests come, and what they got, finds
//! no hint ignored, nothing repeated that must not be, no hammering, and no herd.

use std::collections::BTreeMap;
use std::time::Duration;

use promptmill::simulator::{Config, Entry, Reaction, Script};

use crate::support::{Scene, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

fn scene(rows: usize, script: Script) -> Scene {
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(rows));
    scene
}

/// All requests, by prompt, in the order in which they came.
fn by_prompt(scene: &Scene) -> BTreeMap<String, Vec<Entry>> {
    let mut found: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in scene.provider.ledger().entries {
        found.entry(entry.prompt.clone()).or_default().push(entry);
    }
    found
}

#[test]
fn no_request_comes_before_the_moment_that_was_asked_for() {
    let hint = Duration::from_secs(2);
    let script = Script::new()
        .rule(move |arrival| (arrival.number == 3).then_some(Reaction::RateLimited(hint)));
    let scene = scene(12, script);
    scene.run(&format!("{RUN} --concurrency 1")).exits(0);
    let entries = scene.provider.ledger().entries;
    let told = entries.iter().position(|entry| entry.status == Some(429));
    let told = &entries[told.unwrap()];
    let early = entries
        .iter()
        .find(|entry| entry.at > told.at && entry.at < told.at + hint);
    assert!(early.is_none(), "{early:?} after {told:?}");
    assert_eq!(entries.len(), 13);
}

#[test]
fn what_cannot_become_better_is_not_asked_again() {
    for (status, code) in [
        (400, "context_length_exceeded"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
    ] {
        let body = format!(r#"{{"error":{{"message":"no, {code}","code":"{code}"}}}}"#);
        let script = Script::new().rule(move |arrival| {
            let bad = arrival.prompt == "question 2";
            bad.then(|| Reaction::Json(status, body.clone()))
        });
        let scene = scene(4, script);
        scene.run(RUN).exits(3);
        for (prompt, entries) in by_prompt(&scene) {
            assert_eq!(entries.len(), 1, "{status} for {prompt}");
        }
    }
}

#[test]
fn a_row_that_goes_on_failing_is_asked_ever_less_often() {
    let script = Script::new().rule(|arrival| {
        (arrival.prompt == "question 1" && arrival.turn <= 3).then_some(Reaction::Status(500))
    });
    let scene = scene(60, script);
    scene.run(&format!("{RUN} --concurrency 2")).exits(0);
    let entries = &by_prompt(&scene)["question 1"];
    assert_eq!(entries.len(), 4);
    let pauses: Vec<_> = entries
        .windows(2)
        .map(|pair| pair[1].at.checked_sub(pair[0].at).unwrap())
        .collect();
    // Half of a second, one, and two: the rest is by chance.
    let least = [250, 500, 1_000].map(Duration::from_millis);
    for (pause, least) in pauses.iter().zip(least) {
        assert!(*pause >= least, "pauses of {pauses:?}");
    }
}

#[test]
fn an_outage_is_not_stormed() {
    let script = Script::new().always(Reaction::Status(503));
    let scene = scene(500, script);
    let words = format!("{RUN} --concurrency 64 --max-outage 3s");
    scene.run(&words).exits(69);
    let requests = scene.requests();
    assert!(requests <= 100, "{requests} requests in an outage");
    assert_eq!(scene.sheet("out.csv").count("pending"), 500);
}
