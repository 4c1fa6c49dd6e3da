//! Personalities: the provider to imitate, with its models, API key format and errors.

use hyper::StatusCode;

use super::error::SimulatedError;
use super::limits::{LimitKind, LimitReached, SimulatedLimits};
use super::rate_limit;
use super::response::SimulatedResponse;

/// A key in the format that every personality accepts: `sk-` and 48 characters.
pub const SAMPLE_KEY: &str = "sk-simulatedsimulatedsimulatedsimulatedsimulated000";

/// The provider to imitate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Personality {
    /// OpenAI: any key and any model, unless the configuration lists some.
    #[default]
    OpenAi,
    /// The free keys of `ChatAnywhere`, known as `GPT_API_free`: a short list of models by exact
    /// name, chat and embeddings only, 4,096 input tokens, 200 requests per day shared by all keys,
    /// and status 403 for nearly every error.
    GptApiFree,
}

/// The models of the free keys.
const FREE_MODELS: [&str; 11] = [
    "deepseek-r1",
    "deepseek-v3",
    "gpt-3.5-turbo",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "gpt-4o",
    "gpt-4o-mini",
    "text-embedding-3-large",
    "text-embedding-3-small",
    "text-embedding-ada-002",
];

/// The models that are listed if any model is accepted.
const SAMPLE_MODELS: [&str; 4] = [
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "text-embedding-3-small",
];

/// Maximum input tokens of a free key.
const FREE_INPUT_TOKENS: u64 = 4_096;

/// Requests per day of all free keys together.
const FREE_REQUESTS_PER_DAY: u32 = 200;

impl Personality {
    /// Returns the models to list if none are configured.
    pub(super) fn models(self) -> &'static [&'static str] {
        match self {
            Self::OpenAi => &SAMPLE_MODELS,
            Self::GptApiFree => &FREE_MODELS,
        }
    }

    /// Returns whether the provider has a model if none are configured.
    pub(super) fn has_model(self, model: &str) -> bool {
        match self {
            Self::OpenAi => true,
            Self::GptApiFree => FREE_MODELS.contains(&model),
        }
    }

    /// Returns whether the provider accepts a key if none are configured.
    pub(super) fn accepts_key(self, key: &str) -> bool {
        match self {
            Self::OpenAi => true,
            Self::GptApiFree => key.starts_with("sk-") && key.len() == SAMPLE_KEY.len(),
        }
    }

    /// Sets the limits of the provider where none are configured.
    pub(super) fn apply_limits(self, limits: &mut SimulatedLimits) {
        if self == Self::GptApiFree {
            limits.requests_per_day.get_or_insert(FREE_REQUESTS_PER_DAY);
            limits.share_daily_quota.get_or_insert(true);
        }
    }

    /// Checks the length of the input.
    pub(super) fn check_input(self, tokens: u64) -> Result<(), SimulatedError> {
        if self == Self::OpenAi || tokens <= FREE_INPUT_TOKENS {
            return Ok(());
        }
        Err(SimulatedError::new(
            403,
            "免费API限制模型输入token小于4096，如有更多需求，请访问 https://buyca.tech 购买付费API。\
             The number of prompt tokens for free accounts is limited to 4096. If you have \
             additional requirements, please visit https://buyca.tech to purchase a premium key.",
        ))
    }

    /// Builds the response for an error.
    pub(super) fn error_response(self, error: &SimulatedError) -> SimulatedResponse {
        match self {
            Self::OpenAi => error.to_response(error.kind, error.param, error.code),
            Self::GptApiFree => {
                let code = spring_code(error.status);
                error.to_response("chatanywhere_error", None, Some(&code))
            }
        }
    }

    /// Returns the error for a request without a key.
    pub(super) fn no_key(self) -> SimulatedError {
        match self {
            Self::OpenAi => SimulatedError::new(
                401,
                "You didn't provide an API key. You need to provide your API key in an \
                 Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). \
                 You can obtain an API key from https://platform.openai.com/account/api-keys.",
            ),
            Self::GptApiFree => SimulatedError::new(401, "ApiKey错误"),
        }
    }

    /// Returns the error for an invalid key.
    pub(super) fn bad_key(self, key: &str) -> SimulatedError {
        match self {
            Self::OpenAi => SimulatedError::new(
                401,
                format!(
                    "Incorrect API key provided: {}. You can find your API key at \
                     https://platform.openai.com/account/api-keys.",
                    mask(key)
                ),
            )
            .code("invalid_api_key"),
            Self::GptApiFree => SimulatedError::new(401, "ApiKey错误"),
        }
    }

    /// Returns the error for a model that does not exist or does not support the endpoint, which is
    /// `error` unless the provider does not distinguish them.
    pub(super) fn unavailable_model(self, key: &str, error: SimulatedError) -> SimulatedError {
        match self {
            Self::OpenAi => error,
            Self::GptApiFree => free_models_only(key),
        }
    }

    /// Returns the error for a limit that was reached.
    pub(super) fn limit_reached(
        self,
        model: &str,
        reached: &LimitReached,
        retry_after: bool,
    ) -> SimulatedError {
        match (self, reached.limit) {
            (Self::GptApiFree, LimitKind::RequestsPerDay) => free_quota_used_up(reached.allowed),
            _ => rate_limit::rate_limited(model, reached, retry_after),
        }
    }
}

/// Returns the error for all endpoints and models that are not available to free keys.
fn free_models_only(key: &str) -> SimulatedError {
    SimulatedError::new(
        403,
        format!(
            "免费API限制使用deepseek-r1，deepseek-v3，gpt-3.5-turbo，gpt-4o-mini，gpt-4o和embeddings模型，\
             如有更多需求，请访问 https://api.chatanywhere.tech/#/shop 购买付费API。The free account is \
             limited to use deepseek-r1, deepseek-v3, gpt-3.5-turbo, gpt-4o-mini, gpt-4o and \
             embeddings. If you have additional requirements, please visit \
             https://api.chatanywhere.tech/#/shop to purchase a premium key.(当前请求使用的ApiKey: {})",
            mask(key)
        ),
    )
}

/// Returns the error for a used-up daily quota. It states the time of the reset, but no wait.
fn free_quota_used_up(allowed: u32) -> SimulatedError {
    SimulatedError::new(
        429,
        format!(
            "免费API限制每日{allowed}次请求，请00:00后再试，如有更多需求，请访问 \
             https://api.chatanywhere.tech/#/shop 购买付费API。The free account is limited to \
             {allowed} requests per day. Please try again after 00:00 the next day. If you have \
             additional requirements, please visit https://api.chatanywhere.tech/#/shop to \
             purchase a premium key."
        ),
    )
}

/// Returns the status with its name, such as `403 FORBIDDEN`, as the Spring framework formats it.
fn spring_code(status: u16) -> String {
    let reason = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown");
    let name = reason.to_ascii_uppercase().replace([' ', '-'], "_");
    format!("{status} {name}")
}

/// Masks a key as providers do, keeping its first six and last four characters.
fn mask(key: &str) -> String {
    let tail = key.len().checked_sub(4).and_then(|at| key.get(at..));
    match (key.get(..6), tail) {
        (Some(start), Some(end)) if key.len() >= 14 => format!("{start}****{end}"),
        _ => "****".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_key_has_the_format_of_a_free_key() {
        assert_eq!(SAMPLE_KEY.len(), 51);
        assert!(Personality::GptApiFree.accepts_key(SAMPLE_KEY));
        assert!(!Personality::GptApiFree.accepts_key("sk-short"));
    }

    #[test]
    fn model_names_of_free_keys_must_match_exactly() {
        assert!(Personality::GptApiFree.has_model("gpt-4o-mini"));
        assert!(!Personality::GptApiFree.has_model("GPT-4o-mini"));
        assert!(!Personality::GptApiFree.has_model("gpt\u{2011}4o-mini"));
    }

    #[test]
    fn a_spring_code_is_the_status_with_its_name() {
        assert_eq!(spring_code(403), "403 FORBIDDEN");
        assert_eq!(spring_code(429), "429 TOO_MANY_REQUESTS");
        assert_eq!(spring_code(299), "299 UNKNOWN");
    }

    #[track_caller]
    fn check(key: &str, expected: &str) {
        assert_eq!(mask(key), expected);
    }

    #[test]
    fn masking_keeps_only_the_ends_of_a_long_key() {
        check("sk-0123456789abcd", "sk-012****abcd");
        check("sk-short", "****");
        check("钥匙钥匙钥匙", "****");
        check("", "****");
    }
}
