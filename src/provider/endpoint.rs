//! The endpoint that requests are sent to: its base URL and what is sent with each request.

use std::fmt;

use reqwest::Url;

use super::base_url::{self, BaseUrlError, BaseUrlFix, is_loopback};
use crate::api::Api;
use crate::domain::redact::REDACTED;

/// Values of query parameters longer than this, in bytes, are not displayed. They can be secret.
const MAX_SHOWN_VALUE: usize = 20;

/// An endpoint with a validated and normalized base URL, whose query is sent with each request.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    base: Url,
    host: String,
    display: String,
}

impl Endpoint {
    /// Parses a base URL as typed by the user, and returns the corrections made.
    pub fn parse(text: &str) -> Result<(Self, Vec<BaseUrlFix>), BaseUrlError> {
        let (base, host, fixes) = base_url::parse(text)?;
        let display = display(&base);
        let endpoint = Self {
            base,
            host,
            display,
        };
        Ok((endpoint, fixes))
    }

    /// Returns the same endpoint with another path of the base URL.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Self {
        let mut base = self.base.clone();
        base.set_path(path);
        Self {
            display: display(&base),
            host: self.host.clone(),
            base,
        }
    }

    /// Returns the path of the base URL.
    #[must_use]
    pub fn path(&self) -> &str {
        self.base.path()
    }

    /// Returns the URL to send requests to.
    #[must_use]
    pub fn url(&self, api: Api) -> Url {
        self.join(api.format().path)
    }

    /// Returns the URL with a path below the base URL.
    pub(super) fn join(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        url
    }

    /// Returns the host in lowercase, without the port; an IPv6 address is in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the base URL as displayed and stored, without a trailing slash and without secrets.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.display
    }

    /// Returns whether the host is a loopback address or `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Returns whether the base URL uses HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }
}

/// Omits what is not displayed.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.display).finish()
    }
}

/// Returns a base URL with the long values of its query redacted.
fn display(base: &Url) -> String {
    let Some(query) = base.query() else {
        return base.as_str().to_owned();
    };
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if value.len() > MAX_SHOWN_VALUE => format!("{name}={REDACTED}"),
        _ => pair.to_owned(),
    });
    let shown: Vec<_> = shown.collect();
    let end = base.as_str().len() - query.len();
    format!("{}{}", &base.as_str()[..end], shown.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::BaseUrlFix;

    /// Checks the base URL, and the corrections joined with `; `.
    #[track_caller]
    fn check(text: &str, base: &str, fixes: &str) {
        let (endpoint, found) = Endpoint::parse(text).expect(text);
        assert_eq!(endpoint.display(), base, "{text}");
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.join("; "), fixes, "{text}");
        let chat = format!("{base}/chat/completions");
        assert_eq!(endpoint.url(Api::Chat).as_str(), chat, "{text}");
        let models = format!("{base}/models");
        assert_eq!(endpoint.join("/models").as_str(), models, "{text}");
    }

    const HTTPS: &str = "added `https://` to the base URL";
    const HTTP: &str = "added `http://` to the base URL";
    const SLASH: &str = "removed the trailing `/` from the base URL";
    const V1: &str = "added `/v1` to the base URL, which had no path";
    const CHAT: &str = "removed `/chat/completions` from the base URL";

    #[test]
    fn correct_base_urls_are_unchanged() {
        for base in [
            "https://api.openai.com/v1",
            "https://api.chatanywhere.tech/v1",
            "https://openrouter.ai/api/v1",
            "https://api.deepseek.com/beta",
            "https://relay.example:8443/a/b%20c/v2",
            "http://127.0.0.1:8080/v1",
            "http://localhost/api",
            "http://[::1]:9/v1",
        ] {
            check(base, base, "");
        }
        let openai = "https://api.openai.com/v1";
        check("  HTTPS://API.OpenAI.com/v1\n", openai, "");
        check("https://api.openai.com:443/v1", openai, "");
    }

    #[test]
    fn unambiguous_mistakes_are_corrected_and_reported() {
        let openai = "https://api.openai.com/v1";
        check("https://api.openai.com", openai, V1);
        check("https://api.openai.com/", openai, V1);
        check("https://api.openai.com/v1//", openai, SLASH);
        check("https://api.openai.com/v1/chat/completions", openai, CHAT);
        let fixes = format!("{SLASH}; {CHAT}");
        check(
            "https://api.openai.com/v1/chat/completions/",
            openai,
            &fixes,
        );
        let fixes = format!("{CHAT}; {V1}");
        check("https://api.openai.com/chat/completions", openai, &fixes);
        check("api.openai.com", openai, &format!("{HTTPS}; {V1}"));
        check("api.openai.com:443/v1", openai, HTTPS);
        for suffix in ["completions", "models", "embeddings"] {
            let fix = format!("removed `/{suffix}` from the base URL");
            check(&format!("{openai}/{suffix}"), openai, &fix);
        }
        let fixes = format!("{HTTP}; {V1}");
        check("localhost:8080", "http://localhost:8080/v1", &fixes);
        check("127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1", HTTP);
        check("[::1]:1/v1", "http://[::1]:1/v1", HTTP);
    }

    #[test]
    fn a_missing_path_defaults_to_that_of_the_provider() {
        for (host, path) in [
            ("api.chatanywhere.org", "/v1"),
            ("api.deepseek.com", "/v1"),
            ("openrouter.ai", "/api/v1"),
            ("api.groq.com", "/openai/v1"),
            ("mine.openai.azure.com", "/openai/v1"),
        ] {
            let (endpoint, fixes) = Endpoint::parse(&format!("https://{host}")).expect(host);
            assert_eq!(endpoint.display(), format!("https://{host}{path}"));
            assert_eq!(fixes, [BaseUrlFix::PathAdded(path)]);
        }
    }

    #[test]
    fn the_host_is_lowercase_and_loopback_is_detected() {
        let subdomain = "https://localhost.example.com";
        for (text, host, is_loopback) in [
            ("https://API.OpenAI.com", "api.openai.com", false),
            ("LOCALHOST:1", "localhost", true),
            ("http://127.8.9.1", "127.8.9.1", true),
            ("http://[::ffff:127.0.0.1]:1", "[::ffff:7f00:1]", true),
            (subdomain, &subdomain["https://".len()..], false),
        ] {
            let (endpoint, _) = Endpoint::parse(text).expect(text);
            let found = (endpoint.host(), endpoint.is_loopback());
            assert_eq!(found, (host, is_loopback), "{text}");
        }
    }

    #[test]
    fn the_query_is_kept_on_each_request() {
        let base = "https://x.openai.azure.com/openai/deployments/gpt-4o";
        let query = "?api-version=2024-10-21&region=";
        let (endpoint, fixes) =
            Endpoint::parse(&format!("{base}/chat/completions{query}")).expect("a query");
        assert_eq!(fixes, [BaseUrlFix::SuffixRemoved("/chat/completions")]);
        assert_eq!(endpoint.display(), format!("{base}{query}"));
        let embeddings = endpoint.url(Api::Embeddings);
        assert_eq!(embeddings.as_str(), format!("{base}/embeddings{query}"));
        let models = endpoint.with_path("/v1").join("/models");
        let expected = format!("https://x.openai.azure.com/v1/models{query}");
        assert_eq!(models.as_str(), expected);
    }

    #[test]
    fn long_values_of_the_query_are_not_displayed() {
        let value = "q8Zr1m0Yw7Lk3Vt5Xc2Nb";
        let (endpoint, _) = Endpoint::parse(&format!("https://a.b/v1?x={value}&v=1")).unwrap();
        assert_eq!(endpoint.display(), "https://a.b/v1?x=[redacted]&v=1");
        assert!(!format!("{endpoint:?}").contains(value));
        let url = endpoint.url(Api::Chat);
        assert_eq!(url.query(), Some(&*format!("x={value}&v=1")));
    }

    #[test]
    fn invalid_base_urls_are_rejected_without_leaking_secrets() {
        let table = r"
            Invalid https:// /v1 https:api.x.y https://x:99999 http://[::1 https://a\b https://a..b/v1
            Scheme ftp://x/v1 file:///etc/sk-canary
            UserInfo https://user:sk-canary@api.openai.com/v1 sk-canary@api.openai.com
            Query https://api.openai.com/v1?api_key=sk-canary https://api.openai.com/v1?
            Query https://a.b/v1?v=1&KEY=sk-canary https://a.b/v1?v=sk-canary12
            Query https://a.b/v1?access%5Ftoken=sk-canary
            Fragment https://api.openai.com/v1#sk-canary
            PlainHttp http://api.openai.com/v1 http://10.0.0.1 http://localhost.evil.com
            PlainHttp http://0.0.0.0:8000
            Website https://chat.openai.com platform.openai.com/api-keys https://chatgpt.com/c/1
        ";
        let cases = table.trim().lines().flat_map(|line| {
            let mut words = line.split_whitespace();
            let variant = words.next().unwrap();
            words.map(move |text| (variant, text))
        });
        let others = [
            ("Empty", ""),
            ("Empty", " \n"),
            ("Invalid", "https://a b/v1"),
        ];
        for (variant, text) in cases.chain(others) {
            let error = Endpoint::parse(text).expect_err(text);
            assert!(format!("{error:?}").starts_with(variant), "{text}: {error}");
            let message = format!("{error} {error:?}");
            assert!(!message.contains("sk-canary"), "{message}");
            assert!(message.contains("hint: "), "{message}");
        }
    }
}
