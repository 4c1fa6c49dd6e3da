//! Synchronizing a batch with its input file: new rows are added, changed ones are reopened, and
//! missing ones are withdrawn (kept, but neither sent nor exported).
//!
//! A sync is a single transaction. If the process dies or the input is invalid, it has no effect.

mod statements;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::mpsc;

use crate::domain::job::{Chunk, NewRow};
use crate::failpoint;
use crate::store::batch::{SyncParams, SyncReport};
use crate::store::error::{Result, StoreError};

use super::columns::unsigned;
use super::database::{Database, begin};

/// Number of jobs per step when rows are withdrawn.
const WITHDRAW_PAGE: i64 = 10_000;

/// Number of added rows above which the index on the row keys is created after the rows.
const DEFERRED_INDEX_ROWS: u64 = 20_000;

/// The transaction of a sync.
struct SyncTransaction<'c> {
    connection: &'c mut SqliteConnection,
    batch: i64,
    /// The first job that this sync adds, if any.
    first_new: i64,
    next_job: i64,
    position: i64,
    columns: Vec<String>,
    /// Whether the batch already has rows, so that each row must be looked up.
    has_rows: bool,
    /// Whether the database has no rows yet.
    is_empty_database: bool,
    /// Whether the index on the row keys was dropped, to be created again at the end.
    index_deferred: bool,
    /// Number of rows of the previous input that have not occurred in this one so far.
    missing: u64,
    seen: JobBitmap,
    report: SyncReport,
}

/// A set of job IDs, with one bit per job of the database.
#[derive(Default)]
struct JobBitmap(Vec<u64>);

impl JobBitmap {
    /// Adds a job; returns whether the set did not contain it.
    fn insert(&mut self, job: i64) -> bool {
        let (word, bit) = Self::word_and_bit(job);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    fn contains(&self, job: i64) -> bool {
        let (word, bit) = Self::word_and_bit(job);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn word_and_bit(job: i64) -> (usize, u64) {
        let job = usize::try_from(job).unwrap_or(0);
        (job / 64, 1 << (job % 64))
    }
}

pub(crate) async fn sync_batch<E>(
    database: &Database,
    params: &SyncParams<'_>,
    mut chunks: mpsc::Receiver<Result<Chunk, E>>,
) -> Result<Result<SyncReport, E>> {
    let mut writer = database.writer.lock().await;
    let mut transaction = begin(&mut writer).await?;
    let mut sync = SyncTransaction::begin(&mut transaction, params).await?;
    loop {
        match chunks.recv().await {
            Some(Ok(chunk)) if chunk.rows.is_empty() => break,
            Some(Ok(chunk)) => {
                sync.columns.extend(chunk.columns);
                sync.sync_rows(&chunk.rows).await?;
            }
            Some(Err(bad_input)) => return Ok(Err(bad_input)),
            None => return Err(StoreError::incomplete_input()),
        }
    }
    let report = sync.finish(params.columns).await?;
    failpoint::hit("import-commit")?;
    transaction.commit().await?;
    Ok(Ok(report))
}

impl<'c> SyncTransaction<'c> {
    async fn begin(connection: &'c mut SqliteConnection, params: &SyncParams<'_>) -> Result<Self> {
        let batch = upsert_batch(connection, params).await?;
        let (last_job, any_rows, has_rows, present): (i64, bool, bool, i64) = sqlx::query_as(
            "SELECT (SELECT coalesce(max(id), 0) FROM jobs),
                    (SELECT coalesce(max(job_id), 0) FROM rows) > 0,
                    EXISTS (SELECT 1 FROM rows WHERE batch_id = ?1),
                    (SELECT count(*) FROM jobs WHERE batch_id = ?1 AND position IS NOT NULL)",
        )
        .bind(batch)
        .fetch_one(&mut *connection)
        .await?;
        Ok(Self {
            connection,
            batch,
            first_new: last_job + 1,
            next_job: last_job + 1,
            position: 0,
            columns: params.columns.to_vec(),
            has_rows,
            is_empty_database: !any_rows,
            index_deferred: false,
            missing: unsigned(present),
            seen: JobBitmap::default(),
            report: SyncReport::default(),
        })
    }

    async fn sync_rows(&mut self, rows: &[NewRow]) -> Result<()> {
        let existing = if self.has_rows {
            statements::look_up(self.connection, self.batch, rows).await?
        } else {
            Vec::new()
        };
        let mut existing = existing.into_iter().peekable();
        let (mut new, mut moved, mut updated, mut reopened) = (vec![], vec![], vec![], vec![]);
        for (index, row) in rows.iter().enumerate() {
            failpoint::hit("import-row")?;
            let position = self.position;
            self.position += 1;
            let Some((_, existing)) = existing.next_if(|(at, _)| *at == index) else {
                new.push((self.next_job, position, row));
                self.next_job += 1;
                continue;
            };
            if self.seen.insert(existing.job) && existing.position.is_some() {
                self.missing -= 1;
            }
            if existing.position != Some(position) {
                moved.push((existing.job, position));
            }
            if !existing.same_request {
                reopened.push(existing.job);
            }
            if !existing.same_request || !existing.same_cells {
                updated.push((existing.job, row));
            }
        }
        self.report.total += rows.len() as u64;
        self.report.added += new.len() as u64;
        self.report.changed += reopened.len() as u64;
        if !new.is_empty() {
            self.defer_index().await?;
            statements::insert(self.connection, self.batch, &new).await?;
        }
        statements::execute_with(
            self.connection,
            "UPDATE jobs SET position = v.value ->> 1 FROM jsonb_each(?1) AS v
                  WHERE jobs.id = v.value ->> 0",
            &moved,
        )
        .await?;
        statements::update_rows(self.connection, &updated).await?;
        statements::reopen(self.connection, &reopened).await
    }

    /// Drops the index on the row keys until the end if this is a large first import into the
    /// database. Filling the index in random order would take longer than everything else.
    async fn defer_index(&mut self) -> Result<()> {
        if self.is_empty_database && !self.index_deferred && self.report.added > DEFERRED_INDEX_ROWS
        {
            sqlx::query("DROP INDEX rows_key")
                .execute(&mut *self.connection)
                .await?;
            self.index_deferred = true;
        }
        Ok(())
    }

    /// Finishes the sync. `initial` are the columns that were known before the rows were read.
    async fn finish(mut self, initial: &[String]) -> Result<SyncReport> {
        if self.index_deferred {
            // Sorting the keys of a million rows in memory would take 100 MB.
            for statement in [
                "PRAGMA temp_store = FILE",
                "CREATE UNIQUE INDEX rows_key ON rows (batch_id, key)",
                "PRAGMA temp_store = MEMORY",
            ] {
                sqlx::query(statement)
                    .execute(&mut *self.connection)
                    .await?;
            }
        }
        if self.columns.len() > initial.len() {
            sqlx::query("UPDATE batches SET columns = ?2 WHERE id = ?1")
                .bind(self.batch)
                .bind(serde_json::to_string(&self.columns)?)
                .execute(&mut *self.connection)
                .await?;
        }
        if self.missing > 0 {
            self.withdraw().await?;
        }
        Ok(self.report)
    }

    /// Withdraws the rows that the input does not contain.
    async fn withdraw(&mut self) -> Result<()> {
        let mut after = 0;
        loop {
            let present: Vec<i64> = sqlx::query_scalar(
                "SELECT id FROM jobs NOT INDEXED
                 WHERE id > ?1 AND id < ?2 AND batch_id = ?3 AND position IS NOT NULL
                 ORDER BY id LIMIT ?4",
            )
            .bind(after)
            .bind(self.first_new)
            .bind(self.batch)
            .bind(WITHDRAW_PAGE)
            .fetch_all(&mut *self.connection)
            .await?;
            let Some(last) = present.last() else {
                return Ok(());
            };
            after = *last;
            let missing: Vec<_> = present
                .into_iter()
                .filter(|job| !self.seen.contains(*job))
                .collect();
            statements::execute_with(
                self.connection,
                "UPDATE jobs SET position = NULL WHERE id IN (SELECT value FROM json_each(?1))",
                &missing,
            )
            .await?;
            self.report.withdrawn += missing.len() as u64;
        }
    }
}

async fn upsert_batch(connection: &mut SqliteConnection, params: &SyncParams<'_>) -> Result<i64> {
    Ok(sqlx::query_scalar(
        "INSERT INTO batches (name, recipe, columns, source, stamp, created_at, synced_at,
                              simulated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)
         ON CONFLICT (name) DO UPDATE SET recipe = ?2, columns = ?3, source = ?4, stamp = ?5,
                                          synced_at = ?6, simulated = ?7
         RETURNING id",
    )
    .bind(params.name)
    .bind(serde_json::to_string(params.template)?)
    .bind(serde_json::to_string(params.columns)?)
    .bind(params.source)
    .bind(params.stamp)
    .bind(params.now.as_millis())
    .bind(params.simulated)
    .fetch_one(connection)
    .await?)
}
