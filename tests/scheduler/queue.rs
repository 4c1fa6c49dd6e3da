//! An in-memory queue that claims jobs in the same order as the store.

use std::collections::{BTreeMap, BTreeSet};

use promptmill::domain::job::{JobClaim, JobId};
use promptmill::domain::retry::Transition;
use promptmill::domain::time::Timestamp;
use promptmill::scheduler::Candidate;

/// The outcome of a claimed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    NotDone(Transition),
}

/// The jobs of a batch. A claim or a settlement that the store would reject panics.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// Pending jobs that were sent before, by the time at which they can be claimed.
    retries: BTreeSet<(Timestamp, JobId)>,
    /// Pending jobs that can be claimed at any time.
    unsent: BTreeSet<JobId>,
    claimed: BTreeMap<JobId, Candidate>,
    /// The attempts of jobs that are pending again.
    histories: BTreeMap<JobId, Candidate>,
    /// Jobs that were in flight at several crashes.
    pub(super) suspects: BTreeSet<JobId>,
    pub(super) done: BTreeSet<JobId>,
    pub(super) failed: BTreeSet<JobId>,
}

impl Queue {
    /// Creates a queue of `rows` jobs, the first of which has the ID `first`. The last `suspects`
    /// of them were in flight at several crashes.
    pub(super) fn new(first: i64, rows: i64, suspects: i64) -> Self {
        let jobs = |range: std::ops::Range<i64>| range.map(JobId).collect();
        let end = first + rows;
        Self {
            unsent: jobs(first..end),
            suspects: jobs(end - suspects..end),
            ..Self::default()
        }
    }

    /// Claims retries that are due, then jobs that were never sent.
    pub(super) fn claim(&mut self, limit: usize, now: Timestamp) -> Vec<Candidate> {
        let due = self.retries.iter().take_while(|(due, _)| *due <= now);
        let due = due.map(|(_, job)| *job);
        let jobs: Vec<_> = due.chain(self.unsent.iter().copied()).take(limit).collect();
        jobs.into_iter().map(|job| self.claim_job(job)).collect()
    }

    /// Claims a job that was in flight at several crashes.
    pub(super) fn claim_suspect(&mut self) -> Option<Candidate> {
        let is_pending = |job: &&JobId| {
            let settled = self.done.contains(job) || self.failed.contains(job);
            !settled && !self.claimed.contains_key(job)
        };
        let job = *self.suspects.iter().find(is_pending)?;
        Some(self.claim_job(job))
    }

    fn claim_job(&mut self, job: JobId) -> Candidate {
        self.unsent.remove(&job);
        self.retries.retain(|(_, pending)| *pending != job);
        let mut candidate = self.histories.remove(&job).unwrap_or_default();
        let number = candidate.claim.number + 1;
        candidate.claim = JobClaim { job, number };
        let held = self.claimed.insert(job, candidate.clone());
        assert_eq!(held, None, "claimed twice");
        candidate
    }

    /// Settles a claimed job. `rule` is that of the failed attempt, if there was one.
    pub(super) fn settle(&mut self, claim: JobClaim, outcome: Outcome, rule: Option<String>) {
        let job = claim.job;
        let mut history = self.claimed.remove(&job).expect("the job is claimed");
        assert_eq!(history.claim, claim);
        match outcome {
            Outcome::Done => assert!(self.done.insert(job)),
            Outcome::NotDone(Transition::Fail) => assert!(self.failed.insert(job)),
            Outcome::NotDone(Transition::Requeue {
                not_before,
                counted,
            }) => {
                history.spent += u32::from(counted);
                history.rules.extend(rule);
                self.histories.insert(job, history);
                if not_before == Timestamp::default() {
                    self.unsent.insert(job);
                } else {
                    self.retries.insert((not_before, job));
                }
            }
        }
    }

    /// Returns when the next pending job can be claimed.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let unsent = self.unsent.first().map(|_| Timestamp::default());
        unsent.or_else(|| self.retries.first().map(|(due, _)| *due))
    }

    /// Counts the pending jobs.
    pub(super) fn claimable(&self) -> usize {
        self.unsent.len() + self.retries.len()
    }

    /// Counts the claimed jobs.
    pub(super) fn claimed(&self) -> usize {
        self.claimed.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn due_retries_are_claimed_first_by_time_then_unsent_jobs_in_order() {
        let now = Timestamp::from_millis(10_000);
        let mut queue = Queue::new(1, 5, 0);
        assert_eq!(queue.claim(3, now).len(), 3);
        for (job, millis) in [(1, 9000), (2, 8000), (3, 10_001)] {
            let not_before = Timestamp::from_millis(millis);
            let counted = true;
            let requeue = Transition::Requeue {
                not_before,
                counted,
            };
            let rule = Some("server-error".to_owned());
            let (job, number) = (JobId(job), 1);
            queue.settle(JobClaim { job, number }, Outcome::NotDone(requeue), rule);
        }
        let claimed = queue.claim(3, now);
        let jobs: Vec<_> = claimed
            .iter()
            .map(|candidate| candidate.claim.job.0)
            .collect();
        assert_eq!(jobs, [2, 1, 4]);
        assert_eq!((claimed[0].spent, claimed[0].rules.len()), (1, 1));
        assert_eq!(queue.next_due(), Some(Timestamp::default()));
        assert_eq!(queue.claim(9, now).len(), 1);
        let third = Timestamp::from_millis(10_001);
        assert_eq!((queue.next_due(), queue.claimable()), (Some(third), 1));
        assert_eq!(queue.claim(9, now + Duration::from_millis(1)).len(), 1);
        assert_eq!(queue.next_due(), None);
    }
}
