//! The exit codes, one by one: each is met as a user would meet it, and only those of a good end
//! keep silent with `-q`.

use std::net::TcpListener;
use std::time::Duration;

use promptmill::simulator::{Config, KeyRefusal, Reaction, Script};
use rustix::process::Signal;

use crate::support::{Scene, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

fn always(reaction: Reaction) -> Scene {
    let scene = Scene::new(Config::default().script(Script::new().always(reaction)));
    scene.write("jobs.csv", &jobs(2));
    scene
}

fn rows() -> Scene {
    Scene::with_rows(2)
}

/// Returns an address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

#[track_caller]
fn check(scene: &Scene, words: &str, code: i32) {
    let ran = scene.run(&format!("{words} -q")).exits(code);
    let silent = ran.stderr.is_empty();
    assert_eq!(silent, [0, 3].contains(&code), "{words}:\n{}", ran.stderr);
}

#[test]
fn an_end_that_is_good_is_0() {
    let scene = rows();
    check(&scene, RUN, 0);
    check(&scene, RUN, 0);
}

#[test]
fn what_nobody_thought_of_is_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    check(&rows(), &format!("simulate --port {port}"), 1);
}

#[test]
fn a_wrong_command_line_is_2() {
    for words in [
        "run",
        "walk",
        "run jobs.csv --colour red",
        "run jobs.csv --timeout soon",
    ] {
        check(&rows(), words, 2);
    }
}

#[test]
fn failed_rows_are_3() {
    let body = r#"{"error":{"message":"This model's maximum context length is 8192 tokens","code":"context_length_exceeded"}}"#;
    check(&always(Reaction::Json(400, body.to_owned())), RUN, 3);
}

#[test]
fn a_limit_that_lasts_is_4() {
    let scene = always(Reaction::RateLimited(Duration::from_hours(2)));
    check(&scene, RUN, 4);
}

#[test]
fn a_wrong_input_is_65_and_a_missing_one_66() {
    let scene = rows();
    scene.write("bad.csv", "id,prompt\n1,a,b\n");
    check(&scene, "run bad.csv", 65);
    check(&scene, "run missing.csv", 66);
    check(&scene, "export jobs.csv", 66);
}

#[test]
fn an_endpoint_that_is_down_is_69() {
    let scene = rows().set("PROMPTMILL_BASE_URL", &nobody());
    check(&scene, &format!("{RUN} --max-outage 0s"), 69);
}

#[test]
fn results_that_cannot_be_written_are_73() {
    check(&rows(), "run jobs.csv -o no/such/folder/out.csv", 73);
    check(&rows(), "run jobs.csv -o /dev/full", 73);
}

#[test]
fn a_database_that_is_none_is_74() {
    let scene = rows();
    scene.write("other.db", &"this is no database ".repeat(100));
    check(&scene, &format!("{RUN} --db other.db"), 74);
    check(&scene, &format!("{RUN} --db ."), 74);
}

#[test]
fn a_queue_that_is_held_is_75() {
    let scene = rows();
    scene.provider.hold();
    let first = scene.start(RUN);
    scene.wait_for(1);
    check(&scene, RUN, 75);
    scene.provider.release();
    first.finish().exits(0);
}

#[test]
fn no_usable_key_is_77() {
    let refusal = KeyRefusal::Other {
        status: 401,
        body: "invalid api key".to_owned(),
    };
    check(&always(Reaction::Refuse(refusal)), RUN, 77);
    let scene = rows();
    check(&scene, &format!("{RUN} --api-key-file missing.txt"), 77);
}

#[test]
fn a_wrong_set_up_is_78() {
    let scene = rows();
    check(
        &scene,
        &format!("{RUN} --base-url http://example.com/v1"),
        78,
    );
    check(&scene, &format!("{RUN} --config missing.toml"), 78);
    scene.write("promptmill.toml", "modell = \"x\"\n");
    check(&scene, RUN, 78);
    let elsewhere = Reaction::Redirect("http://127.0.0.1:1/v1/chat/completions".to_owned());
    check(&always(elsewhere), RUN, 78);
}

#[test]
fn a_signal_during_a_long_wait_ends_the_run_at_once_with_130_or_143() {
    // The patience of these tests is shorter than the hint and the grace: neither is waited for.
    let hint = Duration::from_hours(2);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
        let scene = always(Reaction::RateLimited(hint));
        let run = scene.start(&format!("{RUN} -q --max-wait 5h --grace 10m"));
        scene.wait_for_answered(1);
        run.signal(signal);
        run.finish().exits(code).says("jobs.csv: stopped: ");
        assert_eq!(scene.requests(), 1);
        assert_eq!(scene.sheet("out.csv").count("pending"), 2);
    }
}

#[test]
fn a_signal_while_the_pace_is_waited_for_ends_the_run_at_once() {
    let scene = Scene::with_rows(3);
    let run = scene.start(&format!("{RUN} --rpm 1 --grace 10m"));
    scene.wait_for_answered(1);
    run.signal(Signal::TERM);
    run.finish().exits(143);
    assert_eq!(scene.requests(), 1);
    assert_eq!(scene.sheet("out.csv").count("done"), 1);
}
