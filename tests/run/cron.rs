//! A run that nobody watches: it keeps silent while all goes well, gives way to another run, and
//! tells why when something is wrong.

use promptmill::simulator::{Config, KeyRefusal, Reaction, Script};
use rustix::process::Signal;

use crate::support::{Running, Scene, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

/// A scene as cron has it: nobody asks for a summary, and there is no terminal.
fn under_cron(scene: Scene) -> Scene {
    scene.set("PROMPTMILL_SUMMARY", "")
}

fn refused() -> Scene {
    let body = r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#;
    let refusal = KeyRefusal::Other {
        status: 401,
        body: body.to_owned(),
    };
    let script = Script::new().always(Reaction::Refuse(refusal));
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(3));
    under_cron(scene)
}

/// Starts a run that holds the queue until the provider lets go.
fn held(rows: usize) -> (Scene, Running) {
    let scene = under_cron(Scene::with_rows(rows));
    scene.provider.hold();
    let run = scene.start(RUN);
    scene.wait_for(1);
    (scene, run)
}

#[test]
fn without_a_terminal_a_command_that_goes_well_prints_nothing() {
    let scene = under_cron(Scene::with_rows(5));
    scene.run(RUN).exits(0).keeps_silent();
    scene.sheet("out.csv").answers(5);
    scene.write("jobs.csv", &jobs(6));
    for words in [
        RUN,
        RUN,
        "import jobs.csv",
        "work",
        "retry jobs.csv",
        "keys reset",
    ] {
        scene.run(words).exits(0).keeps_silent();
    }
    scene
        .run(&format!("{RUN} --summary always"))
        .exits(0)
        .says("nothing to do");
    scene
        .run(&format!("{RUN} -v"))
        .exits(0)
        .says("nothing to do");
    assert_eq!(scene.requests(), 6);
}

#[test]
fn a_simulated_run_says_so_wherever_it_runs() {
    let scene = under_cron(Scene::with_rows(2));
    scene
        .run(&format!("{RUN} --simulate"))
        .exits(0)
        .says("SIMULATED");
    scene
        .run(&format!("{RUN} --simulate --cron"))
        .exits(0)
        .keeps_silent();
}

#[test]
fn the_summary_can_be_kept_for_trouble_in_the_file_too() {
    let scene = under_cron(Scene::with_rows(2));
    scene.write("promptmill.toml", "summary = \"always\"\n");
    scene.run(RUN).exits(0).says("done: all 2 rows");
    scene.write("promptmill.toml", "cron = true\nif-busy = \"fail\"\n");
    scene.run(RUN).exits(0).keeps_silent();
}

#[test]
fn a_run_of_cron_that_goes_wrong_tells_all_of_it() {
    let ran = refused().run(&format!("{RUN} --cron")).exits(77);
    let ran = ran
        .says("no key is left that may be used")
        .says("Incorrect API key provided");
    assert!(
        ran.says("promptmill doctor")
            .stderr
            .starts_with("stopped after")
    );
}

#[test]
fn a_quiet_run_that_stops_early_says_why_in_one_line() {
    let ran = refused().run(&format!("{RUN} -q")).exits(77);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    ran.says("jobs.csv: stopped: no key is left that may be used (")
        .says("3 of 3 rows left");
}

#[test]
fn a_quiet_run_leaves_failed_rows_to_the_exit_code() {
    let script = Script::new().on(
        |arrival| arrival.prompt == "question 2",
        Reaction::Flood(64 * 1024 * 1024),
    );
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(3));
    under_cron(scene)
        .run(&format!("{RUN} -q"))
        .exits(3)
        .keeps_silent();
}

#[test]
fn a_second_run_fails_skips_or_waits_as_it_was_told() {
    let (scene, first) = held(3);
    scene
        .run(RUN)
        .exits(75)
        .says("another run holds the queue (process ");
    for words in ["--if-busy skip", "--cron", "-q --if-busy skip"] {
        scene.run(&format!("{RUN} {words}")).exits(0).keeps_silent();
        scene.run(&format!("work {words}")).exits(0).keeps_silent();
    }
    scene
        .run(&format!("{RUN} --if-busy skip -v"))
        .exits(0)
        .says("skipped: another run holds the queue (process ");
    let skipped = scene.run(&format!("{RUN} --cron --json")).exits(0).json();
    assert_eq!(
        (&skipped["skipped"], &skipped["exit_code"]),
        (&true.into(), &0.into())
    );
    scene.run(&format!("{RUN} --cron --if-busy fail")).exits(75);
    let mut second = scene.start(&format!("{RUN} --if-busy wait --summary always"));
    second.wait_for_line("waiting: another run holds the queue (process ");
    scene.provider.release();
    first.finish().exits(0).keeps_silent();
    let second = second.finish().exits(0).says("nothing to do");
    assert_eq!(
        second.stderr.matches("waiting").count(),
        1,
        "{}",
        second.stderr
    );
    assert_eq!(scene.requests(), 3);
    scene.sheet("out.csv").answers(3);
}

#[test]
fn a_run_that_waits_for_its_turn_ends_when_told() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (scene, first) = held(1);
        let mut second = scene.start(&format!("{RUN} --if-busy wait"));
        second.wait_for_line("waiting: ");
        second.signal(signal);
        second.finish().exits(code).says("nothing was sent");
        scene.provider.release();
        first.finish().exits(0);
        assert_eq!(scene.requests(), 1);
    }
}

#[test]
fn a_turn_that_came_after_a_wait_can_still_be_ended() {
    let (scene, first) = held(2);
    let mut second = scene.start(&format!("{RUN} --if-busy wait"));
    second.wait_for_line("waiting: ");
    first.kill();
    scene.wait_for(2);
    second.signal(Signal::TERM);
    second.wait_for_line("stopping: waiting for 1 request in flight");
    scene.provider.release();
    second.finish().exits(143);
}

#[test]
fn a_limit_that_ends_the_run_is_no_trouble_for_cron() {
    let scene = under_cron(Scene::with_rows(3));
    scene
        .run(&format!("{RUN} --limit 1"))
        .exits(4)
        .says("2 of 3 rows");
    scene
        .run(&format!("{RUN} --limit 1 --cron"))
        .exits(4)
        .keeps_silent();
    scene.run(&format!("{RUN} --cron")).exits(0).keeps_silent();
    scene.sheet("out.csv").answers(3);
}

/// Returns the words after the program's name in the first line of a file that begins like this.
fn words_of(text: &str, begin: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(begin)).unwrap();
    line.split_once("bin/promptmill ").unwrap().1.to_owned()
}

#[test]
fn the_lines_that_are_there_to_be_copied_work_and_keep_silent() {
    let service = include_str!("../../contrib/promptmill.service");
    let crontab = include_str!("../../contrib/promptmill.crontab");
    for words in [words_of(service, "ExecStart="), words_of(crontab, "15 ")] {
        let scene = under_cron(Scene::with_rows(2));
        scene.run(&words).exits(0).keeps_silent();
        scene.sheet("results.csv").answers(2);
    }
}
