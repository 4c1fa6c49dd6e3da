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
    provider(
        "Anthropic",
        &["sk-ant-"],
        &["anthropic.com"],
        "https://api.anthropic.com/v1",
    ),
    provider(
        "OpenRouter",
        &["sk-or-"],
        &["openrouter.ai"],
        "https://openrouter.ai/api/v1",
    ),
    provider(
        "OpenAI",
        &["sk-proj-", "sk-svcacct-", "sk-admin-"],
        &["openai.com"],
        "https://api.openai.com/v1",
    ),
    provider(
        "Groq",
        &["gsk_"],
        &["groq.com"],
        "https://api.groq.com/openai/v1",
    ),
    provider(
        "Google",
        &["AIza"],
        &["googleapis.com"],
        "https://generativelanguage.googleapis.com/v1beta/openai",
    ),
    provider("xAI", &["xai-"], &["x.ai"], "https://api.x.ai/v1"),
    provider(
        "Hugging Face",
        &["hf_"],
        &["huggingface.co"],
        "https://router.huggingface.co/v1",
    ),
    provider(
        "Perplexity",
        &["pplx-"],
        &["perplexity.ai"],
        "https://api.perplexity.ai",
    ),
    provider(
        "NVIDIA",
        &["nvapi-"],
        &["nvidia.com"],
        "https://integrate.api.nvidia.com/v1",
    ),
    provider(
        "Cerebras",
        &["csk-"],
        &["cerebras.ai"],
        "https://api.cerebras.ai/v1",
    ),
    provider(
        "Fireworks",
        &["fw_"],
        &["fireworks.ai"],
        "https://api.fireworks.ai/inference/v1",
    ),
    provider(
        "GitHub",
        &["github_pat_", "ghp_"],
        &["github.ai", "models.inference.ai.azure.com"],
        "https://models.github.ai/inference",
    ),
    // Keys without a distinctive prefix: recognized by host only.
    provider(
        "GPT_API_free",
        &[],
        &[
            "chatanywhere.tech",
            "chatanywhere.org",
            "chatanywhere.com.cn",
        ],
        "https://api.chatanywhere.tech/v1",
    ),
    provider(
        "DeepSeek",
        &[],
        &["deepseek.com"],
        "https://api.deepseek.com/v1",
    ),
];

/// Part of every OpenAI key.
const OPENAI_MARKER: &str = "T3BlbkFJ";

const fn provider(
    name: &'static str,
    prefixes: &'static [&'static str],
    hosts: &'static [&'static str],
    base_url: &'static str,
) -> KnownProvider {
    KnownProvider {
        name,
        prefixes,
        hosts,
        base_url,
    }
}

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
