//! Dies, fails and panics at every commit, send and rename of the built binary, by name, and looks
//! at what is left. `cargo test --features failpoints --test failpoints` runs it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its scene has failed"
)]

#[expect(dead_code, reason = "other tests need more of it")]
mod support;

use std::os::unix::process::ExitStatusExt as _;

use support::{Ran, Running, Scene, jobs};

const ROWS: usize = 60;
const RUN: &str = "run jobs.csv -o out.csv --concurrency 8";
const SPOOL: &str = "promptmill.db.spool";

/// Runs the program with these failpoints.
fn with(scene: &Scene, points: &str, words: &str) -> Ran {
    let mut command = scene.command(words);
    command.env("PROMPTMILL_FAILPOINTS", points);
    Running::start(command, "").finish()
}

/// Holds a process to its death at a failpoint.
#[track_caller]
fn dies(scene: &Scene, points: &str, words: &str) {
    let ran = with(scene, points, words);
    assert_eq!(
        ran.status.signal(),
        Some(9),
        "{points}: it said:\n{}",
        ran.stderr
    );
}

/// Returns how many rows of the first batch stand so.
#[track_caller]
fn standing(scene: &Scene, state: &str) -> u64 {
    let status = scene.run("status --json").exits(0).json();
    status["batches"][0][state].as_u64().unwrap_or(0)
}

/// Ends the batch, and holds it to all its answers and to so many requests at most.
#[track_caller]
fn ends_well(scene: &Scene, repeated: u64) {
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(ROWS);
    let requests = scene.requests();
    let most = ROWS as u64 + repeated;
    assert!(requests <= most, "{requests} requests, {most} at most");
    scene.run(RUN).exits(0).says("nothing to do");
    assert_eq!(scene.requests(), requests);
    assert!(!scene.path(SPOOL).exists());
}

#[test]
fn killed_before_the_claim_is_committed_nothing_was_asked() {
    let scene = Scene::with_rows(ROWS);
    dies(&scene, "turn-commit=kill", RUN);
    assert_eq!(
        (scene.requests(), standing(&scene, "pending")),
        (0, ROWS as u64)
    );
    ends_well(&scene, 0);
    assert_eq!(scene.sheet("out.csv").sum("attempts"), ROWS as u64);
}

#[test]
fn killed_between_claim_and_request_the_claim_counts_as_one_that_may_have_been_sent() {
    for points in ["send=kill", "turn-done=kill"] {
        let scene = Scene::with_rows(ROWS);
        dies(&scene, points, RUN);
        assert_eq!((scene.requests(), standing(&scene, "running")), (0, 1));
        let ran = scene.run(&format!("{RUN} --json")).exits(0);
        assert_eq!(ran.json()["unknown"], 1);
        assert_eq!(scene.requests(), ROWS as u64);
        scene.sheet("out.csv").answers(ROWS);
    }
}

#[test]
fn killed_with_an_answer_that_is_not_written_its_row_alone_is_asked_again() {
    for nth in [1, 2, 20] {
        let scene = Scene::with_rows(ROWS);
        dies(&scene, &format!("answer=kill@{nth}"), RUN);
        let in_flight = standing(&scene, "running");
        assert!((1..=8).contains(&in_flight), "{in_flight} in flight");
        ends_well(&scene, in_flight);
    }
}

#[test]
fn killed_around_any_commit_of_a_run_it_goes_on_from_there() {
    let scene = Scene::with_rows(ROWS);
    let mut repeated = 0;
    for nth in [2, 3, 2, 4, 3, 2] {
        for point in ["turn-commit", "turn-done"] {
            let done = standing(&scene, "done");
            dies(&scene, &format!("{point}=kill@{nth}"), RUN);
            repeated += standing(&scene, "running");
            assert!(standing(&scene, "done") >= done);
        }
    }
    dies(&scene, "rescue-commit=kill", RUN);
    ends_well(&scene, repeated);
}

#[test]
fn killed_while_copies_are_made_each_row_has_its_own_or_gets_it_from_the_next_run() {
    for points in [
        "park-commit=kill",
        "copy-commit=kill",
        "copy-commit=kill@2",
        "copy-commit=error@2",
    ] {
        let scene = Scene::with_rows(1);
        let rows = (1..=ROWS).map(|row| format!("{row},prompt {}", row % 7));
        let rows: Vec<_> = rows.collect();
        scene.write(
            "jobs.csv",
            &format!(
                "id,prompt
{}
",
                rows.join(
                    "
"
                )
            ),
        );
        let run = format!("{RUN} --dedupe=always");
        let ran = with(&scene, points, &run);
        assert!(!ran.status.success(), "{points}");
        scene.run(&run).exits(0);
        assert_eq!(scene.requests(), 7, "{points}");
        let sheet = scene.sheet("out.csv");
        assert_eq!(sheet.count("done"), ROWS, "{points}");
        for row in 1..=ROWS {
            let said = format!("\"prompt {}\"", row % 7);
            assert!(
                sheet.cell(row, "response").contains(&said),
                "{points}, row {row}"
            );
        }
        scene.run("verify jobs.csv -o out.csv").exits(0);
    }
}

#[test]
fn killed_during_an_import_it_has_not_happened() {
    let scene = Scene::with_rows(ROWS);
    scene.run("import jobs.csv").exits(0);
    scene.write("jobs.csv", &jobs(5_000));
    for points in [
        "import-row=kill@2",
        "import-row=kill@4500",
        "import-commit=kill",
    ] {
        dies(&scene, points, "import jobs.csv");
        assert_eq!(standing(&scene, "total"), ROWS as u64, "{points}");
    }
    scene.run("import jobs.csv").exits(0);
    assert_eq!(standing(&scene, "total"), 5_000);
    assert_eq!(standing(&scene, "pending"), 5_000);
}

#[test]
fn an_import_that_cannot_be_written_has_not_happened() {
    let scene = Scene::with_rows(ROWS);
    let ran = with(&scene, "import-commit=error", "import jobs.csv").exits(74);
    ran.says("cannot write the database");
    assert_eq!(standing(&scene, "total"), 0);
    ends_well(&scene, 0);
}

#[test]
fn killed_before_the_results_are_in_place_the_old_ones_are_whole() {
    let scene = Scene::with_rows(ROWS);
    scene.write("out.csv", "old");
    dies(&scene, "export-rename=kill", RUN);
    assert_eq!(scene.read("out.csv"), "old");
    let parts = || {
        let files = scene.files().into_iter();
        files.filter(|name| name.contains(".part")).count()
    };
    assert_eq!(parts(), 1);
    ends_well(&scene, 0);
    assert_eq!(parts(), 0, "what the killed one left is removed");
    scene.write("out.csv", "old");
    let ran = with(&scene, "export-rename=error", "export jobs.csv -o out.csv");
    ran.exits(73).says("out.csv");
    assert_eq!(scene.read("out.csv"), "old");
}

#[test]
fn killed_while_the_tables_are_made_none_are_there() {
    let scene = Scene::with_rows(ROWS);
    dies(&scene, "migrate-commit=kill", "import jobs.csv");
    let status = scene.run("status --json").exits(0).json();
    assert_eq!(status["batches"].as_array().map(Vec::len), Some(0));
    ends_well(&scene, 0);
}

#[test]
fn killed_before_the_last_connection_is_closed_all_is_in_the_log() {
    let scene = Scene::with_rows(ROWS);
    dies(&scene, "close=kill", RUN);
    assert!(scene.path("promptmill.db-wal").exists());
    assert_eq!(standing(&scene, "done"), ROWS as u64);
    ends_well(&scene, 0);
}

#[test]
fn a_worker_that_panics_costs_an_attempt_and_others_go_on() {
    let scene = Scene::with_rows(ROWS);
    with(&scene, "worker=panic@5", RUN).exits(0);
    let sheet = scene.sheet("out.csv");
    sheet.answers(ROWS);
    assert_eq!(sheet.sum("attempts"), ROWS as u64 + 1);
    assert_eq!(scene.requests(), ROWS as u64);
}

#[test]
fn a_row_whose_worker_panics_three_times_has_failed() {
    let scene = Scene::with_rows(1);
    let ran = with(&scene, "worker=panic@1+", RUN).exits(3);
    assert!(!ran.stderr.contains("question 1"), "{}", ran.stderr);
    let told = ran.stderr.matches("error: a defect in promptmill").count();
    assert_eq!(told, 3, "{}", ran.stderr);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.column("attempts"), ["3"]);
    assert!(sheet.cell(1, "error").contains("panic"));
}

#[test]
fn a_panic_where_results_are_written_ends_the_run_and_loses_nothing_that_was_told() {
    let scene = Scene::with_rows(ROWS);
    let ran = with(&scene, "turn-commit=panic@4", RUN);
    assert!(!ran.stderr.contains("question "), "{}", ran.stderr);
    ran.exits(1).says("error: a defect in promptmill");
    let in_flight = standing(&scene, "running");
    assert!(standing(&scene, "done") > 0 && in_flight > 0);
    ends_well(&scene, in_flight);
}

#[test]
fn a_panic_anywhere_else_is_told_with_its_place_and_what_to_do() {
    let scene = Scene::with_rows(ROWS);
    let ran = with(&scene, "export-rename=panic", RUN).exits(1);
    let ran = ran.says("failpoint export-rename");
    ran.says("at src/failpoint.rs:")
        .says("hint: what was recorded is on disk; run the same command again");
    ends_well(&scene, 0);
}

#[test]
fn a_commit_that_fails_ends_the_run_and_no_row_is_asked_twice() {
    // Once only: a later commit would succeed, and is not tried, as what the system has told once
    // of a failed sync it does not tell again.
    for points in [
        "turn-commit=error@5",
        "turn-commit=error@5+",
        "turn-done=error@5",
    ] {
        let scene = Scene::with_rows(ROWS);
        let ran = with(&scene, points, RUN).exits(74);
        ran.says("cannot write the database")
            .says("kept in promptmill.db.spool");
        let asked = scene.requests();
        assert!(asked > 3 && asked < ROWS as u64, "{asked}");
        ends_well(&scene, 0);
    }
}

#[test]
fn killed_when_the_spool_is_settled_but_not_yet_removed_it_is_settled_once() {
    let scene = Scene::with_rows(ROWS);
    with(&scene, "turn-commit=error@5", RUN).exits(74);
    let done = standing(&scene, "done");
    dies(&scene, "spool-taken=kill", RUN);
    assert!(scene.path(SPOOL).exists() && standing(&scene, "done") > done);
    ends_well(&scene, 0);
}

#[test]
fn a_spool_that_cannot_be_settled_yet_stays_as_it_is() {
    let scene = Scene::with_rows(ROWS);
    with(&scene, "turn-commit=error@5", RUN).exits(74);
    let (kept, asked) = (scene.read(SPOOL), scene.requests());
    with(&scene, "spool-commit=error", RUN)
        .exits(74)
        .says("cannot write the database");
    dies(&scene, "spool-commit=kill", RUN);
    assert!(scene.read(SPOOL) == kept, "the spool has changed");
    assert_eq!(scene.requests(), asked);
    ends_well(&scene, 0);
}

#[test]
fn what_finds_no_room_even_in_the_spool_is_told_and_asked_again() {
    let scene = Scene::with_rows(ROWS);
    let points = "turn-commit=error@5,spool-write=error@1+";
    let ran = with(&scene, points, RUN).exits(74);
    let ran = ran.says("that had come back: no room even there, to be asked again");
    assert!(!ran.stderr.contains("kept in"), "{}", ran.stderr);
    ends_well(&scene, standing(&scene, "running"));
}

#[test]
fn a_failpoint_that_is_written_wrongly_is_refused() {
    let scene = Scene::with_rows(1);
    for points in ["send", "send=explode", "send=kill@x"] {
        with(&scene, points, RUN).exits(2).says("is no failpoint");
    }
    assert_eq!(scene.requests(), 0);
}
