//! Validates and normalizes the base URL. Unambiguous mistakes are corrected and reported; others
//! are errors with a hint.
//!
//! No message repeats the user name, password, query or fragment, since they can contain a key.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use rustls::pki_types::ServerName;

use crate::api::Api;
use crate::domain::redact::redact;

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

/// Paths below the base URL that are not those of an [`Api`].
const OTHER_PATHS: [&str; 2] = ["/completions", "/models"];

/// Words in the name of a query parameter whose value is a secret.
const SECRET_NAMES: [&str; 6] = ["key", "token", "secret", "password", "sig", "signature"];

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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SchemeAdded(scheme) => write!(f, "added `{scheme}://` to the base URL"),
            Self::TrailingSlashRemoved => write!(f, "removed the trailing `/` from the base URL"),
            Self::SuffixRemoved(suffix) => write!(f, "removed `{suffix}` from the base URL"),
            Self::PathAdded(path) => write!(f, "added `{path}` to the base URL, which had no path"),
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
    /// The query is empty, or contains a secret.
    #[error(
        "the query string of the base URL is empty or contains an API key\nhint: remove it; set the API key in a key file or in the environment"
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

/// Parses a base URL as typed by the user. Returns the URL without a trailing slash, its host, and
/// the corrections made.
pub(super) fn parse(text: &str) -> Result<(Url, String, Vec<BaseUrlFix>), BaseUrlError> {
    let mut fixes = Vec::new();
    let mut url = parse_url(text.trim(), &mut fixes)?;
    let host = check_components(&url)?;
    if url.scheme() == "http" && !is_loopback(&host) {
        return Err(BaseUrlError::PlainHttp);
    }
    let path = base_path(url.path(), &host, &mut fixes);
    url.set_path(&path);
    Ok((url, host, fixes))
}

fn parse_url(text: &str, fixes: &mut Vec<BaseUrlFix>) -> Result<Url, BaseUrlError> {
    if text.is_empty() {
        return Err(BaseUrlError::Empty);
    }
    // `Url::parse` would silently remove some of these.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return invalid("it contains whitespace, a backslash or a control character");
    }
    if text.contains("://") {
        return parse_absolute(text);
    }
    if text.starts_with("http:") || text.starts_with("https:") || text.starts_with('/') {
        return invalid("expected `https://` followed by a host name");
    }
    let secure = parse_absolute(&format!("https://{text}"))?;
    if secure.host_str().is_some_and(is_loopback) {
        fixes.push(BaseUrlFix::SchemeAdded("http"));
        return parse_absolute(&format!("http://{text}"));
    }
    fixes.push(BaseUrlFix::SchemeAdded("https"));
    Ok(secure)
}

fn invalid<T>(problem: &str) -> Result<T, BaseUrlError> {
    Err(BaseUrlError::Invalid(problem.to_owned()))
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
    if url.query().is_some_and(str::is_empty) || has_secret(url) {
        return Err(BaseUrlError::Query);
    }
    if url.fragment().is_some() {
        return Err(BaseUrlError::Fragment);
    }
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    // TLS certificates require a valid DNS name or IP address; the URL standard does not.
    if ServerName::try_from(without_brackets(&host)).is_err() {
        return invalid("the host name is invalid");
    }
    match WEBSITES.into_iter().find(|(website, _)| *website == host) {
        Some((_, instead)) => Err(BaseUrlError::Website { host, instead }),
        None => Ok(host),
    }
}

/// Returns whether a parameter of the query is or looks like an API key.
fn has_secret(url: &Url) -> bool {
    url.query_pairs().any(|(name, value)| {
        let text = format!("{name}={value}");
        let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| SECRET_NAMES.contains(&&*word.to_ascii_lowercase()))
            || redact(&text, &[]) != text
    })
}

pub(super) fn is_loopback(host: &str) -> bool {
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
    let paths = Api::ALL.map(|api| api.format().path).into_iter();
    let paths = paths.chain(OTHER_PATHS);
    while let Some((rest, suffix)) = paths
        .clone()
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
