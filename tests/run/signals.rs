//! Being told to stop: once, to end what is in flight; twice, to end at once.

use std::time::Duration;

use promptmill::simulator::{Config, Reaction, Script};
use rustix::process::Signal;

use crate::support::{Running, Scene, jobs};

/// Rows of a scene, and how many of them are answered before the provider holds the rest back.
const ROWS: usize = 40;
const HALF: u64 = 20;
/// Requests in flight when the run is told to stop: one for each key, while none has come back.
const KEYS: [&str; 4] = [
    "sk-key-a-0123456789",
    "sk-key-b-0123456789",
    "sk-key-c-0123456789",
    "sk-key-d-0123456789",
];

/// Starts a run with half of the rows answered, and four requests in flight that are held back.
fn held_at_half(flags: &str) -> (Scene, Running) {
    let scene = Scene::new(Config::default()).keys(&KEYS);
    scene.write("jobs.csv", &jobs(ROWS / 2));
    scene.run("run jobs.csv -o out.csv").exits(0);
    scene.write("jobs.csv", &jobs(ROWS));
    scene.provider.hold();
    let run = scene.start(&format!("run jobs.csv -o out.csv --json {flags}"));
    scene.wait_for(HALF + 4);
    (scene, run)
}

/// Asks for the rest and looks at all of it.
#[track_caller]
fn the_rest_is_asked(scene: &Scene, requests: u64) {
    scene.run("run jobs.csv -o out.csv").exits(0);
    assert_eq!(scene.requests(), requests);
    let sheet = scene.sheet("out.csv");
    sheet.answers(ROWS);
    assert_eq!(sheet.sum("attempts"), requests);
}

#[track_caller]
fn drains(signal: Signal, code: i32, word: &str) {
    let (scene, mut run) = held_at_half("");
    run.signal(signal);
    run.wait_for_line("stopping: waiting for 4 requests in flight; once more stops at once");
    scene.provider.release();
    let ran = run.finish().exits(code);
    let said = ran.json();
    assert_eq!((&said["done"], &said["left"]), (&24.into(), &16.into()));
    assert_eq!(
        (&said["unknown"], &said["requests"]),
        (&0.into(), &4.into())
    );
    assert_eq!(said["stopped_by"], word);
    assert_eq!(said["exit_code"], code);
    let sheet = scene.sheet("out.csv");
    assert_eq!((sheet.count("done"), sheet.count("pending")), (24, 16));
    assert_eq!(scene.requests(), 24);
    the_rest_is_asked(&scene, ROWS as u64);
}

#[track_caller]
fn gives_up(scene: &Scene, run: Running, code: i32) {
    let ran = run
        .finish()
        .exits(code)
        .says("4 requests in flight when a run died or was stopped, to ask again")
        .says("promptmill run jobs.csv -o out.csv");
    let said = ran.json();
    assert_eq!((&said["done"], &said["left"]), (&20.into(), &20.into()));
    assert_eq!(said["unknown"], 4);
    scene.provider.release();
    assert_eq!(scene.sheet("out.csv").count("pending"), 20);
    the_rest_is_asked(scene, ROWS as u64 + 4);
}

#[test]
fn a_first_ctrl_c_lets_requests_in_flight_end() {
    drains(Signal::INT, 130, "interrupted");
}

#[test]
fn a_first_sigterm_lets_requests_in_flight_end() {
    drains(Signal::TERM, 143, "terminated");
}

#[test]
fn a_hang_up_ends_a_run_as_sigterm_does() {
    drains(Signal::HUP, 143, "terminated");
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_what_was_in_flight_is_asked_again() {
    let (scene, mut run) = held_at_half("");
    run.signal(Signal::INT);
    run.wait_for_line("stopping: waiting for 4 requests in flight");
    run.signal(Signal::INT);
    gives_up(&scene, run, 130);
}

#[test]
fn a_sigterm_without_grace_ends_at_once() {
    let (scene, run) = held_at_half("--grace 0s");
    run.signal(Signal::TERM);
    gives_up(&scene, run, 143);
}

#[test]
fn a_run_that_waits_for_a_limit_ends_when_told() {
    let limited = Reaction::RateLimited(Duration::from_mins(2));
    let scene = Scene::new(Config::default().script(Script::new().always(limited)));
    scene.write("jobs.csv", &jobs(3));
    let run = scene.start("run jobs.csv -o out.csv");
    scene.wait_for_answered(1);
    run.signal(Signal::INT);
    run.finish().exits(130).says("stopping: ");
    assert_eq!(scene.sheet("out.csv").count("pending"), 3);
    assert_eq!(scene.requests(), 1);
}

#[test]
fn work_on_many_batches_ends_with_the_one_it_was_at() {
    let scene = Scene::with_rows(3);
    scene.write("more.csv", &jobs(5));
    scene.run("import jobs.csv").exits(0);
    scene.run("import more.csv").exits(0);
    scene.provider.hold();
    let mut run = scene.start("work --json");
    scene.wait_for(1);
    run.signal(Signal::TERM);
    run.wait_for_line("stopping: waiting for 1 request in flight");
    scene.provider.release();
    let said = run.finish().exits(143).json();
    let counts = ["total", "done", "exit_code"].map(|name| said[name].as_u64());
    assert_eq!(counts, [Some(3), Some(1), Some(143)]);
    assert_eq!(scene.requests(), 1);
    scene.run("work").exits(0);
    assert_eq!(scene.requests(), 8);
}
