//! A log of the received requests, for tests: counts, and an entry for each request if recording is
//! enabled. It is kept only in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::rng::digest;
use super::script::IncomingRequest;

/// A snapshot of the requests received so far.
#[derive(Clone, Debug, Default)]
pub struct RequestLog {
    /// Requests received.
    pub requests: u64,
    /// Responses sent; faults without a response do not count.
    pub responses: u64,
    /// Requests currently in flight.
    pub in_flight: u64,
    /// Maximum of `in_flight`.
    pub max_in_flight: u64,
    /// All requests in order of arrival; empty unless they are recorded.
    pub entries: Vec<RequestLogEntry>,
    /// Requests with an assigned number, including those whose response is still being planned.
    numbered: u64,
    by_key: HashMap<String, u64>,
    by_prompt: HashMap<u64, u64>,
    by_status: HashMap<u16, u64>,
}

/// A received request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLogEntry {
    /// Its number, starting at 1.
    pub number: u64,
    /// Time of arrival since the start of the simulator.
    pub at: Duration,
    /// Its path.
    pub path: String,
    /// Its API key; empty without one.
    pub key: String,
    /// Its model; empty without one.
    pub model: String,
    /// The text of its last user message, or its input.
    pub prompt: String,
    /// Its body.
    pub body: String,
    /// The status of its response; `None` without a response.
    pub status: Option<u16>,
}

impl RequestLog {
    /// Returns the number of requests with an API key, or without one if `key` is empty.
    #[must_use]
    pub fn count_by_key(&self, key: &str) -> u64 {
        self.by_key.get(key).copied().unwrap_or(0)
    }

    /// Returns the number of requests with exactly this prompt.
    #[must_use]
    pub fn count_by_prompt(&self, prompt: &str) -> u64 {
        let hash = digest(prompt.as_bytes());
        self.by_prompt.get(&hash).copied().unwrap_or(0)
    }

    /// Returns the number of requests that got this status.
    #[must_use]
    pub fn count_by_status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    /// Returns the number of different prompts.
    #[must_use]
    pub fn distinct_prompts(&self) -> usize {
        self.by_prompt.len()
    }

    /// Returns the number of requests with the most frequent prompt.
    #[must_use]
    pub fn max_per_prompt(&self) -> u64 {
        self.by_prompt.values().copied().max().unwrap_or(0)
    }
}

/// Writes the request log.
#[derive(Debug)]
pub(super) struct RequestRecorder {
    log: Mutex<RequestLog>,
    /// Notified whenever a count changes.
    changed: Notify,
    keep_entries: bool,
    start: Instant,
}

/// The position of a new request among all requests, and among those with its prompt and its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestCounts {
    pub(super) number: u64,
    pub(super) prompt_count: u64,
    pub(super) key_count: u64,
}

/// A request in flight until this guard is dropped.
#[derive(Debug)]
pub(super) struct InFlightGuard<'a> {
    recorder: &'a RequestRecorder,
    responded: bool,
}

impl RequestRecorder {
    /// Creates a recorder with an empty log.
    pub(super) fn new(keep_entries: bool) -> Self {
        Self {
            log: Mutex::default(),
            changed: Notify::new(),
            keep_entries,
            start: Instant::now(),
        }
    }

    /// Assigns a number to a new request. `prompt` is the hash of its prompt, if it has one.
    pub(super) fn begin(
        &self,
        key: &str,
        prompt: Option<u64>,
    ) -> (RequestCounts, InFlightGuard<'_>) {
        let mut log = self.lock();
        log.numbered += 1;
        log.in_flight += 1;
        log.max_in_flight = log.max_in_flight.max(log.in_flight);
        let key_count = increment(&mut log.by_key, key);
        let prompt_count = prompt.map_or(0, |prompt| {
            let count = log.by_prompt.entry(prompt).or_insert(0);
            *count += 1;
            *count
        });
        let counts = RequestCounts {
            number: log.numbered,
            prompt_count,
            key_count,
        };
        let guard = InFlightGuard {
            recorder: self,
            responded: false,
        };
        (counts, guard)
    }

    /// Counts and logs a request with its planned status, and notifies waiting tasks.
    pub(super) fn record(&self, request: &IncomingRequest<'_>, status: Option<u16>) {
        let entry = self.keep_entries.then(|| self.entry(request, status));
        let mut log = self.lock();
        log.requests += 1;
        if let Some(status) = status {
            *log.by_status.entry(status).or_insert(0) += 1;
        }
        log.entries.extend(entry);
        drop(log);
        self.changed.notify_waiters();
    }

    /// Waits until the log satisfies `condition`.
    pub(super) async fn wait_until(&self, condition: impl Fn(&RequestLog) -> bool) {
        loop {
            // Subscribe before checking, or a change in between would be missed.
            let changed = self.changed.notified();
            if condition(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Returns a copy of the log.
    pub(super) fn snapshot(&self) -> RequestLog {
        let mut copy = self.lock().clone();
        // Requests can be recorded in a different order than they were numbered.
        copy.entries.sort_by_key(|entry| entry.number);
        copy
    }

    fn entry(&self, request: &IncomingRequest<'_>, status: Option<u16>) -> RequestLogEntry {
        RequestLogEntry {
            number: request.number,
            at: self.start.elapsed(),
            path: request.path.to_owned(),
            key: request.key.to_owned(),
            model: request.model.to_owned(),
            prompt: request.prompt.to_owned(),
            body: String::from_utf8_lossy(request.body).into_owned(),
            status,
        }
    }

    fn lock(&self) -> MutexGuard<'_, RequestLog> {
        // The counts stay valid if a thread panics between two updates.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlightGuard<'_> {
    /// Ends the request with a response.
    pub(super) fn end_with_response(mut self) {
        self.responded = true;
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        let mut log = self.recorder.lock();
        log.in_flight -= 1;
        log.responses += u64::from(self.responded);
        drop(log);
        self.recorder.changed.notify_waiters();
    }
}

/// Increments the count of `key` and returns it; allocates only for a new key.
fn increment(counts: &mut HashMap<String, u64>, key: &str) -> u64 {
    if let Some(count) = counts.get_mut(key) {
        *count += 1;
        return *count;
    }
    counts.insert(key.to_owned(), 1);
    1
}
