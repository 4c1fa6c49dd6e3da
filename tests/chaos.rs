//! The built binary against a server that breaks the protocol in every way: each row ends well or
//! fails by itself, no half answer is kept, and neither time nor memory run away.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its scene has failed"
)]

// A provider of raw sockets.
#[path = "chaos/server.rs"]
mod server;
#[expect(dead_code, reason = "other tests need more of it")]
mod support;
// What a stranger who looks at the requests alone would say of the retries.
#[path = "chaos/verdict.rs"]
mod verdict;

use std::fmt::Write as _;

use server::{Fault, Server};
use support::{Scene, jobs};

/// Ways to break an answer, each of which passes.
const WAYS: [Fault; 14] = [
    Fault::Close,
    Fault::Reset,
    Fault::HalfBody,
    Fault::ShortLength,
    Fault::TwoLengths,
    Fault::HalfChunk,
    Fault::BadChunk,
    Fault::Garbage,
    Fault::Headless,
    Fault::ZeroByte,
    Fault::Never,
    Fault::Late,
    Fault::Portal,
    Fault::ErrorInOk,
];

/// All that is no answer, and never becomes one.
const FAULTS: [Fault; 23] = [
    Fault::Close,
    Fault::Reset,
    Fault::HalfBody,
    Fault::ShortLength,
    Fault::TwoLengths,
    Fault::HalfChunk,
    Fault::BadChunk,
    Fault::Garbage,
    Fault::Headless,
    Fault::ZeroByte,
    Fault::EndlessHead,
    Fault::Drip,
    Fault::Never,
    Fault::Late,
    Fault::EndlessInterim,
    Fault::Compressed,
    Fault::TwoGigabytes,
    Fault::Large,
    Fault::Deep,
    Fault::Portal,
    Fault::ErrorInOk,
    Fault::NotUtf8,
    Fault::TwoHints,
];

/// Rows that are answered well for each that is not.
const GOOD: usize = 4;

/// KiB; with a debug build, and several large answers at once.
const MEMORY: u64 = 256 * 1024;

fn number(prompt: &str) -> usize {
    prompt["question ".len()..].parse().unwrap()
}

fn scene(server: &Server, rows: usize) -> Scene {
    let scene = Scene::with_rows(0).set("PROMPTMILL_BASE_URL", &server.base_url());
    scene.write("jobs.csv", &jobs(rows));
    scene
}

#[test]
fn three_hundred_rows_whose_first_answers_break_in_fourteen_ways_are_all_answered() {
    let rows = 300;
    let server = Server::start(move |prompt, turn| match number(prompt) {
        // The first of every six rows, and all of the last ones.
        row if turn == 1 && (row % 6 == 0 || row > rows - 14) => WAYS[row / 6 % WAYS.len()],
        _ => Fault::Completion,
    });
    let scene = scene(&server, rows);
    let run = "run jobs.csv -o out.csv --concurrency 24 --timeout 2s";
    scene.run(run).exits(0);
    scene.sheet("out.csv").answers(rows);
    for row in 1..=rows {
        let asked = server.asked(&support::question(row));
        let broken = usize::from(row % 6 == 0 || row > rows - 14);
        assert!(
            (1 + broken..=4 + broken).contains(&asked),
            "row {row} was asked {asked} times"
        );
    }
    let asked = server.requests();
    scene.run(run).exits(0).says("nothing to do");
    assert_eq!(server.requests(), asked);
    scene.run("verify jobs.csv -o out.csv").exits(0);
}

#[test]
fn what_never_becomes_an_answer_fails_its_row_alone_in_bounded_time_and_memory() {
    let rows = FAULTS.len() * (GOOD + 1);
    let fault_of = |row: usize| (row % (GOOD + 1) == 1).then(|| FAULTS[row / (GOOD + 1)]);
    let server =
        Server::start(move |prompt, _| fault_of(number(prompt)).unwrap_or(Fault::Completion));
    let scene = scene(&server, rows);
    let run = "run jobs.csv -o out.csv --concurrency 4 --timeout 3s --max-attempts 1";
    let running = scene.start(run);
    let peak = running.peak_memory();
    running.finish().exits(3);
    let peak = peak.join().unwrap();
    assert!(peak < MEMORY, "{peak} KiB of memory at the peak");
    let sheet = scene.sheet("out.csv");
    let mut wrong = String::new();
    for row in 1..=rows {
        let expected = if fault_of(row).is_some() {
            "failed"
        } else {
            "done"
        };
        let (status, response) = (sheet.cell(row, "status"), sheet.cell(row, "response"));
        if status != expected || (expected == "failed") != response.is_empty() {
            let error = sheet.cell(row, "error");
            writeln!(
                wrong,
                "{:?}: {status}, {response:?}, {error}",
                fault_of(row)
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn interim_responses_before_an_answer_do_no_harm() {
    let server = Server::start(|_, _| Fault::Interim);
    let scene = scene(&server, 5);
    scene.run("run jobs.csv -o out.csv").exits(0);
    scene.sheet("out.csv").answers(5);
    assert_eq!(server.requests(), 5);
}
