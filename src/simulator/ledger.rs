//! What the simulated provider has seen: counts always, and an entry for each request where the
//! configuration asks for it. Tests read it; nothing of it is ever logged.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::script::Arrival;
use super::seed::digest;

/// A copy of what the simulator has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Requests seen since the start.
    pub requests: u64,
    /// Responses given since the start; a fault without a response is none.
    pub answered: u64,
    /// Requests without a response right now.
    pub in_flight: u64,
    /// The most requests without a response at any one time.
    pub max_in_flight: u64,
    /// Every request in the order of arrival; empty unless the configuration says `record`.
    pub entries: Vec<Entry>,
    /// Requests that have a number; those above `requests` are being decided on.
    numbered: u64,
    by_key: HashMap<String, u64>,
    by_prompt: HashMap<u64, u64>,
    by_status: HashMap<u16, u64>,
}

/// One request that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of the request, counted from 1.
    pub number: u64,
    /// When it arrived, counted from the start of the simulator.
    pub at: Duration,
    /// Its path.
    pub path: String,
    /// Its API key; empty when there was none.
    pub key: String,
    /// The model it asked for; empty when there was none.
    pub model: String,
    /// The text of its last user message, or its input.
    pub prompt: String,
    /// Its body.
    pub body: String,
    /// The status it got or will get; `None` when no response is given.
    pub status: Option<u16>,
}

impl Ledger {
    /// Returns how many requests a key has made; the empty key stands for requests without one.
    #[must_use]
    pub fn of_key(&self, key: &str) -> u64 {
        self.by_key.get(key).copied().unwrap_or(0)
    }

    /// Returns how many requests had exactly this prompt.
    #[must_use]
    pub fn of_prompt(&self, prompt: &str) -> u64 {
        let hash = digest(prompt.as_bytes());
        self.by_prompt.get(&hash).copied().unwrap_or(0)
    }

    /// Returns how many requests got this status.
    #[must_use]
    pub fn of_status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    /// Returns the number of different prompts.
    #[must_use]
    pub fn prompts(&self) -> usize {
        self.by_prompt.len()
    }

    /// Returns how often the prompt that came most often has come.
    #[must_use]
    pub fn max_of_one_prompt(&self) -> u64 {
        self.by_prompt.values().copied().max().unwrap_or(0)
    }
}

/// The ledger that is being written.
#[derive(Debug)]
pub(super) struct Book {
    ledger: Mutex<Ledger>,
    /// Rung whenever a count has risen.
    risen: Notify,
    record: bool,
    start: Instant,
}

/// What the counts say about a request that has just arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) number: u64,
    pub(super) turn: u64,
    pub(super) of_key: u64,
}

/// A request without a response yet. It is taken off the requests in flight when it is dropped.
#[derive(Debug)]
pub(super) struct Flight<'a> {
    book: &'a Book,
    answered: bool,
}

impl Book {
    /// Opens an empty book.
    pub(super) fn new(record: bool) -> Self {
        Self {
            ledger: Mutex::default(),
            risen: Notify::new(),
            record,
            start: Instant::now(),
        }
    }

    /// Numbers a request that has arrived; it is seen once it is noted. `prompt` is the hash of its prompt, if it has one.
    pub(super) fn arrive(&self, key: &str, prompt: Option<u64>) -> (Count, Flight<'_>) {
        let mut ledger = self.lock();
        ledger.numbered += 1;
        ledger.in_flight += 1;
        ledger.max_in_flight = ledger.max_in_flight.max(ledger.in_flight);
        let of_key = rise(&mut ledger.by_key, key);
        let turn = prompt.map_or(0, |prompt| {
            let turn = ledger.by_prompt.entry(prompt).or_insert(0);
            *turn += 1;
            *turn
        });
        let count = Count {
            number: ledger.numbered,
            turn,
            of_key,
        };
        let flight = Flight {
            book: self,
            answered: false,
        };
        (count, flight)
    }

    /// Writes down what a request will get, its entry and its count together, and tells those who wait for it to be seen.
    pub(super) fn note(&self, arrival: &Arrival<'_>, status: Option<u16>) {
        let entry = self.record.then(|| self.entry(arrival, status));
        let mut ledger = self.lock();
        ledger.requests += 1;
        if let Some(status) = status {
            *ledger.by_status.entry(status).or_insert(0) += 1;
        }
        ledger.entries.extend(entry);
        drop(ledger);
        self.risen.notify_waiters();
    }

    /// Waits until the ledger is as `wanted`.
    pub(super) async fn until(&self, wanted: impl Fn(&Ledger) -> bool) {
        loop {
            // Listens before it looks, so that a rise in between is not missed.
            let risen = self.risen.notified();
            if wanted(&self.lock()) {
                return;
            }
            risen.await;
        }
    }

    /// Returns a copy of the ledger.
    pub(super) fn snapshot(&self) -> Ledger {
        let mut copy = self.lock().clone();
        // Two requests may be noted in another order than they were counted.
        copy.entries.sort_by_key(|entry| entry.number);
        copy
    }

    fn entry(&self, arrival: &Arrival<'_>, status: Option<u16>) -> Entry {
        Entry {
            number: arrival.number,
            at: self.start.elapsed(),
            path: arrival.path.to_owned(),
            key: arrival.key.to_owned(),
            model: arrival.model.to_owned(),
            prompt: arrival.prompt.to_owned(),
            body: String::from_utf8_lossy(arrival.body).into_owned(),
            status,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // Counts stay true when a thread panics between two of them.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight<'_> {
    /// Marks the request as answered.
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut ledger = self.book.lock();
        ledger.in_flight -= 1;
        ledger.answered += u64::from(self.answered);
        drop(ledger);
        self.book.risen.notify_waiters();
    }
}

/// Counts one more for `key` and returns the new count; allocates only for a new key.
fn rise(counts: &mut HashMap<String, u64>, key: &str) -> u64 {
    if let Some(count) = counts.get_mut(key) {
        *count += 1;
        return *count;
    }
    counts.insert(key.to_owned(), 1);
    1
}
