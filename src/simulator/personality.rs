//! Whose manners the simulated provider has: which models and keys it takes, and how it refuses.

use super::keys::mask;
use super::limits::{Limit, Reached, SimulatedLimits};
use super::refusal::Refusal;
use super::throttle;

/// A key of the form that every personality accepts: `sk-` and 48 characters.
pub const SAMPLE_KEY: &str = "sk-simulatedsimulatedsimulatedsimulatedsimulated000";

/// Whose manners the provider has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Personality {
    /// OpenAI's: any key and any model, unless the configuration names some.
    #[default]
    OpenAi,
    /// Those of the free keys of `ChatAnywhere`, known as `GPT_API_free`: a short list of models by
    /// exact name, chat and embeddings only, 4,096 tokens of input, 200 requests a day for all keys
    /// together, and 403 for nearly everything that is wrong.
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

/// The models that are listed when any model is accepted.
const SAMPLE_MODELS: [&str; 4] = [
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "text-embedding-3-small",
];

/// The most tokens of input for a free key.
const FREE_INPUT_TOKENS: u64 = 4_096;

/// Requests a day for a free key.
const FREE_REQUESTS_PER_DAY: u32 = 200;

impl Personality {
    /// Returns the models it lists when the configuration names none.
    pub(super) fn models(self) -> &'static [&'static str] {
        match self {
            Self::OpenAi => &SAMPLE_MODELS,
            Self::GptApiFree => &FREE_MODELS,
        }
    }

    /// Returns whether it knows a model when the configuration names none.
    pub(super) fn knows(self, model: &str) -> bool {
        match self {
            Self::OpenAi => true,
            Self::GptApiFree => FREE_MODELS.contains(&model),
        }
    }

    /// Returns whether it takes a key when the configuration names none.
    pub(super) fn takes_key(self, key: &str) -> bool {
        match self {
            Self::OpenAi => true,
            Self::GptApiFree => key.starts_with("sk-") && key.len() == SAMPLE_KEY.len(),
        }
    }

    /// Fills in the limits that it has of its own.
    pub(super) fn fill_in(self, limits: &mut SimulatedLimits) {
        if self == Self::GptApiFree {
            limits.requests_per_day.get_or_insert(FREE_REQUESTS_PER_DAY);
            limits.day_shared.get_or_insert(true);
        }
    }

    /// Refuses a prompt that is too long for it.
    pub(super) fn check_input(self, tokens: u64) -> Result<(), Refusal> {
        if self == Self::OpenAi || tokens <= FREE_INPUT_TOKENS {
            return Ok(());
        }
        Err(Refusal::new(
            403,
            "免费API限制模型输入token小于4096，如有更多需求，请访问 https://buyca.tech 购买付费API。\
             The number of prompt tokens for free accounts is limited to 4096. If you have \
             additional requirements, please visit https://buyca.tech to purchase a premium key.",
        ))
    }

    /// A request without a key.
    pub(super) fn no_key(self) -> Refusal {
        match self {
            Self::OpenAi => Refusal::new(
                401,
                "You didn't provide an API key. You need to provide your API key in an \
                 Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). \
                 You can obtain an API key from https://platform.openai.com/account/api-keys.",
            ),
            Self::GptApiFree => Refusal::new(401, "ApiKey错误"),
        }
    }

    /// A key that does not exist.
    pub(super) fn bad_key(self, key: &str) -> Refusal {
        match self {
            Self::OpenAi => Refusal::new(
                401,
                format!(
                    "Incorrect API key provided: {}. You can find your API key at \
                     https://platform.openai.com/account/api-keys.",
                    mask(key)
                ),
            )
            .code("invalid_api_key"),
            Self::GptApiFree => Refusal::new(401, "ApiKey错误"),
        }
    }

    /// A model that it does not know.
    pub(super) fn unknown_model(self, model: &str, key: &str) -> Refusal {
        match self {
            Self::OpenAi => Refusal::new(
                404,
                format!("The model `{model}` does not exist or you do not have access to it."),
            )
            .code("model_not_found"),
            Self::GptApiFree => free_models_only(key),
        }
    }

    /// A chat model at the endpoint for completions of old.
    pub(super) fn not_for_completions(self, key: &str) -> Refusal {
        match self {
            Self::OpenAi => Refusal::new(
                404,
                "This is a chat model and not supported in the v1/completions endpoint. Did you \
                 mean to use v1/chat/completions?",
            )
            .param("model"),
            Self::GptApiFree => free_models_only(key),
        }
    }

    /// An embedding model at the endpoint for chats.
    pub(super) fn not_for_chat(self, key: &str) -> Refusal {
        match self {
            Self::OpenAi => Refusal::new(
                404,
                "This is not a chat model and thus not supported in the v1/chat/completions \
                 endpoint. Did you mean to use v1/completions?",
            )
            .param("model"),
            Self::GptApiFree => free_models_only(key),
        }
    }

    /// A chat model at the endpoint for embeddings.
    pub(super) fn not_for_embeddings(self, key: &str) -> Refusal {
        match self {
            Self::OpenAi => Refusal::new(
                403,
                "You are not allowed to generate embeddings from this model",
            ),
            Self::GptApiFree => free_models_only(key),
        }
    }

    /// A limit that was reached.
    pub(super) fn limited(self, model: &str, reached: &Reached, retry_after: bool) -> Refusal {
        match (self, reached.limit) {
            (Self::GptApiFree, Limit::RequestsPerDay) => free_day_is_over(reached.allowed),
            _ => throttle::rate_limited(model, reached, retry_after),
        }
    }
}

/// The text for every endpoint and every model that a free key may not use.
fn free_models_only(key: &str) -> Refusal {
    Refusal::new(
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

/// The text for a day whose requests are used up. It tells no wait but the time of day.
fn free_day_is_over(allowed: u32) -> Refusal {
    Refusal::new(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_key_has_the_form_of_a_free_key() {
        assert_eq!(SAMPLE_KEY.len(), 51);
        assert!(Personality::GptApiFree.takes_key(SAMPLE_KEY));
        assert!(!Personality::GptApiFree.takes_key("sk-short"));
    }

    #[test]
    fn a_free_model_is_known_by_its_exact_name_only() {
        assert!(Personality::GptApiFree.knows("gpt-4o-mini"));
        assert!(!Personality::GptApiFree.knows("GPT-4o-mini"));
        assert!(!Personality::GptApiFree.knows("gpt\u{2011}4o-mini"));
    }
}
