//! `promptmill failures`: lists the failed rows of a batch, with a hint for each cause. Works
//! during a run.

use std::fmt::Write as _;
use std::io;
use std::num::NonZeroU64;

use clap::Args;

use crate::domain::run_stats::Cause;
use crate::progress::quantity::{Count, Plural};
use crate::progress::safe::{Safe, Truncated};
use crate::store::{FailedRow, RowFilter, Store, StoredBatch};

use super::exit::{CliError, Exit};
use super::rows::{CauseArgs, scope_name};
use super::settings::GlobalArgs;
use super::values::count;
use super::{console, database, next_command, rows, status};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill failures jobs.csv
  promptmill failures jobs.csv --cause moderation --limit 100
  promptmill failures jobs.csv --json | jq -r '.failures[].id'")]
pub(super) struct FailuresArgs {
    /// Name of the batch, or path of its input file
    pub(super) batch: String,
    #[command(flatten)]
    pub(super) causes: CauseArgs,
    /// Maximum number of rows [default: 20; all with --json]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU64>)]
    pub(super) limit: Option<NonZeroU64>,
}

/// Default number of rows in the text output.
const DEFAULT_LIMIT: u64 = 20;

/// Rows per read transaction, kept short so that the WAL can be checkpointed in between.
const PAGE: u32 = 1_000;

/// Maximum width of a column in characters.
const MAX_WIDTH: usize = 24;

/// Maximum number of characters of a message in a row's line and below a cause.
const MESSAGE_LENGTHS: (usize, usize) = (100, 160);

/// Runs `promptmill failures`.
pub(super) async fn command(global: &GlobalArgs, args: &FailuresArgs) -> Result<Exit, CliError> {
    let (store, batch) = database::open_batch(global, &args.batch).await?;
    let filter = rows::filter(&store, &batch, &args.causes).await?;
    let mut causes = store.failed_causes(batch.id, rows::MAX_CAUSES).await?;
    let is_chosen = |cause: &Cause| {
        (filter.rules.is_empty() || filter.rules.contains(&cause.rule))
            && (filter.scopes.is_empty() || filter.scopes.contains(&cause.scope))
    };
    causes.retain(is_chosen);
    let limit = match args.limit {
        Some(limit) => limit.get(),
        None if global.json => u64::MAX,
        None => DEFAULT_LIMIT,
    };
    let list = FailedRows {
        store: &store,
        batch: &batch,
        filter: &filter,
        limit,
    };
    if global.json {
        list.print_json(&causes).await?;
    } else {
        list.print(&causes).await?;
    }
    store.close().await?;
    Ok(Exit::Done)
}

/// The selected failed rows.
struct FailedRows<'a> {
    store: &'a Store,
    batch: &'a StoredBatch,
    filter: &'a RowFilter,
    limit: u64,
}

impl FailedRows<'_> {
    /// Passes the rows to `print` page by page, with the number of rows before, and returns the
    /// number of rows.
    async fn for_each_page(
        &self,
        mut print: impl FnMut(&[FailedRow], u64) -> io::Result<()>,
    ) -> Result<u64, CliError> {
        let (mut after, mut shown) = (0, 0);
        loop {
            let limit = (self.limit - shown).min(u64::from(PAGE));
            let limit = u32::try_from(limit).unwrap_or(PAGE);
            if limit == 0 {
                return Ok(shown);
            }
            let (batch, filter) = (self.batch.id, self.filter);
            let page = self.store.failed_rows(batch, filter, after, limit).await?;
            let Some(last) = page.last() else {
                return Ok(shown);
            };
            after = last.row;
            print(&page, shown)?;
            shown += page.len() as u64;
        }
    }

    async fn print(&self, causes: &[Cause]) -> Result<(), CliError> {
        let failed: u64 = causes.iter().map(|cause| cause.jobs).sum();
        let name = Safe(&self.batch.name);
        if failed == 0 {
            return Ok(console::print(&format!("{name}: no failed rows\n"))?);
        }
        let has_ids = self.batch.template.id_column.is_some();
        let shown = self
            .for_each_page(|page, before| console::print(&lines(page, has_ids, before == 0)))
            .await?;
        let mut text = String::new();
        if failed > shown {
            let more = Count(failed - shown);
            let _ = writeln!(text, "… and {more} more; show more with --limit");
        }
        let _ = write!(text, "\n{}", by_cause(self.batch, causes));
        Ok(console::print(&text)?)
    }

    /// Prints one JSON object page by page: there may be a million rows.
    async fn print_json(&self, causes: &[Cause]) -> Result<(), CliError> {
        let name = serde_json::json!(self.batch.name);
        console::print(&format!("{{\"batch\":{name},\"failures\":["))?;
        self.for_each_page(|page, before| {
            let rows = page.iter().map(|row| row_json(row).to_string());
            let rows = rows.collect::<Vec<_>>().join(",");
            let comma = if before == 0 { "" } else { "," };
            console::print(&format!("{comma}{rows}"))
        })
        .await?;
        let causes: Vec<_> = causes.iter().map(status::cause_json).collect();
        console::print(&format!("],\"causes\":{}}}\n", serde_json::json!(causes)))?;
        Ok(())
    }
}

fn row_json(row: &FailedRow) -> serde_json::Value {
    serde_json::json!({
        "row": row.row, "id": row.key, "scope": row.scope, "rule": row.rule,
        "message": row.message, "requests": row.requests,
    })
}

/// Formats a line per row: number, ID if the batch has IDs, rule, and message.
fn lines(page: &[FailedRow], has_ids: bool, with_head: bool) -> String {
    let width = |text: &dyn Fn(&FailedRow) -> String, least: usize| {
        let widths = page.iter().map(|row| text(row).chars().count());
        widths.max().unwrap_or(0).clamp(least, MAX_WIDTH)
    };
    let shown = |text: &str| Truncated(text, MAX_WIDTH - 1).to_string();
    let rules = width(&|row| shown(&row.rule), 5);
    let ids = width(&|row| shown(&row.key), 2);
    let mut text = String::new();
    let id = |id: &str| {
        if has_ids {
            format!("{id:ids$}  ")
        } else {
            String::new()
        }
    };
    if with_head {
        let (row, id, cause) = ("row", id("id"), "cause");
        let _ = writeln!(text, "{row:>8}  {id}{cause:rules$}  message");
    }
    for row in page {
        let number = format!("#{}", row.row);
        let message = Truncated(&row.message, MESSAGE_LENGTHS.0);
        let (id, rule) = (id(&shown(&row.key)), shown(&row.rule));
        let _ = writeln!(text, "{number:>8}  {id}{rule:rules$}  {message}");
    }
    text
}

/// Formats each cause with its hint and the command that retries its rows.
fn by_cause(batch: &StoredBatch, causes: &[Cause]) -> String {
    let mut text = String::new();
    for cause in causes {
        let (rows, rule) = (Plural(cause.jobs, "row"), Safe(&cause.rule));
        let _ = writeln!(text, "{rows}: {rule} ({})", scope_name(cause.scope));
        if !cause.message.is_empty() {
            let message = Truncated(&cause.message, MESSAGE_LENGTHS.1);
            let _ = writeln!(text, "  message: {message}");
        }
        if !cause.hint.is_empty() {
            let _ = writeln!(text, "  hint:    {}", Safe(&cause.hint));
        }
        let retry = next_command::build(&["retry", &batch.name, "--cause", &cause.rule]);
        let _ = writeln!(text, "  retry:   {}", Safe(&retry));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::Scope;

    fn row(number: u64, key: &str, message: &str) -> FailedRow {
        FailedRow {
            row: number,
            key: key.to_owned(),
            scope: Some(Scope::Request),
            rule: "content-filter".to_owned(),
            message: message.to_owned(),
            requests: 1,
        }
    }

    #[track_caller]
    fn check(rows: &[FailedRow], has_ids: bool, expected: &str) {
        assert_eq!(lines(rows, has_ids, true), expected);
    }

    #[test]
    fn each_row_is_one_line_regardless_of_its_message() {
        check(
            &[row(3, "c3", "no\nway\u{1b}[2J"), row(1_204, "", "")],
            true,
            "     row  id  cause           message\n\
             \x20     #3  c3  content-filter  no\\nway\\u{1b}[2J\n\
             \x20  #1204      content-filter  \n",
        );
    }

    #[test]
    fn a_generated_key_is_not_shown_as_an_id() {
        check(
            &[row(1, "d41d8cd98f00b204e9800998ecf8427e-1", "no")],
            false,
            "     row  cause           message\n\x20     #1  content-filter  no\n",
        );
    }
}
