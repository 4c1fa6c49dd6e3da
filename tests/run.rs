//! What a user sees: the built binary against the simulated provider, with real files and sockets.
//! This file is the table of contents.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its scene has failed"
)]

// Where nobody listens.
#[path = "run/deaf.rs"]
mod deaf;
mod support;

// Fifty rows, pipes, JSON, and every other command.
#[path = "run/bounds.rs"]
mod bounds;

#[path = "run/basics.rs"]
mod basics;
// Ctrl-C and SIGTERM, once and twice.
#[path = "run/signals.rs"]
mod signals;
// From cron: silence, and giving way.
#[path = "run/cron.rs"]
mod cron;
// Each exit code.
#[path = "run/exit_codes.rs"]
mod exit_codes;
// kill -9 at any moment.
#[path = "run/crashes.rs"]
mod crashes;
// What the system lets a process have and do.
#[path = "run/system.rs"]
mod system;
// Vectors instead of text.
#[path = "run/embeddings.rs"]
mod embeddings;
// Answers that are to fit a schema.
#[path = "run/schema.rs"]
mod schema;
// The key, repeated by every fault.
#[path = "run/canary.rs"]
mod canary;
// Databases that somebody has tampered with.
#[path = "run/hostile.rs"]
mod hostile;
// Disks that are full.
#[path = "run/full_disk.rs"]
mod full_disk;
// The database removed, replaced, busy, damaged.
#[path = "run/database.rs"]
mod database;
// Keys that are refused, some of them and all of them.
#[path = "run/keys.rs"]
mod keys;
// Refusals that are not the key's fault: the row's, the model's, a limit's.
#[path = "run/refusals.rs"]
mod refusals;
// What a file will take, told beforehand.
#[path = "run/estimate.rs"]
mod estimate;
// Where settings come from.
#[path = "run/settings.rs"]
mod settings;
// A few rows for a look.
#[path = "run/sample.rs"]
mod sample;
// Failures that are listed, looked at, asked again, cancelled.
#[path = "run/failures.rs"]
mod failures;
#[path = "run/pty.rs"]
mod pty;
// What is drawn on a terminal: the bar of a run, and the whole screen of --watch.
#[path = "run/terminal.rs"]
mod terminal;
// The page to look back at a batch.
#[path = "run/report.rs"]
mod report;
// Endpoints that break off, babble and stumble.
#[path = "run/faults.rs"]
mod faults;
// Wrong files, flags, addresses, databases.
#[path = "run/mistakes.rs"]
mod mistakes;
// What somebody types who has not read the manual.
#[path = "run/newcomers.rs"]
mod newcomers;
// A batch follows its file.
#[path = "run/mirror.rs"]
mod mirror;
// An object a line, and whole requests a line.
#[path = "run/forms.rs"]
mod forms;
// A thousand odd rows, in and out.
#[path = "run/odd_rows.rs"]
mod odd_rows;
// The same request, asked once.
#[path = "run/dedupe.rs"]
mod dedupe;
// Files of the Batch API, both ways.
#[path = "run/batch_files.rs"]
mod batch_files;
// A recipe that changes.
#[path = "run/request_settings.rs"]
mod request_settings;
// No byte of a key, a prompt or an answer where it does not belong.
#[path = "run/secrets.rs"]
mod secrets;
// Answers and errors that would do harm.
#[path = "run/harm.rs"]
mod harm;
// Is the queue sound, and copies to go back to.
#[path = "run/verify.rs"]
mod verify;
