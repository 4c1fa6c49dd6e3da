//! What happened when: counts in slots of time, as many slots as a chart has room for. Where a run
//! takes longer, the slots get longer.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::time::Timestamp;

/// The most slots.
const MOST: i64 = 150;

/// Lengths of a slot, in milliseconds; each holds the one before a whole number of times. Beyond
/// the last they double.
const LENGTHS: [i64; 15] = [
    10, 50, 100, 500, 1_000, 2_000, 10_000, 30_000, 60_000, 120_000, 600_000, 1_800_000, 3_600_000,
    7_200_000, 21_600_000,
];

/// What happened in one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    /// Rows that got their answer.
    pub(super) answered: u64,
    /// Rows that failed for good.
    pub(super) failed: u64,
    /// Requests that met a rate limit or a quota.
    pub(super) throttled: u64,
    /// Requests that failed otherwise.
    pub(super) refused: u64,
    /// Requests whose end is unknown.
    pub(super) unknown: u64,
    /// Milliseconds that answers took, all together.
    pub(super) latency_ms: u64,
    /// The longest wait that was asked for, in milliseconds.
    pub(super) longest_wait_ms: u64,
}

impl Slot {
    pub(super) fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.throttled += other.throttled;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.latency_ms = self.latency_ms.saturating_add(other.latency_ms);
        self.longest_wait_ms = self.longest_wait_ms.max(other.longest_wait_ms);
    }
}

/// Slots of time, filled in any order.
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
    /// Adds what happened at a moment.
    pub(super) fn add(&mut self, at: Timestamp, what: &Slot) {
        let at = at.as_millis();
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        while self.reach() >= MOST {
            self.lengthen();
        }
        let slot = self.slots.entry(at.div_euclid(self.length)).or_default();
        slot.add(what);
    }

    /// Counts the slots from the first to the last, less one.
    fn reach(&self) -> i64 {
        let slot = |at: i64| at.div_euclid(self.length);
        slot(self.last).saturating_sub(slot(self.first))
    }

    fn lengthen(&mut self) {
        let longer = LENGTHS.iter().find(|length| **length > self.length);
        let length = longer
            .copied()
            .unwrap_or_else(|| self.length.saturating_mul(2));
        let mut slots: BTreeMap<i64, Slot> = BTreeMap::new();
        for (number, slot) in &self.slots {
            let begin = number.saturating_mul(self.length);
            slots.entry(begin.div_euclid(length)).or_default().add(slot);
        }
        (self.length, self.slots) = (length, slots);
    }

    /// Returns when the first and the last thing happened; `None` when nothing did.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let moments = (
            Timestamp::from_millis(self.first),
            Timestamp::from_millis(self.last),
        );
        (self.first <= self.last).then_some(moments)
    }

    /// Returns how long a slot is.
    pub(super) fn slot_length(&self) -> Duration {
        Duration::from_millis(self.length.unsigned_abs())
    }

    /// Returns all slots from the first to the last, those in which nothing happened among them.
    pub(super) fn slots(&self) -> Vec<Slot> {
        let Some((first, _)) = self.slots.first_key_value() else {
            return Vec::new();
        };
        let last = self
            .slots
            .last_key_value()
            .map_or(*first, |(last, _)| *last);
        let slot = |number| self.slots.get(&number).copied().unwrap_or_default();
        (*first..=last).map(slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(latency_ms: u64) -> Slot {
        Slot {
            answered: 1,
            latency_ms,
            longest_wait_ms: latency_ms,
            ..Slot::default()
        }
    }

    /// The length of a slot and the answers in each, for answers at these milliseconds.
    #[track_caller]
    fn check(moments: &[i64], length: u64, expected: &[u64]) {
        let mut timeline = Timeline::default();
        for at in moments {
            timeline.add(Timestamp::from_millis(*at), &answered(1));
        }
        let counts: Vec<_> = timeline.slots().iter().map(|slot| slot.answered).collect();
        assert_eq!(timeline.slot_length(), Duration::from_millis(length));
        assert_eq!(counts, expected);
    }

    #[test]
    fn slots_are_as_short_as_there_is_room_for() {
        check(&[], 10, &[]);
        check(&[5], 10, &[1]);
        check(&[5, 9, 31], 10, &[2, 0, 0, 1]);
        check(&[0, 1_499], 10, &[vec![1], vec![0; 148], vec![1]].concat());
        check(&[0, 1_500], 50, &[vec![1], vec![0; 29], vec![1]].concat());
    }

    #[test]
    fn what_comes_early_finds_its_slot_and_nothing_is_lost() {
        check(&[70_000, 20, 0, 69_999], 500, &{
            let mut slots = vec![0; 141];
            (slots[0], slots[139], slots[140]) = (2, 1, 1);
            slots
        });
        let mut timeline = Timeline::default();
        for second in (0..1_000_000).rev() {
            timeline.add(Timestamp::from_millis(second * 1_000), &answered(2));
        }
        let slots = timeline.slots();
        assert!((15..=150).contains(&slots.len()), "{}", slots.len());
        assert_eq!(
            slots.iter().map(|slot| slot.answered).sum::<u64>(),
            1_000_000
        );
        assert_eq!(
            slots.iter().map(|slot| slot.latency_ms).sum::<u64>(),
            2_000_000
        );
        assert!(slots.iter().all(|slot| slot.longest_wait_ms == 2));
    }

    #[test]
    fn moments_that_no_clock_shows_bring_no_panic() {
        let mut timeline = Timeline::default();
        for at in [i64::MIN / 4, 0, i64::MAX / 4] {
            timeline.add(Timestamp::from_millis(at), &answered(1));
        }
        assert!(timeline.slots().len() <= 151);
    }
}
