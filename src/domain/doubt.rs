//! Doubts: a refusal without a known cause may be the key's fault, the job's, or everybody's. What
//! other keys and other jobs get tells them apart.
//!
//! - Another key answers the same job: it was the key.
//! - Another key refuses the job in the same way, and one of the two answers other jobs before and
//!   after: it is the job. Until that is shown the job is held and the keys go on with others.
//! - Every key is refused in the same way for different jobs, and none has answered anything, or
//!   none answers any more: it is the address, the model or the account, and asking on is no use.

use std::collections::{BTreeMap, BTreeSet};

use super::fingerprint::Fingerprint;
use super::job::JobId;
use super::keyring::{KeyIndex, KeyRing};
use super::time::Timestamp;

/// Keys refused in the same way, with no answer at all, that are proof enough even when the ring
/// has more.
const ENOUGH_KEYS: usize = 8;

/// Refusals without any answer between them that are proof enough even when no two are alike.
const ENOUGH_REFUSALS: usize = 16;

/// Keys that try a job of which others can tell nothing more.
const LAST_TRY: usize = 3;

/// Keys that may refuse one job, each in another way, before the job is at fault.
const MAX_KEYS_A_JOB: usize = 4;

/// What a further refusal has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Nothing yet: the next key has a try.
    Open,
    /// The job seems to be at fault. It waits until a key that refused it answers another one; if
    /// none does, something has changed for everybody.
    Held,
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
    refusals: BTreeMap<JobId, Vec<Refused>>,
    /// For each fingerprint the keys and jobs it was seen with.
    seen: BTreeMap<Fingerprint, (BTreeSet<KeyIndex>, BTreeSet<JobId>)>,
    /// Refusals without a known cause since the last answer.
    in_a_row: usize,
    /// Whether no other job is left that could tell more.
    nothing_to_come: bool,
}

/// A key's refusal of a job.
#[derive(Clone, Copy, Debug)]
struct Refused {
    key: KeyIndex,
    /// Of a refusal without a known cause.
    print: Option<Fingerprint>,
    /// Answers that the key had brought by then.
    served: u64,
}

impl Doubts {
    /// Tells whether a key was refused for a job. Such a key is never used for it again.
    #[must_use]
    pub fn has_refused(&self, job: JobId, key: KeyIndex) -> bool {
        self.refusals
            .get(&job)
            .is_some_and(|all| all.iter().any(|refused| refused.key == key))
    }

    /// Returns the keys that were refused for a job.
    #[must_use]
    pub fn refused_by(&self, job: JobId) -> Vec<KeyIndex> {
        let refusals = self.refusals.get(&job).map_or(&[][..], Vec::as_slice);
        refusals.iter().map(|refused| refused.key).collect()
    }

    /// Notes that some job has got its answer.
    pub fn answered(&mut self) {
        self.in_a_row = 0;
    }

    /// Notes that none but jobs that are held or out of keys are left, so that nothing more will be
    /// known.
    pub fn nothing_to_come(&mut self) {
        self.nothing_to_come = true;
    }

    /// Notes a refusal whose cause is known to be the key.
    pub fn note_known(&mut self, job: JobId, key: KeyIndex) {
        let (print, served) = (None, 0);
        let refused = Refused { key, print, served };
        self.refusals.entry(job).or_default().push(refused);
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
        self.in_a_row += 1;
        let (keys, jobs) = self.seen.entry(fingerprint).or_default();
        keys.insert(key);
        jobs.insert(job);
        let all_alike = (jobs.len() > 1 || !others_wait)
            && (keys.len() >= ENOUGH_KEYS
                || ring
                    .indices()
                    .all(|k| keys.contains(&k) || ring.key(k).state.is_out(now)));
        let refused = Refused {
            key,
            print: Some(fingerprint),
            served: ring.key(key).served,
        };
        self.refusals.entry(job).or_default().push(refused);
        if (!ring.any_served() && all_alike) || self.in_a_row >= ENOUGH_REFUSALS {
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
            .filter(|told| told.print.is_some())
            .collect();
        let Some(last) = unknown.last() else {
            return Ruling::Open;
        };
        let serves = |told: &&Refused| {
            let key = ring.key(told.key);
            key.served > 0 && !key.state.is_out(now)
        };
        let alike = || {
            unknown
                .iter()
                .copied()
                .filter(|told| told.print == last.print)
        };
        let untried = ring
            .indices()
            .any(|k| !self.has_refused(job, k) && !ring.key(k).state.is_out(now));
        let enough = !untried || unknown.len() >= MAX_KEYS_A_JOB;
        let looks_at_fault = (alike().count() > 1 && alike().any(|told| serves(&told)))
            || (enough && unknown.iter().any(serves));
        if !looks_at_fault {
            return Ruling::Open;
        }
        let serves_on = |told: &&Refused| ring.key(told.key).served > told.served;
        match self.nothing_to_come {
            _ if unknown.iter().any(serves_on) => Ruling::Job,
            false => Ruling::Held,
            true if untried && unknown.len() < LAST_TRY => Ruling::Open,
            true => Ruling::Job,
        }
    }

    /// Forgets a job that is settled, and returns the keys that were refused for it without a known
    /// cause: they are to be struck when it has its answer, or trusted when it was at fault.
    pub fn settle(&mut self, job: JobId) -> Vec<KeyIndex> {
        let refusals = self.refusals.remove(&job).unwrap_or_default();
        refusals
            .into_iter()
            .filter(|told| told.print.is_some())
            .map(|told| told.key)
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
        note(&mut Doubts::default(), ring, refusals)
    }

    fn note(doubts: &mut Doubts, ring: &KeyRing, refusals: &[(i64, usize, u64)]) -> Ruling {
        let mut ruling = Ruling::Open;
        for (job, key, print) in refusals {
            let print = Fingerprint(*print);
            ruling = doubts.note_unknown(JobId(*job), KeyIndex(*key), print, ring, (NOW, true));
        }
        ruling
    }

    #[test]
    fn two_keys_that_refuse_a_job_alike_and_serve_others_before_and_after_blame_the_job() {
        let mut ring = ring(3);
        assert_eq!(play(&ring, &[(1, 0, 1), (1, 1, 1)]), Ruling::Open);
        ring.answered(KeyIndex(1));
        assert_eq!(play(&ring, &[(1, 0, 1), (1, 1, 2)]), Ruling::Open);
        let mut doubts = Doubts::default();
        let ruling = note(&mut doubts, &ring, &[(1, 0, 1), (1, 1, 1)]);
        assert_eq!(ruling, Ruling::Held);
        ring.answered(KeyIndex(2));
        assert_eq!(doubts.rule(JobId(1), &ring, NOW), Ruling::Held);
        ring.answered(KeyIndex(0));
        assert_eq!(doubts.rule(JobId(1), &ring, NOW), Ruling::Job);
    }

    #[test]
    fn when_nothing_more_will_be_known_a_third_key_has_the_last_word() {
        let mut ring = ring(4);
        ring.answered(KeyIndex(0));
        let mut doubts = Doubts::default();
        note(&mut doubts, &ring, &[(1, 0, 1), (1, 1, 1)]);
        doubts.nothing_to_come();
        assert_eq!(doubts.rule(JobId(1), &ring, NOW), Ruling::Open);
        assert_eq!(note(&mut doubts, &ring, &[(1, 2, 1)]), Ruling::Job);
    }

    #[test]
    fn the_only_key_blames_the_job_when_it_serves_others_on() {
        let mut ring = ring(1);
        ring.answered(KeyIndex(0));
        let mut doubts = Doubts::default();
        assert_eq!(note(&mut doubts, &ring, &[(1, 0, 1)]), Ruling::Held);
        ring.answered(KeyIndex(0));
        assert_eq!(doubts.rule(JobId(1), &ring, NOW), Ruling::Job);
    }

    #[test]
    fn a_key_that_is_out_is_not_waited_for_and_gives_no_evidence() {
        let mut ring = ring(3);
        ring.answered(KeyIndex(0));
        ring.answered(KeyIndex(1));
        ring.set_aside(KeyIndex(2), SetAside::Dead, NOW, WHY);
        let mut doubts = Doubts::default();
        assert_eq!(note(&mut doubts, &ring, &[(1, 0, 1)]), Ruling::Open);
        assert_eq!(note(&mut doubts, &ring, &[(1, 1, 1)]), Ruling::Held);
        let later = NOW + std::time::Duration::from_secs(9);
        ring.set_aside(KeyIndex(0), SetAside::Quarantined, later, WHY);
        ring.set_aside(KeyIndex(1), SetAside::Quarantined, later, WHY);
        assert_eq!(doubts.rule(JobId(1), &ring, NOW), Ruling::Open);
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
        // Something has answered before, and nothing does any more.
        ring.answered(KeyIndex(0));
        assert_eq!(play(&ring, &played[..15]), Ruling::Held);
        assert_eq!(play(&ring, &played), Ruling::Everybody);
        let mut doubts = Doubts::default();
        note(&mut doubts, &ring, &played[..15]);
        doubts.answered();
        assert_eq!(note(&mut doubts, &ring, &played[15..]), Ruling::Held);
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
