//! Fourth group: phrases in messages of any provider, in English and Chinese. They classify errors
//! of providers without rules of their own.
//!
//! Billing, accounts and keys precede content, because an account that was blocked for its content
//! is not an error of the current prompt. Most rules exclude 5xx, because a relay uses it to report
//! errors of its own keys.

use super::rule::Condition::{Contains, Direct, HasRetryAfter, MentionsModel, Near, Status};
use super::rule::{
    Action, CHANGE_PROMPT, CHECK_BASE_URL, CHECK_MODEL, CONTACT_PROVIDER, DAILY, DEAD, EXHAUSTED,
    NO_HINT, OTHER_NETWORK, QUARANTINED, REPLACE_KEY, REQUEST_ACCESS, RETRY, Rule, SHORTEN, Scope,
    TOP_UP,
};

// Phrases are packed by hand: with one per line, the table would be too long to read.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "prompt-too-long",
        seen: "Together 403, vLLM 400, Gemini 400, Anthropic 400, relays",
        when: &[
            Status(&[400, 403, 404, 413, 422, 500, 502]),
            Contains(&[
                "context length", "context window", "context size", "context_length",
                "prompt is too long", "input is too long", "input length", "reduce the length",
                "too many tokens", "model token limit", "number of tokens allowed",
                "input token count", "body too large", "entity too large", "payload too large",
                "maximum tokens", "max_tokens is too large", "超长", "输入过长", "长度超",
                "超出最大", "超过最大", "上下文长度", "超过模型", "token数超",
            ]),
        ],
        then: (Scope::Request, Action::FailJob),
        hint: SHORTEN,
    },
    Rule {
        id: "monthly-quota",
        seen: "Cohere 429 trial key",
        when: &[
            Status(&[429]),
            Contains(&["per month", "/month", "/ month", "monthly", "每月", "本月", "月度"]),
        ],
        then: (Scope::Account, EXHAUSTED),
        hint: "Use an API key from another account, or a paid plan. The monthly quota is used up.",
    },
    Rule {
        id: "daily-quota-until",
        seen: "OpenAI 429 RPD, OpenRouter 429, GitHub Models 429",
        when: &[Status(&[429, 403, 502]), Contains(DAILY), HasRetryAfter],
        then: (Scope::Quota, Action::Wait),
        hint: "Run again when the daily quota resets.",
    },
    Rule {
        id: "daily-quota",
        seen: "Cerebras 429, Qianfan code 17, Zhipu 1304",
        when: &[
            Status(&[429, 403, 502]),
            Contains(DAILY),
            Contains(&["limit", "quota", "exceed", "次", "上限", "限制", "额度", "too many"]),
        ],
        then: (Scope::Quota, Action::Wait),
        hint: "Run again tomorrow, when the daily quota resets.",
    },
    Rule {
        id: "rate-limit-text",
        seen: "Together 429 with type credit_limit, Zhipu 1302, SiliconFlow 429",
        when: &[
            Status(&[429]),
            Contains(&[
                "rate limit", "rate-limit", "rate_limit", "ratelimit", "rate limiting",
                "requests per min", "tokens per min", "per minute", "per second",
                "too many requests", "too many tokens", "concurren", "throttl", "slow down", "频率",
                "频繁", "并发", "限流", "速率", "请求过多", "请求数", "每分钟", "每秒",
            ]),
        ],
        then: (Scope::Quota, Action::Wait),
        hint: NO_HINT,
    },
    Rule {
        id: "rate-limit-relabelled",
        seen: "GitHub 403, Qianfan codes 4 and 18 in a 200",
        when: &[
            Status(&[400, 403, 502]),
            Contains(&[
                "rate limit", "per minute", "too many requests", "request limit reached", "qps",
                "请求过于频繁", "频率限制", "限流",
            ]),
        ],
        then: (Scope::Quota, Action::Wait),
        hint: NO_HINT,
    },
    Rule {
        id: "quota-until",
        seen: "Gemini 429",
        when: &[Status(&[429]), HasRetryAfter, Contains(&["quota"])],
        then: (Scope::Quota, Action::Wait),
        hint: NO_HINT,
    },
    Rule {
        id: "balance",
        seen: "DeepSeek 402, Anthropic 400, xAI 403, Zhipu 429, SiliconFlow 403, relays",
        when: &[
            Direct,
            Contains(&[
                "insufficient balance", "balance is insufficient", "balance is not sufficient",
                "balance insufficient", "enough balance", "balance is too low", "negative balance",
                "overdue", "arrear", "in good standing", "insufficient credit", "insufficient fund",
                "insufficient quota", "enough credit", "out of credit", "no credits", "any credits",
                "credits expired", "credit limit exceeded", "available credits", "more credits",
                "included credits", "exceeded your current quota", "spending limit", "spend limit",
                "usage limit reached", "hard limit", "budget has been exceeded", "tokenbudget",
                "max budget", "payment method", "payment required", "trial has ended",
                "trial has expired", "subscription has expired", "subscription expired",
                "inactive subscription", "billing details", "recharge", "余额", "欠费", "充值",
                "预扣费", "资源包", "套餐已",
            ]),
        ],
        then: (Scope::Account, EXHAUSTED),
        hint: TOP_UP,
    },
    Rule {
        id: "quota-used-up",
        seen: "one-api 403, Ark 403",
        when: &[
            Direct,
            Near(
                &["quota", "额度", "配额", "用量"],
                &[
                    "not enough", "insufficient", "exhausted", "exceeded", "used up", "不足",
                    "用尽", "耗尽", "已用", "用完", "超限", "超出", "超过", "已超",
                ],
            ),
        ],
        then: (Scope::Account, EXHAUSTED),
        hint: TOP_UP,
    },
    Rule {
        id: "key-missing",
        seen: "OpenAI 401, new-api 401, Kong 401",
        when: &[
            Status(&[400, 401, 403, 502]),
            Contains(&[
                "didn't provide an api key", "no api key", "no auth credentials",
                "no token provided", "no access token", "missing api key", "missing authentication",
                "missing authorization", "missing bearer", "api key is missing", "api key missing",
                "api key is required", "api key required", "unregistered callers",
                "not received in header", "carry the api secret key", "未提供令牌", "未提供api",
                "未提供密钥", "缺少令牌", "缺少密钥",
            ]),
        ],
        then: (Scope::Endpoint, Action::StopRun),
        hint:
            "Set an API key, and check that the base URL belongs to the same provider. The endpoint received no key.",
    },
    Rule {
        id: "account-suspended",
        seen: "Anthropic 400, Fireworks 412, Zhipu 1112, new-api 403",
        when: &[
            Direct,
            Near(
                &[
                    "account", "organization", "organisation", "workspace", "project", "tenant",
                    "membership", "账户", "账号", "帐号", "用户", "组织",
                ],
                &[
                    "suspended", "deactivated", "is disabled", "been disabled", "banned",
                    "terminated", "locked", "frozen", "restricted", "been blocked", "is blocked",
                    "denied access", "not active", "inactive", "been flagged", "was flagged",
                    "封禁", "封号", "被封", "已封", "禁用", "冻结", "锁定", "停用",
                ],
            ),
        ],
        then: (Scope::Account, QUARANTINED),
        hint: CONTACT_PROVIDER,
    },
    Rule {
        id: "identity-unproven",
        seen: "SiliconFlow 403, relays",
        when: &[Direct, Contains(&["实名", "identity verification", "verify your identity"])],
        then: (Scope::Account, QUARANTINED),
        hint: "Verify the account's identity in the provider's console.",
    },
    Rule {
        id: "key-banned",
        seen: "ChatAnywhere, GPT_API_free #74, Gemini 403 leaked key",
        when: &[
            Direct,
            Near(
                &["key", "令牌", "密钥"],
                &[
                    "suspended", "banned", "revoked", "deleted", "leaked", "封禁", "被封", "已封",
                    "吊销",
                ],
            ),
        ],
        then: (Scope::Key, DEAD),
        hint: REPLACE_KEY,
    },
    Rule {
        id: "key-disabled",
        seen: "new-api 401 (#3301: sometimes temporary), xAI 403",
        when: &[
            Direct,
            Near(
                &["key", "令牌", "密钥"],
                &[
                    "disabled", "deactivated", "been blocked", "is blocked", "currently blocked",
                    "inactive", "禁用", "停用", "冻结", "状态不可用",
                ],
            ),
        ],
        then: (Scope::Key, QUARANTINED),
        hint: "Enable this API key in the provider's console, or replace it.",
    },
    Rule {
        id: "region",
        seen: "Gemini 400, OpenAI 403, Anthropic 403",
        when: &[
            Direct,
            Contains(&[
                "user location is not supported", "country, region", "country or region",
                "not available in your country", "not available in your region",
                "not supported in your country", "not supported in your region",
                "unsupported country", "unsupported region", "unsupported location",
                "not available in this region", "your region is not", "your country is not",
                "from your region", "from your country", "地区不", "地区暂不", "地区限制",
                "所在地区", "国家或地区", "不支持的国家", "不支持的地区", "区域不支持",
            ]),
        ],
        then: (Scope::Network, Action::StopRun),
        hint: OTHER_NETWORK,
    },
    Rule {
        id: "address",
        seen: "OpenAI 401, relays",
        when: &[
            Direct,
            Contains(&[
                "ip not authorized", "ip address not", "ip not allowed", "ip is not allowed",
                "ip is not authorized", " ip is not in", "ip denied", " ip has been",
                " ip is blocked", " ip blocked", "ip address has been", "ip address is blocked",
                "your ip is", "your ip address is", "ip whitelist", "ip allowlist", "ip白名单",
                "ip不在", "ip 不在", "ip已被", "ip 已被", "ip被", "ip限制",
            ]),
        ],
        then: (Scope::Network, Action::StopRun),
        hint:
            "Allow this machine's IP address in the provider's console, or run from an allowed address.",
    },
    Rule {
        id: "parameter",
        seen: "OpenAI 400, Mistral 422, DashScope 400",
        when: &[
            Status(&[400, 422, 502]),
            Contains(&[
                "unsupported parameter", "unknown parameter", "unrecognized request argument",
                "unsupported value", "extra inputs are not permitted", "only support stream mode",
                "only supports stream", "for non-streaming calls",
                "must provide a messages parameter", "does not support chat",
            ]),
        ],
        then: (Scope::Endpoint, Action::StopRun),
        hint: "Remove or change the parameter named in the message (--set).",
    },
    Rule {
        id: "model-missing",
        seen: "OpenAI 404, Ollama 404, Moonshot 404, ChatAnywhere #435, Zhipu 1211",
        when: &[
            Status(&[400, 401, 403, 404, 410, 422]),
            Near(
                &["model", "deployment", "模型"],
                &[
                    "not found", "not exist", "n't exist", "not supported", "unsupported",
                    "not available", "not a valid", "is invalid", "decommissioned", "deprecated",
                    "retired", "was removed", "been removed", "disabled", "not loaded", "no longer",
                    "不存在", "不支持", "已下线", "已下架", "已弃用", "未找到", "已禁用", "停用",
                ],
            ),
        ],
        then: (Scope::Model, Action::StopRun),
        hint: CHECK_MODEL,
    },
    Rule {
        id: "model-unknown",
        seen: "Mistral 400, Perplexity 400, GitHub Models 400, relays",
        when: &[
            Direct,
            Contains(&[
                "invalid model", "unknown model", "unsupported model", "no such model",
                "model not found", "model does not exist", "not found the model", "valid model id",
                "no models loaded", "inaccessible, and/or not deployed", "unable to access model",
                "unable to access non-serverless model", "on-demand throughput",
                "not found for account", "model identifier", "未知模型", "无效的模型",
                "不支持的模型", "不存在的模型", "无此模型", "没有该模型", "没有这个模型",
                "找不到模型", "模型不存在", "模型名称错误",
            ]),
        ],
        then: (Scope::Model, Action::StopRun),
        hint: CHECK_MODEL,
    },
    Rule {
        id: "model-access",
        seen: "Bedrock 403, LiteLLM 401, Ark 404, relays",
        when: &[
            Status(&[401, 403, 404, 502]),
            Near(
                &[
                    "access", "permission", "permitted", "allowed", "authorized", "entitled",
                    "not activated", "not open", "无权", "权限", "未开通", "未开放", "未激活",
                    "未授权",
                ],
                &["model", "分组", "模型"],
            ),
        ],
        then: (Scope::KeyModel, QUARANTINED),
        hint: REQUEST_ACCESS,
    },
    Rule {
        id: "model-not-open",
        seen: "DashScope 403, Zhipu 1220, Mistral 403",
        when: &[
            Direct,
            Near(
                &["model", "模型", "分组", "group"],
                &[
                    "access denied", "no permission", "not permitted", "not allowed",
                    "not authorized", "not activated", "not open", "not enabled", "permission",
                    "your plan", "your tier", "your subscription", "paid", "无权", "权限", "未开通",
                    "未开放", "未激活", "未授权",
                ],
            ),
        ],
        then: (Scope::KeyModel, QUARANTINED),
        hint: REQUEST_ACCESS,
    },
    Rule {
        id: "model-named",
        seen: "any 403 that names the model",
        when: &[
            Status(&[403]),
            MentionsModel,
            Contains(&[
                "access", "permission", "permitted", "allowed", "authorized", "denied", "available",
                "open", "enabled",
            ]),
        ],
        then: (Scope::KeyModel, QUARANTINED),
        hint: REQUEST_ACCESS,
    },
    Rule {
        id: "key-is-invalid",
        seen: "DeepSeek 401, xAI 400, Gemini 400, Cohere 401, ChatAnywhere 401, relays",
        when: &[
            Status(&[400, 401, 403, 404, 502]),
            Near(
                &[
                    "api key", "apikey", "api-key", "api_key", "access token", "api token",
                    "auth token", "secret key", "security token", "credential", "令牌", "密钥",
                ],
                &[
                    "invalid", "incorrect", "not valid", "wrong", "expired", "not found", "无效",
                    "错误", "过期", "不存在", "不正确", "非法",
                ],
            ),
        ],
        then: (Scope::Key, DEAD),
        hint: REPLACE_KEY,
    },
    Rule {
        id: "key-invalid",
        seen: "OpenAI 401, Anthropic 401, llama.cpp 401, one-api 401",
        when: &[
            Status(&[400, 401, 403, 404, 502]),
            Near(
                &["invalid", "incorrect", "wrong", "expired", "无效", "错误的"],
                &[
                    "api key", "apikey", "api-key", "api_key", "access token", "api token",
                    "auth token", "secret key", "security token", "credential", "令牌", "密钥",
                ],
            ),
        ],
        then: (Scope::Key, DEAD),
        hint: REPLACE_KEY,
    },
    Rule {
        id: "token-invalid",
        seen: "SiliconFlow 401, LiteLLM 401, OpenRouter 401, GitHub Models 401, Hugging Face 401",
        when: &[
            Status(&[401, 403, 502]),
            Contains(&[
                "token is invalid", "invalid token", "token invalid", "token expired",
                "token has expired", "token is expired", "token非法", "token无效", "token已过期",
                "proxy server token", "authentication fails", "invalid authentication",
                "bad credentials", "user not found", "no such user", "invalid username",
                "login fail", "invalid bearer", "apikey错误", "身份验证失败", "鉴权失败",
            ]),
        ],
        then: (Scope::Key, DEAD),
        hint: REPLACE_KEY,
    },
    Rule {
        id: "moderation",
        seen: "OpenRouter 403, xAI 403, Zhipu 1301, Moonshot 400, Anthropic 400",
        when: &[
            Status(&[400, 403, 422, 451, 502]),
            Contains(&[
                "content policy", "content_policy", "content management policy", "content filter",
                "content_filter", "content security", "moderation", "flagged", "guardrail",
                "safety", "usage guidelines", "usage policies", "usage policy", "inappropriate",
                "sensitive", "unsafe", "prohibited", "harmful", "violates", "violate our",
                "high risk", "敏感", "违规", "不合规", "内容安全", "审核", "违反", "安全策略",
                "不安全", "不当内容",
            ]),
        ],
        then: (Scope::Request, Action::FailJob),
        hint: CHANGE_PROMPT,
    },
    Rule {
        id: "key-restricted",
        seen: "OpenAI 401 missing scopes, Hugging Face 403, OpenRouter 403, NVIDIA 403",
        when: &[
            Status(&[401, 403]),
            Contains(&[
                "insufficient permission", "sufficient permission", "missing scopes",
                "insufficient scope", "not have permission", "permission to use",
                "not authorized to perform", "authorization failed", "api key not allowed", "无权",
                "没有权限", "无权限",
            ]),
        ],
        then: (Scope::Key, QUARANTINED),
        hint: "Grant this API key permission to use the API in the provider's console.",
    },
    Rule {
        id: "wrong-path",
        seen: "OpenAI 404, DashScope 400, one-api 404",
        when: &[
            Status(&[400, 403, 404, 405, 502]),
            Contains(&[
                "invalid url", "unknown request url", "unrecognized request url", "url error",
                "cannot post", "no route", "route not found", "page not found",
                "no static resource", "method not allowed", "接口不存在", "路径不存在",
            ]),
        ],
        then: (Scope::Endpoint, Action::StopRun),
        hint: CHECK_BASE_URL,
    },
    Rule {
        id: "busy-throttle",
        seen: "Moonshot 429, Ark 429",
        when: &[
            Status(&[429]),
            Contains(&[
                "overloaded", "capacity", "high demand", "high traffic", "too busy", "busy", "繁忙",
                "负载",
            ]),
        ],
        then: (Scope::Transient, Action::Wait),
        hint: NO_HINT,
    },
    Rule {
        id: "busy",
        seen: "relays that return 4xx while busy",
        when: &[
            Direct,
            Contains(&[
                "overloaded", "at capacity", "over capacity", "high demand", "high traffic",
                "too busy", "is busy", "temporarily unavailable", "currently loading",
                "loading model", "繁忙", "负载", "稍后再试", "稍后重试",
            ]),
        ],
        then: (Scope::Transient, RETRY),
        hint: NO_HINT,
    },
];
