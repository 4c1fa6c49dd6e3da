//! The API keys of an engine: their secrets, stored states, and daily requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrecy::SecretString;

use crate::domain::key::{Key, KeyState};
use crate::domain::keyring::KeyIndex;
use crate::domain::time::Timestamp;
use crate::scheduler::KeyQuota;
use crate::store::{KeyRow, Store, StoreError};

/// An API key. An endpoint without authentication has one entry without a secret.
#[derive(Clone, Debug)]
pub struct EngineKey {
    /// Label, fingerprint, group and weight. The state of a key without a fingerprint is not
    /// stored.
    pub key: Key,
    /// The secret; `None` sends no `Authorization` header.
    pub secret: Option<Arc<SecretString>>,
    /// The models that the key serves; empty for all.
    pub models: Vec<String>,
    /// Its limits.
    pub quota: KeyQuota,
}

impl EngineKey {
    /// Returns whether the key is to be used for a model.
    fn serves(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|served| served == model)
    }
}

/// The keys of an engine.
#[derive(Debug)]
pub(super) struct EngineKeys {
    keys: Vec<EngineKey>,
    base_url: String,
    /// Requests per key and day that are not saved yet.
    uncounted: BTreeMap<(KeyIndex, Timestamp), u32>,
    /// The fingerprints of the keys with a stored state, when last read or written.
    stored: BTreeSet<String>,
}

impl EngineKeys {
    pub(super) fn new(keys: Vec<EngineKey>, base_url: &str) -> Self {
        Self {
            keys,
            base_url: base_url.to_owned(),
            uncounted: BTreeMap::new(),
            stored: BTreeSet::new(),
        }
    }

    /// Returns whether a key serves a model.
    pub(super) fn serves(&self, model: &str) -> bool {
        self.keys.iter().any(|key| key.serves(model))
    }

    /// Returns the label of a key.
    pub(super) fn label(&self, key: KeyIndex) -> &str {
        &self.keys[key.0].key.label
    }

    /// Returns the secret of a key.
    pub(super) fn secret(&self, key: KeyIndex) -> Option<Arc<SecretString>> {
        self.keys[key.0].secret.clone()
    }

    /// Counts a request toward the daily limit of its key.
    pub(super) fn count_request(&mut self, key: KeyIndex, day: Timestamp) {
        *self.uncounted.entry((key, day)).or_default() += 1;
    }

    /// Returns the keys that serve a model, with their stored states.
    pub(super) async fn serving(
        &mut self,
        store: &Store,
        model: &str,
    ) -> Result<Vec<(KeyIndex, Key)>, StoreError> {
        let stored = self.stored_states(store).await?;
        let fingerprints = stored.iter().map(|row| row.fingerprint.clone());
        self.stored.extend(fingerprints);
        let keys = self.keys.iter().enumerate();
        let serving = keys.filter(|(_, key)| key.serves(model));
        let with_state = serving.map(|(index, key)| {
            let mut key = key.key.clone();
            // A state for this model only follows one for all models, and replaces it.
            let known = stored
                .iter()
                .rfind(|row| row.applies_to(&key.fingerprint, &self.base_url, model));
            if let Some(row) = known {
                key.state = KeyState::from_parts(&row.state, row.until);
                key.model_only = !row.model.is_empty();
                key.reason.clone_from(&row.reason);
            }
            (KeyIndex(index), key)
        });
        Ok(with_state.collect())
    }

    /// Returns the keys whose stored states were removed by another process since they were last
    /// read or written.
    pub(super) async fn take_reset(&mut self, store: &Store) -> Result<Vec<KeyIndex>, StoreError> {
        let rows = self.stored_states(store).await?;
        let still_stored = rows.into_iter().map(|row| row.fingerprint).collect();
        let stored = std::mem::replace(&mut self.stored, still_stored);
        let keys = self.keys.iter().enumerate();
        let was_reset =
            |fingerprint| stored.contains(fingerprint) && !self.stored.contains(fingerprint);
        let reset = keys.filter(|(_, key)| was_reset(&key.key.fingerprint));
        Ok(reset.map(|(index, _)| KeyIndex(index)).collect())
    }

    async fn stored_states(&self, store: &Store) -> Result<Vec<KeyRow>, StoreError> {
        let mut rows = store.keys().await?;
        rows.retain(|row| row.base_url == self.base_url);
        Ok(rows)
    }

    /// Saves the states of the keys of a model for later runs.
    pub(super) async fn save(
        &mut self,
        store: &Store,
        (model, keys): (&str, &[Key]),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let identified = keys.iter().filter(|key| !key.fingerprint.is_empty());
        let rows: Vec<_> = identified
            .map(|key| key_row(key, &self.base_url, model))
            .collect();
        store.save_keys(&rows, model, now).await?;
        self.stored
            .extend(rows.into_iter().map(|row| row.fingerprint));
        Ok(())
    }

    /// Saves the number of requests that count toward daily limits.
    pub(super) async fn save_request_counts(&mut self, store: &Store) -> Result<(), StoreError> {
        for ((key, day), requests) in std::mem::take(&mut self.uncounted) {
            let fingerprint = &self.keys[key.0].key.fingerprint;
            store
                .count_requests(fingerprint, &self.base_url, day, requests)
                .await?;
        }
        Ok(())
    }
}

fn key_row(key: &Key, base_url: &str, model: &str) -> KeyRow {
    let model = if key.model_only { model } else { "" };
    KeyRow {
        fingerprint: key.fingerprint.clone(),
        base_url: base_url.to_owned(),
        model: model.to_owned(),
        label: key.label.clone(),
        state: key.state.name().to_owned(),
        until: key.state.until(),
        reason: key.reason.clone(),
    }
}
