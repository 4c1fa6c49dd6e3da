//! What the system lets a process have and do: open files, and images of its memory.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use promptmill::simulator::{Config, Latency};
use rustix::process::Signal;

use crate::support::{Running, Scene, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

#[test]
fn with_few_file_handles_fewer_requests_are_in_flight_and_all_rows_are_answered() {
    let scene = Scene::with_rows(200);
    let words = format!("{RUN} --concurrency 100");
    let ran = Running::start(scene.limited("-n 32", &words), "").finish();
    ran.exits(0)
        .says("no more than 4 in flight: the system allows 32 open files");
    scene.sheet("out.csv").answers(200);
    assert_eq!(scene.requests(), 200);
}

#[test]
fn with_too_few_file_handles_a_run_says_so_and_asks_nothing() {
    let scene = Scene::with_rows(3);
    let ran = Running::start(scene.limited("-n 24", RUN), "").finish();
    ran.exits(78)
        .says("the system allows 24 open files, and a run needs 29")
        .says("ulimit -n");
    assert_eq!(scene.requests(), 0);
    scene.run(RUN).exits(0);
}

#[test]
fn a_low_limit_of_file_handles_is_raised_as_far_as_it_may_be() {
    let latency = Latency::Constant(Duration::from_secs(1));
    let scene = Scene::new(Config::default().latency(latency));
    scene.write("jobs.csv", &jobs(150));
    let words = format!("{RUN} --concurrency 150");
    let ran = Running::start(scene.limited("-S -n 64", &words), "").finish();
    let ran = ran.exits(0);
    assert!(!ran.stderr.contains("in flight:"), "{}", ran.stderr);
    scene.sheet("out.csv").answers(150);
    assert!(scene.provider.ledger().max_in_flight > 64);
}

#[test]
fn a_process_that_breaks_down_leaves_no_image_of_its_memory() {
    let scene = Scene::with_rows(3);
    scene.provider.hold();
    let run = Running::start(scene.limited("-c unlimited", RUN), "");
    scene.wait_for(1);
    run.signal(Signal::ABORT);
    let ran = run.finish();
    scene.provider.release();
    assert_eq!(ran.status.signal(), Some(Signal::ABORT.as_raw()));
    assert!(!ran.status.core_dumped(), "{}", ran.status);
    assert!(scene.files().iter().all(|name| !name.starts_with("core")));
}
