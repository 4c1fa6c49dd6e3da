//! Recognizes the provider of a key by its format. No part of the key is ever returned.

/// A provider that is recognized by the prefix of its keys or by its hosts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KnownProvider {
    pub(super) name: &'static str,
    /// Prefixes of its keys; empty if they are not distinctive.
    prefixes: &'static [&'static str],
    /// Its hosts, including their subdomains.
    hosts: &'static [&'static str],
    pub(super) base_url: &'static str,
}

/// How the format of a key relates to a host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormatMatch {
    /// The format is not known.
    Unknown,
    /// The key has the format of this host's keys.
    Match,
    /// The key has the format of this provider's keys, and the host is not known.
    UnknownHost(&'static KnownProvider),
    /// The key has the format of this provider's keys, and the host belongs to another one.
    OtherProvider(&'static KnownProvider),
    /// The key does not have the format of the keys of this provider, which the host belongs to.
    Mismatch(&'static KnownProvider),
}

/// The known providers; the first matching prefix wins.
const PROVIDERS: [KnownProvider; 14] = [
    KnownProvider {
        name: "Anthropic",
        prefixes: &["sk-ant-"],
        hosts: &["anthropic.com"],
        base_url: "https://api.anthropic.com/v1",
    },
    KnownProvider {
        name: "OpenRouter",
        prefixes: &["sk-or-"],
        hosts: &["openrouter.ai"],
        base_url: "https://openrouter.ai/api/v1",
    },
    KnownProvider {
        name: "OpenAI",
        prefixes: &["sk-proj-", "sk-svcacct-", "sk-admin-"],
        hosts: &["openai.com"],
        base_url: "https://api.openai.com/v1",
    },
    KnownProvider {
        name: "Groq",
        prefixes: &["gsk_"],
        hosts: &["groq.com"],
        base_url: "https://api.groq.com/openai/v1",
    },
    KnownProvider {
        name: "Google",
        prefixes: &["AIza"],
        hosts: &["googleapis.com"],
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
    },
    KnownProvider {
        name: "xAI",
        prefixes: &["xai-"],
        hosts: &["x.ai"],
        base_url: "https://api.x.ai/v1",
    },
    KnownProvider {
        name: "Hugging Face",
        prefixes: &["hf_"],
        hosts: &["huggingface.co"],
        base_url: "https://router.huggingface.co/v1",
    },
    KnownProvider {
        name: "Perplexity",
        prefixes: &["pplx-"],
        hosts: &["perplexity.ai"],
        base_url: "https://api.perplexity.ai",
    },
    KnownProvider {
        name: "NVIDIA",
        prefixes: &["nvapi-"],
        hosts: &["nvidia.com"],
        base_url: "https://integrate.api.nvidia.com/v1",
    },
    KnownProvider {
        name: "Cerebras",
        prefixes: &["csk-"],
        hosts: &["cerebras.ai"],
        base_url: "https://api.cerebras.ai/v1",
    },
    KnownProvider {
        name: "Fireworks",
        prefixes: &["fw_"],
        hosts: &["fireworks.ai"],
        base_url: "https://api.fireworks.ai/inference/v1",
    },
    KnownProvider {
        name: "GitHub",
        prefixes: &["github_pat_", "ghp_"],
        hosts: &["github.ai", "models.inference.ai.azure.com"],
        base_url: "https://models.github.ai/inference",
    },
    // Keys without a distinctive prefix: recognized by host only.
    KnownProvider {
        name: "GPT_API_free",
        prefixes: &[],
        hosts: &[
            "chatanywhere.tech",
            "chatanywhere.org",
            "chatanywhere.com.cn",
        ],
        base_url: "https://api.chatanywhere.tech/v1",
    },
    KnownProvider {
        name: "DeepSeek",
        prefixes: &[],
        hosts: &["deepseek.com"],
        base_url: "https://api.deepseek.com/v1",
    },
];

/// Part of every OpenAI key.
const OPENAI_MARKER: &str = "T3BlbkFJ";

/// Compares the format of a key with a host in lower case.
pub(super) fn match_format(key: &str, host: &str) -> FormatMatch {
    match (by_key(key), by_host(host)) {
        (Some(of), Some(at)) if of == at => FormatMatch::Match,
        (Some(of), Some(_)) => FormatMatch::OtherProvider(of),
        (Some(of), None) => FormatMatch::UnknownHost(of),
        (None, Some(at)) if !at.prefixes.is_empty() => FormatMatch::Mismatch(at),
        (None, _) => FormatMatch::Unknown,
    }
}

impl KnownProvider {
    /// Lists the prefixes of its keys.
    pub(super) fn prefix_list(&self) -> String {
        self.prefixes.join(" or ")
    }
}

fn by_key(key: &str) -> Option<&'static KnownProvider> {
    let has_prefix = |provider: &&KnownProvider| {
        provider
            .prefixes
            .iter()
            .any(|prefix| key.starts_with(prefix))
    };
    let has_marker =
        |provider: &&KnownProvider| provider.name == "OpenAI" && key.contains(OPENAI_MARKER);
    PROVIDERS
        .iter()
        .find(has_prefix)
        .or_else(|| PROVIDERS.iter().find(has_marker))
}

fn by_host(host: &str) -> Option<&'static KnownProvider> {
    let matches_host = |known: &&'static str| {
        let above = host.strip_suffix(*known);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    };
    PROVIDERS
        .iter()
        .find(|provider| provider.hosts.iter().any(matches_host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, host: &str, expected: &str) {
        let found = match match_format(key, host) {
            FormatMatch::Unknown => "unknown".to_owned(),
            FormatMatch::Match => "match".to_owned(),
            FormatMatch::UnknownHost(provider) => format!("unknown host, {}", provider.name),
            FormatMatch::OtherProvider(provider) => format!("other provider, {}", provider.name),
            FormatMatch::Mismatch(provider) => format!("mismatch, {}", provider.name),
        };
        assert_eq!(found, expected, "{key} {host}");
    }

    #[test]
    fn recognizes_keys_by_format_and_host() {
        let openai = "sk-abcdefghijklmnopqrstT3BlbkFJabcdefghijklmnopqrst";
        let relay = "sk-abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv";
        check("sk-proj-abc", "api.openai.com", "match");
        check(openai, "api.openai.com", "match");
        check(relay, "api.openai.com", "mismatch, OpenAI");
        check(openai, "api.chatanywhere.tech", "other provider, OpenAI");
        check(relay, "api.chatanywhere.tech", "unknown");
        check(
            "sk-ant-api03-abc",
            "api.openai.com",
            "other provider, Anthropic",
        );
        check("sk-ant-api03-abc", "127.0.0.1", "unknown host, Anthropic");
        check("sk-or-v1-abc", "openrouter.ai", "match");
        check("gsk_abc", "api.openai.com", "other provider, Groq");
        check("sk-abc", "api.groq.com", "mismatch, Groq");
        check("sk-abc", "relay.example", "unknown");
        check("sk-ant-abc", "notanthropic.com", "unknown host, Anthropic");
    }
}
