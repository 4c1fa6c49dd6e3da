//! Writes the requests of a batch that have no answer as files for the Batch API, each no larger than
//! it takes.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::export::{Draft, ExportError, RequestFile, Target, put_request};
use crate::progress::quantity::Things;
use crate::progress::safe::Safe;
use crate::store::{Store, StoredBatch, run_lock_holder};

use super::error::CliError;
use super::exit::Exit;
use super::export::keep_target_apart;
use super::screen;
use super::values::shell_line;
use super::voice::Voice;

/// Requests in one read: each read is short.
const PAGE: u32 = 500;

/// Files that are being written. None is to be seen before all are whole.
struct Files {
    path: PathBuf,
    drafts: Vec<(PathBuf, BufWriter<Draft>)>,
    room: RequestFile,
}

impl Files {
    fn put(&mut self, line: &[u8], apart: &Path) -> Result<(), CliError> {
        if self.drafts.is_empty() || !self.room.takes(line) {
            let path = numbered(&self.path, self.drafts.len() + 1);
            let target = Target::File(path.clone());
            keep_target_apart(&target, apart, "the queue's database")?;
            self.drafts.push((path, BufWriter::new(target.create()?)));
            self.room = RequestFile::default();
            self.room.takes(line);
        }
        if let Some((_, draft)) = self.drafts.last_mut() {
            draft.write_all(line).map_err(ExportError::from)?;
        }
        Ok(())
    }

    /// Puts all files in place, in order; returns their paths.
    fn publish(self) -> Result<Vec<PathBuf>, CliError> {
        let mut paths = Vec::new();
        for (path, draft) in self.drafts {
            let draft = draft
                .into_inner()
                .map_err(|error| ExportError::from(error.into_error()))?;
            draft.publish()?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// Writes the requests without an answer, and says where they are.
pub(super) async fn write(
    voice: Voice<'_>,
    store: &Store,
    batch: &StoredBatch,
    path: &Path,
) -> Result<(), CliError> {
    if path == Path::new("-") {
        let what = "the remainder may need several files, and cannot go to standard output";
        return Err(CliError::new(Exit::Usage, what, "name a file"));
    }
    let mut files = Files {
        path: path.to_owned(),
        drafts: Vec::new(),
        room: RequestFile::default(),
    };
    let url = batch.template.api.batch_url();
    let (mut after, mut rows, mut line) = (None, 0, Vec::new());
    loop {
        let (open, last) = store.open_requests(batch.id, after, PAGE).await?;
        for request in &open {
            line.clear();
            put_request(&mut line, &request.key, url, &request.request);
            files.put(&line, store.path())?;
        }
        rows += open.len() as u64;
        if last.is_none() {
            break;
        }
        after = last;
    }
    let paths = files.publish()?;
    if voice.tells_news() {
        let holder = run_lock_holder(store.path())?;
        screen::say(&told(batch, rows, &paths, holder.is_some()));
    }
    Ok(())
}

/// Names the file of this number after the first one: `rest.jsonl`, `rest-2.jsonl`.
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

fn told(batch: &StoredBatch, rows: u64, paths: &[PathBuf], is_asked: bool) -> String {
    let name = Safe(&batch.name);
    if rows == 0 {
        return format!("{name}: every row is answered; nothing was written\n");
    }
    let paths: Vec<_> = paths
        .iter()
        .map(|path| Safe(&path.display().to_string()).to_string())
        .collect();
    let mut text = format!(
        "{name}: {} without an answer in {}\n",
        Things(rows, "row"),
        paths.join(", ")
    );
    if is_asked {
        text += "  a run is asking them meanwhile: end it first, or some are paid for twice\n";
    }
    let words = ["promptmill", "import-results", &batch.name].map(str::to_owned);
    let back = shell_line(&words);
    text + &format!(
        "what comes back is taken in with: {} FILE...\n",
        Safe(&back)
    )
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
