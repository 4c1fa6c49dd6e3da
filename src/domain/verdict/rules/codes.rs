//! Third group: the error code, codes in the details, and then the error type.
//!
//! Codes that relays use for any error (`invalid_request_error`, `api_error`, `new_api_error`,
//! `permission_denied`, `credit_limit`) are omitted, since they do not identify a cause.

use super::rule::Condition::{Code, Contains, Direct, Excludes, Status, Type};
use super::rule::{
    Action, CHANGE_PROMPT, CHECK_MODEL, CONTACT_PROVIDER, DAILY, DEAD, EXHAUSTED, NO_HINT,
    OTHER_NETWORK, QUARANTINED, REPLACE_KEY, REQUEST_ACCESS, RETRY, Rule, SHORTEN, Scope, TOP_UP,
};

// Phrases are packed by hand: with one per line, the table would be too long to read.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "key-invalid-code",
        seen: "OpenAI, Gemini (400), Cerebras, Bedrock, Qianfan",
        when: &[
            Direct,
            Code(&[
                "invalid_api_key", "api_key_invalid", "wrong_api_key", "invalid_apikey",
                "incorrect_api_key", "api_key_expired", "expired_api_key", "api_key_revoked",
                "revoked_api_key", "unrecognizedclientexception", "expiredtokenexception",
                "invalid_iam_token",
            ]),
        ],
        then: (Scope::Key, DEAD),
        hint: REPLACE_KEY,
    },
    Rule {
        id: "account-closed-code",
        seen: "OpenAI 401",
        when: &[Direct, Code(&["account_deactivated", "account_closed", "account_deleted"])],
        then: (Scope::Account, DEAD),
        hint: CONTACT_PROVIDER,
    },
    Rule {
        id: "account-suspended-code",
        seen: "Groq 400, Gemini 403",
        when: &[
            Direct,
            Code(&[
                "organization_restricted", "organization_disabled", "organization_suspended",
                "account_suspended", "account_disabled", "consumer_suspended", "consumer_invalid",
                "user_suspended",
            ]),
        ],
        then: (Scope::Account, QUARANTINED),
        hint: CONTACT_PROVIDER,
    },
    Rule {
        id: "balance-code",
        seen: "OpenAI 429, Anthropic 429, relays 403, DashScope 400, Ark 403, OpenRouter 402",
        when: &[
            Direct,
            Code(&[
                "insufficient_quota", "credit_balance_exhausted",
                "organization_spend_limit_exceeded", "project_spend_limit_exceeded",
                "organization_usage_limit_exceeded", "enforced_spend_limit_reached",
                "insufficient_user_quota", "pre_consume_token_quota_failed", "insufficient_balance",
                "insufficient_credits", "insufficient_funds", "not_enough_balance",
                "credits_exhausted", "weight_exceeds_budget", "billing_error",
                "billing_hard_limit_reached", "billing_not_active", "billing_disabled", "arrearage",
                "accountoverdueerror", "account_overdue", "operationdenied.serviceoverdue",
                "setlimitexceeded", "budget_exceeded",
            ]),
        ],
        then: (Scope::Account, EXHAUSTED),
        hint: TOP_UP,
    },
    Rule {
        id: "region-code",
        seen: "OpenAI 403, one-api#1692",
        when: &[
            Direct,
            Code(&[
                "unsupported_country_region_territory", "unsupported_country", "unsupported_region",
                "region_not_supported", "country_not_supported", "api_key_ip_address_blocked",
            ]),
        ],
        then: (Scope::Network, Action::StopRun),
        hint: OTHER_NETWORK,
    },
    Rule {
        id: "moderation-code",
        seen: "Azure 400, OpenAI 400, OpenRouter 403, DashScope 400",
        when: &[
            Direct,
            Code(&[
                "content_filter", "content_policy_violation", "responsibleaipolicyviolation",
                "moderation_blocked", "flagged_input", "data_inspection_failed",
                "datainspectionfailed", "sensitivecontentdetected", "sensitive_words_detected",
                "prompt_blocked", "prohibited_content", "invalid_prompt",
            ]),
        ],
        then: (Scope::Request, Action::FailJob),
        hint: CHANGE_PROMPT,
    },
    Rule {
        id: "length-code",
        seen: "OpenAI 400, OpenRouter 400, GitHub Models 413",
        when: &[
            Direct,
            Code(&[
                "context_length_exceeded", "string_above_max_length", "token_limit_exceeded",
                "tokens_limit_reached", "max_tokens_exceeded", "request_too_large",
                "prompt_too_long", "exceed_context_size_error",
            ]),
        ],
        then: (Scope::Request, Action::FailJob),
        hint: SHORTEN,
    },
    Rule {
        id: "model-access-code",
        seen: "Groq 403, Ark 404, GitHub Models 403, LiteLLM 401",
        when: &[
            Direct,
            Code(&[
                "model_permission_blocked_org", "model_permission_blocked_project",
                "model_terms_required", "modelnotopen", "operationdenied.servicenotopen",
                "accessdenied.unpurchased", "model.accessdenied", "no_access",
                "key_model_access_denied", "team_model_access_denied",
            ]),
        ],
        then: (Scope::KeyModel, QUARANTINED),
        hint: REQUEST_ACCESS,
    },
    Rule {
        id: "model-forbidden",
        seen: "OpenAI 403 model_not_found",
        when: &[Status(&[401, 403]), Code(&["model_not_found"])],
        then: (Scope::KeyModel, QUARANTINED),
        hint: REQUEST_ACCESS,
    },
    Rule {
        id: "model-missing-code",
        seen: "OpenAI 404, org-ai#110",
        when: &[
            Direct,
            Code(&[
                "model_not_found", "model_not_exist", "model_not_available", "model_not_supported",
                "model_not_active", "model_decommissioned", "modelnotfound", "deploymentnotfound",
                "invalid_model", "unknown_model", "unavailable_model", "unsupported_model",
                "invalidendpointormodel.notfound",
            ]),
        ],
        then: (Scope::Model, Action::StopRun),
        hint: CHECK_MODEL,
    },
    Rule {
        id: "key-restricted-code",
        seen: "Gemini 403",
        when: &[
            Direct,
            Code(&[
                "api_key_service_blocked", "api_key_http_referrer_blocked",
                "api_key_android_app_blocked", "service_disabled",
            ]),
        ],
        then: (Scope::Key, QUARANTINED),
        hint: "Enable this API for the API key in the provider's console.",
    },
    Rule {
        id: "parameter-code",
        seen: "OpenAI 400",
        when: &[
            Status(&[400, 422, 502]),
            Code(&["unsupported_parameter", "unknown_parameter", "unsupported_value"]),
        ],
        then: (Scope::Endpoint, Action::StopRun),
        hint: "Remove or change the parameter named in the message (--set).",
    },
    Rule {
        id: "operation-code",
        seen: "Azure 400, OpenHands#1003",
        when: &[Direct, Code(&["operationnotsupported", "unsupported_operation"])],
        then: (Scope::Endpoint, Action::StopRun),
        hint:
            "Choose a model that supports /chat/completions, or request embeddings with --endpoint embeddings.",
    },
    Rule {
        id: "slow-down",
        seen: "OpenAI 429 and 503, Moonshot 429, Cerebras 429",
        when: &[Status(&[429, 503]), Code(&["slow_down", "queue_exceeded"])],
        then: (Scope::Transient, Action::Wait),
        hint: "Lower --concurrency or --rpm.",
    },
    Rule {
        id: "overloaded-code",
        seen: "OpenAI 503, Anthropic 529, Groq 498, Ark 429",
        when: &[
            Direct,
            Code(&[
                "server_is_overloaded", "overloaded_error", "engine_overloaded_error",
                "serveroverloaded", "capacity_exceeded", "no_provider_available",
            ]),
        ],
        then: (Scope::Transient, RETRY),
        hint: NO_HINT,
    },
    Rule {
        id: "rate-code",
        seen: "OpenAI 429, GitHub Models 429, Bedrock 429, Gemini 429",
        when: &[
            Status(&[400, 403, 429, 502]),
            Code(&[
                "rate_limit_exceeded", "rate_limit_error", "rate_limit_reached",
                "rate_limit_reached_error", "ratelimitreached", "ratelimitexceeded",
                "too_many_requests", "throttlingexception", "throttling", "throttling.ratequota",
                "throttling.allocationquota", "limit_requests", "limit_burst_rate",
                "resource_exhausted", "rpm_rate_limit_exceeded", "tpm_rate_limit_exceeded",
            ]),
            Excludes(DAILY),
        ],
        then: (Scope::Quota, Action::Wait),
        hint: NO_HINT,
    },
    Rule {
        id: "key-invalid-type",
        seen: "Moonshot 401",
        when: &[
            Direct,
            Type(&[
                "invalid_authentication_error", "invalid_api_key_error", "invalid_api_key",
                "wrong_api_key", "unrecognizedclientexception",
            ]),
        ],
        then: (Scope::Key, DEAD),
        hint: REPLACE_KEY,
    },
    Rule {
        id: "balance-type",
        seen: "OpenAI 429, Moonshot 429, Anthropic 402, LiteLLM 400",
        when: &[
            Direct,
            Type(&[
                "insufficient_quota", "exceeded_current_quota_error", "billing_error",
                "budget_exceeded", "insufficient_balance",
            ]),
            Excludes(&["rate limit"]),
        ],
        then: (Scope::Account, EXHAUSTED),
        hint: TOP_UP,
    },
    Rule {
        id: "moderation-type",
        seen: "Moonshot 400",
        when: &[Direct, Type(&["content_filter", "content_policy_violation", "moderation_error"])],
        then: (Scope::Request, Action::FailJob),
        hint: CHANGE_PROMPT,
    },
    Rule {
        id: "length-type",
        seen: "Anthropic 413, llama.cpp 400",
        when: &[
            Direct,
            Type(&["request_too_large", "exceed_context_size_error", "context_length_exceeded"]),
        ],
        then: (Scope::Request, Action::FailJob),
        hint: SHORTEN,
    },
    Rule {
        id: "model-missing-type",
        seen: "Anthropic 404, Perplexity 400",
        when: &[
            Direct,
            Type(&[
                "not_found_error", "invalid_model", "notfounderror", "resource_not_found_error",
            ]),
            Contains(&["model"]),
        ],
        then: (Scope::Model, Action::StopRun),
        hint: CHECK_MODEL,
    },
    Rule {
        id: "overload-throttle-type",
        seen: "Moonshot 429",
        when: &[Status(&[429]), Type(&["engine_overloaded_error", "overloaded_error"])],
        then: (Scope::Transient, Action::Wait),
        hint: "Lower --concurrency or --rpm.",
    },
    Rule {
        id: "permission-type",
        seen: "Anthropic 403",
        when: &[Status(&[403]), Type(&["permission_error", "permissions_error"])],
        then: (Scope::KeyModel, QUARANTINED),
        hint: REQUEST_ACCESS,
    },
];
