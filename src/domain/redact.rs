//! Redacts secrets from text that is displayed or stored.
//!
//! Known keys are redacted in full, masked or partial form, then everything that looks like a key.
//! The patterns are broad on purpose: hiding an ordinary word is harmless, leaking a key is not.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Replacement for a secret.
pub const REDACTED: &str = "[redacted]";

/// Maximum length of an excerpt in bytes.
pub const EXCERPT_BYTES: usize = 2048;

/// Minimum length of a key after its prefix.
const MIN_KEY_LENGTH: usize = 8;
/// Minimum length of the start or end of a known key to redact.
const MIN_FRAGMENT_LENGTH: usize = 4;

/// Prefixes of keys. Those that also occur in ordinary words require a digit in the word.
const PREFIXES: [&str; 17] = [
    "sk-", "sk_", "gsk_", "xai-", "AIza", "hf_", "pplx-", "nvapi-", "csk-", "fw_", "fw-", "tgp_",
    "ghp_", "r8_", "AKIA", "eyJ", "tvly-",
];
const GITHUB_PREFIX: &str = "github_pat_";
const AMBIGUOUS_PREFIXES: [&str; 3] = ["key-", "key_", "api-"];

/// Labels before a secret, in lowercase, followed by `:` or `=` with optional quotes and spaces.
const LABELS: [&str; 7] = [
    "x-api-key",
    "api-key",
    "api_key",
    "apikey",
    "access_token",
    "authorization",
    "client_secret",
];

/// Characters that are percent-encoded in a URL: all but the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Returns the text with every secret replaced by [`REDACTED`]; borrowed if there is none.
///
/// `known` are the keys in use; empty ones are ignored.
#[must_use]
pub fn redact<'a>(text: &'a str, known: &[&str]) -> Cow<'a, str> {
    let mut secrets = Vec::new();
    find_known_keys(text, known, &mut secrets);
    find_key_like_words(text, known, &mut secrets);
    find_bearer_tokens(text, &mut secrets);
    find_labeled_values(text, &mut secrets);
    find_userinfo(text, &mut secrets);
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    secrets.sort_unstable_by_key(|secret: &Range<usize>| secret.start);
    Cow::Owned(replace(text, &secrets))
}

/// Returns the text redacted, trimmed and truncated to [`EXCERPT_BYTES`] at a character boundary.
#[must_use]
pub fn excerpt(text: &str, known: &[&str]) -> String {
    let clean = redact(text.trim(), known);
    clean[..clean.floor_char_boundary(EXCERPT_BYTES)].to_owned()
}

/// Replaces the secrets, which are sorted and may overlap.
fn replace(text: &str, secrets: &[Range<usize>]) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut end = 0;
    for secret in secrets {
        if secret.start >= end {
            clean.push_str(&text[end..secret.start]);
            clean.push_str(REDACTED);
        }
        end = end.max(secret.end);
    }
    clean.push_str(&text[end..]);
    clean
}

fn find_known_keys(text: &str, known: &[&str], secrets: &mut Vec<Range<usize>>) {
    for key in known.iter().filter(|key| !key.is_empty()) {
        let found = text.match_indices(key);
        secrets.extend(found.map(|(at, _)| at..at + key.len()));
        for form in encoded_forms(key) {
            let found = text.match_indices(&form);
            secrets.extend(found.map(|(at, _)| at..at + form.len()));
        }
    }
}

/// Returns the percent-encoded form of a key, if it differs, and its base64 forms, alone or after
/// other bytes (`user:key`). Short keys are skipped, because their base64 would match ordinary
/// text.
fn encoded_forms(key: &str) -> Vec<String> {
    if key.len() < MIN_KEY_LENGTH {
        return Vec::new();
    }
    let mut forms: Vec<_> = (0..3)
        .flat_map(|before| base64_forms(key, before))
        .collect();
    let percent = utf8_percent_encode(key, RESERVED).to_string();
    if percent != key {
        forms.push(percent.to_ascii_lowercase());
        forms.push(percent);
    }
    forms
}

/// Returns the part of the base64 text, standard and URL-safe, that depends only on the key when it
/// follows `before` bytes.
fn base64_forms(key: &str, before: usize) -> [String; 2] {
    let bytes = [&[0; 2][..before], key.as_bytes()].concat();
    let digits = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
    [STANDARD_NO_PAD, URL_SAFE_NO_PAD]
        .map(|engine| engine.encode(&bytes)[digits.clone()].to_owned())
}

/// Finds words that look like a key or contain part of a known one.
fn find_key_like_words(text: &str, known: &[&str], secrets: &mut Vec<Range<usize>>) {
    let mut rest = text;
    while let Some(skip) = rest.find(is_key_char) {
        let start = text.len() - rest.len() + skip;
        let length = text[start..]
            .find(|c| !is_key_char(c))
            .unwrap_or(text.len() - start);
        rest = &text[start + length..];
        let word = &text[start..start + length];
        // A period that ends a sentence is not part of the key; three of them are a mask.
        let word = match word.strip_suffix('.') {
            Some(shorter) if !shorter.ends_with('.') => shorter,
            _ => word,
        };
        if looks_like_a_key(word) || known.iter().any(|key| shows_part(word, key)) {
            secrets.push(start..start + word.len());
        }
    }
}

/// Returns whether a character occurs in keys or in their masks.
fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '…' | '•')
}

fn is_masked(word: &str) -> bool {
    ["**", "…", "••", "..."]
        .iter()
        .any(|mask| word.contains(mask))
}

fn looks_like_a_key(word: &str) -> bool {
    let after = |prefix: &&str| word.strip_prefix(*prefix).map_or(0, str::len);
    let long = |prefix: &&str| after(prefix) >= MIN_KEY_LENGTH;
    let masked = |prefix: &&str| after(prefix) > 0 && is_masked(word);
    let digit = || word.bytes().any(|byte| byte.is_ascii_digit());
    let mut prefixes = PREFIXES.iter().chain([&GITHUB_PREFIX]);
    prefixes.any(|prefix| long(prefix) || masked(prefix))
        || AMBIGUOUS_PREFIXES
            .iter()
            .any(|prefix| (long(prefix) && digit()) || masked(prefix))
        || (word.contains("***") && word.bytes().any(|byte| byte.is_ascii_alphanumeric()))
}

/// Returns whether a word is or contains the start or end of a key: `sk-ab****wxyz`, `…wxyz`,
/// `wxyz`.
fn shows_part(word: &str, key: &str) -> bool {
    if key.len() <= MIN_FRAGMENT_LENGTH || !key.is_ascii() {
        return false;
    }
    if !is_masked(word) {
        // A short prefix of a key, such as `sk-proj`, is not a secret.
        let whole = word.len() >= MIN_KEY_LENGTH && key.starts_with(word);
        return whole || (word.len() >= MIN_FRAGMENT_LENGTH && key.ends_with(word));
    }
    let mask = |c: char| matches!(c, '*' | '…' | '•' | '.');
    let head = word.split(mask).next().unwrap_or(word);
    let tail = word.rsplit(mask).next().unwrap_or(word);
    let shows = |part: &str| part.len() >= 2 && (key.starts_with(part) || key.ends_with(part));
    shows(head) || shows(tail)
}

/// Finds tokens after `Bearer`.
fn find_bearer_tokens(text: &str, secrets: &mut Vec<Range<usize>>) {
    for at in positions(text, "bearer ") {
        let start = at + "bearer ".len();
        let end = start + value_length(&text[start..]);
        if looks_secret(&text[start..end]) {
            secrets.push(start..end);
        }
    }
}

/// Finds values after a label such as `api_key=` or `x-api-key: `.
fn find_labeled_values(text: &str, secrets: &mut Vec<Range<usize>>) {
    for label in LABELS {
        for at in positions(text, label) {
            let rest = text[at + label.len()..].trim_start_matches(['"', '\'', ' ']);
            let Some(value) = rest.strip_prefix([':', '=']) else {
                continue;
            };
            let value = value.trim_start_matches(['"', '\'', ' ']);
            let start = text.len() - value.len();
            let end = start + value_length(value);
            let always = rest.starts_with('=') || label == "x-api-key";
            if end > start && (always || looks_secret(&text[start..end])) {
                secrets.push(start..end);
            }
        }
    }
}

/// Finds `user:password` in `https://user:password@host`.
fn find_userinfo(text: &str, secrets: &mut Vec<Range<usize>>) {
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        let authority = &text[start..];
        let end = authority.find(['/', '?', '#', ' ', '"', '\'', '\n']);
        let authority = &authority[..end.unwrap_or(authority.len())];
        if let Some(end) = authority.rfind('@').filter(|end| *end > 0) {
            secrets.push(start..start + end);
        }
    }
}

/// Returns whether a value is likely a secret rather than a plain word or a short number.
fn looks_secret(value: &str) -> bool {
    let digit = value.bytes().any(|byte| byte.is_ascii_digit());
    value.len() >= 20 || (value.len() >= MIN_KEY_LENGTH && digit) || is_masked(value)
}

fn value_length(text: &str) -> usize {
    let end = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ',' | ';' | '}' | ')' | '<' | '`')
    };
    text.find(end).unwrap_or(text.len())
}

/// Returns the positions of an ASCII word, ignoring case.
fn positions<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let windows = text.as_bytes().windows(word.len()).enumerate();
    windows
        .filter(|(_, window)| window.eq_ignore_ascii_case(word.as_bytes()))
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-vTKq83hsLLw72mQap2";

    /// Checks that the parts between `«` and `»` are redacted, and nothing else.
    #[track_caller]
    fn check(marked: &str) {
        let mut expected = String::new();
        for part in marked.split('»') {
            let (plain, secret) = part.split_once('«').unwrap_or((part, ""));
            expected += plain;
            expected += if secret.is_empty() { "" } else { REDACTED };
        }
        let text = marked.replace(['«', '»'], "");
        assert_eq!(redact(&text, &[KEY, ""]), expected);
    }

    #[test]
    fn redacts_known_keys_in_full_masked_or_partial_form() {
        for text in [
            "key «sk-vTKq83hsLLw72mQap2»!",
            "xx«sk-vTKq83hsLLw72mQap2»yy",
            "(当前请求使用的ApiKey: «sk-vTK****Qap2»)",
            "the key ending in «Qap2» is disabled.",
            "provided: «…Qap2».",
            "provided: «sk-vT...»",
            "begins with «sk-vTKq8»",
            "«vT****p2»",
        ] {
            check(text);
        }
    }

    #[test]
    fn redacts_known_keys_in_base64_and_percent_encoding() {
        // printf '%s' 'me:sk-vTKq83hsLLw72mQap2' | base64
        check("Basic bWU6«c2stdlRLcTgzaHNMTHc3Mm1RYXAy»!");
        // Alone, then after one byte.
        check("«c2stdlRLcTgzaHNMTHc3Mm1RYXAy»");
        // The last letter encodes only part of a byte.
        check("On«NrLXZUS3E4M2hzTEx3NzJtUWFwM»g==");
        let odd = "canary/7f3a9c2e+5b8d1046==";
        for text in [
            "https://h/?k=canary%2F7f3a9c2e%2B5b8d1046%3D%3D&x",
            "https://h/?k=canary%2f7f3a9c2e%2b5b8d1046%3d%3d&x",
        ] {
            assert_eq!(redact(text, &[odd]), "https://h/?k=[redacted]&x");
        }
    }

    #[test]
    fn redacts_unknown_keys_by_their_format() {
        for text in [
            "Incorrect API key provided: «sk-proj-********abcd».",
            "«sk-abcdefgh12345»",
            "«gsk_0123456789abc», «AIzaSyD00001»",
            "«github_pat_0123456789abc»",
            "Authorization: Bearer «abcdef0123456789»",
            "X-Api-Key: «hunter2»",
            "https://h/v1?api_key=«a1»&x=2",
            "{\"apikey\": \"«0123456789ab»\"}",
            "via http://«me:secret»@proxy:80/x",
            "«key-0123456789»",
        ] {
            check(text);
        }
    }

    #[test]
    fn keeps_ordinary_words_without_allocating() {
        for text in [
            "",
            "Bearer token is invalid",
            "Invalid API key: please check",
            "the task-management risk-assessment key-management model gpt-4o-mini",
            "Visit https://platform.openai.com/account/api-keys.",
            "Rate limit reached... try again in 1.5s",
            "余额不足",
        ] {
            check(text);
            assert!(matches!(redact(text, &[KEY]), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn redacts_every_long_enough_start_or_end_of_a_key() {
        let starts = (MIN_KEY_LENGTH..=KEY.len()).map(|end| &KEY[..end]);
        let ends = (1..=KEY.len() - MIN_FRAGMENT_LENGTH).map(|start| &KEY[start..]);
        for part in starts.chain(ends) {
            check(&format!("Incorrect key «{part}» given"));
        }
    }

    #[test]
    fn an_excerpt_is_truncated_after_redaction_at_a_character_boundary() {
        let text = format!("{}{KEY}", "界".repeat(680));
        let cut = excerpt(&text, &[KEY]);
        assert!(
            cut.len() <= EXCERPT_BYTES && cut.ends_with("[redacte"),
            "{}",
            &cut[2030..]
        );
        assert_eq!(excerpt(&"界".repeat(1000), &[]).len(), 2046);
        assert_eq!(excerpt("  short ", &[]), "short");
    }
}
