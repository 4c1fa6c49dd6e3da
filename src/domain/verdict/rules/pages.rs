//! First group: web pages and firewalls. Their text does not come from the API, so they
//! are matched before codes and messages.

use super::rule::Condition::{Between, Contains, Status, WebPage};
use super::rule::{Action, NO_HINT, OTHER_NETWORK, RETRY, Rule, Scope};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "firewall-throttle",
        seen: "Cloudflare 1015",
        when: &[Contains(&[
            "error code: 1015",
            "error 1015",
            "you are being rate limited",
        ])],
        then: (Scope::Quota, Action::Wait),
        hint: "Lower --rpm or --concurrency. A firewall in front of the endpoint limits your requests.",
    },
    Rule {
        id: "firewall-page",
        seen: "Cloudflare at Groq (openui#144, llama_index#16796), Akamai, Imperva, Aliyun",
        when: &[
            WebPage,
            Contains(&[
                "attention required",
                "just a moment",
                "you have been blocked",
                "cf-mitigated",
                "checking your browser",
                "enable javascript and cookies",
                "captcha",
                "verify you are human",
                "ddos protection",
                "incapsula",
                "sucuri",
                "errors.edgesuite.net",
                "web application firewall",
                "requested url was rejected",
                "restricted access",
                "安全验证",
                "人机验证",
                "防火墙",
                "您的访问被阻断",
                "访问被拦截",
            ]),
        ],
        then: (Scope::Network, Action::StopRun),
        hint: "Run from another network. If only one row triggers the firewall, remove that row.",
    },
    Rule {
        id: "firewall-code",
        seen: "Cloudflare plain text `error code: 1020`, and in JSON",
        when: &[
            Between(400, 499),
            Contains(&[
                "error code: 1005",
                "error code: 1006",
                "error code: 1007",
                "error code: 1008",
                "error code: 1009",
                "error code: 1010",
                "error code: 1012",
                "error code: 1020",
                "error 1005",
                "error 1006",
                "error 1009",
                "error 1010",
                "error 1020",
                "cf-mitigated challenge",
            ]),
        ],
        then: (Scope::Network, Action::StopRun),
        hint: OTHER_NETWORK,
    },
    Rule {
        id: "edge-block",
        seen: "ChatAnywhere behind Tencent EdgeOne, GPT_API_free #446",
        when: &[Status(&[566, 567])],
        then: (Scope::Network, Action::StopRun),
        hint: OTHER_NETWORK,
    },
    Rule {
        id: "gateway-page",
        seen: "nginx 502, GPT_API_free #121",
        when: &[
            WebPage,
            Status(&[
                500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 529, 530,
            ]),
        ],
        then: (Scope::Transient, RETRY),
        hint: NO_HINT,
    },
    Rule {
        id: "plain-http-page",
        seen: "nginx 400",
        when: &[
            WebPage,
            Contains(&["plain http request was sent to https port"]),
        ],
        then: (Scope::Endpoint, Action::StopRun),
        hint: "Use https:// in the base URL.",
    },
    Rule {
        id: "forbidden-page",
        seen: "Google 403 `Error 403 (Forbidden)!!1`, nginx 403",
        when: &[WebPage, Status(&[403, 451])],
        then: (Scope::Network, Action::StopRun),
        hint: OTHER_NETWORK,
    },
    Rule {
        id: "no-api-page",
        seen: "web servers other than the API",
        when: &[WebPage, Status(&[404, 405, 406, 410])],
        then: (Scope::Endpoint, Action::StopRun),
        hint: "Check the base URL. It points to a website, not to an API.",
    },
];
