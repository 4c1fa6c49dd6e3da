//! Builds the keys of an engine with their limits and the requests made today.

use std::sync::Arc;

use secrecy::SecretString;

use crate::cli::exit::{CliError, Exit};
use crate::cli::key_sources::NamedKey;
use crate::cli::settings::LimitsAndPrices;
use crate::domain::key::Key;
use crate::domain::time::Timestamp;
use crate::engine::EngineKey;
use crate::progress::safe::Safe;
use crate::provider::Endpoint;
use crate::scheduler::KeyQuota;
use crate::simulator::SAMPLE_KEY;
use crate::store::{Salt, Store};

/// What the keys of an engine are built from.
pub(super) struct KeySetup<'a> {
    pub(super) keys: &'a [NamedKey],
    pub(super) salt: &'a Salt,
    pub(super) limits: &'a LimitsAndPrices,
    pub(super) endpoint: &'a Endpoint,
    pub(super) simulated: bool,
}

impl KeySetup<'_> {
    /// Returns all keys. Without any, there is one entry for the simulated provider, or one without
    /// a secret for an endpoint on localhost.
    pub(super) async fn engine_keys(
        &self,
        store: &Store,
        now: Timestamp,
    ) -> Result<Vec<EngineKey>, CliError> {
        let mut keys: Vec<_> = self
            .keys
            .iter()
            .map(|named| self.engine_key(named))
            .collect();
        keys.extend(self.unnamed_key().filter(|_| keys.is_empty()));
        self.count_daily_requests(&mut keys, store, now).await?;
        Ok(keys)
    }

    fn engine_key(&self, named: &NamedKey) -> EngineKey {
        let fingerprint = self.salt.fingerprint(&named.secret);
        let mut key = Key::new(named.label.clone(), fingerprint);
        key.group.clone_from(&named.group);
        key.weight = named.weight;
        let limits_and_prices = self.limits;
        let shared = named.group.as_ref().map(|group| {
            let own = limits_and_prices.groups.get(group).cloned();
            own.unwrap_or_default().or(&limits_and_prices.per_key)
        });
        let quota = KeyQuota {
            group: named.group.clone(),
            // Limits that apply to each key are shared by the keys of a group.
            limits: match shared {
                Some(_) => named.limits.clone(),
                None => named.limits.clone().or(&limits_and_prices.per_key),
            },
            group_limits: shared.unwrap_or_default(),
            today: 0,
        };
        EngineKey {
            key,
            secret: Some(Arc::new(named.secret.clone())),
            models: named.models.clone(),
            quota,
        }
    }

    /// Reads how many requests each key has made in its current day.
    async fn count_daily_requests(
        &self,
        keys: &mut [EngineKey],
        store: &Store,
        now: Timestamp,
    ) -> Result<(), CliError> {
        let base_url = self.endpoint.display();
        for key in keys {
            let limits = [&key.quota.limits, &key.quota.group_limits];
            let Some(daily) = limits.into_iter().rev().find(|limits| limits.rpd.is_some()) else {
                continue;
            };
            let day = daily.zone.day_start(now);
            let fingerprint = &key.key.fingerprint;
            key.quota.today = store.requests_on_day(fingerprint, base_url, day).await?;
        }
        Ok(())
    }

    /// Returns the entry if no keys are configured. It has no fingerprint, so that its state is not
    /// stored.
    fn unnamed_key(&self) -> Option<EngineKey> {
        let entry = |label: &str, secret| EngineKey {
            key: Key::new(label.to_owned(), String::new()),
            secret,
            models: Vec::new(),
            quota: KeyQuota {
                limits: self.limits.per_key.clone(),
                ..KeyQuota::default()
            },
        };
        if self.simulated {
            let secret = SecretString::from(SAMPLE_KEY);
            return Some(entry("simulated key", Some(Arc::new(secret))));
        }
        let is_loopback = self.endpoint.is_loopback();
        is_loopback.then(|| entry("no key", None))
    }

    /// Describes why no key serves a model.
    pub(super) fn no_key_for(&self, model: &str) -> CliError {
        if self.keys.is_empty() {
            let what = format!("no API key for {}", Safe(self.endpoint.display()));
            let hint = "set OPENAI_API_KEY or pass --api-key-file FILE; \
                        to try promptmill without a key, use --simulate";
            return CliError::new(Exit::NoKey, &what, hint);
        }
        let what = format!("no API key is configured for the model \"{model}\"");
        CliError::new(Exit::NoKey, &what, "add the model to `models` of a key")
    }
}
