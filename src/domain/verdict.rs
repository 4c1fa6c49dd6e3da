//! The judge of failures: whose fault it is, by which rule, and what to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This key only.
    Key,
    /// The account or organisation behind the key: its money, its standing.
    Account,
    /// This key for this model.
    KeyModel,
    /// The model, for every key.
    Model,
    /// The address, the kind of endpoint or a parameter: every job of the run.
    Endpoint,
    /// This row's request.
    Request,
    /// The way to the provider: address, region, firewall, proxy, certificate.
    Network,
    /// A limit that comes back at a time: per minute, per day.
    Quota,
    /// Something that passes.
    Transient,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask again later. Uses one of the job's attempts; `at_most` such failures by this rule fail it.
    Retry {
        /// How many failures by this rule a job may have in all, when fewer than `--max-attempts`.
        at_most: Option<u32>,
    },
    /// Wait for a limit: the key rests for the verdict's `wait`. Uses no attempt.
    Wait,
    /// The attempt is over for this key; the next key has a try. Uses no attempt.
    NextKey(SetAside),
    /// The job fails for good.
    FailJob,
    /// No job can succeed like this: the run stops, the job stays pending.
    StopRun,
}

/// How a key is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetAside {
    /// Nobody knows yet whose fault it is: what other keys get will tell.
    Doubted,
    /// The provider named the key as the cause, in a way that may pass.
    Quarantined,
    /// The account behind it has no money or no quota left.
    Exhausted,
    /// The key is definitely invalid: only a changed key helps.
    Dead,
}

/// What is known besides the failure itself.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The endpoint's host, lower-case.
    pub host: &'a str,
    /// The model that was asked for.
    pub model: &'a str,
}

/// The judge's word on a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose fault it is.
    pub scope: Scope,
    /// The rule that said so: a stable id, shown to people and stored.
    pub rule: &'static str,
    /// What to do.
    pub action: Action,
    /// The least time to wait, where the provider or the rule names one.
    pub wait: Option<Duration>,
    /// What a person should do about it, as a sentence; empty where there is nothing to do.
    pub cure: &'static str,
}

/// Judges a failure.
#[must_use]
pub fn judge(failure: &Failure, context: Context<'_>) -> Verdict {
    let _ = (failure, context);
    todo!()
}
