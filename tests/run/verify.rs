//! Looking whether the queue is sound, and copies of it to go back to.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::support::{Scene, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

/// A scene with a batch of five answered rows.
fn answered() -> Scene {
    let scene = Scene::with_rows(5);
    scene.run(RUN).exits(0);
    scene
}

/// Does to the database what no program of ours does.
fn meddle(scene: &Scene, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(scene.path("promptmill.db"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connection = options.foreign_keys(false).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    });
}

#[test]
fn a_sound_queue_is_told_with_its_counts() {
    let scene = answered();
    let ran = scene.run("verify jobs.csv --output out.csv").exits(0);
    let expected = "promptmill.db: sound\n\
                    jobs.csv: 5 rows = 5 done + 0 failed + 0 open; one answer for each that is done\n\
                    out.csv: what the database holds\n";
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), (expected, ""));
    let told = scene.run("verify --json").exits(0).json();
    assert_eq!(
        (&told["sound"], &told["spool"]),
        (&true.into(), &false.into())
    );
    assert_eq!(told["batches"][0]["done"], 5);
    scene.run("verify -q").exits(0).keeps_silent();
    scene.run("verify --output out.csv").exits(2);
}

#[test]
fn results_that_are_not_what_the_database_holds_are_told_by_their_line() {
    let scene = answered();
    let whole = scene.read("out.csv");
    let cases = [
        (whole.replace("question 3", "question 9"), "line 4"),
        (whole[..whole.len() - 2].to_owned(), "line 6"),
        (format!("{whole}more\n"), "line 7"),
        (String::new(), "line 1"),
    ];
    for (text, line) in cases {
        scene.write("out.csv", &text);
        let ran = scene.run("verify jobs.csv --output out.csv").exits(65);
        ran.says(&format!("they differ from {line} on"))
            .says("hint: ");
    }
    scene.write("out.csv", &whole);
    scene.run("verify jobs.csv --output out.csv").exits(0);
    scene.run("export jobs.csv -o raw.csv --csv-raw").exits(0);
    scene
        .run("verify jobs.csv --output raw.csv --csv-raw")
        .exits(0);
    scene.run("verify jobs.csv --output none.csv").exits(66);
    scene.run("verify none.csv").exits(66);
}

#[test]
fn what_does_not_hold_together_is_counted_and_named() {
    let cases = [
        (
            "DELETE FROM results WHERE job_id = 2",
            "answered rows without an answer: 1",
        ),
        (
            "UPDATE jobs SET state = 0 WHERE id < 3",
            "answers of rows that are not answered: 2",
        ),
        ("DELETE FROM rows WHERE job_id = 1", "jobs without a row: 1"),
        (
            "UPDATE jobs SET position = 3 WHERE id = 2",
            "rows at the place of another: 1",
        ),
        (
            "UPDATE jobs SET position = 9 WHERE id = 5",
            "places without a row: 5",
        ),
        (
            "UPDATE jobs SET requests = 0 WHERE id = 5",
            "answered rows that were never asked: 1",
        ),
        (
            "UPDATE results SET body = 'x' WHERE job_id = 5",
            "answers that are not what a provider sent: 1",
        ),
        ("DELETE FROM batches", "row 1 of jobs belongs to no batches"),
    ];
    for (sql, what) in cases {
        let scene = answered();
        meddle(&scene, sql);
        scene.run("verify").exits(74).says(what).says("hint: ");
    }
}

#[test]
fn a_damaged_page_is_found() {
    let scene = Scene::with_rows(2_000);
    scene.run("import jobs.csv").exits(0);
    let file = OpenOptions::new()
        .write(true)
        .open(scene.path("promptmill.db"));
    file.unwrap()
        .write_all_at(&[0xa5; 4096], 40 * 4096)
        .unwrap();
    scene
        .run("verify")
        .exits(74)
        .says("promptmill.db is damaged")
        .says("go back to a backup");
}

#[test]
fn what_a_dead_run_has_left_is_a_note_and_no_fault() {
    let scene = Scene::with_rows(5);
    scene.provider.hold();
    let run = scene.start(RUN);
    scene.wait_for(1);
    let ran = scene.run("verify").exits(0);
    assert!(ran.stdout.contains("note: process "), "{}", ran.stdout);
    run.kill();
    let ran = scene.run("verify").exits(0);
    let note = "note: 1 request in flight when a run died: the next run asks again";
    assert!(ran.stdout.contains(note), "{}", ran.stdout);
}

#[test]
fn a_backup_made_beside_a_run_is_whole_and_the_way_back_asks_only_what_is_missing() {
    let scene = answered();
    scene.write("jobs.csv", &jobs(9));
    scene.provider.hold();
    let run = scene.start(RUN);
    scene.wait_for(6);
    let ran = scene.run("backup night.db").exits(0);
    ran.says("night.db: ");
    let mode = fs::metadata(scene.path("night.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    scene.provider.release();
    run.finish().exits(0);
    assert_eq!(scene.requests(), 9);

    let ran = scene.run("verify --db night.db --json").exits(0);
    assert_eq!(ran.json()["batches"][0]["done"], 5);
    // The way back, as docs/RELIABILITY.md has it.
    for name in ["promptmill.db", "promptmill.db-wal", "promptmill.db-shm"] {
        let _ = fs::remove_file(scene.path(name));
    }
    fs::rename(scene.path("night.db"), scene.path("promptmill.db")).unwrap();
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(9);
    // Four rows were asked since the copy was made; it knows of none of their answers.
    assert_eq!(scene.requests(), 9 + 4);
    scene.run("verify jobs.csv --output out.csv").exits(0);
}

#[test]
fn a_backup_replaces_nothing_and_leaves_nothing_where_it_fails() {
    let scene = answered();
    scene.write("there.db", "kept");
    symlink("nowhere", scene.path("link.db")).unwrap();
    for name in ["there.db", "link.db", "promptmill.db"] {
        let ran = scene.run(&format!("backup {name}")).exits(73);
        ran.says("is there already").says("hint: name a new file");
    }
    assert_eq!(scene.read("there.db"), "kept");
    scene
        .run("backup no/such/folder.db")
        .exits(73)
        .says("hint: ");
    scene.run("backup copy.db --db none.db").exits(66);
    let before = [
        "jobs.csv",
        "link.db",
        "out.csv",
        "promptmill.db",
        "promptmill.db.lock",
        "there.db",
    ];
    assert_eq!(scene.files(), before);
}

#[test]
fn a_copy_without_its_log_is_an_older_state_that_holds_together() {
    let scene = answered();
    scene.write("jobs.csv", &jobs(9));
    scene.provider.hold();
    let run = scene.start(RUN);
    scene.wait_for(6);
    fs::copy(scene.path("promptmill.db"), scene.path("old.db")).unwrap();
    scene.provider.release();
    run.finish().exits(0);
    let told = scene.run("verify --db old.db --json").exits(0).json();
    let batch = &told["batches"][0];
    assert_eq!((&batch["total"], &batch["done"]), (&5.into(), &5.into()));
}
