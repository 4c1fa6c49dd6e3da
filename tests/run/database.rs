//! The database in trouble while a run works on it, or before: removed, replaced, busy, damaged, held
//! by a process that does not go on.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::time::Duration;

use rustix::process::Signal;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Runtime;

use crate::support::{Running, Scene, jobs};

const RUN: &str = "run jobs.csv -o out.csv";
const DATABASE: &str = "promptmill.db";
const ROWS: usize = 20;

/// Starts a run whose first request is held back.
fn held() -> (Scene, Running) {
    let scene = Scene::with_rows(ROWS);
    scene.provider.hold();
    let run = scene.start(RUN);
    scene.wait_for(1);
    (scene, run)
}

/// Another program that has the database open.
struct Other {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Other {
    fn new(scene: &Scene) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let options = SqliteConnectOptions::new().filename(scene.path(DATABASE));
        let connection = runtime.block_on(options.connect()).unwrap();
        Self {
            runtime,
            connection,
        }
    }

    fn does(&mut self, sql: &'static str) {
        let done = sqlx::raw_sql(sql).execute(&mut self.connection);
        self.runtime.block_on(done).unwrap();
    }

    fn goes(self) {
        self.runtime.block_on(self.connection.close()).unwrap();
    }
}

#[test]
fn a_database_that_is_moved_away_during_a_run_stops_it_and_what_came_back_is_kept() {
    let (scene, run) = held();
    fs::create_dir(scene.path("elsewhere")).unwrap();
    let names = ["promptmill.db", "promptmill.db-wal", "promptmill.db-shm"];
    for name in names {
        fs::rename(scene.path(name), scene.path(&format!("elsewhere/{name}"))).unwrap();
    }
    scene.provider.release();
    let ran = run
        .finish()
        .exits(74)
        .says("promptmill.db was removed while it was in use");
    ran.says("kept in promptmill.db.spool")
        .says("hint: put the file back");
    assert_eq!(scene.requests(), 1);
    for name in names {
        let _ = fs::rename(scene.path(&format!("elsewhere/{name}")), scene.path(name));
    }
    scene.run(RUN).exits(0).says("took in 1 result");
    scene.sheet("out.csv").answers(ROWS);
    assert_eq!(scene.requests(), ROWS as u64);
}

#[test]
fn a_database_that_is_replaced_during_a_run_stops_it_and_the_new_one_is_not_touched() {
    let (scene, run) = held();
    fs::rename(scene.path(DATABASE), scene.path("old.db")).unwrap();
    scene.write(DATABASE, "another file");
    scene.provider.release();
    run.finish()
        .exits(74)
        .says("promptmill.db was replaced while it was in use");
    assert_eq!(scene.read(DATABASE), "another file");
}

#[test]
fn the_spool_of_another_database_is_neither_taken_in_nor_lost() {
    let (scene, run) = held();
    let away = scene.path("away.db");
    fs::rename(scene.path(DATABASE), away).unwrap();
    scene.provider.release();
    run.finish().exits(74);
    for name in ["promptmill.db-wal", "promptmill.db-shm"] {
        let _ = fs::remove_file(scene.path(name));
    }
    let spool = scene.read("promptmill.db.spool");
    let ran = scene.run(RUN).exits(74);
    ran.says("promptmill.db.spool keeps answers of another database")
        .says("hint: ");
    assert_eq!(scene.read("promptmill.db.spool"), spool);
    fs::remove_file(scene.path("promptmill.db.spool")).unwrap();
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(ROWS);
}

#[test]
fn a_link_to_a_database_is_refused() {
    let scene = Scene::with_rows(1);
    scene.run("import jobs.csv --db real.db").exits(0);
    symlink("real.db", scene.path(DATABASE)).unwrap();
    symlink("nowhere", scene.path("dangling.db")).unwrap();
    for words in [RUN, "status", "run jobs.csv --db dangling.db"] {
        let ran = scene.run(words).exits(74).says("it is a link");
        ran.says("hint: name the file itself with --db");
    }
    assert!(!scene.path("nowhere").exists());
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_file_too_short_to_be_a_database_is_refused_and_untouched() {
    let scene = Scene::with_rows(1);
    for text in ["x", "\n", "id,prompt\n"] {
        scene.write(DATABASE, text);
        scene
            .run(RUN)
            .exits(74)
            .says("is not a promptmill database");
        assert_eq!(scene.read(DATABASE), text);
    }
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_page_that_is_damaged_ends_a_run_and_no_wrong_answer_is_written() {
    let scene = Scene::with_rows(2_000);
    scene.run("import jobs.csv").exits(0);
    scene.write("out.csv", "old");
    let length = fs::metadata(scene.path(DATABASE)).unwrap().len();
    let file = OpenOptions::new()
        .write(true)
        .open(scene.path(DATABASE))
        .unwrap();
    for page in 2..length / 4096 {
        file.write_all_at(&[0xa5; 4096], page * 4096).unwrap();
    }
    let ran = scene.run("work").exits(74).says("the database is damaged");
    ran.says("hint: restore a backup");
    assert_eq!(scene.requests(), 0);
    scene.run("export jobs.csv -o out.csv").exits(74);
    assert_eq!(scene.read("out.csv"), "old");
}

#[test]
fn a_lock_file_that_a_dead_process_left_holds_nobody_up() {
    let scene = Scene::with_rows(ROWS);
    scene.write("promptmill.db.lock", "process 999999\n");
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(ROWS);
}

#[test]
fn a_run_that_is_stopped_keeps_its_lock_and_goes_on_with_what_came_meanwhile() {
    let (scene, run) = held();
    run.signal(Signal::STOP);
    scene.provider.release();
    scene.wait_for_answered(1);
    scene.run(RUN).exits(75).says("another run holds the queue");
    run.signal(Signal::CONT);
    run.finish().exits(0);
    scene.sheet("out.csv").answers(ROWS);
    assert_eq!(scene.requests(), ROWS as u64, "the late answer is kept");
}

#[test]
fn a_database_that_another_program_writes_is_waited_for_and_nothing_is_asked_twice() {
    let (scene, run) = held();
    let mut other = Other::new(&scene);
    other.does("BEGIN IMMEDIATE; UPDATE identity SET salt = salt");
    scene.provider.release();
    scene.wait_for_answered(1);
    // The run has its answer now and cannot write it; nothing else comes meanwhile.
    assert!(!scene.provider.wait_for(2, Duration::from_millis(300)));
    other.does("COMMIT");
    other.goes();
    run.finish().exits(0);
    scene.sheet("out.csv").answers(ROWS);
    assert_eq!(scene.requests(), ROWS as u64);
}

#[test]
fn a_program_that_reads_for_long_holds_nobody_up() {
    let scene = Scene::with_rows(ROWS);
    scene.run("import jobs.csv").exits(0);
    let mut other = Other::new(&scene);
    other.does("BEGIN; SELECT count(*) FROM jobs");
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(ROWS);
    other.does("COMMIT");
    other.goes();
    scene.run("verify jobs.csv --output out.csv").exits(0);
}

#[test]
fn a_look_at_the_queue_works_while_a_run_is_under_way() {
    let (scene, run) = held();
    let status = scene.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["running"], 1);
    scene.run("export jobs.csv -o half.csv").exits(0);
    assert_eq!(scene.sheet("half.csv").count("pending"), ROWS);
    scene.write("more.csv", &jobs(3));
    scene.run("import more.csv").exits(0);
    scene.provider.release();
    run.finish().exits(0);
    scene.sheet("out.csv").answers(ROWS);
}

#[test]
fn a_key_command_sees_no_open_database() {
    let scene = Scene::with_rows(1).set("PROMPTMILL_API_KEYS", "");
    scene.run("import jobs.csv").exits(0);
    let script = "#!/bin/sh\nls -l /proc/self/fd /proc/$PPID/fd > seen.txt\necho sk-scene-key-0123456789abcdef\n";
    scene.write_with_mode("key.sh", 0o700, script);
    scene
        .run(&format!("{RUN} --api-key-command ./key.sh"))
        .exits(0);
    let seen = scene.read("seen.txt");
    assert!(seen.contains("/fd:\n"), "{seen}");
    assert!(!seen.contains(DATABASE), "{seen}");
}
