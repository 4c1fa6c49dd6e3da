//! Rejections of API keys, with the wording of providers.

use super::error::SimulatedError;
use super::personality::Personality;
use super::response::{SimulatedResponse, with_type};

/// How a key is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRejection {
    /// 401: the key does not exist.
    Invalid,
    /// 401: its account was deactivated.
    Deactivated,
    /// 403: the key was disabled.
    Disabled,
    /// 403 with the plain text `Forbidden`.
    Forbidden,
    /// 403: the country is not supported.
    Country,
    /// 402: the account has no balance left.
    NoBalance,
    /// 429: the account has no quota left; waiting does not help.
    NoQuota,
    /// Any status with any body.
    Other {
        /// The HTTP status; an invalid one becomes 500.
        status: u16,
        /// The body, sent as JSON if it starts with `{` or `[`, otherwise as text.
        body: String,
    },
}

impl KeyRejection {
    /// Builds the response that rejects `key`.
    pub(super) fn to_response(&self, personality: Personality, key: &str) -> SimulatedResponse {
        let error = match self {
            Self::Forbidden => return text(403, "Forbidden"),
            Self::Other { status, body } => return text(*status, body),
            Self::Invalid => personality.bad_key(key),
            Self::Deactivated => {
                let message =
                    "The OpenAI account associated with this API key has been deactivated.";
                SimulatedError::new(401, message).code("account_deactivated")
            }
            Self::Disabled => {
                SimulatedError::new(403, "Your API key has been disabled.").code("api_key_disabled")
            }
            Self::Country => {
                SimulatedError::new(403, "Country, region, or territory not supported")
                    .kind("request_forbidden")
                    .code("unsupported_country_region_territory")
            }
            Self::NoBalance => SimulatedError::new(402, "Insufficient Balance")
                .kind("unknown_error")
                .code("invalid_request_error"),
            Self::NoQuota => SimulatedError::new(
                429,
                "You exceeded your current quota, please check your plan and billing details. For \
                 more information on this error, read the docs: \
                 https://platform.openai.com/docs/guides/error-codes/api-errors.",
            )
            .kind("insufficient_quota")
            .code("insufficient_quota"),
        };
        personality.error_response(&error)
    }
}

fn text(status: u16, body: &str) -> SimulatedResponse {
    let content_type = if body.starts_with(['{', '[']) {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    with_type(status, content_type, body.to_owned().into())
}
