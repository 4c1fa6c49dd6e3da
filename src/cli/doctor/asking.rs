//! What is asked of the endpoint: as little as tells something, and nothing of the user's.

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::json;

use crate::clock::Clock;
use crate::domain::failure::{Failure, Problem};
use crate::domain::request_template::Api;
use crate::domain::verdict::{self, Context, Verdict};
use crate::provider::{Attempt, Client, ClientLimits, Other, ParsedCompletion};

/// An endpoint to ask, and a model to ask for.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) client: Client,
    pub(super) limits: ClientLimits,
    pub(super) model: &'a str,
    pub(super) clock: Clock,
    /// Whether chat calls may be made.
    pub(super) spends: bool,
}

impl Asking<'_> {
    /// Lists the models: no provider takes money for that.
    pub(super) async fn models(&self, key: Option<&SecretString>) -> Attempt<Vec<String>> {
        self.client.models(key, self.clock.now()).await
    }

    /// Makes the cheapest chat call: one word, and one token for the answer.
    pub(super) async fn chat(&self, key: Option<&SecretString>) -> Attempt<ParsedCompletion> {
        let message = json!({ "role": "user", "content": "ping" });
        let body = json!({ "model": self.model, "messages": [message], "max_tokens": 1 });
        let body = Bytes::from(body.to_string());
        let now = self.clock.now();
        self.client.send(Api::Chat, body, key, now).await
    }

    /// Tells whether another endpoint serves the model.
    pub(super) async fn serves(&self, other: Other, key: Option<&SecretString>) -> bool {
        let body = match other {
            Other::Completions => json!({ "model": self.model, "prompt": "ping", "max_tokens": 1 }),
            Other::Embeddings => json!({ "model": self.model, "input": "ping" }),
        };
        let body = Bytes::from(body.to_string());
        let now = self.clock.now();
        self.client
            .probe(other, body, key, now)
            .await
            .outcome
            .is_ok()
    }

    /// Judges a failure as a run would.
    pub(super) fn judge(&self, failure: &Failure) -> Verdict {
        let context = Context {
            host: self.client.endpoint().host(),
            model: self.model,
        };
        verdict::judge(failure, context)
    }
}

/// Returns whether a failure is owed to the one token alone: some models want another name for the
/// limit, and some think before their first word. Address, key and model were accepted.
pub(super) fn is_accepted(failure: &Failure) -> bool {
    match failure {
        Failure::NoAnswer(completion) => {
            matches!(completion.problem, Problem::NoContent | Problem::Declined)
        }
        Failure::Refused(refusal) => {
            let names_limit = ["max_tokens", "max_completion_tokens", "output limit"];
            matches!(refusal.status, 400 | 422)
                && names_limit
                    .iter()
                    .any(|name| refusal.message.contains(name))
        }
        Failure::NoResponse(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::{NoAnswer, Refusal};

    #[track_caller]
    fn check(status: u16, message: &str, expected: bool) {
        let refusal = Refusal {
            status,
            message: message.to_owned(),
            ..Refusal::default()
        };
        assert_eq!(
            is_accepted(&Failure::Refused(refusal)),
            expected,
            "{message}"
        );
    }

    #[test]
    fn what_the_single_token_causes_is_no_failure() {
        let other_name = "Unsupported parameter: 'max_tokens' is not supported with this model.";
        check(400, other_name, true);
        let thinking =
            "Could not finish the message because max_tokens or model output limit was reached.";
        check(400, thinking, true);
        check(400, "The model does not exist.", false);
        check(403, "lower max_tokens: the balance is too low", false);
        let declined = |problem| NoAnswer {
            problem,
            excerpt: String::new(),
            request_id: String::new(),
        };
        assert!(is_accepted(&Failure::NoAnswer(declined(
            Problem::NoContent
        ))));
        assert!(!is_accepted(&Failure::NoAnswer(declined(Problem::Html))));
    }
}
