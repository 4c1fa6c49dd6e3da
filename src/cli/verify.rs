//! Looks whether the queue is sound and holds together, and whether written results are what it
//! holds. Works beside a run and changes nothing.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::export::{Style, Target};
use crate::progress::quantity::{Count, Things};
use crate::progress::safe::Safe;
use crate::store::{BatchStatus, Soundness, Store, run_lock_holder};

use super::args::{Global, VerifyArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::settings::Output;
use super::{export, import, screen, settings, status};

/// `promptmill verify`.
pub(super) async fn command(
    global: &Global,
    args: VerifyArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let raw = args.csv_raw || file.csv_raw.unwrap_or(false);
    let output = args.output.map(|path| Output {
        target: Target::File(path),
        style: Style {
            raw,
            ..Style::default()
        },
        format: args.output_format.or(file.output_format),
        errors: args.error_file.or(file.error_file).map(Target::File),
        from_schema: args.columns_from_schema || file.columns_from_schema.unwrap_or(false),
    });
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let soundness = store.verify().await?;
    if !soundness.file.is_empty() {
        return Err(damaged(&database, "is damaged", &soundness.file));
    }
    if !soundness.content.is_empty() {
        return Err(damaged(
            &database,
            "does not hold together",
            &soundness.content,
        ));
    }
    let batches = match &args.batch {
        Some(name) => vec![import::find(&store, name, &database).await?.name],
        None => store
            .batches()
            .await?
            .into_iter()
            .map(|batch| batch.name)
            .collect(),
    };
    let mut counted = store.statuses().await?;
    counted.retain(|batch| batches.contains(&batch.name));
    let compared = match (&output, &args.batch) {
        (Some(output), Some(_)) => compare(&store, &batches[0], output).await?,
        _ => None,
    };
    let holder = run_lock_holder(&database)?;
    store.close().await?;
    let found = Found {
        soundness,
        counted,
        compared,
        holder,
    };
    if global.json {
        screen::print(&format!("{}\n", found.json()))?;
    } else if !global.quiet {
        screen::print(&found.text(&database))?;
    }
    Ok(Exit::Done)
}

/// What was found where nothing is wrong.
struct Found {
    soundness: Soundness,
    counted: Vec<BatchStatus>,
    /// The results that are what the database holds.
    compared: Option<PathBuf>,
    holder: Option<String>,
}

impl Found {
    fn json(&self) -> serde_json::Value {
        let counted = |batch: &BatchStatus| {
            let counts = batch.counts;
            json!({"batch": batch.name, "total": counts.total, "done": counts.done,
                   "failed": counts.failed, "pending": counts.pending, "running": counts.running})
        };
        let batches: Vec<_> = self.counted.iter().map(counted).collect();
        json!({
            "sound": true, "batches": batches, "in_flight": self.soundness.in_flight,
            "held_by": self.holder, "wal_bytes": self.soundness.log,
            "spool": self.soundness.has_spool, "output_equals": self.compared.is_some(),
        })
    }

    fn text(&self, database: &Path) -> String {
        let mut lines = vec![format!("{}: sound", Safe(&database.display().to_string()))];
        for batch in &self.counted {
            let (name, counts) = (Safe(&batch.name), batch.counts);
            let rows = Things(counts.total, "row");
            let counted = [counts.done, counts.failed, counts.pending + counts.running];
            let [done, failed, open] = counted.map(Count);
            lines.push(format!(
                "{name}: {rows} = {done} done + {failed} failed + {open} open; one answer for each \
                 that is done"
            ));
        }
        if let Some(path) = &self.compared {
            let path = path.display().to_string();
            lines.push(format!("{}: what the database holds", Safe(&path)));
        }
        lines.extend(self.notes());
        lines.join("\n") + "\n"
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let in_flight = self.soundness.in_flight;
        match &self.holder {
            Some(holder) => notes.push(format!("note: {} works on it", Safe(holder))),
            None if in_flight > 0 => notes.push(format!(
                "note: {} in flight when a run died: the next run asks again",
                Things(in_flight, "request")
            )),
            None => {}
        }
        if self.soundness.has_spool && self.holder.is_none() {
            notes.push("note: a spool of results waits for the next run to take it in".to_owned());
        }
        notes
    }
}

fn damaged(database: &Path, how: &str, faults: &[String]) -> CliError {
    let what = format!("{} {how}:\n{}", database.display(), faults.join("\n"));
    let hint = "keep the file as it is, and go back to a backup (docs/RELIABILITY.md); `promptmill \
                export` may still write what can be read";
    CliError::new(Exit::Storage, &what, hint)
}

/// Holds written results to the database, byte by byte.
async fn compare(store: &Store, batch: &str, output: &Output) -> Result<Option<PathBuf>, CliError> {
    let Target::File(path) = &output.target else {
        return Ok(None);
    };
    let unread = |error: &io::Error| {
        let what = format!("cannot read the results {}: {error}", path.display());
        CliError::new(Exit::NoInput, &what, "name the file that was written")
    };
    let file = File::open(path).map_err(|error| unread(&error))?;
    let comparison = Comparison {
        file: BufReader::new(file),
        line: 1,
        differs: None,
    };
    let batch = store.batch(batch).await?;
    let mut comparison = export::write_to(store, &batch, output, comparison).await?;
    let rest = comparison
        .file
        .read(&mut [0])
        .map_err(|error| unread(&error))?;
    if comparison.differs.is_none() && rest > 0 {
        comparison.differs = Some(comparison.line);
    }
    let Some(line) = comparison.differs else {
        return Ok(Some(path.clone()));
    };
    let what = format!(
        "{} is not what the database holds: they differ from line {line} on",
        path.display()
    );
    let hint = "write it anew with `promptmill export`; was it written with other flags, or before the \
                last run?";
    Err(CliError::new(Exit::BadInput, &what, hint))
}

/// A writer that compares what it is given with a file.
struct Comparison {
    file: BufReader<File>,
    /// The line that comes next, from 1.
    line: usize,
    /// The first line that differs.
    differs: Option<usize>,
}

impl Write for Comparison {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.differs.is_none() {
            let mut there = Vec::with_capacity(bytes.len());
            self.file
                .by_ref()
                .take(bytes.len() as u64)
                .read_to_end(&mut there)?;
            let same = bytes.iter().zip(&there).take_while(|(a, b)| a == b).count();
            self.line += bytes[..same].split(|byte| *byte == b'\n').count() - 1;
            self.differs = (same < bytes.len()).then_some(self.line);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
