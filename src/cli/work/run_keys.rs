//! Builds the keys of a run for a model, with their limits, stored states, and requests made today.

use std::sync::Arc;

use secrecy::SecretString;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::key_sources::NamedKey;
use crate::domain::key::{Key, KeyState};
use crate::domain::limits::KeyLimits;
use crate::progress::safe::Safe;
use crate::runner::RunKey;
use crate::simulator::SAMPLE_KEY;
use crate::store::KeyRow;

use super::BatchRunner;

impl BatchRunner<'_> {
    /// Returns the keys that serve a model.
    pub(super) async fn run_keys(&self, model: &str) -> Result<Vec<RunKey>, CliError> {
        if self.keys.is_empty() {
            let mut run_keys = [self.unnamed_key()?];
            self.count_daily_requests(&mut run_keys).await?;
            return Ok(run_keys.into());
        }
        let stored = self.store.keys().await?;
        let serving = self.keys.iter().filter(|named| named.serves(model));
        let mut run_keys: Vec<_> = serving
            .map(|named| self.run_key(named, model, &stored))
            .collect();
        if run_keys.is_empty() {
            let what = format!("no API key is configured for the model \"{model}\"");
            return Err(CliError::new(
                Exit::NoKey,
                &what,
                "add the model to `models` of a key",
            ));
        }
        self.count_daily_requests(&mut run_keys).await?;
        Ok(run_keys)
    }

    fn run_key(&self, named: &NamedKey, model: &str, stored: &[KeyRow]) -> RunKey {
        let fingerprint = self.salt.fingerprint(named);
        let base_url = self.client.endpoint().display();
        let known = stored
            .iter()
            .find(|row| row.applies_to(&fingerprint, base_url, model));
        let mut key = Key::new(named.label.clone(), fingerprint);
        key.group.clone_from(&named.group);
        key.weight = named.weight;
        if let Some(row) = known {
            key.state = KeyState::from_parts(&row.state, row.until);
            key.model_only = !row.model.is_empty();
            key.reason.clone_from(&row.reason);
        }
        let limits_and_prices = &self.limits_and_prices;
        let shared = named.group.as_ref().map(|group| {
            let own = limits_and_prices.groups.get(group).copied();
            own.unwrap_or_default().or(limits_and_prices.per_key)
        });
        RunKey {
            key,
            secret: Some(Arc::new(named.secret.clone())),
            // Limits that apply to each key are shared by the keys of a group.
            limits: match shared {
                Some(_) => named.limits,
                None => named.limits.or(limits_and_prices.per_key),
            },
            group_limits: shared.unwrap_or_default(),
            today: 0,
        }
    }

    /// Reads how many requests each key has made in its current day.
    async fn count_daily_requests(&self, keys: &mut [RunKey]) -> Result<(), CliError> {
        let base_url = self.client.endpoint().display();
        let now = self.clock.now();
        for key in keys {
            let limits = [key.limits, key.group_limits];
            let Some(daily) = limits.into_iter().rev().find(|limits| limits.rpd.is_some()) else {
                continue;
            };
            let day = daily.utc_offset.day_start(now);
            let fingerprint = &key.key.fingerprint;
            key.today = self
                .store
                .requests_on_day(fingerprint, base_url, day)
                .await?;
        }
        Ok(())
    }

    /// Returns the only entry if no keys are configured: the key of the simulated provider, or no
    /// key for an endpoint on localhost. It has no fingerprint, so that its state is not stored.
    fn unnamed_key(&self) -> Result<RunKey, CliError> {
        let entry = |label: &str, secret| RunKey {
            key: Key::new(label.to_owned(), String::new()),
            secret,
            limits: self.limits_and_prices.per_key,
            group_limits: KeyLimits::default(),
            today: 0,
        };
        if self.is_simulated() {
            return Ok(entry(
                "simulated key",
                Some(Arc::new(SecretString::from(SAMPLE_KEY))),
            ));
        }
        let endpoint = self.client.endpoint();
        if endpoint.is_loopback() {
            return Ok(entry("no key", None));
        }
        let what = format!("no API key for {}", Safe(endpoint.display()));
        let hint = "set OPENAI_API_KEY or pass --api-key-file FILE; \
                    to try promptmill without a key, use --simulate";
        Err(CliError::new(Exit::NoKey, &what, hint))
    }
}
