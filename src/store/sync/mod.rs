//! Mirroring an input file: rows that are new are added, changed ones are asked again, those that
//! have gone are withdrawn (kept, but neither sent nor exported).
//!
//! A sync is one transaction: if the process dies in it, or the input turns out bad, nothing of it
//! has happened.

mod statements;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::mpsc;

use crate::domain::job::{Chunk, NewRow};
use crate::domain::request_template::RequestTemplate;
use crate::domain::time::Timestamp;
use crate::failpoint;

use super::batches::unsigned;
use super::error::StoreError;
use super::open::{Store, begin};

/// Jobs looked at in one step when rows are withdrawn.
const WITHDRAW_ROWS: i64 = 10_000;

/// An input of more rows than this fills the index over the keys at its end.
const LARGE: u64 = 20_000;

/// What is to be mirrored.
#[derive(Clone, Copy, Debug)]
pub struct Sync<'a> {
    /// The batch's name; it is made when there is none.
    pub name: &'a str,
    /// How its rows become requests.
    pub template: &'a RequestTemplate,
    /// The columns of the input that are known before its rows are read.
    pub columns: &'a [String],
    /// The input's path as it was given.
    pub source: &'a str,
    /// Whether the simulated provider answers it.
    pub simulated: bool,
    /// Size and times of the input, taken before it was read.
    pub stamp: Option<&'a str>,
    /// The present.
    pub now: Timestamp,
}

/// What a sync has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Rows of the input.
    pub total: u64,
    /// Rows that were not there before.
    pub added: u64,
    /// Rows whose request has changed: they are asked again.
    pub changed: u64,
    /// Rows that have gone from the input.
    pub withdrawn: u64,
}

/// A row that the batch has already.
struct Known {
    job: i64,
    /// Its place before; `None` when it was withdrawn.
    position: Option<i64>,
    same_request: bool,
    same_cells: bool,
}

/// The transaction of one sync.
struct Syncing<'c> {
    connection: &'c mut SqliteConnection,
    batch: i64,
    /// The first job that this sync has added, if it adds any.
    first_new: i64,
    next_job: i64,
    position: i64,
    columns: Vec<String>,
    /// Whether the batch has rows from before, so that each row must be looked up.
    has_rows: bool,
    /// Whether the database has no rows at all yet.
    is_first: bool,
    /// Whether the index over the keys is left for the end.
    index_left: bool,
    /// Rows that the last input had and this one has not shown yet.
    missing: u64,
    seen: JobSet,
    report: SyncReport,
}

/// A set of jobs, one bit for each job of the database.
#[derive(Default)]
struct JobSet(Vec<u64>);

impl JobSet {
    /// Adds a job; returns whether it is new to the set.
    fn insert(&mut self, job: i64) -> bool {
        let (word, bit) = Self::place(job);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    fn contains(&self, job: i64) -> bool {
        let (word, bit) = Self::place(job);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn place(job: i64) -> (usize, u64) {
        let job = usize::try_from(job).unwrap_or(0);
        (job / 64, 1 << (job % 64))
    }
}

impl Store {
    /// Makes a batch mirror an input. The rows come in chunks; an empty chunk is the end.
    ///
    /// When the input turns out bad, its error is handed back and the batch is as it was.
    pub async fn sync_batch<E>(
        &self,
        sync: &Sync<'_>,
        mut chunks: mpsc::Receiver<Result<Chunk, E>>,
    ) -> Result<Result<SyncReport, E>, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut transaction = begin(&mut writer).await?;
        let mut syncing = Syncing::begin(&mut transaction, sync).await?;
        loop {
            match chunks.recv().await {
                Some(Ok(chunk)) if chunk.rows.is_empty() => break,
                Some(Ok(chunk)) => {
                    syncing.columns.extend(chunk.columns);
                    syncing.take(&chunk.rows).await?;
                }
                Some(Err(bad_input)) => return Ok(Err(bad_input)),
                None => return Err(StoreError::Other(sqlx::Error::WorkerCrashed)),
            }
        }
        let report = syncing.finish(sync.columns).await?;
        failpoint::hit("import-commit")?;
        transaction.commit().await?;
        Ok(Ok(report))
    }
}

impl<'c> Syncing<'c> {
    async fn begin(
        connection: &'c mut SqliteConnection,
        sync: &Sync<'_>,
    ) -> Result<Self, StoreError> {
        let batch = upsert_batch(connection, sync).await?;
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
            columns: sync.columns.to_vec(),
            has_rows,
            is_first: !any_rows,
            index_left: false,
            missing: unsigned(present),
            seen: JobSet::default(),
            report: SyncReport::default(),
        })
    }

    async fn take(&mut self, rows: &[NewRow]) -> Result<(), StoreError> {
        let known = if self.has_rows {
            self.look_up(rows).await?
        } else {
            Vec::new()
        };
        let mut known = known.into_iter().peekable();
        let (mut new, mut moved, mut rewritten, mut reopened) = (vec![], vec![], vec![], vec![]);
        for (index, row) in rows.iter().enumerate() {
            failpoint::hit("import-row")?;
            let position = self.position;
            self.position += 1;
            let Some((_, known)) = known.next_if(|(at, _)| *at == index) else {
                new.push((self.next_job, position, row));
                self.next_job += 1;
                continue;
            };
            if self.seen.insert(known.job) && known.position.is_some() {
                self.missing -= 1;
            }
            if known.position != Some(position) {
                moved.push((known.job, position));
            }
            if !known.same_request {
                reopened.push(known.job);
            }
            if !known.same_request || !known.same_cells {
                rewritten.push((known.job, row));
            }
        }
        self.report.total += rows.len() as u64;
        self.report.added += new.len() as u64;
        self.report.changed += reopened.len() as u64;
        self.insert(&new).await?;
        self.run(
            "UPDATE jobs SET position = v.value ->> 1 FROM jsonb_each(?1) AS v
                  WHERE jobs.id = v.value ->> 0",
            &moved,
        )
        .await?;
        self.rewrite(&rewritten).await?;
        self.reopen(&reopened).await
    }

    /// Ends the mirroring of an input whose columns were at first these.
    async fn finish(mut self, known: &[String]) -> Result<SyncReport, StoreError> {
        if self.index_left {
            // Sorted in memory, the keys of a million rows would take 100 MB.
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
        if self.columns.len() > known.len() {
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

    /// Withdraws the rows that the input has not shown.
    async fn withdraw(&mut self) -> Result<(), StoreError> {
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
            .bind(WITHDRAW_ROWS)
            .fetch_all(&mut *self.connection)
            .await?;
            let Some(last) = present.last() else {
                return Ok(());
            };
            after = *last;
            let gone: Vec<_> = present
                .into_iter()
                .filter(|job| !self.seen.contains(*job))
                .collect();
            self.run(
                "UPDATE jobs SET position = NULL WHERE id IN (SELECT value FROM json_each(?1))",
                &gone,
            )
            .await?;
            self.report.withdrawn += gone.len() as u64;
        }
    }
}

async fn upsert_batch(
    connection: &mut SqliteConnection,
    sync: &Sync<'_>,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "INSERT INTO batches (name, recipe, columns, source, stamp, created_at, synced_at,
                              simulated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)
         ON CONFLICT (name) DO UPDATE SET recipe = ?2, columns = ?3, source = ?4, stamp = ?5,
                                          synced_at = ?6, simulated = ?7
         RETURNING id",
    )
    .bind(sync.name)
    .bind(serde_json::to_string(sync.template)?)
    .bind(serde_json::to_string(sync.columns)?)
    .bind(sync.source)
    .bind(sync.stamp)
    .bind(sync.now.as_millis())
    .bind(sync.simulated)
    .fetch_one(connection)
    .await?)
}
