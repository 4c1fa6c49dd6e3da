//! A disk that is full: what has come back is kept and is not asked for again, nothing is left half
//! done, and the exit code says so.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::{Ran, Running, Scene, jobs};

const ROWS: usize = 400;
const RUN: &str = "run jobs.csv -o out.csv --concurrency 24";
const SPOOL: &str = "promptmill.db.spool";

/// Makes the command of a shell that cuts off every file behind so many KiB.
fn limited(scene: &Scene, kib: u64, words: &str) -> Command {
    scene.limited(&format!("-f {kib}"), words)
}

/// A scene with an imported batch, whose answers soon need more room than `room` KiB more.
fn imported() -> (Scene, u64) {
    let scene = Scene::with_rows(ROWS);
    scene.run("import jobs.csv").exits(0);
    let size = fs::metadata(scene.path("promptmill.db")).unwrap().len();
    (scene, size / 1024 + 96)
}

fn run_limited(scene: &Scene, kib: u64, words: &str) -> Ran {
    Running::start(limited(scene, kib, words), "").finish()
}

#[test]
fn what_came_back_when_the_disk_was_full_is_taken_in_without_asking_again() {
    let (scene, room) = imported();
    let ran = run_limited(&scene, room, RUN).exits(74);
    let ran = ran.says("error: cannot write the database: ");
    let ran = ran.says("that had come back: kept in promptmill.db.spool");
    ran.says("hint: make room on the disk, then run the same command again");
    let spool = fs::metadata(scene.path(SPOOL)).unwrap();
    assert_eq!(spool.permissions().mode() & 0o777, 0o600);
    let asked = scene.requests();
    assert!(asked > 24 && asked < ROWS as u64, "{asked} were asked");
    let status = scene.run("status --json").exits(0).json();
    let stored = status["batches"][0]["done"].as_u64().unwrap();
    assert!(stored < asked, "{stored} of {asked} were stored");

    let ran = scene.run(RUN).exits(0);
    ran.says(&format!(
        "took in {} results that an earlier run could not store",
        asked - stored
    ));
    assert_eq!(scene.requests(), ROWS as u64, "no row is asked twice");
    let sheet = scene.sheet("out.csv");
    sheet.answers(ROWS);
    assert_eq!(sheet.sum("attempts"), ROWS as u64);
    assert!(!scene.path(SPOOL).exists());
}

#[test]
fn a_disk_that_stays_full_keeps_the_spool_until_there_is_room() {
    let (scene, room) = imported();
    run_limited(&scene, room, RUN).exits(74);
    let (kept, asked) = (scene.read(SPOOL), scene.requests());
    let status = scene.run("status").exits(0);
    assert!(status.stdout.contains("wait beside the database"));
    assert_eq!(scene.run("status --json").exits(0).json()["spool"], true);
    for _ in 0..2 {
        run_limited(&scene, 1, RUN).exits(74).says("hint: ");
        assert!(scene.read(SPOOL) == kept, "the spool has changed");
    }
    assert_eq!(scene.requests(), asked);
    scene.run(RUN).exits(0);
    assert_eq!(scene.requests(), ROWS as u64);
    scene.sheet("out.csv").answers(ROWS);
}

#[test]
fn a_run_that_is_killed_while_it_takes_in_the_spool_takes_it_in_once() {
    let (scene, room) = imported();
    run_limited(&scene, room, RUN).exits(74);
    let asked = scene.requests();
    scene.provider.hold();
    let run = scene.start(RUN);
    scene.wait_for(asked + 1);
    run.kill();
    scene.provider.release();
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(ROWS);
    assert!(!scene.path(SPOOL).exists());
    // The kill met one request of a key that had not answered yet.
    assert_eq!(scene.requests(), ROWS as u64 + 1);
}

#[test]
fn what_does_not_come_back_in_time_is_asked_again() {
    let script = Script::new().on(
        |arrival| arrival.prompt == "question 7" && arrival.turn == 1,
        Reaction::Hang,
    );
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(ROWS));
    scene.run("import jobs.csv").exits(0);
    let size = fs::metadata(scene.path("promptmill.db")).unwrap().len();
    let words = format!("{RUN} --grace 200ms");
    let ran = run_limited(&scene, size / 1024 + 96, &words).exits(74);
    ran.says("stopping: waiting for ");
    scene.run(RUN).exits(0);
    assert_eq!(scene.requests(), ROWS as u64 + 1);
    let sheet = scene.sheet("out.csv");
    sheet.answers(ROWS);
    assert_eq!(sheet.cell(7, "attempts"), "2");
}

#[test]
fn a_disk_that_is_full_during_an_import_leaves_all_as_it_was() {
    let scene = Scene::with_rows(10);
    scene.run("import jobs.csv").exits(0);
    scene.write("jobs.csv", &jobs(20_000));
    let ran = run_limited(&scene, 512, "import jobs.csv").exits(74);
    ran.says("cannot write the database")
        .says("hint: make room on the disk");
    let status = scene.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["total"], 10);
    scene.run("import jobs.csv").exits(0);
    let status = scene.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["total"], 20_000);
}

#[test]
fn a_full_device_takes_no_export_and_the_exit_code_says_so() {
    let scene = Scene::with_rows(2_000);
    scene.run("import jobs.csv").exits(0);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = scene.command("export jobs.csv");
    let output = command.stdout(full).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(73), "{told}");
    assert!(told.contains("No space left on device"), "{told}");
}

#[test]
fn an_export_that_finds_no_room_leaves_the_old_results() {
    let scene = Scene::with_rows(20_000);
    scene.run("import jobs.csv").exits(0);
    scene.write("out.csv", "old");
    let ran = run_limited(&scene, 64, "export jobs.csv -o out.csv").exits(73);
    ran.says("out.csv");
    assert_eq!(scene.read("out.csv"), "old");
    let names = ["jobs.csv", "out.csv", "promptmill.db"];
    assert_eq!(scene.files(), names);
}

#[test]
fn a_spool_that_is_a_link_is_neither_read_nor_written() {
    let scene = Scene::with_rows(3);
    scene.write("elsewhere", "kept");
    symlink(scene.path("elsewhere"), scene.path(SPOOL)).unwrap();
    let ran = scene.run(RUN).exits(74);
    ran.says("cannot use the spool promptmill.db.spool");
    assert_eq!(scene.read("elsewhere"), "kept");
    assert_eq!(scene.requests(), 0);
}
