//! The ways in which a key is refused, as providers word them.

use hyper::body::Bytes;

use super::personality::Personality;
use super::refusal::Refusal;
use super::reply::{SimulatedResponse, with_type};

/// How a key is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// 401: the key does not exist.
    Invalid,
    /// 401: the account behind it was closed.
    Deactivated,
    /// 403: the key was disabled.
    Disabled,
    /// 403: nothing but the word `Forbidden`.
    Forbidden,
    /// 403: the country is not supported.
    Country,
    /// 402: the account has no money left.
    NoBalance,
    /// 429: the account has no quota left; waiting does not help.
    NoQuota,
    /// Any status with any body.
    Other {
        /// The HTTP status; a number that is none becomes 500.
        status: u16,
        /// The body; sent as JSON where it starts with `{` or `[`, else as text.
        body: String,
    },
}

impl KeyRefusal {
    /// Makes the response that refuses `key`.
    pub(super) fn reply(&self, personality: Personality, key: &str) -> SimulatedResponse {
        let refusal = match self {
            Self::Forbidden => return text(403, "Forbidden"),
            Self::Other { status, body } => return text(*status, body),
            Self::Invalid => personality.bad_key(key),
            Self::Deactivated => Refusal::new(
                401,
                "The OpenAI account associated with this API key has been deactivated.",
            )
            .code("account_deactivated"),
            Self::Disabled => {
                Refusal::new(403, "Your API key has been disabled.").code("api_key_disabled")
            }
            Self::Country => Refusal::new(403, "Country, region, or territory not supported")
                .kind("request_forbidden")
                .code("unsupported_country_region_territory"),
            Self::NoBalance => Refusal::new(402, "Insufficient Balance")
                .kind("unknown_error")
                .code("invalid_request_error"),
            Self::NoQuota => Refusal::new(
                429,
                "You exceeded your current quota, please check your plan and billing details. For \
                 more information on this error, read the docs: \
                 https://platform.openai.com/docs/guides/error-codes/api-errors.",
            )
            .kind("insufficient_quota")
            .code("insufficient_quota"),
        };
        refusal.reply(personality)
    }
}

fn text(status: u16, body: &str) -> SimulatedResponse {
    let content_type = if body.starts_with(['{', '[']) {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    with_type(
        status,
        content_type,
        Bytes::copy_from_slice(body.as_bytes()),
    )
}

/// Masks a key as providers do: its first six and its last four characters remain.
pub(super) fn mask(key: &str) -> String {
    let tail = key.len().checked_sub(4).and_then(|at| key.get(at..));
    match (key.get(..6), tail) {
        (Some(start), Some(end)) if key.len() >= 14 => format!("{start}****{end}"),
        _ => "****".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, expected: &str) {
        assert_eq!(mask(key), expected);
    }

    #[test]
    fn a_mask_shows_the_ends_of_a_long_key_only() {
        check("sk-0123456789abcd", "sk-012****abcd");
        check("sk-short", "****");
        check("钥匙钥匙钥匙", "****");
        check("", "****");
    }
}
