//! Makes the ring of keys for a model: whose limits each has, what is remembered of it, and how many
//! requests of its day it has made.

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

use super::Worker;

impl Worker<'_> {
    /// Makes the ring of the keys that may be used for a model, with what is remembered of them.
    pub(super) async fn ring(&self, model: &str) -> Result<Vec<RunKey>, CliError> {
        if self.keys.is_empty() {
            let mut ring = [self.nameless_key()?];
            self.count_days(&mut ring).await?;
            return Ok(ring.into());
        }
        let remembered = self.store.keys().await?;
        let serving = self.keys.iter().filter(|named| named.serves(model));
        let mut ring: Vec<_> = serving
            .map(|named| self.run_key(named, model, &remembered))
            .collect();
        if ring.is_empty() {
            let what = format!("no key may be used for the model \"{model}\"");
            return Err(CliError::new(
                Exit::NoKey,
                &what,
                "add the model to `models` of a key",
            ));
        }
        self.count_days(&mut ring).await?;
        Ok(ring)
    }

    fn run_key(&self, named: &NamedKey, model: &str, remembered: &[KeyRow]) -> RunKey {
        let fingerprint = self.salt.print(named);
        let base_url = self.client.endpoint().display();
        let known = remembered
            .iter()
            .find(|row| row.is_about(&fingerprint, base_url, model));
        let mut key = Key::new(named.label.clone(), fingerprint);
        key.group.clone_from(&named.group);
        key.weight = named.weight;
        if let Some(row) = known {
            key.state = KeyState::from_parts(&row.state, row.until);
            key.model_only = !row.model.is_empty();
            key.reason.clone_from(&row.reason);
        }
        let allowed = &self.allowed;
        let shared = named.group.as_ref().map(|group| {
            let own = allowed.groups.get(group).copied();
            own.unwrap_or_default().or(allowed.each)
        });
        RunKey {
            key,
            secret: Some(Arc::new(named.secret.clone())),
            // What is said of each key is shared where keys are an account's.
            limits: match shared {
                Some(_) => named.limits,
                None => named.limits.or(allowed.each),
            },
            group_limits: shared.unwrap_or_default(),
            today: 0,
        }
    }

    /// Reads how many requests of its day each key has made already.
    async fn count_days(&self, keys: &mut [RunKey]) -> Result<(), CliError> {
        let base_url = self.client.endpoint().display();
        let now = self.clock.now();
        for key in keys {
            let limits = [key.limits, key.group_limits];
            let Some(daily) = limits.into_iter().rev().find(|limits| limits.rpd.is_some()) else {
                continue;
            };
            let day = daily.zone.day_start(now);
            let print = &key.key.fingerprint;
            key.today = self.store.requests_of_day(print, base_url, day).await?;
        }
        Ok(())
    }

    /// The one entry of a ring without keys: the simulated provider's, or none for this machine.
    /// Without a print, nothing of it is remembered.
    fn nameless_key(&self) -> Result<RunKey, CliError> {
        let entry = |label: &str, secret| RunKey {
            key: Key::new(label.to_owned(), String::new()),
            secret,
            limits: self.allowed.each,
            group_limits: KeyLimits::default(),
            today: 0,
        };
        if self.simulates() {
            return Ok(entry(
                "simulated key",
                Some(Arc::new(SecretString::from(SAMPLE_KEY))),
            ));
        }
        let endpoint = self.client.endpoint();
        if endpoint.is_loopback() {
            return Ok(entry("no key", None));
        }
        let what = format!("no key was given for {}", Safe(endpoint.display()));
        let hint = "set OPENAI_API_KEY, or use --api-key-file FILE; \
                    --simulate tries it without a key";
        Err(CliError::new(Exit::NoKey, &what, hint))
    }
}
