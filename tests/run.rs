//! Tests of the built binary against a simulated provider, with real files and sockets.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

mod support;

#[path = "run/basics.rs"]
mod basics;
#[path = "run/batch_files.rs"]
mod batch_files;
#[path = "run/canary.rs"]
mod canary;
#[path = "run/closed_port.rs"]
mod closed_port;
#[path = "run/crashes.rs"]
mod crashes;
#[path = "run/cron.rs"]
mod cron;
#[path = "run/database.rs"]
mod database;
#[path = "run/database_url.rs"]
mod database_url;
#[path = "run/dedupe.rs"]
mod dedupe;
#[path = "run/embeddings.rs"]
mod embeddings;
#[path = "run/estimate.rs"]
mod estimate;
#[path = "run/exit_codes.rs"]
mod exit_codes;
#[path = "run/failures.rs"]
mod failures;
#[path = "run/faults.rs"]
mod faults;
#[path = "run/first_use_mistakes.rs"]
mod first_use_mistakes;
#[path = "run/formats.rs"]
mod formats;
#[path = "run/full_disk.rs"]
mod full_disk;
#[path = "run/keys.rs"]
mod keys;
#[path = "run/malicious_responses.rs"]
mod malicious_responses;
#[path = "run/mistakes.rs"]
mod mistakes;
#[path = "run/pty.rs"]
mod pty;
#[path = "run/refusals.rs"]
mod refusals;
#[path = "run/report.rs"]
mod report;
#[path = "run/request_settings.rs"]
mod request_settings;
#[path = "run/run_limits.rs"]
mod run_limits;
#[path = "run/sample.rs"]
mod sample;
#[path = "run/schema.rs"]
mod schema;
#[path = "run/secrets.rs"]
mod secrets;
#[path = "run/settings.rs"]
mod settings;
#[path = "run/signals.rs"]
mod signals;
#[path = "run/sync.rs"]
mod sync;
#[path = "run/system.rs"]
mod system;
#[path = "run/tampered_database.rs"]
mod tampered_database;
#[path = "run/terminal.rs"]
mod terminal;
#[path = "run/unusual_cells.rs"]
mod unusual_cells;
#[path = "run/verify.rs"]
mod verify;
#[path = "run/work.rs"]
mod work;
