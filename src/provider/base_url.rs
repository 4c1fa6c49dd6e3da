//! The base URL: what a person typed, checked and mended before anything is sent. What can be
//! mended without doubt is mended with a note; anything else is an error that names the cure.
//!
//! No message repeats the user name, the password, the query or the fragment: they may be a key.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use rustls::pki_types::ServerName;

use crate::domain::request_template::Api;

/// The base paths of hosts where it is not `/v1`. A leading dot stands for any subdomain.
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

/// Hosts that serve web pages for people, with the base URL that is meant.
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

/// Paths that belong to one kind of request and not to the base.
const ENDINGS: [&str; 4] = [
    "/chat/completions",
    "/completions",
    "/models",
    "/embeddings",
];

/// An endpoint whose base URL has been checked and normalized.
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
    /// Reads a base URL as a person typed it, and says what it mended.
    pub fn parse(text: &str) -> Result<(Self, Vec<Note>), BaseUrlError> {
        let mut notes = Vec::new();
        let mut url = parse_url(text.trim(), &mut notes)?;
        let host = check_parts(&url)?;
        let is_loopback = is_loopback(&host);
        if url.scheme() == "http" && !is_loopback {
            return Err(BaseUrlError::PlainHttp);
        }
        let path = base_path(url.path(), &host, &mut notes);
        url.set_path(&path);
        let base = url.as_str().trim_end_matches('/').to_owned();
        let endpoint = Self {
            chat_completions: join(&base, Api::Chat.path())?,
            embeddings: join(&base, Api::Embeddings.path())?,
            models: join(&base, "/models")?,
            base,
            host,
            is_loopback,
        };
        Ok((endpoint, notes))
    }

    /// Returns where requests are posted to.
    #[must_use]
    pub fn of(&self, api: Api) -> &Url {
        match api {
            Api::Chat => &self.chat_completions,
            Api::Embeddings => &self.embeddings,
        }
    }

    /// Returns where the models are listed.
    #[must_use]
    pub fn models(&self) -> &Url {
        &self.models
    }

    /// Returns the host in lower case, without the port; an IPv6 address is in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the base URL as it is shown, without a slash at its end.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.base
    }

    /// Returns whether the host is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Returns whether requests are encrypted on their way.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.chat_completions.scheme() == "https"
    }
}

/// What was mended in a base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The scheme was missing.
    SchemeAdded(&'static str),
    /// Slashes at the end were taken off.
    SlashTaken,
    /// A path of one kind of request was taken off.
    EndingTaken(&'static str),
    /// The path was missing.
    PathAdded(&'static str),
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SchemeAdded(scheme) => {
                write!(formatter, "`{scheme}://` was put before the base URL")
            }
            Self::SlashTaken => write!(
                formatter,
                "the `/` at the end of the base URL was taken off"
            ),
            Self::EndingTaken(ending) => {
                write!(
                    formatter,
                    "`…{ending}` was taken off: the base URL ends before it"
                )
            }
            Self::PathAdded(path) => {
                write!(formatter, "`{path}` was added: the base URL had no path")
            }
        }
    }
}

/// Why a text is no base URL, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// It is empty.
    #[error("the base URL is empty\nhint: write one such as https://api.openai.com/v1")]
    Empty,
    /// It cannot be read as a URL.
    #[error("the base URL is not a URL ({0})\nhint: write one such as https://api.openai.com/v1")]
    NotUrl(String),
    /// It is neither http nor https.
    #[error(
        "the base URL begins with `{0}:`\nhint: only https:// works, and http:// to this machine"
    )]
    Scheme(String),
    /// A user name or password stands before the host.
    #[error(
        "the base URL holds a user name or a password\nhint: take out all before the `@`; a key belongs in a key file or in the environment"
    )]
    UserInfo,
    /// Something follows a `?`.
    #[error(
        "the base URL holds a query\nhint: take out the `?` and all behind it; a key belongs in a key file or in the environment"
    )]
    Query,
    /// Something follows a `#`.
    #[error("the base URL holds a fragment\nhint: take out the `#` and all behind it")]
    Fragment,
    /// It is not encrypted, and its host is not this machine.
    #[error(
        "the base URL is http, which would send keys and prompts for all to read\nhint: write https://; http:// is for localhost, 127.0.0.1 and [::1]"
    )]
    PlainHttp,
    /// The host serves web pages for people.
    #[error("{host} is a website, not an endpoint\nhint: the base URL is {instead}")]
    Website {
        /// The host.
        host: String,
        /// The base URL that is meant.
        instead: &'static str,
    },
}

fn parse_url(text: &str, notes: &mut Vec<Note>) -> Result<Url, BaseUrlError> {
    if text.is_empty() {
        return Err(BaseUrlError::Empty);
    }
    // The URL standard would drop some of these without a word.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        let problem = "it holds a blank, a backslash or a control character";
        return Err(BaseUrlError::NotUrl(problem.to_owned()));
    }
    if text.contains("://") {
        return read_url(text);
    }
    if text.starts_with("http:") || text.starts_with("https:") || text.starts_with('/') {
        let problem = "`https://` with the name of a host behind it is missing";
        return Err(BaseUrlError::NotUrl(problem.to_owned()));
    }
    let secure = read_url(&format!("https://{text}"))?;
    if secure.host_str().is_some_and(is_loopback) {
        notes.push(Note::SchemeAdded("http"));
        return read_url(&format!("http://{text}"));
    }
    notes.push(Note::SchemeAdded("https"));
    Ok(secure)
}

fn read_url(text: &str) -> Result<Url, BaseUrlError> {
    Url::parse(text).map_err(|error| BaseUrlError::NotUrl(error.to_string()))
}

/// Refuses what a base URL may not hold, and returns its host.
fn check_parts(url: &Url) -> Result<String, BaseUrlError> {
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
    // Encryption needs a name that can be certified; the URL standard is content with less.
    if ServerName::try_from(bare(&host)).is_err() {
        let problem = "its host is not a valid name";
        return Err(BaseUrlError::NotUrl(problem.to_owned()));
    }
    match WEBSITES.into_iter().find(|(website, _)| *website == host) {
        Some((_, instead)) => Err(BaseUrlError::Website { host, instead }),
        None => Ok(host),
    }
}

fn is_loopback(host: &str) -> bool {
    match bare(host).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Takes the brackets off an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Takes off what does not belong to the base, and adds the path where there is none.
fn base_path(given: &str, host: &str, notes: &mut Vec<Note>) -> String {
    let mut path = given.trim_end_matches('/');
    if path.len() < given.len() && !path.is_empty() {
        notes.push(Note::SlashTaken);
    }
    while let Some((rest, ending)) = ENDINGS
        .into_iter()
        .find_map(|ending| Some((path.strip_suffix(ending)?, ending)))
    {
        notes.push(Note::EndingTaken(ending));
        path = rest.trim_end_matches('/');
    }
    if !path.is_empty() {
        return path.to_owned();
    }
    let path = BASE_PATHS
        .into_iter()
        .find(|(known, _)| *known == host || known.starts_with('.') && host.ends_with(known))
        .map_or("/v1", |(_, path)| path);
    notes.push(Note::PathAdded(path));
    path.to_owned()
}

fn join(base: &str, path: &str) -> Result<Url, BaseUrlError> {
    read_url(&format!("{base}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the base URL and the notes, one after the other with `; ` between.
    #[track_caller]
    fn check(text: &str, base: &str, notes: &str) {
        let (endpoint, found) = Endpoint::parse(text).expect(text);
        assert_eq!(endpoint.display(), base, "{text}");
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.join("; "), notes, "{text}");
        let chat = format!("{base}/chat/completions");
        assert_eq!(endpoint.of(Api::Chat).as_str(), chat, "{text}");
        assert_eq!(
            endpoint.models().as_str(),
            format!("{base}/models"),
            "{text}"
        );
    }

    const HTTPS: &str = "`https://` was put before the base URL";
    const HTTP: &str = "`http://` was put before the base URL";
    const SLASH: &str = "the `/` at the end of the base URL was taken off";
    const V1: &str = "`/v1` was added: the base URL had no path";
    const CHAT: &str = "`…/chat/completions` was taken off: the base URL ends before it";

    #[test]
    fn a_right_base_url_is_left_alone() {
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
    fn what_is_plain_is_mended_with_a_note() {
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
        for ending in ["completions", "models", "embeddings"] {
            let note = format!("`…/{ending}` was taken off: the base URL ends before it");
            check(&format!("{openai}/{ending}"), openai, &note);
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
    fn a_host_without_a_path_gets_its_own() {
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
            let (endpoint, notes) = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.display(), base);
            assert!(matches!(notes[..], [Note::PathAdded(_)]), "{notes:?}");
        }
    }

    #[test]
    fn the_host_is_lower_case_and_loopback_is_known() {
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
        let said = format!("{error} {error:?}");
        assert!(!said.contains("sk-canary"), "{said}");
        assert!(said.contains("hint: "), "{said}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_showing_secrets() {
        let not_url = BaseUrlError::NotUrl(String::new());
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
            check_error(text, &not_url);
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
