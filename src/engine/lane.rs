//! The lane of a batch: its template, schema, follow-up requests and duplicates, from opening to
//! the final counts.

use std::collections::HashMap;

use crate::api::Api;
use crate::domain::failure::Failure;
use crate::domain::job::{Completion, JobId};
use crate::domain::run_stats::{RowCounts, RunStats};
use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;
use crate::scheduler::{LaneEnd, LaneId, LaneSetup};
use crate::schema::Schema;
use crate::store::{Store, StoreError, StoredBatch};

use super::keys::EngineKeys;

/// Maximum number of causes of failure in the statistics.
const MAX_CAUSES: u32 = 5;

/// How a batch is processed.
#[derive(Debug, Default)]
pub struct LaneOptions {
    /// The JSON Schema that responses must match, if any.
    pub schema: Option<Schema>,
    /// Which rows with identical requests share one response.
    pub reuse: Reuse,
}

/// Which rows with identical requests share one response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// None.
    #[default]
    Never,
    /// Those whose requests have temperature 0.
    Deterministic,
    /// All.
    Always,
}

/// The result of a batch.
#[derive(Debug)]
pub struct LaneResult {
    /// The batch.
    pub batch: StoredBatch,
    /// The statistics and, if rows remain, the reason.
    pub stats: RunStats,
    /// Rows that have reused the response of an identical request.
    pub copied: u64,
    /// When its processing has begun.
    pub began: Timestamp,
}

/// A request that follows a response that did not match the schema.
#[derive(Debug)]
struct FollowUp {
    /// The request of the job. If its row has changed since, the follow-up does not apply.
    request: String,
    body: String,
}

/// A batch that is being processed.
#[derive(Debug)]
pub struct Lane {
    batch: StoredBatch,
    options: LaneOptions,
    /// The next requests of jobs whose last response did not match the schema.
    follow_ups: HashMap<JobId, FollowUp>,
    copied: u64,
    /// The number of jobs that can be claimed, when last counted.
    claimable: u64,
    /// Rows finished before the current pass over the pending rows.
    finished_before: u64,
    began: Timestamp,
}

impl Lane {
    pub(super) fn new(batch: StoredBatch, options: LaneOptions, now: Timestamp) -> Self {
        Self {
            batch,
            options,
            follow_ups: HashMap::new(),
            copied: 0,
            claimable: 0,
            finished_before: 0,
            began: now,
        }
    }

    pub(super) fn id(&self) -> LaneId {
        LaneId(self.batch.id)
    }

    /// Returns the model of the batch.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.batch.template.model
    }

    pub(super) fn api(&self) -> Api {
        self.batch.template.api
    }

    /// Prepares the duplicates, and returns the number of jobs that can be claimed.
    pub(super) async fn prepare(
        &mut self,
        store: &Store,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.copy_results(store, now).await?;
        store.release_duplicates(self.batch.id).await?;
        self.begin_pass(store, now).await
    }

    async fn begin_pass(&mut self, store: &Store, now: Timestamp) -> Result<u64, StoreError> {
        if self.options.reuse != Reuse::Never {
            let any = self.options.reuse == Reuse::Always;
            store.park_duplicates(self.batch.id, any).await?;
            self.copy_results(store, now).await?;
        }
        self.claimable = store.claimable(self.batch.id).await?;
        Ok(self.claimable)
    }

    async fn copy_results(&mut self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        self.copied += store.copy_to_duplicates(self.batch.id, now).await?;
        Ok(())
    }

    /// Returns what the scheduler has to know.
    pub(super) async fn setup(
        &self,
        store: &Store,
        keys: &mut EngineKeys,
    ) -> Result<LaneSetup, StoreError> {
        let model = &self.batch.template.model;
        Ok(LaneSetup {
            model: model.clone(),
            deadline: self.batch.deadline,
            keys: keys.serving(store, model).await?,
            has_suspects: store.has_suspects(self.batch.id).await?,
        })
    }

    /// Returns the event for the start.
    pub(super) async fn started(&self, store: &Store) -> Result<RunEvent, StoreError> {
        let counts = store.counts(self.batch.id).await?;
        let settled = counts.done + counts.failed;
        Ok(RunEvent::Started {
            batch: self.batch.name.clone(),
            total: settled + self.claimable,
            settled,
        })
    }

    /// Returns the body to send. With a schema, the job keeps its request for a follow-up.
    pub(super) fn request_body(&self, job: JobId, request: &mut String) -> String {
        match self.follow_ups.get(&job) {
            Some(follow_up) if follow_up.request == *request => follow_up.body.clone(),
            _ if self.options.schema.is_some() => request.clone(),
            _ => std::mem::take(request),
        }
    }

    /// Validates a completion against the schema, if there is one. After a violation, the next
    /// request of the job includes the completion and the reason for its rejection.
    pub(super) fn check_schema(
        &mut self,
        job: JobId,
        request: &str,
        completion: &Completion,
    ) -> Option<Failure> {
        let schema = self.options.schema.as_ref()?;
        let violation = schema.check_body(&completion.body).err()?;
        if let Some(body) = schema.follow_up(request, &completion.body, &violation) {
            let request = request.to_owned();
            self.follow_ups.insert(job, FollowUp { request, body });
        }
        Some(violation.failure(&completion.request_id))
    }

    /// Drops the follow-up of a job that is done or has failed.
    pub(super) fn forget_follow_up(&mut self, job: JobId) {
        self.follow_ups.remove(&job);
    }

    /// Copies results to duplicates. Returns whether duplicates remain to be sent, which is the
    /// case if their original was changed or canceled in the meantime.
    pub(super) async fn continues(
        &mut self,
        store: &Store,
        end: &LaneEnd,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.copy_results(store, now).await?;
        let released = store.release_duplicates(self.batch.id).await?;
        if released == 0 || end.reason.is_some() || end.usage.finished == self.finished_before {
            return Ok(false);
        }
        self.finished_before = end.usage.finished;
        Ok(self.begin_pass(store, now).await? > 0)
    }

    /// Returns the final counts and the causes of failure. `end` is `None` if there was nothing to
    /// send.
    pub(super) async fn close(
        mut self,
        store: &Store,
        end: Option<LaneEnd>,
        now: Timestamp,
    ) -> Result<LaneResult, StoreError> {
        self.copy_results(store, now).await?;
        store.release_duplicates(self.batch.id).await?;
        let counts = store.counts(self.batch.id).await?;
        let mut stats = RunStats {
            rows: RowCounts {
                total: counts.total,
                done: counts.done,
                failed: counts.failed,
                remaining: counts.pending + counts.running,
            },
            causes: store.causes(self.batch.id, MAX_CAUSES).await?,
            ..RunStats::default()
        };
        if let Some(end) = end {
            stats.usage = end.usage;
            stats.resume_at = end.resume_at;
            // A signal may have arrived after the last request was sent.
            stats.stopped_by = end.reason.filter(|_| stats.rows.remaining > 0);
        }
        Ok(LaneResult {
            batch: self.batch,
            stats,
            copied: self.copied,
            began: self.began,
        })
    }
}
