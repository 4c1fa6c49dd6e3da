//! The stored state of an API key.

use crate::domain::time::Timestamp;

/// The stored state of a key for one base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The fingerprint of the key, with the salt of this database.
    pub fingerprint: String,
    /// The base URL that the state applies to.
    pub base_url: String,
    /// The model that the state applies to; empty for all models.
    pub model: String,
    /// The label of the key.
    pub label: String,
    /// The name of the state: healthy, cooling, quarantined, exhausted or dead.
    pub state: String,
    /// When the key can be used again; `None` if the state does not expire.
    pub until: Option<Timestamp>,
    /// The redacted message of the provider; empty for a healthy key.
    pub reason: String,
}

impl KeyRow {
    /// Returns whether the state applies to a key at a base URL with a model.
    #[must_use]
    pub fn applies_to(&self, fingerprint: &str, base_url: &str, model: &str) -> bool {
        let this_model = self.model.is_empty() || self.model == model;
        self.fingerprint == fingerprint && self.base_url == base_url && this_model
    }
}
