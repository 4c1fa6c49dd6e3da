//! What a verdict consists of: the scope of a failure and the action to take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The cause of a failure, which determines what the failure affects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This key only.
    Key,
    /// The account or organization behind the key: its balance or its status.
    Account,
    /// This key with this model.
    KeyModel,
    /// The model, for every key.
    Model,
    /// The base URL, the API or a request parameter: every job of the run.
    Endpoint,
    /// The request of this row.
    Request,
    /// The connection to the provider: IP address, region, firewall, proxy, certificate.
    Network,
    /// A limit that resets, such as per minute or per day.
    Quota,
    /// A temporary condition.
    #[default]
    Transient,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Retry later. Uses one of the job's attempts.
    Retry {
        /// The number of failures by this rule that fail the job, if lower than `--max-attempts`.
        at_most: Option<u32>,
    },
    /// Wait for a limit: the key is not used for the verdict's `wait`. Uses no attempt.
    Wait,
    /// Penalize the key and retry with the next one. Uses no attempt.
    NextKey(KeyPenalty),
    /// Fail the job permanently.
    FailJob,
    /// Stop the run, since no job can succeed. The job stays pending.
    StopRun,
}

/// How a key is penalized after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPenalty {
    /// The cause is unknown until other keys have been tried.
    Probation,
    /// The provider named the key as the cause, and the condition can be temporary.
    Quarantined,
    /// The account behind the key has no credits or no quota left.
    Exhausted,
    /// The key is invalid and must be replaced.
    Dead,
}

/// The request that failed.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The endpoint's host, in lowercase.
    pub host: &'a str,
    /// The requested model.
    pub model: &'a str,
}

/// The classification of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What caused the failure.
    pub scope: Scope,
    /// The ID of the rule that matched. It is displayed and stored, so it never changes.
    pub rule: &'static str,
    /// What to do.
    pub action: Action,
    /// The minimum time to wait, if the provider or the rule specifies one.
    pub wait: Option<Duration>,
    /// What the user can do about it; empty if nothing.
    pub hint: &'static str,
}

impl Verdict {
    /// Creates a verdict without a wait.
    pub(super) const fn new(
        scope: Scope,
        rule: &'static str,
        action: Action,
        hint: &'static str,
    ) -> Self {
        Self {
            scope,
            rule,
            action,
            wait: None,
            hint,
        }
    }
}

pub(super) const RETRY: Action = Action::Retry { at_most: None };
pub(super) const RETRY_ONCE: Action = Action::Retry { at_most: Some(2) };
pub(super) const RETRY_TWICE: Action = Action::Retry { at_most: Some(3) };
/// The hint of a rule for which the user can do nothing.
pub(super) const NO_HINT: &str = "";
