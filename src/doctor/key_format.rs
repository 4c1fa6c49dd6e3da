//! Recognizes the provider of a key by its format. No part of the key is ever returned.

/// A provider that is recognized by the prefix of its keys or by its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownProvider {
    pub(super) name: &'static str,
    pub(super) base_url: &'static str,
    /// Its hosts, including their subdomains, separated by spaces.
    hosts: &'static str,
    /// Prefixes of its keys, separated by spaces; empty if they are not distinctive.
    prefixes: &'static str,
}

/// How the format of a key relates to a host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormatMatch {
    /// The format is not known.
    Unknown,
    /// The key has the format of this host's keys.
    Match,
    /// The key has the format of this provider's keys, and the host is not known.
    UnknownHost(KnownProvider),
    /// The key has the format of this provider's keys, and the host belongs to another one.
    OtherProvider(KnownProvider),
    /// The key does not have the format of the keys of this provider, which the host belongs to.
    Mismatch(KnownProvider),
}

/// The known providers: name, base URL, hosts, and the prefixes of keys unless they are not
/// distinctive. The first matching prefix wins.
const PROVIDERS: &str = "\
Anthropic | https://api.anthropic.com/v1 | anthropic.com | sk-ant-
OpenRouter | https://openrouter.ai/api/v1 | openrouter.ai | sk-or-
OpenAI | https://api.openai.com/v1 | openai.com | sk-proj- sk-svcacct- sk-admin-
Groq | https://api.groq.com/openai/v1 | groq.com | gsk_
Google | https://generativelanguage.googleapis.com/v1beta/openai | googleapis.com | AIza
xAI | https://api.x.ai/v1 | x.ai | xai-
Hugging Face | https://router.huggingface.co/v1 | huggingface.co | hf_
Perplexity | https://api.perplexity.ai | perplexity.ai | pplx-
NVIDIA | https://integrate.api.nvidia.com/v1 | nvidia.com | nvapi-
Cerebras | https://api.cerebras.ai/v1 | cerebras.ai | csk-
Fireworks | https://api.fireworks.ai/inference/v1 | fireworks.ai | fw_
GitHub | https://models.github.ai/inference | github.ai models.inference.ai.azure.com | github_pat_ ghp_
GPT_API_free | https://api.chatanywhere.tech/v1 | chatanywhere.tech chatanywhere.org chatanywhere.com.cn |
DeepSeek | https://api.deepseek.com/v1 | deepseek.com |";

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
        self.prefixes.replace(' ', " or ")
    }
}

fn providers() -> impl Iterator<Item = KnownProvider> {
    PROVIDERS.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim);
        Some(KnownProvider {
            name: cells.next()?,
            base_url: cells.next()?,
            hosts: cells.next()?,
            prefixes: cells.next()?,
        })
    })
}

fn by_key(key: &str) -> Option<KnownProvider> {
    let mut prefixes = providers().filter(|provider| {
        let mut prefixes = provider.prefixes.split_whitespace();
        prefixes.any(|prefix| key.starts_with(prefix))
    });
    let by_marker = || {
        let mut known = providers().filter(|_| key.contains(OPENAI_MARKER));
        known.find(|provider| provider.name == "OpenAI")
    };
    prefixes.next().or_else(by_marker)
}

fn by_host(host: &str) -> Option<KnownProvider> {
    let matches_host = |known: &str| {
        let above = host.strip_suffix(known);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    };
    providers().find(|provider| provider.hosts.split_whitespace().any(matches_host))
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
