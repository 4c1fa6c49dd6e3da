//! Attributes rejections with an unknown cause to a key, to a job or to all keys, based on the
//! results of other keys and other jobs.
//!
//! - If another key completes the same job, the key was the cause.
//! - If another key is rejected for the job in the same way, and one of the two completes other
//!   jobs before and after, the job is the cause. Until that is confirmed, the job is held while
//!   the keys continue with other jobs.
//! - If every key is rejected in the same way for different jobs before any completion, or if many
//!   rejections follow each other without a completion, the cause is the address, the model or the
//!   account, and further requests are useless.

use std::collections::{BTreeMap, BTreeSet};

use super::error_fingerprint::ErrorFingerprint;
use super::job::JobId;
use super::keyring::{KeyIndex, KeyRing};
use super::time::Timestamp;

/// Number of keys rejected in the same way before any completion that shows that all keys are
/// affected, even if the ring has more keys.
const SUFFICIENT_KEYS: usize = 8;

/// Number of consecutive rejections that shows that all keys are affected, even if no two
/// rejections are alike.
const SUFFICIENT_REJECTIONS: usize = 16;

/// Number of keys rejected for a job before the job is considered the cause, if no further evidence
/// is expected.
const KEYS_WITHOUT_EVIDENCE: usize = 3;

/// Number of keys rejected for a job, in different ways, before the job is suspected.
const MAX_KEYS_PER_JOB: usize = 4;

/// The cause of a rejection, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribution {
    /// Not known yet: the next key tries the job.
    Undecided,
    /// Probably the job. It is held until a key that was rejected for it completes another job, or
    /// until no further evidence is expected.
    HoldJob,
    /// The job.
    Job,
    /// Something that affects all keys.
    AllKeys,
}

/// Tracks the rejections of a run until their jobs are settled.
#[derive(Clone, Debug, Default)]
pub struct RejectionTracker {
    /// For each unsettled job, the keys that were rejected for it.
    rejections: BTreeMap<JobId, Vec<RecordedRejection>>,
    /// For each fingerprint, the keys and jobs it occurred with.
    seen: BTreeMap<ErrorFingerprint, (BTreeSet<KeyIndex>, BTreeSet<JobId>)>,
    /// Rejections with an unknown cause since the last completion.
    consecutive: usize,
    /// Whether no other job remains that could provide evidence.
    no_more_evidence: bool,
}

/// A rejection of a key for a job.
#[derive(Clone, Copy, Debug)]
struct RecordedRejection {
    key: KeyIndex,
    /// Set if the cause is not known.
    fingerprint: Option<ErrorFingerprint>,
    /// Number of completions of the key at that time.
    served: u64,
}

impl RejectionTracker {
    /// Returns whether a key was rejected for a job. Such a key is never used for that job again.
    #[must_use]
    pub fn was_rejected(&self, job: JobId, key: KeyIndex) -> bool {
        self.rejections
            .get(&job)
            .is_some_and(|all| all.iter().any(|rejection| rejection.key == key))
    }

    /// Returns the keys rejected for a job.
    #[must_use]
    pub fn keys_rejected_for(&self, job: JobId) -> Vec<KeyIndex> {
        let rejections = self.rejections.get(&job).map_or(&[][..], Vec::as_slice);
        rejections.iter().map(|rejection| rejection.key).collect()
    }

    /// Records a completion of any job.
    pub fn record_success(&mut self) {
        self.consecutive = 0;
    }

    /// Records that all remaining jobs are held or out of keys, so that no further evidence is
    /// expected.
    pub fn expect_no_more_evidence(&mut self) {
        self.no_more_evidence = true;
    }

    /// Records a rejection caused by the key.
    pub fn record_key_rejection(&mut self, job: JobId, key: KeyIndex) {
        let rejection = RecordedRejection {
            key,
            fingerprint: None,
            served: 0,
        };
        self.rejections.entry(job).or_default().push(rejection);
    }

    /// Records a rejection with an unknown cause and attributes it. `other_jobs_available` is
    /// whether other jobs can be tried.
    pub fn record_unexplained(
        &mut self,
        job: JobId,
        key: KeyIndex,
        fingerprint: ErrorFingerprint,
        ring: &KeyRing,
        (now, other_jobs_available): (Timestamp, bool),
    ) -> Attribution {
        self.consecutive += 1;
        let (keys, jobs) = self.seen.entry(fingerprint).or_default();
        keys.insert(key);
        jobs.insert(job);
        let all_alike = (jobs.len() > 1 || !other_jobs_available)
            && (keys.len() >= SUFFICIENT_KEYS
                || ring
                    .indices()
                    .all(|k| keys.contains(&k) || ring.key(k).state.is_disabled_at(now)));
        let rejection = RecordedRejection {
            key,
            fingerprint: Some(fingerprint),
            served: ring.key(key).served,
        };
        self.rejections.entry(job).or_default().push(rejection);
        if (!ring.any_served() && all_alike) || self.consecutive >= SUFFICIENT_REJECTIONS {
            return Attribution::AllKeys;
        }
        self.attribute(job, ring, now)
    }

    /// Attributes the rejections of a job, using the current evidence from other jobs.
    #[must_use]
    pub fn attribute(&self, job: JobId, ring: &KeyRing, now: Timestamp) -> Attribution {
        let rejections = self.rejections.get(&job).map_or(&[][..], Vec::as_slice);
        let unknown: Vec<_> = rejections
            .iter()
            .filter(|rejection| rejection.fingerprint.is_some())
            .collect();
        let Some(last) = unknown.last() else {
            return Attribution::Undecided;
        };
        let serves = |rejection: &&RecordedRejection| {
            let key = ring.key(rejection.key);
            key.served > 0 && !key.state.is_disabled_at(now)
        };
        let is_alike = |rejection: &&RecordedRejection| rejection.fingerprint == last.fingerprint;
        let alike = || unknown.iter().copied().filter(is_alike);
        let untried = ring
            .indices()
            .any(|k| !self.was_rejected(job, k) && !ring.key(k).state.is_disabled_at(now));
        let enough = !untried || unknown.len() >= MAX_KEYS_PER_JOB;
        let job_suspected = (alike().count() > 1 && alike().any(|rejection| serves(&rejection)))
            || (enough && unknown.iter().any(serves));
        if !job_suspected {
            return Attribution::Undecided;
        }
        let still_serves =
            |rejection: &&RecordedRejection| ring.key(rejection.key).served > rejection.served;
        match self.no_more_evidence {
            _ if unknown.iter().any(still_serves) => Attribution::Job,
            false => Attribution::HoldJob,
            true if untried && unknown.len() < KEYS_WITHOUT_EVIDENCE => Attribution::Undecided,
            true => Attribution::Job,
        }
    }

    /// Removes a settled job and returns the keys rejected for it with an unknown cause. The caller
    /// gives them a strike if the job was completed, and ends their probation if it failed.
    pub fn settle(&mut self, job: JobId) -> Vec<KeyIndex> {
        let rejections = self.rejections.remove(&job).unwrap_or_default();
        rejections
            .into_iter()
            .filter(|rejection| rejection.fingerprint.is_some())
            .map(|rejection| rejection.key)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::{Key, StateReason};
    use super::super::verdict::KeyPenalty;
    use super::Attribution::{AllKeys, HoldJob, Job, Undecided};
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);
    const REASON: StateReason<'_> = StateReason {
        message: "invalid",
        model_only: false,
    };

    fn ring(keys: usize) -> KeyRing {
        let key = |_| Key::new(String::new(), String::new());
        KeyRing::new((0..keys).map(|n| (KeyIndex(n), key(n))).collect(), NOW)
    }

    /// Records rejections given as (job, key, fingerprint) and returns the last attribution.
    fn attribute(ring: &KeyRing, rejections: &[(i64, usize, u64)]) -> Attribution {
        record(&mut RejectionTracker::default(), ring, rejections)
    }

    fn record(
        tracker: &mut RejectionTracker,
        ring: &KeyRing,
        rejections: &[(i64, usize, u64)],
    ) -> Attribution {
        let mut attribution = Undecided;
        for &(job, key, fingerprint) in rejections {
            let fingerprint = ErrorFingerprint(fingerprint);
            let (job, key) = (JobId(job), KeyIndex(key));
            attribution = tracker.record_unexplained(job, key, fingerprint, ring, (NOW, true));
        }
        attribution
    }

    #[test]
    fn two_keys_rejected_alike_that_complete_other_jobs_implicate_the_job() {
        let mut ring = ring(3);
        assert_eq!(attribute(&ring, &[(1, 0, 1), (1, 1, 1)]), Undecided);
        ring.record_success(KeyIndex(1));
        assert_eq!(attribute(&ring, &[(1, 0, 1), (1, 1, 2)]), Undecided);
        let mut tracker = RejectionTracker::default();
        let attribution = record(&mut tracker, &ring, &[(1, 0, 1), (1, 1, 1)]);
        assert_eq!(attribution, HoldJob);
        ring.record_success(KeyIndex(2));
        assert_eq!(tracker.attribute(JobId(1), &ring, NOW), HoldJob);
        ring.record_success(KeyIndex(0));
        assert_eq!(tracker.attribute(JobId(1), &ring, NOW), Job);
    }

    #[test]
    fn without_further_evidence_the_third_rejection_implicates_the_job() {
        let mut ring = ring(4);
        ring.record_success(KeyIndex(0));
        let mut tracker = RejectionTracker::default();
        record(&mut tracker, &ring, &[(1, 0, 1), (1, 1, 1)]);
        tracker.expect_no_more_evidence();
        assert_eq!(tracker.attribute(JobId(1), &ring, NOW), Undecided);
        assert_eq!(record(&mut tracker, &ring, &[(1, 2, 1)]), Job);
    }

    #[test]
    fn an_only_key_that_continues_to_complete_other_jobs_implicates_the_job() {
        let mut ring = ring(1);
        ring.record_success(KeyIndex(0));
        let mut tracker = RejectionTracker::default();
        assert_eq!(record(&mut tracker, &ring, &[(1, 0, 1)]), HoldJob);
        ring.record_success(KeyIndex(0));
        assert_eq!(tracker.attribute(JobId(1), &ring, NOW), Job);
    }

    #[test]
    fn a_disabled_key_provides_no_evidence() {
        let mut ring = ring(3);
        ring.record_success(KeyIndex(0));
        ring.record_success(KeyIndex(1));
        ring.penalize(KeyIndex(2), KeyPenalty::Dead, NOW, REASON);
        let mut tracker = RejectionTracker::default();
        assert_eq!(record(&mut tracker, &ring, &[(1, 0, 1)]), Undecided);
        assert_eq!(record(&mut tracker, &ring, &[(1, 1, 1)]), HoldJob);
        let later = NOW + std::time::Duration::from_secs(9);
        ring.penalize(KeyIndex(0), KeyPenalty::Quarantined, later, REASON);
        ring.penalize(KeyIndex(1), KeyPenalty::Quarantined, later, REASON);
        assert_eq!(tracker.attribute(JobId(1), &ring, NOW), Undecided);
    }

    #[test]
    fn all_keys_are_affected_if_rejected_alike_for_different_jobs() {
        let ring = ring(3);
        let all = [(1, 0, 1), (2, 1, 1), (3, 2, 1)];
        assert_eq!(attribute(&ring, &all[..2]), Undecided);
        assert_eq!(attribute(&ring, &all), AllKeys);
        let different = [(1, 0, 1), (2, 1, 2), (3, 2, 1)];
        assert_eq!(attribute(&ring, &different), Undecided);
    }

    #[test]
    fn rejections_that_are_never_alike_are_limited() {
        let mut ring = ring(1);
        let rejections: Vec<_> = (0..16)
            .map(|job: i64| (job, 0, 100 + job.unsigned_abs()))
            .collect();
        assert_eq!(attribute(&ring, &rejections[..15]), Undecided);
        assert_eq!(attribute(&ring, &rejections), AllKeys);
        // Earlier requests have succeeded.
        ring.record_success(KeyIndex(0));
        assert_eq!(attribute(&ring, &rejections[..15]), HoldJob);
        assert_eq!(attribute(&ring, &rejections), AllKeys);
        let mut tracker = RejectionTracker::default();
        record(&mut tracker, &ring, &rejections[..15]);
        tracker.record_success();
        assert_eq!(record(&mut tracker, &ring, &rejections[15..]), HoldJob);
    }

    #[test]
    fn the_only_job_of_a_batch_cannot_be_distinguished_from_the_endpoint() {
        let ring = ring(1);
        let mut tracker = RejectionTracker::default();
        let fingerprint = ErrorFingerprint(1);
        let attribution =
            tracker.record_unexplained(JobId(1), KeyIndex(0), fingerprint, &ring, (NOW, false));
        assert_eq!(attribution, AllKeys);
    }
}
