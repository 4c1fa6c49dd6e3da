//! When the next request can be sent, and which limit the run is waiting for.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::key::Availability;
use crate::domain::key::display_name;
use crate::domain::keyring::KeyIndex;
use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;

use super::admission;
use super::event::LaneId;
use super::lane::Lane;
use super::rate_limit::BlockReason;
use super::shared::Shared;

/// Returns when the next request of a lane can be sent with a key; `None` if a request in flight
/// must finish first, or if the key cannot be used.
pub(super) fn next_permit_at(
    lane: &Lane,
    shared: &Shared,
    key: KeyIndex,
    from: Timestamp,
) -> Option<Timestamp> {
    let ready = match lane.keys(shared).availability(key, from) {
        Availability::Now => from,
        Availability::At(until) => until.max(from),
        Availability::AfterInFlight | Availability::Never => return None,
    };
    match shared.keys.limiter.blocked(key) {
        None => Some(ready),
        Some(blocked) => blocked.until.map(|until| ready.max(until)),
    }
}

/// Returns whether no key of a lane can be used now, even if the requests in flight finish.
pub(super) fn all_keys_wait(lane: &Lane, shared: &Shared, now: Timestamp) -> bool {
    let mut keys = lane.keys(shared).indices();
    keys.all(|key| next_permit_at(lane, shared, key, now).is_some_and(|at| at > now))
}

/// Returns when the next request can be sent if no request finishes earlier; `None` if that depends
/// on the requests in flight.
pub(super) fn wake_at(
    lanes: &BTreeMap<LaneId, Lane>,
    exclusive: Option<LaneId>,
    shared: &Shared,
    now: Timestamp,
) -> Option<Timestamp> {
    let lanes = lanes.values();
    let lanes = lanes.filter(|lane| exclusive.is_none_or(|only| only == lane.id));
    let at = lanes
        .filter_map(|lane| wake_lane_at(lane, shared, now))
        .min()?;
    // If the time has come but no permit was available, wait a little instead of spinning.
    Some(at.max(now + Duration::from_millis(1)))
}

fn wake_lane_at(lane: &Lane, shared: &Shared, now: Timestamp) -> Option<Timestamp> {
    if !lane.is_open() {
        return None;
    }
    let due = lane.queue.next_due?.max(now);
    let probe_at = shared.health.breaker.probe_at();
    let due = probe_at.map_or(due, |probe_at| due.max(probe_at));
    if shared.free_slots(due) == 0 || admission::free_slots(lane, shared) == 0 {
        return None;
    }
    let keys = lane.keys(shared).indices();
    keys.filter_map(|key| next_permit_at(lane, shared, key, due))
        .min()
}

/// Returns the event for a wait for a rate limit until a time, if it is long enough to be reported.
pub(super) fn describe_wait(
    lanes: &BTreeMap<LaneId, Lane>,
    shared: &Shared,
    (until, now): (Timestamp, Timestamp),
) -> Option<RunEvent> {
    if until.since(now).as_secs() < 1 {
        return None;
    }
    let (key, reason) = lanes.values().find_map(|lane| {
        lane.keys(shared).indices().find_map(|key| {
            let blocked = shared.keys.limiter.blocked(key)?;
            let at = next_permit_at(lane, shared, key, now);
            (at == Some(until)).then(|| (lane.keys(shared).key(key), blocked.reason))
        })
    })?;
    let reason = match reason {
        BlockReason::InFlight | BlockReason::Requests => "requests per minute",
        BlockReason::Tokens => "tokens per minute",
        BlockReason::Day => "requests per day",
    };
    Some(RunEvent::Waiting {
        subject: display_name(&key.label),
        until,
        reason: reason.to_owned(),
    })
}
