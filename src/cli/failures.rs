//! Lists the rows of a batch that have failed, and what to do about each cause. Works beside a run.

use std::fmt::Write as _;

use crate::domain::run_stats::Cause;
use crate::progress::quantity::{Count, Things};
use crate::progress::safe::{Excerpt, Safe};
use crate::store::{Choice, FailedRow, Store, StoredBatch};

use super::args::{FailuresArgs, Global, scope_name};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::next;
use super::{import, rows, screen, settings, status};

/// Rows that are listed for people when nobody says how many.
const LISTED: u64 = 20;

/// Rows in one read: each read is short, so that the database can be tidied meanwhile.
const PAGE: u32 = 1_000;

/// The widest that the columns of the list become, in characters.
const WIDEST: usize = 24;

/// Characters of a provider's message that are shown on a line, and below a cause.
const MESSAGE_LENGTHS: (usize, usize) = (100, 160);

/// `promptmill failures`.
pub(super) async fn command(
    global: &Global,
    args: &FailuresArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let batch = import::find(&store, &args.batch, &database).await?;
    let choice = rows::choice(&store, &batch, &args.causes).await?;
    let mut causes = rows::failed_causes(&store, &batch).await?;
    let is_chosen = |cause: &Cause| {
        (choice.rules.is_empty() || choice.rules.contains(&cause.rule))
            && (choice.scopes.is_empty() || choice.scopes.contains(&cause.scope))
    };
    causes.retain(is_chosen);
    let most = match args.limit {
        Some(limit) => limit.get(),
        None if global.json => u64::MAX,
        None => LISTED,
    };
    let list = List {
        store: &store,
        batch: &batch,
        choice: &choice,
        most,
    };
    if global.json {
        list.print_json(&causes).await?;
    } else {
        list.print(&causes).await?;
    }
    store.close().await?;
    Ok(Exit::Done)
}

/// The failed rows that were asked for, read page by page.
struct List<'a> {
    store: &'a Store,
    batch: &'a StoredBatch,
    choice: &'a Choice,
    most: u64,
}

impl List<'_> {
    async fn page(&self, after: u64, shown: u64) -> Result<Vec<FailedRow>, CliError> {
        let limit = (self.most - shown).min(u64::from(PAGE));
        let limit = u32::try_from(limit).unwrap_or(PAGE);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let page = self
            .store
            .failed_rows(self.batch.id, self.choice, after, limit);
        Ok(page.await?)
    }

    async fn print(&self, causes: &[Cause]) -> Result<(), CliError> {
        let failed: u64 = causes.iter().map(|cause| cause.jobs).sum();
        let name = Safe(&self.batch.name);
        if failed == 0 {
            return Ok(screen::print(&format!("{name}: no row has failed\n"))?);
        }
        let (mut after, mut shown) = (0, 0);
        loop {
            let page = self.page(after, shown).await?;
            let Some(last) = page.last() else { break };
            after = last.row;
            let has_ids = self.batch.template.id_column.is_some();
            screen::print(&lines(&page, has_ids, shown == 0))?;
            shown += page.len() as u64;
        }
        let mut text = String::new();
        if failed > shown {
            let _ = writeln!(
                text,
                "… and {} more; --limit shows more",
                Count(failed - shown)
            );
        }
        let _ = write!(text, "\n{}", by_cause(self.batch, causes));
        Ok(screen::print(&text)?)
    }

    /// Prints one object, row by row: there may be a million of them.
    async fn print_json(&self, causes: &[Cause]) -> Result<(), CliError> {
        let name = serde_json::json!(self.batch.name);
        screen::print(&format!("{{\"batch\":{name},\"failures\":["))?;
        let (mut after, mut shown) = (0, 0);
        loop {
            let page = self.page(after, shown).await?;
            let Some(last) = page.last() else { break };
            after = last.row;
            let mut text = String::new();
            for (at, row) in page.iter().enumerate() {
                let comma = if shown == 0 && at == 0 { "" } else { "," };
                let _ = write!(text, "{comma}{}", row_json(row));
            }
            screen::print(&text)?;
            shown += page.len() as u64;
        }
        let causes: Vec<_> = causes.iter().map(status::cause_json).collect();
        screen::print(&format!("],\"causes\":{}}}\n", serde_json::json!(causes)))?;
        Ok(())
    }
}

fn row_json(row: &FailedRow) -> serde_json::Value {
    serde_json::json!({
        "row": row.row, "id": row.key, "scope": row.scope, "rule": row.rule,
        "message": row.message, "requests": row.requests,
    })
}

/// A line for each row: its number, its id where it has one, the rule, and what was said.
fn lines(page: &[FailedRow], has_ids: bool, with_head: bool) -> String {
    let width = |texts: &mut dyn Iterator<Item = usize>, least: usize| {
        texts.max().unwrap_or(0).clamp(least, WIDEST)
    };
    let shown = |text: &str| Excerpt(text, WIDEST - 1).to_string();
    let rules = width(
        &mut page.iter().map(|row| shown(&row.rule).chars().count()),
        5,
    );
    let ids = width(
        &mut page.iter().map(|row| shown(&row.key).chars().count()),
        2,
    );
    let mut text = String::new();
    let id = |id: &str| {
        if has_ids {
            format!("{id:ids$}  ")
        } else {
            String::new()
        }
    };
    if with_head {
        let _ = writeln!(
            text,
            "{:>8}  {}{:rules$}  message",
            "row",
            id("id"),
            "cause"
        );
    }
    for row in page {
        let number = format!("#{}", row.row);
        let message = Excerpt(&row.message, MESSAGE_LENGTHS.0);
        let (id, rule) = (id(&shown(&row.key)), shown(&row.rule));
        let _ = writeln!(text, "{number:>8}  {id}{rule:rules$}  {message}");
    }
    text
}

/// Each cause with what to do: the cure, and the command that asks its rows again.
fn by_cause(batch: &StoredBatch, causes: &[Cause]) -> String {
    let mut text = String::new();
    for cause in causes {
        let (rows, rule) = (Things(cause.jobs, "row"), Safe(&cause.rule));
        let _ = writeln!(text, "{rows}: {rule} ({})", scope_name(cause.scope));
        if !cause.message.is_empty() {
            let _ = writeln!(
                text,
                "  said:  {}",
                Excerpt(&cause.message, MESSAGE_LENGTHS.1)
            );
        }
        if !cause.hint.is_empty() {
            let _ = writeln!(text, "  cure:  {}", Safe(&cause.hint));
        }
        let again = next::command(&["retry", &batch.name, "--cause", &cause.rule]);
        let _ = writeln!(text, "  again: {}", Safe(&again));
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
    fn a_row_is_a_line_whatever_was_said() {
        check(
            &[row(3, "c3", "no\nway\u{1b}[2J"), row(1_204, "", "")],
            true,
            "     row  id  cause           message\n\
             \x20     #3  c3  content-filter  no\\nway\\u{1b}[2J\n\
             \x20  #1204      content-filter  \n",
        );
    }

    #[test]
    fn a_hash_that_nobody_gave_is_not_shown() {
        check(
            &[row(1, "d41d8cd98f00b204e9800998ecf8427e-1", "no")],
            false,
            "     row  cause           message\n\x20     #1  content-filter  no\n",
        );
    }
}
