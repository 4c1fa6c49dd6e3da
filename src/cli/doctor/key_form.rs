//! Whose key it is, by its form alone. Only the maker's name leaves this room, never a byte of the
//! key.

/// A provider whose keys can be told by how they begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Maker {
    pub(super) name: &'static str,
    /// How its keys begin; none when that tells nothing.
    prefixes: &'static [&'static str],
    /// Its hosts, with all below them.
    hosts: &'static [&'static str],
    pub(super) base_url: &'static str,
}

/// What a key's form says about it at a host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Nothing.
    Unknown,
    /// It has the form of this host's keys.
    Own,
    /// It has the form of another provider's keys, and the host is nobody's that is known.
    Odd(&'static Maker),
    /// It has the form of another provider's keys, and the host is a third one's.
    Foreign(&'static Maker),
    /// It has no form that is known, though the keys of this host have one.
    NotOf(&'static Maker),
}

/// The longer prefix stands before the one that it begins with.
const MAKERS: [Maker; 14] = [
    maker(
        "Anthropic",
        &["sk-ant-"],
        &["anthropic.com"],
        "https://api.anthropic.com/v1",
    ),
    maker(
        "OpenRouter",
        &["sk-or-"],
        &["openrouter.ai"],
        "https://openrouter.ai/api/v1",
    ),
    maker(
        "OpenAI",
        &["sk-proj-", "sk-svcacct-", "sk-admin-"],
        &["openai.com"],
        "https://api.openai.com/v1",
    ),
    maker(
        "Groq",
        &["gsk_"],
        &["groq.com"],
        "https://api.groq.com/openai/v1",
    ),
    maker(
        "Google",
        &["AIza"],
        &["googleapis.com"],
        "https://generativelanguage.googleapis.com/v1beta/openai",
    ),
    maker("xAI", &["xai-"], &["x.ai"], "https://api.x.ai/v1"),
    maker(
        "Hugging Face",
        &["hf_"],
        &["huggingface.co"],
        "https://router.huggingface.co/v1",
    ),
    maker(
        "Perplexity",
        &["pplx-"],
        &["perplexity.ai"],
        "https://api.perplexity.ai",
    ),
    maker(
        "NVIDIA",
        &["nvapi-"],
        &["nvidia.com"],
        "https://integrate.api.nvidia.com/v1",
    ),
    maker(
        "Cerebras",
        &["csk-"],
        &["cerebras.ai"],
        "https://api.cerebras.ai/v1",
    ),
    maker(
        "Fireworks",
        &["fw_"],
        &["fireworks.ai"],
        "https://api.fireworks.ai/inference/v1",
    ),
    maker(
        "GitHub",
        &["github_pat_", "ghp_"],
        &["github.ai", "models.inference.ai.azure.com"],
        "https://models.github.ai/inference",
    ),
    // These begin like many others' keys: known by their hosts only.
    maker(
        "GPT_API_free",
        &[],
        &[
            "chatanywhere.tech",
            "chatanywhere.org",
            "chatanywhere.com.cn",
        ],
        "https://api.chatanywhere.tech/v1",
    ),
    maker(
        "DeepSeek",
        &[],
        &["deepseek.com"],
        "https://api.deepseek.com/v1",
    ),
];

/// What stands in the middle of every key of OpenAI.
const OPENAI_MARK: &str = "T3BlbkFJ";

const fn maker(
    name: &'static str,
    prefixes: &'static [&'static str],
    hosts: &'static [&'static str],
    base_url: &'static str,
) -> Maker {
    Maker {
        name,
        prefixes,
        hosts,
        base_url,
    }
}

/// Says what a key's form tells about it at a host, which is in lower case.
pub(super) fn fit(key: &str, host: &str) -> Fit {
    match (by_key(key), by_host(host)) {
        (Some(of), Some(at)) if of == at => Fit::Own,
        (Some(of), Some(_)) => Fit::Foreign(of),
        (Some(of), None) => Fit::Odd(of),
        (None, Some(at)) if !at.prefixes.is_empty() => Fit::NotOf(at),
        (None, _) => Fit::Unknown,
    }
}

impl Maker {
    /// Says how its keys begin.
    pub(super) fn beginnings(&self) -> String {
        self.prefixes.join(" or ")
    }
}

fn by_key(key: &str) -> Option<&'static Maker> {
    let begins = |maker: &&Maker| maker.prefixes.iter().any(|prefix| key.starts_with(prefix));
    let marked = |maker: &&Maker| maker.name == "OpenAI" && key.contains(OPENAI_MARK);
    MAKERS
        .iter()
        .find(begins)
        .or_else(|| MAKERS.iter().find(marked))
}

fn by_host(host: &str) -> Option<&'static Maker> {
    let is_at = |known: &&'static str| {
        let above = host.strip_suffix(*known);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    };
    MAKERS.iter().find(|maker| maker.hosts.iter().any(is_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, host: &str, expected: &str) {
        let found = match fit(key, host) {
            Fit::Unknown => "unknown".to_owned(),
            Fit::Own => "own".to_owned(),
            Fit::Odd(maker) => format!("odd {}", maker.name),
            Fit::Foreign(maker) => format!("foreign {}", maker.name),
            Fit::NotOf(maker) => format!("not of {}", maker.name),
        };
        assert_eq!(found, expected, "{key} {host}");
    }

    #[test]
    fn a_key_is_told_by_its_form_and_the_host() {
        let openai = "sk-abcdefghijklmnopqrstT3BlbkFJabcdefghijklmnopqrst";
        let relay = "sk-abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv";
        check("sk-proj-abc", "api.openai.com", "own");
        check(openai, "api.openai.com", "own");
        check(relay, "api.openai.com", "not of OpenAI");
        check(openai, "api.chatanywhere.tech", "foreign OpenAI");
        check(relay, "api.chatanywhere.tech", "unknown");
        check("sk-ant-api03-abc", "api.openai.com", "foreign Anthropic");
        check("sk-ant-api03-abc", "127.0.0.1", "odd Anthropic");
        check("sk-or-v1-abc", "openrouter.ai", "own");
        check("gsk_abc", "api.openai.com", "foreign Groq");
        check("sk-abc", "api.groq.com", "not of Groq");
        check("sk-abc", "relay.example", "unknown");
        check("sk-ant-abc", "notanthropic.com", "odd Anthropic");
    }
}
