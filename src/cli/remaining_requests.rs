//! `export --remainder`: writes the requests of rows without a response as input files of the Batch
//! API, within its size limits.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::export::{BatchFileSize, ExportError, OutputWriter, Target, write_request};
use crate::progress::quantity::Plural;
use crate::progress::safe::Safe;
use crate::store::{Location, Store, StoredBatch};

use super::exit::{CliError, Exit};
use super::values::shell_line;
use super::verbosity::Verbosity;
use super::{console, database};

/// Requests per read transaction, kept short.
const PAGE: u32 = 500;

/// Output files, which are published only when all of them are complete.
struct RequestFiles {
    path: PathBuf,
    writers: Vec<(PathBuf, BufWriter<OutputWriter>)>,
    size: BatchFileSize,
}

impl RequestFiles {
    fn write(&mut self, line: &[u8], location: &Location) -> Result<(), CliError> {
        if self.writers.is_empty() || !self.size.try_add(line) {
            let path = numbered(&self.path, self.writers.len() + 1);
            let target = Target::File(path.clone());
            database::protect([&target], location)?;
            self.writers.push((path, BufWriter::new(target.create()?)));
            self.size = BatchFileSize::default();
            self.size.try_add(line);
        }
        if let Some((_, writer)) = self.writers.last_mut() {
            writer.write_all(line).map_err(ExportError::from)?;
        }
        Ok(())
    }

    /// Publishes all files in order, and returns their paths.
    fn publish(self) -> Result<Vec<PathBuf>, CliError> {
        let mut paths = Vec::new();
        for (path, writer) in self.writers {
            let writer = writer
                .into_inner()
                .map_err(|error| ExportError::from(error.into_error()))?;
            writer.publish()?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// Writes the requests of rows without a response, and prints the names of the files.
pub(super) async fn write(
    verbosity: Verbosity<'_>,
    store: &Store,
    location: &Location,
    batch: &StoredBatch,
    path: &Path,
) -> Result<(), CliError> {
    if path == Path::new("-") {
        let what = "--remainder cannot write to standard output: it may need several files";
        return Err(CliError::new(Exit::Usage, what, "choose a file"));
    }
    let mut files = RequestFiles {
        path: path.to_owned(),
        writers: Vec::new(),
        size: BatchFileSize::default(),
    };
    let url = batch.template.api.format().batch_url;
    let (mut rows, mut line) = (0, Vec::new());
    let page = async |after| store.incomplete_requests(batch.id, after, PAGE).await;
    database::for_each(page, |request| {
        line.clear();
        write_request(&mut line, &request.key, url, &request.request);
        rows += 1;
        files.write(&line, location)
    })
    .await?;
    let paths = files.publish()?;
    if verbosity.prints_notices() {
        let holder = store.run_lock_holder()?;
        console::eprint(&summary(batch, rows, &paths, holder.is_some()));
    }
    Ok(())
}

/// Returns the path of the file with this number: `rest.jsonl`, `rest-2.jsonl`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

fn summary(batch: &StoredBatch, rows: u64, paths: &[PathBuf], is_running: bool) -> String {
    let name = Safe(&batch.name);
    if rows == 0 {
        return format!("{name}: all rows completed; no file was written\n");
    }
    let paths: Vec<_> = paths
        .iter()
        .map(|path| Safe(&path.display().to_string()).to_string())
        .collect();
    let (rows, paths) = (Plural(rows, "row"), paths.join(", "));
    let mut text = format!("{name}: {rows} not completed, written to {paths}\n");
    if is_running {
        text += "  warning: a run is processing this batch; stop it first, or you will pay for some requests twice\n";
    }
    let words = ["promptmill", "import-results", &batch.name].map(str::to_owned);
    let command = shell_line(&words);
    text + &format!("import the results with: {} FILE...\n", Safe(&command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numbered_before_their_extension() {
        let numbered = |path: &str, number| numbered(Path::new(path), number);
        assert_eq!(numbered("a/rest.jsonl", 1), Path::new("a/rest.jsonl"));
        assert_eq!(numbered("a/rest.jsonl", 2), Path::new("a/rest-2.jsonl"));
        assert_eq!(numbered("rest", 13), Path::new("rest-13"));
    }
}
