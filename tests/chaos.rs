//! Tests the built binary against a server that violates the protocol in many ways. A fault affects
//! only its own row, no partial response is stored, and time and memory are bounded.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

#[path = "chaos/retries.rs"]
mod retries;
#[path = "chaos/server.rs"]
mod server;
#[expect(dead_code, reason = "other test targets use the rest")]
mod support;

use std::fmt::Write as _;

use server::{Fault, Server};
use support::{TestEnv, jobs};

/// Faults of the first request for a row. A retry succeeds.
const TEMPORARY_FAULTS: [Fault; 14] = [
    Fault::Close,
    Fault::Reset,
    Fault::HalfBody,
    Fault::ShortLength,
    Fault::TwoLengths,
    Fault::HalfChunk,
    Fault::BadChunk,
    Fault::Garbage,
    Fault::NoHeaders,
    Fault::NulByte,
    Fault::NoResponse,
    Fault::Late,
    Fault::CaptivePortal,
    Fault::ErrorInOk,
];

/// Faults of every request for a row.
const PERSISTENT_FAULTS: [Fault; 23] = [
    Fault::Close,
    Fault::Reset,
    Fault::HalfBody,
    Fault::ShortLength,
    Fault::TwoLengths,
    Fault::HalfChunk,
    Fault::BadChunk,
    Fault::Garbage,
    Fault::NoHeaders,
    Fault::NulByte,
    Fault::EndlessHeaders,
    Fault::Drip,
    Fault::NoResponse,
    Fault::Late,
    Fault::EndlessInterim,
    Fault::Compressed,
    Fault::TwoGigabytes,
    Fault::Large,
    Fault::Deep,
    Fault::CaptivePortal,
    Fault::ErrorInOk,
    Fault::NotUtf8,
    Fault::TwoRetryAfters,
];

/// Number of rows without a fault for each row with one.
const VALID_ROWS_PER_FAULT: usize = 4;

/// Memory limit in KiB for a debug build that receives several large responses at once.
const MAX_MEMORY_KIB: u64 = 256 * 1024;

fn row_number(prompt: &str) -> usize {
    prompt["question ".len()..].parse().unwrap()
}

fn test_env(server: &Server, rows: usize) -> TestEnv {
    let env = TestEnv::with_rows(0).set_var("PROMPTMILL_BASE_URL", &server.base_url());
    env.write("jobs.csv", &jobs(rows));
    env
}

#[test]
fn rows_with_temporary_faults_are_completed() {
    let rows = 300;
    let server = Server::start(move |prompt, count| match row_number(prompt) {
        // Every sixth row, and the last 14.
        row if count == 1 && (row % 6 == 0 || row > rows - 14) => {
            TEMPORARY_FAULTS[row / 6 % TEMPORARY_FAULTS.len()]
        }
        _ => Fault::Completion,
    });
    let env = test_env(&server, rows);
    let run = "run jobs.csv -o out.csv --concurrency 24 --timeout 2s";
    env.run(run).exits(0);
    env.results("out.csv").assert_completed(rows);
    for row in 1..=rows {
        let requests = server.requests_for(&support::question(row));
        let faults = usize::from(row % 6 == 0 || row > rows - 14);
        assert!(
            (1 + faults..=4 + faults).contains(&requests),
            "{requests} requests for row {row}"
        );
    }
    let requests = server.requests();
    env.run(run).exits(0).stderr_contains("nothing to do");
    assert_eq!(server.requests(), requests);
    env.run("verify jobs.csv -o out.csv").exits(0);
}

#[test]
fn a_persistent_fault_fails_only_its_row_in_bounded_time_and_memory() {
    let rows = PERSISTENT_FAULTS.len() * (VALID_ROWS_PER_FAULT + 1);
    let fault_of = |row: usize| {
        (row % (VALID_ROWS_PER_FAULT + 1) == 1)
            .then(|| PERSISTENT_FAULTS[row / (VALID_ROWS_PER_FAULT + 1)])
    };
    let server =
        Server::start(move |prompt, _| fault_of(row_number(prompt)).unwrap_or(Fault::Completion));
    let env = test_env(&server, rows);
    let run = "run jobs.csv -o out.csv --concurrency 4 --timeout 3s --max-attempts 1";
    let running = env.start(run);
    let peak = running.peak_memory();
    running.finish().exits(3);
    let peak = peak.join().unwrap();
    assert!(peak < MAX_MEMORY_KIB, "peak memory of {peak} KiB");
    let results = env.results("out.csv");
    let mut errors = String::new();
    for row in 1..=rows {
        let expected = if fault_of(row).is_some() {
            "failed"
        } else {
            "done"
        };
        let (status, response) = (results.cell(row, "status"), results.cell(row, "response"));
        if status != expected || (expected == "failed") != response.is_empty() {
            let error = results.cell(row, "error");
            writeln!(
                errors,
                "{:?}: {status}, {response:?}, {error}",
                fault_of(row)
            )
            .unwrap();
        }
    }
    assert!(errors.is_empty(), "{errors}");
}

#[test]
fn interim_responses_are_ignored() {
    let server = Server::start(|_, _| Fault::Interim);
    let env = test_env(&server, 5);
    env.run("run jobs.csv -o out.csv").exits(0);
    env.results("out.csv").assert_completed(5);
    assert_eq!(server.requests(), 5);
}
