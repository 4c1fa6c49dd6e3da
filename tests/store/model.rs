//! A simple reference model of the queue in memory.

use promptmill::domain::job::{Completion, ExportRow, JobId, JobState, NewRow, RowData};
use promptmill::domain::time::Timestamp;
use promptmill::store::{
    ClaimResult, ClaimedJob, Counts, JobOutcome, QueueUpdate, Settlement, SyncReport,
};

use super::fixture::{request, row};

/// An input row. Each version has a different request; the note is not part of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: u64,
    pub(crate) version: u32,
    pub(crate) note: u32,
}

impl Row {
    pub(crate) fn new_row(&self) -> NewRow {
        NewRow {
            cells: serde_json::to_string(&self.cells()).unwrap(),
            ..row(&self.name(), self.version)
        }
    }

    fn name(&self) -> String {
        format!("k{}", self.key)
    }

    fn cells(&self) -> Vec<String> {
        vec![self.name(), format!("v{} n{}", self.version, self.note)]
    }
}

#[derive(Clone, Debug)]
struct Job {
    batch: usize,
    row: Row,
    /// `None` if withdrawn.
    position: Option<usize>,
    state: JobState,
    not_before: i64,
    claim_no: i64,
    requests: u32,
    spent: u32,
    crashes: u32,
    /// Rule and error of each failure since the job was last reopened.
    history: Vec<(String, String)>,
    completion: Option<Completion>,
}

impl Job {
    fn is_ready(&self, batch: usize) -> bool {
        self.batch == batch && self.position.is_some() && self.state == JobState::Pending
    }

    fn record_failure(&mut self, scope: &str, rule: &str, message: &str) {
        let text = format!("{scope}: {message} ({rule})");
        self.history.push((rule.to_owned(), text));
    }

    fn reopen(&mut self) {
        self.state = JobState::Pending;
        (self.not_before, self.spent, self.crashes) = (0, 0, 0);
        self.history.clear();
    }

    fn settle(&mut self, settlement: &Settlement) {
        if settlement.requests > 0 {
            self.crashes = 0;
        }
        let counted = match &settlement.outcome {
            JobOutcome::Done(completion) => {
                self.state = JobState::Done;
                self.completion = Some(completion.clone());
                true
            }
            JobOutcome::Requeued {
                not_before,
                counted,
            } => {
                self.state = JobState::Pending;
                self.not_before = not_before.as_millis();
                *counted
            }
            JobOutcome::Failed => {
                self.state = JobState::Failed;
                true
            }
        };
        self.spent += u32::from(counted);
        self.requests += settlement.requests;
        if let Some(attempt) = &settlement.attempt {
            let scope = serde_json::to_value(attempt.scope).unwrap();
            self.record_failure(scope.as_str().unwrap(), &attempt.rule, &attempt.message);
        }
    }

    fn record(&self) -> ExportRow {
        let is_done = self.state == JobState::Done;
        let error = self.history.last().map(|(_, text)| text.clone());
        ExportRow {
            input: RowData::Cells(self.row.cells()),
            state: self.state,
            attempts: self.requests,
            completion: self.completion.clone(),
            error: error.filter(|_| !is_done),
        }
    }
}

/// The model of the queue. The id of a job is its index plus 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelQueue {
    jobs: Vec<Job>,
}

impl ModelQueue {
    pub(crate) fn settle_and_claim(
        &mut self,
        settlements: &[Settlement],
        claims: &[(usize, usize)],
        now: i64,
    ) -> QueueUpdate {
        let mut stale = 0;
        for settlement in settlements {
            let job = &mut self.jobs[settlement.id.0 as usize - 1];
            if job.state == JobState::Running && job.claim_no == settlement.claim_no {
                job.settle(settlement);
            } else {
                stale += 1;
            }
        }
        let claims = claims.iter();
        let claims = claims.map(|(batch, limit)| self.claim(*batch, *limit, now));
        QueueUpdate {
            claims: claims.collect(),
            stale,
        }
    }

    fn claim(&mut self, batch: usize, limit: usize, now: i64) -> ClaimResult {
        let due = |job: &Job| job.is_ready(batch) && job.not_before <= now;
        let mut indices: Vec<_> = (0..self.jobs.len())
            .filter(|at| due(&self.jobs[*at]))
            .collect();
        // Due retries come first, by time; then new jobs, by id.
        indices.sort_by_key(|at| match self.jobs[*at].not_before {
            0 => (1, 0, *at),
            not_before => (0, not_before, *at),
        });
        indices.truncate(limit);
        indices.sort_unstable();
        let jobs = indices.into_iter().map(|at| self.claim_at(at)).collect();
        let ready = self.jobs.iter().filter(|job| job.is_ready(batch));
        let next_due = ready
            .map(|job| Timestamp::from_millis(job.not_before))
            .min();
        ClaimResult { jobs, next_due }
    }

    /// Claims the first job that was in flight at two or more consecutive crashes.
    pub(crate) fn claim_suspect(&mut self, batch: usize) -> Option<ClaimedJob> {
        let is_suspect = |job: &Job| job.is_ready(batch) && job.crashes >= 2;
        let at = self.jobs.iter().position(is_suspect)?;
        Some(self.claim_at(at))
    }

    fn claim_at(&mut self, at: usize) -> ClaimedJob {
        let job = &mut self.jobs[at];
        job.state = JobState::Running;
        job.claim_no += 1;
        ClaimedJob {
            id: JobId(at as i64 + 1),
            claim_no: job.claim_no,
            spent: job.spent,
            rules: job.history.iter().map(|(rule, _)| rule.clone()).collect(),
            request: request(&job.row.name(), job.row.version),
        }
    }

    pub(crate) fn import(&mut self, batch: usize, input: &[Row]) -> SyncReport {
        let mut report = SyncReport {
            total: input.len() as u64,
            ..SyncReport::default()
        };
        for job in self.jobs.iter_mut().filter(|job| job.batch == batch) {
            let position = input.iter().position(|row| row.key == job.row.key);
            report.withdrawn += u64::from(job.position.is_some() && position.is_none());
            job.position = position;
            let Some(row) = position.map(|position| input[position]) else {
                continue;
            };
            if row.version != job.row.version {
                job.reopen();
                job.claim_no += 1;
                job.requests = 0;
                job.completion = None;
                report.changed += 1;
            }
            job.row = row;
        }
        for (position, row) in input.iter().enumerate() {
            let is_known = |job: &Job| job.batch == batch && job.row.key == row.key;
            if !self.jobs.iter().any(is_known) {
                self.jobs.push(Job {
                    batch,
                    row: *row,
                    position: Some(position),
                    state: JobState::Pending,
                    not_before: 0,
                    claim_no: 0,
                    requests: 0,
                    spent: 0,
                    crashes: 0,
                    history: Vec::new(),
                    completion: None,
                });
                report.added += 1;
            }
        }
        report
    }

    pub(crate) fn recover(&mut self) -> u64 {
        let running = |job: &&Job| job.state == JobState::Running;
        let alone = self.jobs.iter().filter(running).count() == 1;
        let mut recovered = 0;
        for job in self
            .jobs
            .iter_mut()
            .filter(|job| job.state == JobState::Running)
        {
            job.crashes += 1;
            job.requests += 1;
            job.not_before = 0;
            let is_cause = job.crashes >= 5 && alone;
            job.state = if is_cause {
                JobState::Failed
            } else {
                JobState::Pending
            };
            let rule = if is_cause {
                "crash-loop"
            } else {
                "crashed-in-flight"
            };
            let message = "the program ended while this request was in flight";
            job.record_failure("transient", rule, message);
            recovered += 1;
        }
        recovered
    }

    pub(crate) fn reopen_failed(&mut self, batch: usize) -> u64 {
        let is_failed = |job: &&mut Job| {
            job.batch == batch && job.position.is_some() && job.state == JobState::Failed
        };
        let failed = self.jobs.iter_mut().filter(is_failed);
        failed.map(Job::reopen).count() as u64
    }

    pub(crate) fn records(&self, batch: usize) -> Vec<ExportRow> {
        self.present(batch).iter().map(|job| job.record()).collect()
    }

    pub(crate) fn counts(&self, batch: usize) -> Counts {
        let mut counts = Counts::default();
        for job in self.present(batch) {
            counts.total += 1;
            match job.state {
                JobState::Pending => counts.pending += 1,
                JobState::Running => counts.running += 1,
                JobState::Done => counts.done += 1,
                JobState::Failed => counts.failed += 1,
            }
        }
        counts
    }

    /// Returns the rows that are not withdrawn, in input order.
    fn present(&self, batch: usize) -> Vec<&Job> {
        let present = |job: &&Job| job.batch == batch && job.position.is_some();
        let mut jobs: Vec<_> = self.jobs.iter().filter(present).collect();
        jobs.sort_by_key(|job| job.position);
        jobs
    }
}
