//! `promptmill verify`: checks the database, and compares a results file with it. Works during a
//! run and changes nothing.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::export::Target;
use crate::progress::quantity::{Count, Plural};
use crate::progress::safe::Safe;
use crate::store::{BatchStatus, IntegrityReport, Location, Store, StoredBatch};

use super::exit::{CliError, Exit};
use super::settings::{self, GlobalArgs, OutputSettings, ResultsArgs};
use super::{console, database, export};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill verify
  promptmill verify jobs.csv --output results.csv")]
pub(super) struct VerifyArgs {
    /// Name of the batch, or path of its input file [default: all batches]
    batch: Option<String>,
    /// Results file to compare with the database
    ///
    /// Pass the output options with which it was written. An error file is not compared.
    #[arg(short, long, value_name = "FILE", requires = "batch")]
    output: Option<PathBuf>,
    #[command(flatten)]
    results: ResultsArgs,
}

/// Runs `promptmill verify`.
pub(super) async fn command(global: &GlobalArgs, args: VerifyArgs) -> Result<Exit, CliError> {
    let location = settings::database(global);
    let output = args
        .output
        .map(|path| args.results.with_target(Target::File(path)));
    let store = database::open(&location).await?;
    let integrity = check_integrity(&store, &location).await?;
    let mut counted = store.statuses().await?;
    let mut matching = None;
    if let Some(name) = &args.batch {
        let batch = database::find_batch(&store, name, &location).await?;
        counted.retain(|status| status.name == batch.name);
        if let Some(output) = &output {
            matching = compare(&store, &batch, output).await?;
        }
    }
    let holder = store.run_lock_holder()?;
    store.close().await?;
    let verification = Verification {
        integrity,
        counted,
        matching,
        holder,
    };
    if global.json {
        console::print_json(&verification.json())?;
    } else if !global.quiet {
        console::print(&verification.text(&location))?;
    }
    Ok(Exit::Done)
}

/// Checks the database.
async fn check_integrity(store: &Store, location: &Location) -> Result<IntegrityReport, CliError> {
    let integrity = store.verify().await?;
    for (errors, how) in [
        (&integrity.file_errors, "is damaged"),
        (&integrity.inconsistencies, "is inconsistent"),
    ] {
        if !errors.is_empty() {
            return Err(damaged(location, how, errors));
        }
    }
    Ok(integrity)
}

/// Result of a verification without errors.
struct Verification {
    integrity: IntegrityReport,
    counted: Vec<BatchStatus>,
    /// The results file that matches the database.
    matching: Option<PathBuf>,
    holder: Option<String>,
}

impl Verification {
    fn json(&self) -> serde_json::Value {
        let counted = |batch: &BatchStatus| {
            let counts = batch.counts;
            json!({"batch": batch.name, "total": counts.total, "done": counts.done,
                   "failed": counts.failed, "pending": counts.pending, "running": counts.running})
        };
        let batches: Vec<_> = self.counted.iter().map(counted).collect();
        json!({
            "sound": true, "batches": batches, "in_flight": self.integrity.in_flight,
            "held_by": self.holder, "wal_bytes": self.integrity.wal_bytes,
            "spool": self.integrity.has_spool, "output_equals": self.matching.is_some(),
        })
    }

    fn text(&self, database: &Location) -> String {
        let mut lines = vec![format!("{}: no errors found", Safe(&database.to_string()))];
        for batch in &self.counted {
            let (name, counts) = (Safe(&batch.name), batch.counts);
            let rows = Plural(counts.total, "row");
            let counted = [counts.done, counts.failed, counts.pending + counts.running];
            let [done, failed, remaining] = counted.map(Count);
            lines.push(format!(
                "{name}: {rows}: {done} done, {failed} failed, {remaining} remaining; each done row \
                 has one response"
            ));
        }
        if let Some(path) = &self.matching {
            let path = path.display().to_string();
            lines.push(format!("{}: matches the database", Safe(&path)));
        }
        lines.extend(self.notes());
        lines.join("\n") + "\n"
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let in_flight = self.integrity.in_flight;
        match &self.holder {
            Some(holder) => notes.push(format!(
                "note: a run is using the database ({})",
                Safe(holder)
            )),
            None if in_flight > 0 => notes.push(format!(
                "note: a run crashed with {} in flight; the next run recovers from it",
                Plural(in_flight, "request")
            )),
            None => {}
        }
        if self.integrity.has_spool && self.holder.is_none() {
            notes.push("note: the next run imports results from the spool file".to_owned());
        }
        notes
    }
}

fn damaged(database: &Location, how: &str, errors: &[String]) -> CliError {
    let what = format!("{database} {how}:\n{}", errors.join("\n"));
    let hint = "keep the file and restore a backup (see docs/RELIABILITY.md); to save the readable \
                rows, try `promptmill export`";
    CliError::new(Exit::Storage, &what, hint)
}

/// Compares a results file with the database, byte by byte.
async fn compare(
    store: &Store,
    batch: &StoredBatch,
    output: &OutputSettings,
) -> Result<Option<PathBuf>, CliError> {
    let Target::File(path) = &output.target else {
        return Ok(None);
    };
    let read_error = |error: &io::Error| {
        let what = format!("cannot read the results file {}: {error}", path.display());
        let hint = "pass the file that `run` or `export` wrote";
        CliError::new(Exit::NoInput, &what, hint)
    };
    let file = File::open(path).map_err(|error| read_error(&error))?;
    let writer = ComparingWriter {
        file: BufReader::new(file),
        line: 1,
        differs: None,
    };
    let mut writer = export::write_to(store, batch, output, writer).await?;
    let rest = writer.file.read(&mut [0]);
    let rest = rest.map_err(|error| read_error(&error))?;
    if writer.differs.is_none() && rest > 0 {
        writer.differs = Some(writer.line);
    }
    let Some(line) = writer.differs else {
        return Ok(Some(path.clone()));
    };
    let what = format!(
        "{} does not match the database: the first difference is in line {line}",
        path.display()
    );
    let hint = "write it again with `promptmill export`, or pass the flags it was written with";
    Err(CliError::new(Exit::BadInput, &what, hint))
}

/// A writer that compares its input with a file.
struct ComparingWriter {
    file: BufReader<File>,
    /// The current line, starting at 1.
    line: usize,
    /// The first line that differs.
    differs: Option<usize>,
}

impl Write for ComparingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.differs.is_none() {
            let mut expected = Vec::with_capacity(bytes.len());
            self.file
                .by_ref()
                .take(bytes.len() as u64)
                .read_to_end(&mut expected)?;
            let pairs = bytes.iter().zip(&expected);
            let same = pairs.take_while(|(a, b)| a == b).count();
            self.line += bytes[..same].split(|byte| *byte == b'\n').count() - 1;
            self.differs = (same < bytes.len()).then_some(self.line);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
