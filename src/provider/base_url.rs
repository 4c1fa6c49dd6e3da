//! Validates and normalizes the base URL. Unambiguous mistakes are corrected and reported; others
//! are errors with a hint.
//!
//! No message repeats the user name, password, query or fragment, since they can contain a key.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use rustls::pki_types::ServerName;

use crate::api::Api;

/// The base paths of hosts that do not use `/v1`. A leading dot matches any subdomain.
const BASE_PATHS: [(&str, &str); 8] = [
    ("openrouter.ai", "/api/v1"),
    ("api.groq.com", "/openai/v1"),
    ("api.fireworks.ai", "/inference/v1"),
    ("generativelanguage.googleapis.com", "/v1beta/openai"),
    ("dashscope.aliyuncs.com", "/compatible-mode/v1"),
    ("dashscope-intl.aliyuncs.com", "/compatible-mode/v1"),
    ("open.bigmodel.cn", "/api/paas/v4"),
    (".openai.azure.com", "/openai/v1"),
];

/// Websites of providers, with the base URL of their API.
const WEBSITES: [(&str, &str); 10] = [
    ("openai.com", "https://api.openai.com/v1"),
    ("www.openai.com", "https://api.openai.com/v1"),
    ("chat.openai.com", "https://api.openai.com/v1"),
    ("platform.openai.com", "https://api.openai.com/v1"),
    ("chatgpt.com", "https://api.openai.com/v1"),
    ("www.chatgpt.com", "https://api.openai.com/v1"),
    ("chat.deepseek.com", "https://api.deepseek.com/v1"),
    ("platform.deepseek.com", "https://api.deepseek.com/v1"),
    ("console.groq.com", "https://api.groq.com/openai/v1"),
    ("claude.ai", "https://api.anthropic.com/v1"),
];

/// Paths of individual endpoints, which are not part of the base URL.
const ENDPOINT_PATHS: [&str; 4] = [
    "/chat/completions",
    "/completions",
    "/models",
    "/embeddings",
];

/// An endpoint with a validated and normalized base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    base: String,
    host: String,
    chat_completions: Url,
    embeddings: Url,
    models: Url,
    is_loopback: bool,
}

impl Endpoint {
    /// Parses a base URL as typed by the user, and returns the corrections made.
    pub fn parse(text: &str) -> Result<(Self, Vec<BaseUrlFix>), BaseUrlError> {
        let mut fixes = Vec::new();
        let mut url = parse_url(text.trim(), &mut fixes)?;
        let host = check_components(&url)?;
        let is_loopback = is_loopback(&host);
        if url.scheme() == "http" && !is_loopback {
            return Err(BaseUrlError::PlainHttp);
        }
        let path = base_path(url.path(), &host, &mut fixes);
        url.set_path(&path);
        let base = url.as_str().trim_end_matches('/').to_owned();
        let endpoint = Self {
            chat_completions: join(&base, Api::Chat.format().path)?,
            embeddings: join(&base, Api::Embeddings.format().path)?,
            models: join(&base, "/models")?,
            base,
            host,
            is_loopback,
        };
        Ok((endpoint, fixes))
    }

    /// Returns the URL to send requests to.
    #[must_use]
    pub fn url(&self, api: Api) -> &Url {
        match api {
            Api::Chat => &self.chat_completions,
            Api::Embeddings => &self.embeddings,
        }
    }

    /// Returns the URL of the model list.
    #[must_use]
    pub fn models(&self) -> &Url {
        &self.models
    }

    /// Returns the host in lowercase, without the port; an IPv6 address is in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the base URL as displayed, without a trailing slash.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.base
    }

    /// Returns whether the host is a loopback address or `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Returns whether the base URL uses HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.chat_completions.scheme() == "https"
    }
}

/// A correction of a base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseUrlFix {
    /// The scheme was missing.
    SchemeAdded(&'static str),
    /// Trailing slashes were removed.
    TrailingSlashRemoved,
    /// The path of an individual endpoint was removed.
    SuffixRemoved(&'static str),
    /// The path was missing.
    PathAdded(&'static str),
}

impl fmt::Display for BaseUrlFix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SchemeAdded(scheme) => {
                write!(formatter, "added `{scheme}://` to the base URL")
            }
            Self::TrailingSlashRemoved => {
                formatter.write_str("removed the trailing `/` from the base URL")
            }
            Self::SuffixRemoved(suffix) => {
                write!(formatter, "removed `{suffix}` from the base URL")
            }
            Self::PathAdded(path) => {
                write!(
                    formatter,
                    "added `{path}` to the base URL, which had no path"
                )
            }
        }
    }
}

/// An invalid base URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// The base URL is empty.
    #[error("the base URL is empty\nhint: set a base URL such as https://api.openai.com/v1")]
    Empty,
    /// The base URL does not parse.
    #[error("invalid base URL: {0}\nhint: set a base URL such as https://api.openai.com/v1")]
    Invalid(String),
    /// The scheme is neither http nor https.
    #[error("unsupported scheme `{0}:` in the base URL\nhint: use https://")]
    Scheme(String),
    /// The base URL contains a user name or a password.
    #[error(
        "the base URL contains a user name or password\nhint: remove everything before the `@`; set the API key in a key file or in the environment"
    )]
    UserInfo,
    /// The base URL contains a query.
    #[error(
        "the base URL contains a query string\nhint: remove the `?` and everything after it; set the API key in a key file or in the environment"
    )]
    Query,
    /// The base URL contains a fragment.
    #[error("the base URL contains a fragment\nhint: remove the `#` and everything after it")]
    Fragment,
    /// The scheme is http, and the host is not a loopback address.
    #[error("plain http:// is only accepted for localhost\nhint: use https://")]
    PlainHttp,
    /// The host is a website.
    #[error("{host} is a website, not an API endpoint\nhint: set the base URL to {instead}")]
    Website {
        /// The host.
        host: String,
        /// The base URL of the provider's API.
        instead: &'static str,
    },
}

fn parse_url(text: &str, fixes: &mut Vec<BaseUrlFix>) -> Result<Url, BaseUrlError> {
    if text.is_empty() {
        return Err(BaseUrlError::Empty);
    }
    // `Url::parse` would silently remove some of these.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        let problem = "it contains whitespace, a backslash or a control character";
        return Err(BaseUrlError::Invalid(problem.to_owned()));
    }
    if text.contains("://") {
        return parse_absolute(text);
    }
    if text.starts_with("http:") || text.starts_with("https:") || text.starts_with('/') {
        let problem = "expected `https://` followed by a host name";
        return Err(BaseUrlError::Invalid(problem.to_owned()));
    }
    let secure = parse_absolute(&format!("https://{text}"))?;
    if secure.host_str().is_some_and(is_loopback) {
        fixes.push(BaseUrlFix::SchemeAdded("http"));
        return parse_absolute(&format!("http://{text}"));
    }
    fixes.push(BaseUrlFix::SchemeAdded("https"));
    Ok(secure)
}

fn parse_absolute(text: &str) -> Result<Url, BaseUrlError> {
    Url::parse(text).map_err(|error| BaseUrlError::Invalid(error.to_string()))
}

/// Rejects components that a base URL cannot contain, and returns its host.
fn check_components(url: &Url) -> Result<String, BaseUrlError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BaseUrlError::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BaseUrlError::UserInfo);
    }
    if url.query().is_some() {
        return Err(BaseUrlError::Query);
    }
    if url.fragment().is_some() {
        return Err(BaseUrlError::Fragment);
    }
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    // TLS certificates require a valid DNS name or IP address; the URL standard does not.
    if ServerName::try_from(without_brackets(&host)).is_err() {
        let problem = "the host name is invalid";
        return Err(BaseUrlError::Invalid(problem.to_owned()));
    }
    match WEBSITES.into_iter().find(|(website, _)| *website == host) {
        Some((_, instead)) => Err(BaseUrlError::Website { host, instead }),
        None => Ok(host),
    }
}

fn is_loopback(host: &str) -> bool {
    match without_brackets(host).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Removes the brackets of an IPv6 address.
fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Removes trailing slashes and endpoint paths, and adds the default path if there is none.
fn base_path(given: &str, host: &str, fixes: &mut Vec<BaseUrlFix>) -> String {
    let mut path = given.trim_end_matches('/');
    if path.len() < given.len() && !path.is_empty() {
        fixes.push(BaseUrlFix::TrailingSlashRemoved);
    }
    while let Some((rest, suffix)) = ENDPOINT_PATHS
        .into_iter()
        .find_map(|suffix| Some((path.strip_suffix(suffix)?, suffix)))
    {
        fixes.push(BaseUrlFix::SuffixRemoved(suffix));
        path = rest.trim_end_matches('/');
    }
    if !path.is_empty() {
        return path.to_owned();
    }
    let path = BASE_PATHS
        .into_iter()
        .find(|(known, _)| *known == host || known.starts_with('.') && host.ends_with(known))
        .map_or("/v1", |(_, path)| path);
    fixes.push(BaseUrlFix::PathAdded(path));
    path.to_owned()
}

fn join(base: &str, path: &str) -> Result<Url, BaseUrlError> {
    parse_absolute(&format!("{base}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the base URL, and the corrections joined with `; `.
    #[track_caller]
    fn check(text: &str, base: &str, fixes: &str) {
        let (endpoint, found) = Endpoint::parse(text).expect(text);
        assert_eq!(endpoint.display(), base, "{text}");
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.join("; "), fixes, "{text}");
        let chat = format!("{base}/chat/completions");
        assert_eq!(endpoint.url(Api::Chat).as_str(), chat, "{text}");
        assert_eq!(
            endpoint.models().as_str(),
            format!("{base}/models"),
            "{text}"
        );
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
        check(
            "  HTTPS://API.OpenAI.com/v1\n",
            "https://api.openai.com/v1",
            "",
        );
        check(
            "https://api.openai.com:443/v1",
            "https://api.openai.com/v1",
            "",
        );
    }

    #[test]
    fn unambiguous_mistakes_are_corrected_and_reported() {
        let openai = "https://api.openai.com/v1";
        check("https://api.openai.com", openai, V1);
        check("https://api.openai.com/", openai, V1);
        check("https://api.openai.com/v1//", openai, SLASH);
        check("https://api.openai.com/v1/chat/completions", openai, CHAT);
        check(
            "https://api.openai.com/v1/chat/completions/",
            openai,
            &format!("{SLASH}; {CHAT}"),
        );
        check(
            "https://api.openai.com/chat/completions",
            openai,
            &format!("{CHAT}; {V1}"),
        );
        check("api.openai.com", openai, &format!("{HTTPS}; {V1}"));
        check("api.openai.com:443/v1", openai, HTTPS);
        for suffix in ["completions", "models", "embeddings"] {
            let fix = format!("removed `/{suffix}` from the base URL");
            check(&format!("{openai}/{suffix}"), openai, &fix);
        }
        check(
            "localhost:8080",
            "http://localhost:8080/v1",
            &format!("{HTTP}; {V1}"),
        );
        check("127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1", HTTP);
        check("[::1]:1/v1", "http://[::1]:1/v1", HTTP);
    }

    #[test]
    fn a_missing_path_defaults_to_that_of_the_provider() {
        for (text, base) in [
            (
                "https://api.chatanywhere.org",
                "https://api.chatanywhere.org/v1",
            ),
            ("https://api.deepseek.com", "https://api.deepseek.com/v1"),
            ("https://openrouter.ai/", "https://openrouter.ai/api/v1"),
            ("https://api.groq.com", "https://api.groq.com/openai/v1"),
            (
                "https://mine.openai.azure.com",
                "https://mine.openai.azure.com/openai/v1",
            ),
        ] {
            let (endpoint, fixes) = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.display(), base);
            assert!(matches!(fixes[..], [BaseUrlFix::PathAdded(_)]), "{fixes:?}");
        }
    }

    #[test]
    fn the_host_is_lowercase_and_loopback_is_detected() {
        for (text, host, is_loopback) in [
            ("https://API.OpenAI.com", "api.openai.com", false),
            ("LOCALHOST:1", "localhost", true),
            ("http://127.8.9.1", "127.8.9.1", true),
            ("http://[::ffff:127.0.0.1]:1", "[::ffff:7f00:1]", true),
            (
                "https://localhost.example.com",
                "localhost.example.com",
                false,
            ),
        ] {
            let (endpoint, _) = Endpoint::parse(text).expect(text);
            assert_eq!(
                (endpoint.host(), endpoint.is_loopback()),
                (host, is_loopback),
                "{text}"
            );
        }
    }

    #[track_caller]
    fn check_error(text: &str, expected: &BaseUrlError) {
        let error = Endpoint::parse(text).expect_err(text);
        assert_eq!(
            std::mem::discriminant(&error),
            std::mem::discriminant(expected),
            "{text}: {error}"
        );
        let message = format!("{error} {error:?}");
        assert!(!message.contains("sk-canary"), "{message}");
        assert!(message.contains("hint: "), "{message}");
    }

    #[test]
    fn invalid_base_urls_are_rejected_without_leaking_secrets() {
        let invalid = BaseUrlError::Invalid(String::new());
        let scheme = BaseUrlError::Scheme(String::new());
        let website = BaseUrlError::Website {
            host: String::new(),
            instead: "",
        };
        check_error("", &BaseUrlError::Empty);
        check_error(" \n", &BaseUrlError::Empty);
        for text in [
            "https://",
            "https://a b/v1",
            "https:api.x.y",
            "/v1",
            "https://x:99999",
            "http://[::1",
            "https://a\\b",
            "https://a..b/v1",
        ] {
            check_error(text, &invalid);
        }
        check_error("ftp://x/v1", &scheme);
        check_error("file:///etc/sk-canary", &scheme);
        check_error(
            "https://user:sk-canary@api.openai.com/v1",
            &BaseUrlError::UserInfo,
        );
        check_error("sk-canary@api.openai.com", &BaseUrlError::UserInfo);
        check_error(
            "https://api.openai.com/v1?api_key=sk-canary",
            &BaseUrlError::Query,
        );
        check_error("https://api.openai.com/v1?", &BaseUrlError::Query);
        check_error(
            "https://api.openai.com/v1#sk-canary",
            &BaseUrlError::Fragment,
        );
        for text in [
            "http://api.openai.com/v1",
            "http://10.0.0.1",
            "http://localhost.evil.com",
            "http://0.0.0.0:8000",
        ] {
            check_error(text, &BaseUrlError::PlainHttp);
        }
        for text in [
            "https://chat.openai.com",
            "platform.openai.com/api-keys",
            "https://chatgpt.com/c/1",
        ] {
            check_error(text, &website);
        }
    }
}
