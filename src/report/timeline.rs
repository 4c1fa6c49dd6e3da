//! Counts over time, in a bounded number of slots. Slots become longer as the time span grows.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::time::Timestamp;

/// Maximum number of slots.
const MAX_SLOTS: i64 = 150;

/// Slot lengths in milliseconds, each a multiple of the previous one. Beyond the last, lengths
/// double.
const LENGTHS: [i64; 15] = [
    10, 50, 100, 500, 1_000, 2_000, 10_000, 30_000, 60_000, 120_000, 600_000, 1_800_000, 3_600_000,
    7_200_000, 21_600_000,
];

/// Counts of one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    /// Completed rows.
    pub(super) completed: u64,
    /// Rows that failed permanently.
    pub(super) failed: u64,
    /// Requests that hit a rate limit or quota.
    pub(super) throttled: u64,
    /// Requests that failed for another reason.
    pub(super) other_failures: u64,
    /// Requests with an unknown result.
    pub(super) unknown: u64,
    /// Total latency of the responses, in milliseconds.
    pub(super) latency_ms: u64,
    /// Longest wait requested by the provider, in milliseconds.
    pub(super) longest_wait_ms: u64,
}

impl Slot {
    pub(super) fn add(&mut self, other: &Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.throttled += other.throttled;
        self.other_failures += other.other_failures;
        self.unknown += other.unknown;
        self.latency_ms = self.latency_ms.saturating_add(other.latency_ms);
        self.longest_wait_ms = self.longest_wait_ms.max(other.longest_wait_ms);
    }
}

/// Time slots that can be filled in any order.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    length: i64,
    slots: BTreeMap<i64, Slot>,
    first: i64,
    last: i64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            length: LENGTHS[0],
            slots: BTreeMap::new(),
            first: i64::MAX,
            last: i64::MIN,
        }
    }
}

impl Timeline {
    /// Adds counts at a point in time.
    pub(super) fn add(&mut self, at: Timestamp, counts: &Slot) {
        let at = at.as_millis();
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        while self.last_index() >= MAX_SLOTS {
            self.lengthen_slots();
        }
        let slot = self.slots.entry(at.div_euclid(self.length)).or_default();
        slot.add(counts);
    }

    /// Returns the distance between the first and the last slot.
    fn last_index(&self) -> i64 {
        let slot = |at: i64| at.div_euclid(self.length);
        slot(self.last).saturating_sub(slot(self.first))
    }

    fn lengthen_slots(&mut self) {
        let mut longer = LENGTHS.into_iter().filter(|length| *length > self.length);
        let length = longer.next().unwrap_or(self.length.saturating_mul(2));
        let mut slots: BTreeMap<i64, Slot> = BTreeMap::new();
        for (number, slot) in &self.slots {
            let begin = number.saturating_mul(self.length);
            slots.entry(begin.div_euclid(length)).or_default().add(slot);
        }
        (self.length, self.slots) = (length, slots);
    }

    /// Returns the first and the last point in time; `None` if there is none.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let [first, last] = [self.first, self.last].map(Timestamp::from_millis);
        (first <= last).then_some((first, last))
    }

    /// Returns the length of a slot.
    pub(super) fn slot_length(&self) -> Duration {
        Duration::from_millis(self.length.unsigned_abs())
    }

    /// Returns all slots from the first to the last, including empty ones.
    pub(super) fn slots(&self) -> Vec<Slot> {
        let (first, last) = (self.slots.first_key_value(), self.slots.last_key_value());
        let Some(((first, _), (last, _))) = first.zip(last) else {
            return Vec::new();
        };
        let slot = |number| self.slots.get(&number).copied().unwrap_or_default();
        (*first..=*last).map(slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(latency_ms: u64) -> Slot {
        Slot {
            completed: 1,
            latency_ms,
            longest_wait_ms: latency_ms,
            ..Slot::default()
        }
    }

    /// Checks the slot length and the counts for responses at these times, in milliseconds.
    #[track_caller]
    fn check(times: &[i64], length: u64, expected: &[u64]) {
        let mut timeline = Timeline::default();
        for at in times {
            timeline.add(Timestamp::from_millis(*at), &completed(1));
        }
        let counts: Vec<_> = timeline.slots().iter().map(|slot| slot.completed).collect();
        assert_eq!(timeline.slot_length(), Duration::from_millis(length));
        assert_eq!(counts, expected);
    }

    #[test]
    fn slots_are_as_short_as_the_maximum_number_allows() {
        check(&[], 10, &[]);
        check(&[5], 10, &[1]);
        check(&[5, 9, 31], 10, &[2, 0, 0, 1]);
        check(&[0, 1_499], 10, &[vec![1], vec![0; 148], vec![1]].concat());
        check(&[0, 1_500], 50, &[vec![1], vec![0; 29], vec![1]].concat());
    }

    #[test]
    fn counts_can_be_added_in_any_order() {
        check(&[70_000, 20, 0, 69_999], 500, &{
            let mut slots = vec![0; 141];
            (slots[0], slots[139], slots[140]) = (2, 1, 1);
            slots
        });
        let mut timeline = Timeline::default();
        for second in (0..1_000_000).rev() {
            timeline.add(Timestamp::from_millis(second * 1_000), &completed(2));
        }
        let slots = timeline.slots();
        assert!((15..=150).contains(&slots.len()), "{}", slots.len());
        let sum = |count: fn(&Slot) -> u64| slots.iter().map(count).sum::<u64>();
        assert_eq!(sum(|slot| slot.completed), 1_000_000);
        assert_eq!(sum(|slot| slot.latency_ms), 2_000_000);
        assert!(slots.iter().all(|slot| slot.longest_wait_ms == 2));
    }

    #[test]
    fn extreme_timestamps_do_not_panic() {
        let mut timeline = Timeline::default();
        for at in [i64::MIN / 4, 0, i64::MAX / 4] {
            timeline.add(Timestamp::from_millis(at), &completed(1));
        }
        assert!(timeline.slots().len() <= 151);
    }
}
