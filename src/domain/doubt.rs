//! Doubts: a refusal without a known cause may be the key's fault, the job's, or everybody's. What
//! other keys and other jobs get tells them apart.
//!
//! - Another key answers the same job: it was the key.
//! - Another key refuses the job in the same way, and one of the two has answered other jobs: it is
//!   the job. The keys come back.
//! - Every key is refused in the same way for different jobs, and none has answered anything: it is
//!   the address, the model or the account, and asking on is no use.

use std::collections::{BTreeMap, BTreeSet};

use super::fingerprint::Fingerprint;
use super::job::JobId;
use super::keyring::{KeyIndex, KeyRing};
use super::time::Timestamp;

/// Keys refused in the same way, with no answer at all, that are proof enough even when the ring
/// has more.
const ENOUGH_KEYS: usize = 8;

/// Refusals without any answer that are proof enough even when no two are alike.
const ENOUGH_REFUSALS: usize = 16;

/// Keys that may refuse one job, each in another way, before the job is at fault.
const MAX_KEYS_A_JOB: usize = 4;

/// What a further refusal has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Nothing yet: the next key has a try.
    Open,
    /// The job is at fault.
    Job,
    /// Nobody gets an answer in this way.
    Everybody,
}

/// The open doubts of a run.
#[derive(Clone, Debug, Default)]
pub struct Doubts {
    /// For each unsettled job the keys that were refused for it; with the fingerprint where the
    /// cause is not known.
    refusals: BTreeMap<JobId, Vec<(KeyIndex, Option<Fingerprint>)>>,
    /// For each fingerprint the keys and jobs it was seen with.
    seen: BTreeMap<Fingerprint, (BTreeSet<KeyIndex>, BTreeSet<JobId>)>,
    /// Refusals without a known cause, in all.
    unknown: usize,
}

impl Doubts {
    /// Tells whether a key was refused for a job. Such a key is never used for it again.
    #[must_use]
    pub fn has_refused(&self, job: JobId, key: KeyIndex) -> bool {
        self.refusals
            .get(&job)
            .is_some_and(|all| all.iter().any(|(refused, _)| *refused == key))
    }

    /// Returns the keys that were refused for a job.
    #[must_use]
    pub fn refused_by(&self, job: JobId) -> Vec<KeyIndex> {
        let refusals = self.refusals.get(&job).map_or(&[][..], Vec::as_slice);
        refusals.iter().map(|(key, _)| *key).collect()
    }

    /// Notes a refusal whose cause is known to be the key.
    pub fn note_known(&mut self, job: JobId, key: KeyIndex) {
        self.refusals.entry(job).or_default().push((key, None));
    }

    /// Notes a refusal without a known cause and says what follows. `others_wait` says whether
    /// there are further jobs that could be tried.
    pub fn note_unknown(
        &mut self,
        job: JobId,
        key: KeyIndex,
        fingerprint: Fingerprint,
        ring: &KeyRing,
        (now, others_wait): (Timestamp, bool),
    ) -> Ruling {
        self.unknown += 1;
        let (keys, jobs) = self.seen.entry(fingerprint).or_default();
        keys.insert(key);
        jobs.insert(job);
        let all_alike = (jobs.len() > 1 || !others_wait)
            && (keys.len() >= ENOUGH_KEYS
                || ring
                    .indices()
                    .all(|k| keys.contains(&k) || ring.key(k).state.is_out(now)));
        self.refusals
            .entry(job)
            .or_default()
            .push((key, Some(fingerprint)));
        if !ring.any_served() && (all_alike || self.unknown >= ENOUGH_REFUSALS) {
            return Ruling::Everybody;
        }
        self.rule(job, ring, now)
    }

    /// Says again what is known of a job, as more may have been learned from other jobs.
    #[must_use]
    pub fn rule(&self, job: JobId, ring: &KeyRing, now: Timestamp) -> Ruling {
        let refusals = self.refusals.get(&job).map_or(&[][..], Vec::as_slice);
        let unknown: Vec<_> = refusals
            .iter()
            .filter_map(|(key, print)| Some((*key, (*print)?)))
            .collect();
        let Some(&(_, last)) = unknown.last() else {
            return Ruling::Open;
        };
        let serves = |(key, _): &(KeyIndex, Fingerprint)| ring.key(*key).served > 0;
        let alike: Vec<_> = unknown
            .iter()
            .filter(|(_, print)| *print == last)
            .copied()
            .collect();
        let untried = ring
            .indices()
            .any(|k| !self.has_refused(job, k) && !ring.key(k).state.is_out(now));
        let enough = !untried || unknown.len() >= MAX_KEYS_A_JOB;
        if (alike.len() > 1 && alike.iter().any(serves)) || (enough && unknown.iter().any(serves)) {
            Ruling::Job
        } else {
            Ruling::Open
        }
    }

    /// Forgets a job that is settled, and returns the keys that were refused for it without a known
    /// cause: they are to be struck when it has its answer, or trusted when it was at fault.
    pub fn settle(&mut self, job: JobId) -> Vec<KeyIndex> {
        let refusals = self.refusals.remove(&job).unwrap_or_default();
        refusals
            .into_iter()
            .filter(|(_, print)| print.is_some())
            .map(|(key, _)| key)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::{Cause, Key};
    use super::super::verdict::SetAside;
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);
    const WHY: Cause<'_> = Cause {
        reason: "invalid",
        model_only: false,
    };

    fn ring(keys: usize) -> KeyRing {
        let key = |_| Key::new(String::new(), String::new());
        KeyRing::new((0..keys).map(key).collect(), NOW)
    }

    /// Plays refusals as (job, key, fingerprint) and returns the last ruling.
    fn play(ring: &KeyRing, refusals: &[(i64, usize, u64)]) -> Ruling {
        let mut doubts = Doubts::default();
        let mut ruling = Ruling::Open;
        for (job, key, print) in refusals {
            let print = Fingerprint(*print);
            ruling = doubts.note_unknown(JobId(*job), KeyIndex(*key), print, ring, (NOW, true));
        }
        ruling
    }

    #[test]
    fn two_keys_that_refuse_a_job_alike_while_one_serves_others_blame_the_job() {
        let mut ring = ring(3);
        assert_eq!(play(&ring, &[(1, 0, 1), (1, 1, 1)]), Ruling::Open);
        ring.answered(KeyIndex(1));
        assert_eq!(play(&ring, &[(1, 0, 1), (1, 1, 1)]), Ruling::Job);
        assert_eq!(play(&ring, &[(1, 0, 1), (1, 1, 2)]), Ruling::Open);
    }

    #[test]
    fn the_only_key_that_serves_others_blames_the_job_at_once() {
        let mut ring = ring(1);
        ring.answered(KeyIndex(0));
        assert_eq!(play(&ring, &[(1, 0, 1)]), Ruling::Job);
    }

    #[test]
    fn a_key_that_is_out_is_not_waited_for() {
        let mut ring = ring(2);
        ring.answered(KeyIndex(0));
        assert_eq!(play(&ring, &[(1, 0, 1)]), Ruling::Open);
        ring.set_aside(KeyIndex(1), SetAside::Dead, NOW, WHY);
        assert_eq!(play(&ring, &[(1, 0, 1)]), Ruling::Job);
    }

    #[test]
    fn all_keys_refused_alike_for_different_jobs_blame_nobody_in_particular() {
        let ring = ring(3);
        let all = [(1, 0, 1), (2, 1, 1), (3, 2, 1)];
        assert_eq!(play(&ring, &all[..2]), Ruling::Open);
        assert_eq!(play(&ring, &all), Ruling::Everybody);
        assert_eq!(
            play(&ring, &[(1, 0, 1), (2, 1, 2), (3, 2, 1)]),
            Ruling::Open
        );
    }

    #[test]
    fn refusals_that_are_never_alike_still_come_to_an_end() {
        let mut ring = ring(1);
        let played: Vec<_> = (0..16)
            .map(|job: i64| (job, 0, 100 + job.unsigned_abs()))
            .collect();
        assert_eq!(play(&ring, &played[..15]), Ruling::Open);
        assert_eq!(play(&ring, &played), Ruling::Everybody);
        ring.answered(KeyIndex(0));
        assert_eq!(play(&ring, &played), Ruling::Job);
    }

    #[test]
    fn the_only_job_of_a_batch_cannot_be_told_from_the_endpoint() {
        let ring = ring(1);
        let mut doubts = Doubts::default();
        let print = Fingerprint(1);
        let ruling = doubts.note_unknown(JobId(1), KeyIndex(0), print, &ring, (NOW, false));
        assert_eq!(ruling, Ruling::Everybody);
    }
}
