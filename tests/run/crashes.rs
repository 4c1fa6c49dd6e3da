//! kill -9: nothing that was answered is lost, nothing is answered twice, and every call that may
//! have been repeated is counted.

use std::time::Duration;

use promptmill::simulator::{Config, Latency};

use crate::support::{Scene, jobs};

const ROWS: usize = 150;
const KILLS: u32 = 30;
const SEED: u64 = 20_260_801;
/// How long a provider's answer takes, so that a kill finds requests in flight.
const LATENCY: Duration = Duration::from_millis(3);
/// Three at a time: a row is in flight at four crashes at most, since each run that lasts records
/// the first of those that were. At the fifth it would count as the cause.
const RUN: &str = "run jobs.csv -o out.csv --concurrency 3";

/// Returns how many jobs are in flight as the database has it, and how many are done.
#[track_caller]
fn standing(scene: &Scene) -> (u64, u64) {
    let status = scene.run("status --json").exits(0).json();
    let batch = &status["batches"][0];
    let count = |name: &str| batch[name].as_u64().unwrap_or(0);
    (count("running"), count("done"))
}

#[test]
fn thirty_kills_lose_nothing_and_repeat_only_what_was_in_flight() {
    let latency = Latency::Constant(LATENCY);
    let scene = Scene::new(Config::default().latency(latency));
    scene.write("jobs.csv", &jobs(ROWS));
    let mut dice = fastrand::Rng::with_seed(SEED);
    let (mut in_flight, mut done) = (0, 0);
    for kill in 0..KILLS {
        let requests = scene.requests();
        let run = scene.start(RUN);
        // Sometimes at the start, most times so many requests later; and a moment more. A second
        // request means that the first one's answer is on disk.
        if kill % 6 > 0 {
            scene.wait_for(requests + dice.u64(2..=4));
        }
        let moment = Duration::from_micros(dice.u64(0..4_000));
        // Nothing will come: this is the moment.
        let _ = scene.provider.wait_for(u64::MAX, moment);
        run.kill();
        let (running, done_now) = standing(&scene);
        assert!(
            done_now >= done,
            "kill {kill}: {done} were done, now {done_now}"
        );
        assert!(running <= 3, "kill {kill}: {running} in flight");
        (in_flight, done) = (in_flight + running, done_now);
    }
    assert!(in_flight > 0, "no kill met a request in flight");
    assert!(done < ROWS as u64, "the kills came too late");
    scene.run(RUN).exits(0);
    let sheet = scene.sheet("out.csv");
    sheet.answers(ROWS);
    // A run that is killed before it has rescued anything leaves the same requests behind again,
    // and one that is killed before it has sent a claimed job leaves a request that never was.
    let (requests, counted) = (scene.requests(), sheet.sum("attempts"));
    assert!(
        requests <= counted,
        "{requests} requests, {counted} counted"
    );
    let most = ROWS as u64 + in_flight;
    assert!(counted <= most, "{counted} counted, {most} at most");
    scene.run(RUN).exits(0).says("nothing to do");
    assert_eq!(scene.requests(), requests);
}

#[test]
fn the_run_after_a_crash_says_how_many_requests_have_no_known_end() {
    let scene = Scene::with_rows(3);
    scene.provider.hold();
    let run = scene.start(RUN);
    scene.wait_for(1);
    run.kill();
    assert_eq!(standing(&scene), (1, 0));
    scene.provider.release();
    let ran = scene.run(&format!("{RUN} --json")).exits(0);
    assert_eq!(ran.json()["unknown"], 1);
    let ran = ran.says("1 request was in flight when an earlier run died; its job was asked again");
    assert_eq!(ran.json()["requests"], 3);
    let sheet = scene.sheet("out.csv");
    sheet.answers(3);
    assert_eq!(sheet.column("attempts"), ["2", "1", "1"]);
    assert_eq!(scene.requests(), 4);
}

#[test]
fn results_that_a_crash_left_half_written_are_removed() {
    let scene = Scene::with_rows(5);
    scene.write(".out.csv.x1y2z3.part", "id,prompt\n1,half a r");
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(5);
    let names = ["jobs.csv", "out.csv", "promptmill.db", "promptmill.db.lock"];
    assert_eq!(scene.files(), names);
}

#[test]
fn a_killed_run_leaves_the_old_results_whole() {
    let scene = Scene::with_rows(3);
    scene.run(RUN).exits(0);
    let old = scene.read("out.csv");
    scene.write("jobs.csv", &jobs(6));
    scene.provider.hold();
    let run = scene.start(RUN);
    scene.wait_for(4);
    run.kill();
    assert_eq!(scene.read("out.csv"), old);
}

#[test]
fn a_row_that_every_run_dies_of_is_failed_in_the_end() {
    let scene = Scene::with_rows(2);
    scene.provider.hold();
    for crash in 1..=5 {
        let run = scene.start(RUN);
        scene.wait_for(crash);
        run.kill();
    }
    scene.provider.release();
    scene.run(RUN).exits(3).says("crash-loop");
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.column("status"), ["failed", "done"]);
    assert_eq!(scene.requests(), 6);
}

#[test]
fn a_killed_import_has_happened_or_has_not() {
    const MANY: usize = 5_000;
    let scene = Scene::with_rows(MANY);
    let mut dice = fastrand::Rng::with_seed(SEED);
    for _ in 0..6 {
        let import = scene.start("import jobs.csv");
        let moment = Duration::from_millis(dice.u64(5..250));
        let _ = scene.provider.wait_for(u64::MAX, moment);
        import.kill();
        let status = scene.run("status --json").exits(0).json();
        let total = status["batches"][0]["total"].as_u64().unwrap_or(0);
        assert!(total == 0 || total == MANY as u64, "{total} rows");
    }
    scene.run("import jobs.csv").exits(0);
    let status = scene.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["pending"], MANY);
}

#[test]
fn a_killed_export_leaves_the_old_results_or_the_new_ones() {
    const MANY: usize = 5_000;
    let scene = Scene::with_rows(MANY);
    scene.run("import jobs.csv").exits(0);
    scene.run("export jobs.csv -o out.csv").exits(0);
    let whole = scene.read("out.csv");
    let mut dice = fastrand::Rng::with_seed(SEED);
    for _ in 0..8 {
        let export = scene.start("export jobs.csv -o out.csv");
        let moment = Duration::from_millis(dice.u64(5..120));
        let _ = scene.provider.wait_for(u64::MAX, moment);
        export.kill();
        assert!(scene.read("out.csv") == whole, "the results are not whole");
    }
}

#[test]
fn five_crashes_do_not_fail_the_rows_that_were_only_nearby() {
    let keys = [
        "sk-key-a-0123456789",
        "sk-key-b-0123456789",
        "sk-key-c-0123456789",
    ];
    let scene = Scene::with_rows(3).keys(&keys);
    for crash in 1..=5 {
        scene.provider.hold();
        let run = scene.start(RUN);
        // At least one more request; a run may well try a suspect alone.
        scene.wait_for(crash);
        let _ = scene
            .provider
            .wait_for(3 * crash, Duration::from_millis(500));
        run.kill();
    }
    scene.provider.release();
    scene.run(RUN);
    let failed = scene.sheet("out.csv").count("failed");
    assert!(
        failed <= 1,
        "{failed} rows count as the cause of the same crashes"
    );
}
