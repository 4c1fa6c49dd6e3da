//! Whose turn it is: how the lanes share the requests that can be sent.
//!
//! The lane with the earliest deadline (lanes without one follow in import order) gets half of the
//! requests, and the others share the other half equally. So the first lane is fast, and no lane
//! starves. A lane that cannot use its turn is skipped.

use crate::domain::time::Timestamp;

use super::event::LaneId;

/// The distance that a lane with the weight 1 advances per request.
const STRIDE: u64 = 1 << 32;

/// The claim of a lane to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    deadline: Option<Timestamp>,
    /// Requests so far, divided by the weight: the lane that is furthest behind is next.
    distance: u64,
}

impl Share {
    pub(super) fn new(deadline: Option<Timestamp>) -> Self {
        Self {
            deadline,
            distance: 0,
        }
    }

    /// The order of urgency: deadline first, then import order.
    fn urgency(self, lane: LaneId) -> (i64, LaneId) {
        let deadline = self.deadline.map_or(i64::MAX, Timestamp::as_millis);
        (deadline, lane)
    }
}

/// The lanes that compete for requests in a round.
#[derive(Debug)]
pub(super) struct Turns {
    lanes: Vec<(LaneId, Share)>,
    /// The lanes that could not use their turn.
    skipped: Vec<(LaneId, Share)>,
    /// The distance from which lanes start that had nothing to send before.
    floor: u64,
}

impl Turns {
    /// Starts a round of the lanes that have something to send. `floor` is the result of the last
    /// round: a lane that had nothing to send then does not catch up.
    pub(super) fn new(lanes: impl Iterator<Item = (LaneId, Share)>, floor: u64) -> Self {
        let level = |(lane, share): (LaneId, Share)| {
            let distance = share.distance.max(floor);
            (lane, Share { distance, ..share })
        };
        Self {
            lanes: lanes.map(level).collect(),
            skipped: Vec::new(),
            floor,
        }
    }

    /// Returns the lane whose turn it is.
    pub(super) fn next(&self) -> Option<LaneId> {
        let behind = |(lane, share): &&(LaneId, Share)| (share.distance, share.urgency(*lane));
        self.lanes.iter().min_by_key(behind).map(|(lane, _)| *lane)
    }

    /// Records that a lane has used its turn.
    pub(super) fn used(&mut self, lane: LaneId) {
        let urgencies = self.lanes.iter().map(|(lane, share)| share.urgency(*lane));
        let first = urgencies.min().map(|(_, lane)| lane);
        let others = self.lanes.len() as u64 - 1;
        let weight = if first == Some(lane) {
            others.max(1)
        } else {
            1
        };
        if let Some((_, share)) = self.lanes.iter_mut().find(|(known, _)| *known == lane) {
            share.distance += STRIDE / weight;
        }
    }

    /// Skips a lane that cannot use its turn, for the rest of the round.
    pub(super) fn skip(&mut self, lane: LaneId) {
        if let Some(position) = self.lanes.iter().position(|(known, _)| *known == lane) {
            self.skipped.push(self.lanes.swap_remove(position));
        }
    }

    /// Ends the round. Returns the shares of the lanes and the floor of the next round.
    pub(super) fn finish(self) -> (impl Iterator<Item = (LaneId, Share)>, u64) {
        let distances = self.lanes.iter().map(|(_, share)| share.distance);
        let floor = distances.min().unwrap_or(self.floor);
        (self.lanes.into_iter().chain(self.skipped), floor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const A: LaneId = LaneId(1);
    const B: LaneId = LaneId(2);
    const C: LaneId = LaneId(3);

    /// Shares of lanes between rounds.
    struct Lanes {
        shares: BTreeMap<LaneId, Share>,
        floor: u64,
    }

    impl Lanes {
        fn new(deadlines: &[(LaneId, Option<i64>)]) -> Self {
            let share = |(lane, deadline): &(LaneId, Option<i64>)| {
                (*lane, Share::new(deadline.map(Timestamp::from_millis)))
            };
            Self {
                shares: deadlines.iter().map(share).collect(),
                floor: 0,
            }
        }

        /// Distributes requests one per round, and counts those of each lane.
        fn distribute(&mut self, active: &[LaneId], requests: u32) -> BTreeMap<LaneId, u32> {
            let mut counts = BTreeMap::new();
            for _ in 0..requests {
                let lanes = active.iter().map(|lane| (*lane, self.shares[lane]));
                let mut turns = Turns::new(lanes, self.floor);
                let lane = turns.next().unwrap();
                turns.used(lane);
                *counts.entry(lane).or_default() += 1;
                let (shares, floor) = turns.finish();
                self.shares.extend(shares);
                self.floor = floor;
            }
            counts
        }
    }

    #[test]
    fn the_first_lane_gets_half_and_the_others_share_the_rest() {
        let mut lanes = Lanes::new(&[(A, None), (B, None), (C, None)]);
        let counts = lanes.distribute(&[A, B, C], 400);
        assert_eq!(counts, BTreeMap::from([(A, 200), (B, 100), (C, 100)]));
    }

    #[test]
    fn the_earliest_deadline_is_first() {
        let mut lanes = Lanes::new(&[(A, None), (B, Some(900)), (C, Some(500))]);
        let counts = lanes.distribute(&[A, B, C], 400);
        assert_eq!(counts, BTreeMap::from([(A, 100), (B, 100), (C, 200)]));
    }

    #[test]
    fn a_lane_alone_gets_everything_and_an_idle_lane_does_not_catch_up() {
        let mut lanes = Lanes::new(&[(A, None), (B, None)]);
        assert_eq!(lanes.distribute(&[B], 100), BTreeMap::from([(B, 100)]));
        let counts = lanes.distribute(&[A, B], 100);
        assert_eq!(counts, BTreeMap::from([(A, 50), (B, 50)]));
    }

    #[test]
    fn a_skipped_lane_does_not_block_the_others() {
        let shares = [(A, Share::new(None)), (B, Share::new(None))];
        let mut turns = Turns::new(shares.into_iter(), 0);
        assert_eq!(turns.next(), Some(A));
        turns.skip(A);
        assert_eq!(turns.next(), Some(B));
        turns.used(B);
        let (shares, floor) = turns.finish();
        assert_eq!((shares.count(), floor), (2, STRIDE));
    }
}
