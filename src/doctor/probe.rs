//! The requests that `doctor` sends: as few and as cheap as possible, without any user data.

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::json;

use crate::api::Api;
use crate::clock::Clock;
use crate::domain::failure::{Failure, ResponseProblem};
use crate::domain::verdict::{self, Context, Verdict};
use crate::provider::{Client, ClientLimits, Exchange, ParsedCompletion, ProbeTarget};

/// The endpoint and the model to check.
#[derive(Debug)]
pub(super) struct ProviderProbe<'a> {
    pub(super) client: Client,
    pub(super) limits: ClientLimits,
    pub(super) model: &'a str,
    pub(super) clock: Clock,
    /// Whether chat requests, which may cost money, are allowed.
    pub(super) allow_spend: bool,
}

impl ProviderProbe<'_> {
    /// Lists the models, which is free of charge at all known providers.
    pub(super) async fn models(&self, key: Option<&SecretString>) -> Exchange<Vec<String>> {
        self.client.models(key, self.clock.now()).await
    }

    /// Sends the cheapest chat request: a one-word prompt and one token for the response.
    pub(super) async fn chat(&self, key: Option<&SecretString>) -> Exchange<ParsedCompletion> {
        let message = json!({ "role": "user", "content": "ping" });
        let body = json!({ "model": self.model, "messages": [message], "max_tokens": 1 });
        let body = Bytes::from(body.to_string());
        let now = self.clock.now();
        self.client.send(Api::Chat, body, key, now).await
    }

    /// Returns whether another endpoint of the provider serves the model.
    pub(super) async fn serves(&self, other: ProbeTarget, key: Option<&SecretString>) -> bool {
        let body = match other {
            ProbeTarget::Completions => {
                json!({ "model": self.model, "prompt": "ping", "max_tokens": 1 })
            }
            ProbeTarget::Embeddings => json!({ "model": self.model, "input": "ping" }),
        };
        let body = Bytes::from(body.to_string());
        let now = self.clock.now();
        let exchange = self.client.probe(other, body, key, now).await;
        exchange.outcome.is_ok()
    }

    /// Classifies a failure as a run does.
    pub(super) fn classify(&self, failure: &Failure) -> Verdict {
        let context = Context {
            host: self.client.endpoint().host(),
            model: self.model,
        };
        verdict::classify(failure, context)
    }
}

/// Returns whether a failure is only due to the limit of one token: some models require another
/// name for that parameter, and reasoning models use it up. URL, key, and model were accepted.
pub(super) fn is_accepted(failure: &Failure) -> bool {
    match failure {
        Failure::InvalidResponse(completion) => {
            use ResponseProblem::{Declined, NoContent};
            matches!(completion.problem, NoContent | Declined)
        }
        Failure::ErrorResponse(response) => {
            let mut names = ["max_tokens", "max_completion_tokens", "output limit"].iter();
            matches!(response.status, 400 | 422)
                && names.any(|name| response.message.contains(name))
        }
        Failure::Transport(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::{ErrorResponse, InvalidResponse};

    #[track_caller]
    fn check(status: u16, message: &str, expected: bool) {
        let response = ErrorResponse {
            status,
            message: message.to_owned(),
            ..ErrorResponse::default()
        };
        let accepted = is_accepted(&Failure::ErrorResponse(response));
        assert_eq!(accepted, expected, "{message}");
    }

    #[test]
    fn a_failure_due_to_the_token_limit_counts_as_accepted() {
        let other_name = "Unsupported parameter: 'max_tokens' is not supported with this model.";
        check(400, other_name, true);
        let thinking =
            "Could not finish the message because max_tokens or model output limit was reached.";
        check(400, thinking, true);
        check(400, "The model does not exist.", false);
        check(403, "lower max_tokens: the balance is too low", false);
        let accepted = |problem| {
            is_accepted(&Failure::InvalidResponse(InvalidResponse {
                problem,
                excerpt: String::new(),
                request_id: String::new(),
            }))
        };
        assert!(accepted(ResponseProblem::NoContent));
        assert!(!accepted(ResponseProblem::Html));
    }
}
