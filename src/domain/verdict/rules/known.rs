//! Second group: messages and codes that have a more specific or a different meaning at one
//! provider.

use super::rule::Condition::{Code, Contains, Excludes, HasRetryAfter, Host, Status};
use super::rule::{
    Action, CHECK_BASE_URL, CHECK_MODEL, CONTACT_PROVIDER, DEAD, EXHAUSTED, NO_HINT, OTHER_NETWORK,
    QUARANTINED, REQUEST_ACCESS, RETRY, RETRY_ONCE, Rule, Scope, TOP_UP,
};

// Phrases are packed by hand: with one per line, the table would be too long to read.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "chatanywhere-prompt-limit",
        seen: "ChatAnywhere 403, GPT_API_free #331 #334 #496",
        when: &[
            Contains(&[
                "免费api限制模型输入token小于",
                "number of prompt tokens for free accounts is limited",
            ]),
        ],
        then: (Scope::Request, Action::FailJob),
        hint:
            "Shorten the prompt of this row to the number of tokens given in the message, or use a paid API key.",
    },
    Rule {
        id: "chatanywhere-daily-quota",
        seen: "ChatAnywhere 429, GPT_API_free #349",
        when: &[Contains(&["免费api限制每日", "模型免费api限制每日"])],
        then: (Scope::Quota, Action::Wait),
        hint:
            "Run again after 00:00 China time (UTC+8). The quota applies to your IP address; another API key does not help.",
    },
    Rule {
        id: "chatanywhere-free-list",
        seen: "ChatAnywhere 403 and 401, GPT_API_free #51 #78 #179 #209 #246 #309 #374",
        when: &[
            Contains(&[
                "免费api限制使用", "the free account is limited to use",
                "limit to use gpt-3.5-turbo",
            ]),
        ],
        then: (Scope::Endpoint, Action::StopRun),
        hint:
            "Check that the base URL ends in /v1, not in /completions, and that the model name matches an entry of the free list exactly, in lowercase.",
    },
    Rule {
        id: "chatanywhere-balance",
        seen: "ChatAnywhere 403, GPT_API_free #213 #495",
        when: &[
            Contains(&[
                "账户余额过低不足以支持本次请求",
                "balance is not sufficient to support this request",
            ]),
        ],
        then: (Scope::Account, EXHAUSTED),
        hint:
            "Add credits to the account, or lower max_tokens. The balance must cover the longest possible response.",
    },
    Rule {
        id: "chatanywhere-backend",
        seen: "ChatAnywhere, GPT_API_free #119",
        when: &[Contains(&["openai response error"])],
        then: (Scope::Transient, RETRY),
        hint: NO_HINT,
    },
    Rule {
        id: "relay-saturated",
        seen: "new-api 429 labeled insufficient_quota, FastGPT#1056",
        when: &[
            Contains(&[
                "上游负载", "负载已饱和", "upstream load is saturated", "upstream is saturated",
            ]),
        ],
        then: (Scope::Transient, RETRY),
        hint: NO_HINT,
    },
    Rule {
        id: "relay-no-channel",
        seen: "one-api and new-api 503",
        when: &[
            Contains(&[
                "无可用渠道", "no available channel", "no available distributor",
                "get_channel_failed",
            ]),
        ],
        then: (Scope::KeyModel, QUARANTINED),
        hint:
            "Choose another model or group. The relay has no channel for this model in the group of this API key.",
    },
    Rule {
        id: "relay-token-address",
        seen: "new-api 403, AiHubMix 403",
        when: &[
            Contains(&[
                "不在令牌允许", "令牌只能在指定网段", "ip is not in the token",
                "only from approved ip",
            ]),
        ],
        then: (Scope::Key, QUARANTINED),
        hint:
            "Add this machine's IP address to the allowlist of the API key in the relay's console.",
    },
    Rule {
        id: "azure-resource-blocked",
        seen: "Azure 403, pollinations#9319 #10032 #12446",
        when: &[Contains(&["resource has been temporarily blocked", "aoaicodeofconduct"])],
        then: (Scope::Account, QUARANTINED),
        hint:
            "Contact Azure support, or use another resource. Azure has blocked the whole resource, not only this prompt.",
    },
    Rule {
        id: "azure-private-endpoint",
        seen: "Azure 403, continue#12547",
        when: &[Contains(&["a virtual network is configured for this resource"])],
        then: (Scope::Endpoint, Action::StopRun),
        hint: "Use the endpoint of the Azure resource as the base URL, not the regional endpoint.",
    },
    Rule {
        id: "azure-firewall",
        seen: "Azure 403, azure-sql-db-chatbot#3",
        when: &[
            Contains(&[
                "virtual network/firewall rules", "public access is disabled",
                "not from an approved private endpoint",
            ]),
        ],
        then: (Scope::Network, Action::StopRun),
        hint: "Allow this machine's IP address in the network settings of the Azure resource.",
    },
    Rule {
        id: "azure-deployment",
        seen: "Azure 404",
        when: &[Contains(&["api deployment for this resource does not exist"])],
        then: (Scope::Model, Action::StopRun),
        hint:
            "Check the deployment name. A new deployment can take five minutes to become available.",
    },
    Rule {
        id: "azure-key-or-endpoint",
        seen: "Azure 401",
        when: &[
            Contains(&["invalid subscription key or wrong api endpoint", "audience is incorrect"]),
        ],
        then: (Scope::Key, QUARANTINED),
        hint: "Check that the API key and the base URL belong to the same Azure resource.",
    },
    Rule {
        id: "azure-enqueued-tokens",
        seen: "Azure batch",
        when: &[Contains(&["enqueued tokens"])],
        then: (Scope::Quota, Action::Wait),
        hint: "Wait until earlier batches have finished, or request a higher quota.",
    },
    Rule {
        id: "not-a-chat-model",
        seen: "OpenAI 404",
        when: &[
            Contains(&[
                "not a chat model", "v1/completions endpoint", "only supported in v1/",
                "did you mean to use v1/", "not supported in the v1/chat/completions",
                "use the /v1/responses",
            ]),
        ],
        then: (Scope::Endpoint, Action::StopRun),
        hint:
            "Choose a model that supports /chat/completions, or request embeddings with --endpoint embeddings. The base URL must not end in /chat/completions or /embeddings.",
    },
    Rule {
        id: "embeddings-refused",
        seen: "OpenAI 403, langchain#9270, ragflow#1835",
        when: &[Contains(&["not allowed to generate embeddings"])],
        then: (Scope::Endpoint, Action::StopRun),
        hint: CHECK_BASE_URL,
    },
    Rule {
        id: "organization-unverified",
        seen: "OpenAI 400, 403, 404: openai-go#565, LibreChat#6926, continue#9067",
        when: &[Contains(&["organization must be verified"])],
        then: (Scope::KeyModel, QUARANTINED),
        hint:
            "Verify the organization in the provider's settings (this takes up to 15 minutes), or choose another model.",
    },
    Rule {
        id: "not-a-member",
        seen: "OpenAI 401",
        when: &[Contains(&["must be a member of an organization"])],
        then: (Scope::Account, QUARANTINED),
        hint: "Add the account to an organization, or use another API key.",
    },
    Rule {
        id: "access-terminated",
        seen: "OpenAI 429, new-api#462",
        when: &[Contains(&["your access was terminated", "access has been terminated"])],
        then: (Scope::Account, DEAD),
        hint: CONTACT_PROVIDER,
    },
    Rule {
        id: "request-over-limit",
        seen: "OpenAI 429 `Request too large`, climb#1",
        when: &[Contains(&["request too large"]), Status(&[429, 413, 400])],
        then: (Scope::Request, Action::FailJob),
        hint:
            "Shorten the prompt or lower max_tokens. This request alone exceeds the per-minute limit.",
    },
    Rule {
        id: "project-without-model",
        seen: "OpenAI 403, Aider#604, ragas#1342, letta#1634",
        when: &[Contains(&["does not have access to model"])],
        then: (Scope::KeyModel, QUARANTINED),
        hint: REQUEST_ACCESS,
    },
    Rule {
        id: "openai-foreign-key",
        seen: "API key from another provider sent to api.openai.com, GPT_API_free #62 #199 #221 #305",
        when: &[Host(&["api.openai.com"]), Contains(&["incorrect api key provided"])],
        then: (Scope::Key, DEAD),
        hint:
            "Set the base URL of the provider that issued this API key, or replace the key. OpenAI does not recognize it.",
    },
    Rule {
        id: "anthropic-request-not-allowed",
        seen: "Anthropic 403",
        when: &[
            Status(&[403]), Contains(&["request not allowed"]), Excludes(&["flagged", "policy"]),
        ],
        then: (Scope::Network, Action::StopRun),
        hint: OTHER_NETWORK,
    },
    Rule {
        id: "anthropic-usage-limit",
        seen: "Anthropic 400",
        when: &[Contains(&["specified api usage limits", "specified workspace api usage limits"])],
        then: (Scope::Account, EXHAUSTED),
        hint: "Raise the spend limit in the provider's console, or wait until it resets.",
    },
    Rule {
        id: "anthropic-other-product",
        seen: "Anthropic 400",
        when: &[Contains(&["only authorized for use with claude code"])],
        then: (Scope::Key, QUARANTINED),
        hint: "Use an API key created in the provider's console.",
    },
    Rule {
        id: "openrouter-in-flight",
        seen: "OpenRouter 402",
        when: &[Code(&["in_flight_budget_exhausted"])],
        then: (Scope::Transient, RETRY),
        hint: "Lower --concurrency. The requests in flight together exceed the budget.",
    },
    Rule {
        id: "openrouter-key-limit",
        seen: "OpenRouter 403",
        when: &[Contains(&["key limit exceeded"])],
        then: (Scope::Key, EXHAUSTED),
        hint: "Raise the limit of this API key in the provider's settings.",
    },
    Rule {
        id: "openrouter-data-policy",
        seen: "OpenRouter 404",
        when: &[Contains(&["matching your data policy", "guardrail restrictions and data policy"])],
        then: (Scope::Account, QUARANTINED),
        hint: "Allow the providers of this model at openrouter.ai/settings/privacy.",
    },
    Rule {
        id: "openrouter-no-such-feature",
        seen: "OpenRouter 404",
        when: &[
            Contains(&["no endpoints found that support", "no endpoints found that can handle"]),
        ],
        then: (Scope::Endpoint, Action::StopRun),
        hint: "Remove the parameter named in the message, or choose a model that supports it.",
    },
    Rule {
        id: "openrouter-no-endpoints",
        seen: "OpenRouter 404",
        when: &[Contains(&["no endpoints found", "no allowed providers are available"])],
        then: (Scope::Model, Action::StopRun),
        hint: CHECK_MODEL,
    },
    Rule {
        id: "openrouter-upstream-limit",
        seen: "OpenRouter 429",
        when: &[
            Status(&[429]), Contains(&["rate-limited upstream", "upstream_provider_shared_pool"]),
        ],
        then: (Scope::Model, Action::Wait),
        hint:
            "Run again later, or choose another provider of this model. It is rate limited for all users.",
    },
    Rule {
        id: "zero-quota",
        seen: "Gemini 429 `limit: 0`, OpenAI `Limit 0`",
        when: &[Status(&[429]), Contains(&["limit: 0,", "limit: 0\n", "limit 0, used 0"])],
        then: (Scope::KeyModel, QUARANTINED),
        hint:
            "Choose another model, or use a paid account. This account has no quota for the model.",
    },
    Rule {
        id: "gemini-daily-quota",
        seen: "Gemini 429, quotaId …PerDay…",
        when: &[Status(&[429]), Contains(&["perday"])],
        then: (Scope::Quota, Action::Wait),
        hint: "Run again tomorrow, or use an API key from another project.",
    },
    Rule {
        id: "groq-model-blocked",
        seen: "Groq 403, orbi#561",
        when: &[Contains(&["blocked at the organization level", "blocked at the project level"])],
        then: (Scope::KeyModel, QUARANTINED),
        hint: REQUEST_ACCESS,
    },
    Rule {
        id: "groq-network",
        seen: "Groq 403",
        when: &[Contains(&["please check your network settings"])],
        then: (Scope::Network, Action::StopRun),
        hint: OTHER_NETWORK,
    },
    Rule {
        id: "generation-failed",
        seen: "Groq 400",
        when: &[Code(&["json_validate_failed", "tool_use_failed"])],
        then: (Scope::Request, RETRY_ONCE),
        hint:
            "Relax the requested format, or choose another model. The model did not produce that format.",
    },
    Rule {
        id: "dashscope-token-rate",
        seen: "DashScope 429 labeled insufficient_quota",
        when: &[
            Status(&[429]),
            Host(&["aliyuncs.com"]),
            Code(&["insufficient_quota", "throttling.allocationquota"]),
        ],
        then: (Scope::Quota, Action::Wait),
        hint: "Lower --tpm.",
    },
    Rule {
        id: "dashscope-free-tier",
        seen: "DashScope 403",
        when: &[Code(&["allocationquota.freetieronly"])],
        then: (Scope::KeyModel, EXHAUSTED),
        hint: "Turn off `use free tier only` in the provider's console, or choose another model.",
    },
    Rule {
        id: "siliconflow-paid-model",
        seen: "SiliconFlow 403, code 30011",
        when: &[Contains(&["requires paid balance"])],
        then: (Scope::KeyModel, QUARANTINED),
        hint: "Remove the `Pro/` prefix from the model name, or add credits to the account.",
    },
    Rule {
        id: "out-of-memory",
        seen: "Ollama 500",
        when: &[Contains(&["requires more system memory", "more system memory than"])],
        then: (Scope::Model, Action::StopRun),
        hint: "Choose a smaller model, or free memory on the server.",
    },
    Rule {
        id: "payment-due-later",
        seen: "OpenRouter 402 with Retry-After",
        when: &[Status(&[402]), HasRetryAfter],
        then: (Scope::Quota, Action::Wait),
        hint: TOP_UP,
    },
];
