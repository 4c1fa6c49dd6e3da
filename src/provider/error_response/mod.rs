//! Parses error responses into [`ErrorResponse`]: headers, retry delay and redaction. The formats
//! of bodies are handled in `body`. Nothing is classified here; see `verdict::classify`.

mod body;
mod format;

use std::time::Duration;

use reqwest::header::HeaderMap;

use self::body::ErrorBody;
use crate::domain::failure::{BodyFormat, ErrorResponse};
use crate::domain::redact;
use crate::domain::retry_after::{self, RetryHints};
use crate::domain::time::Timestamp;

/// Headers that can contain the provider's request ID; the first one present is used.
const REQUEST_IDS: [&str; 7] = [
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-amzn-requestid",
    "x-ms-request-id",
    "x-oneapi-request-id",
    "cf-ray",
];

/// The maximum length of a header value, in bytes.
const MAX_HEADER_BYTES: usize = 128;
/// The maximum length of the details, in bytes.
const MAX_DETAIL_BYTES: usize = 1024;
/// The maximum length of a message that is examined, in bytes. Less is stored.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// The status of an error inside a success response, if the error has no status code of its own.
const DEFAULT_STATUS: u16 = 502;

/// Parses a response with an error status.
///
/// `known_keys` are redacted from all texts. `now` is used to resolve dates when the response has
/// no `Date` header.
#[must_use]
pub fn parse(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    known_keys: &[&str],
    now: Timestamp,
) -> ErrorResponse {
    build(status, headers, ErrorBody::parse(body), known_keys, now)
}

/// Parses the error inside a success response; `None` if there is none.
///
/// Call this only if the body has no usable choice. The status is the code of the error if it is an
/// error status (400 to 599), otherwise 502.
#[must_use]
pub fn parse_embedded(
    headers: &HeaderMap,
    body: &[u8],
    known_keys: &[&str],
    now: Timestamp,
) -> Option<ErrorResponse> {
    let found = ErrorBody::parse_embedded(body)?;
    let status = found.status.unwrap_or(DEFAULT_STATUS);
    Some(build(status, headers, found, known_keys, now))
}

fn build(
    status: u16,
    headers: &HeaderMap,
    mut body: ErrorBody,
    known_keys: &[&str],
    now: Timestamp,
) -> ErrorResponse {
    let end = body.message.floor_char_boundary(MAX_MESSAGE_BYTES);
    body.message.truncate(end);
    let retry_after = parse_retry_after(status, headers, &body, now);
    let kind = if body.kind.is_empty() {
        amzn_error_type(headers)
    } else {
        body.kind
    };
    let request_id = REQUEST_IDS.iter().find_map(|name| header(headers, name));
    let short = |text: &str| redact_and_truncate(text, MAX_HEADER_BYTES, known_keys);
    let details = details(&body.details, headers);
    ErrorResponse {
        status,
        code: short(&body.code),
        kind: short(&kind),
        message: redact::excerpt(&strip_quoted_input(&body.message), known_keys),
        details: redact_and_truncate(&details, MAX_DETAIL_BYTES, known_keys),
        format: body.format,
        server: short(header(headers, "server").unwrap_or("")),
        redirect_to: redirect_host(status, headers),
        request_id: short(request_id.unwrap_or(&body.request_id)),
        should_retry: match header(headers, "x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        },
        retry_after,
    }
}

fn parse_retry_after(
    status: u16,
    headers: &HeaderMap,
    body: &ErrorBody,
    now: Timestamp,
) -> Option<Duration> {
    // A gateway can put the headers of the upstream provider into the body.
    let lookup = |name: &str| {
        let inner = || body.headers.iter().find(|(key, _)| key == name);
        header(headers, name).or_else(|| inner().map(|(_, value)| value.as_str()))
    };
    // Only the headers of a web page are trusted, not its text.
    let is_page = body.format == BodyFormat::Html;
    let message = if is_page { "" } else { &body.message };
    let hints = RetryHints {
        status,
        header: &lookup,
        delay: body.delay.as_deref(),
        message,
    };
    retry_after::parse(&hints, now)
}

/// Appends information from headers to the details.
fn details(found: &str, headers: &HeaderMap) -> String {
    match header(headers, "cf-mitigated") {
        Some(action) => format!("{found} cf-mitigated {action}"),
        None => found.to_owned(),
    }
}

/// Returns `AccessDeniedException` for `AccessDeniedException:http://internal.amazon.com/…`.
fn amzn_error_type(headers: &HeaderMap) -> String {
    let text = header(headers, "x-amzn-errortype").unwrap_or("");
    text.split(':').next().unwrap_or("").to_owned()
}

/// Removes parts of the request that validators quote in their messages: pydantic's
/// `input_value=…`, and `'input': …` in a Python list of errors.
fn strip_quoted_input(message: &str) -> String {
    let mut clean = message.to_owned();
    for (opening, closing) in [
        ("input_value=", ", input_type="),
        ("'input': ", "}]"),
        ("\"input\":", "}]"),
    ] {
        let mut from = 0;
        while let Some(at) = clean[from..].find(opening) {
            let start = from + at + opening.len();
            let length = clean[start..].find(closing);
            let end = length.map_or(clean.len(), |length| start + length);
            clean.replace_range(start..end, "…");
            from = start;
        }
    }
    clean
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Redacts a text, then truncates it at a character boundary.
fn redact_and_truncate(text: &str, max_bytes: usize, known_keys: &[&str]) -> String {
    let clean = redact::redact(text.trim(), known_keys);
    clean[..clean.floor_char_boundary(max_bytes)].to_owned()
}

/// Returns the host of an absolute `Location`; empty if there is none.
fn redirect_host(status: u16, headers: &HeaderMap) -> String {
    let target = header(headers, "location").filter(|_| (300..400).contains(&status));
    let url = target.and_then(|text| reqwest::Url::parse(text).ok());
    let host = url.as_ref().and_then(|url| url.host_str());
    redact_and_truncate(host.unwrap_or(""), MAX_HEADER_BYTES, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_763_942_400_000);
    const KEY: &str = "sk-0123456789abcdefWXYZ";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = reqwest::header::HeaderName::from_static(name);
                (name, reqwest::header::HeaderValue::from_static(value))
            })
            .collect()
    }

    fn parse_error(
        status: u16,
        pairs: &[(&'static str, &'static str)],
        body: &str,
    ) -> ErrorResponse {
        parse(status, &headers(pairs), body.as_bytes(), &[KEY], NOW)
    }

    /// Checks the code, the kind, the message and the details, separated by `|`.
    #[track_caller]
    fn check(body: &str, expected: &str) {
        let found = parse_error(400, &[], body);
        let texts = [found.code, found.kind, found.message, found.details];
        assert_eq!(texts.join("|"), expected, "{body}");
    }

    #[test]
    fn parses_errors_of_every_json_format() {
        let table = r#"
            c|t|m| {"error":{"message":"m","type":"t","param":null,"code":"c"}}
            ||m| {"error":"m"}
            30014||m| {"message":"m","code":30014,"data":null}
            ||m| {"detail":"m"}
            ||m|Unauthorized {"type":"about:blank","title":"Unauthorized","status":401,"detail":"m"}
            400||m|INVALID_ARGUMENT [{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]
            7003||m| {"success":false,"errors":[{"code":7003,"message":"m"}],"messages":[]}
            |t|m| {"type":"error","error":{"type":"t","message":"m"},"request_id":"r"}
            invalid-argument||m| {"code":"invalid-argument","error":"m"}
            ||m|Forbidden {"error":"Forbidden","message":"m"}
            17||m| {"error_code":17,"error_msg":"m"}
            1008||m| {"base_resp":{"status_code":1008,"status_msg":"m"}}
            c||m| {"Response":{"Error":{"Code":"c","Message":"m"}}}
            ||m| "m"
        "#;
        for line in table.trim().lines() {
            let (expected, body) = line.trim().split_once(' ').unwrap();
            check(body, expected);
        }
        let given = r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{"prompt":"secret words"}}]}"#;
        check(given, "|missing|body.messages: Field required|");
    }

    #[test]
    fn parses_errors_that_are_not_json() {
        check("plain", "||plain|");
        check("", "|||");
        check("<Error><Code>c</Code><Message>m</Message></Error>", "c||m|");
        let given = r#"{"error":{"message":"m \"q\"","type":"t","code":"c","par"#;
        check(given, "c|t|m \"q\"|");
        let given =
            r#"{"error":{"message":"{\"error\":{\"message\":\"m\",\"code\":\"c\"}}","type":"t"}}"#;
        check(given, "c|t|m|");
    }

    #[test]
    fn details_contain_inner_reasons_but_not_prompts() {
        let body = r#"{"error":{"code":403,"message":"m","metadata":{"reasons":["violence"],"flagged_input":"my secret prompt","raw":"upstream said no"}}}"#;
        let details = parse_error(403, &[], body).details;
        let expected = "metadata reasons violence flagged_input raw upstream said no";
        assert_eq!(details, expected);
        let azure = r#"{"error":{"code":"content_filter","message":"m","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
        let expected = "innererror ResponsibleAIPolicyViolation";
        assert_eq!(parse_error(400, &[], azure).details, expected);
        let pydantic =
            "1 error: [type=missing, input_value={'p': 'my secret prompt'}, input_type=dict]";
        assert!(!parse_error(422, &[], pydantic).message.contains("secret"));
    }

    #[test]
    fn the_message_of_a_page_is_its_title() {
        let page = parse_error(
            502,
            &[],
            "<html><head><title>502 Bad\n Gateway</title></head><body><h1>Oh no</h1></body></html>",
        );
        let expected = (BodyFormat::Html, "502 Bad Gateway");
        assert_eq!((page.format, page.message.as_str()), expected);
        assert_eq!(page.details, "Oh no");
    }

    #[test]
    fn parses_headers() {
        let pairs = [
            ("x-request-id", "req_1"),
            ("x-should-retry", "false"),
            ("server", "cloudflare"),
            ("location", "https://other.example:8443/v1?x=1"),
            ("retry-after", "7"),
        ];
        let found = parse_error(307, &pairs, "");
        assert_eq!(found.request_id, "req_1");
        assert_eq!(found.should_retry, Some(false));
        assert_eq!(found.server, "cloudflare");
        assert_eq!(found.redirect_to, "other.example");
        assert_eq!(found.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(parse_error(400, &pairs, "").redirect_to, "");
        assert_eq!(
            parse_error(400, &[], r#"{"error":"m","request_id":"r"}"#).request_id,
            "r"
        );
    }

    #[test]
    fn parses_retry_delays_in_bodies() {
        let gemini = r#"{"error":{"code":429,"message":"m","details":[{"@type":"RetryInfo","retryDelay":"41s"}]}}"#;
        let openrouter = r#"{"error":{"message":"m","code":429,"metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1763942460000"}}}}"#;
        for (body, seconds) in [(gemini, 41), (openrouter, 60)] {
            let expected = Some(Duration::from_secs(seconds));
            assert_eq!(parse_error(429, &[], body).retry_after, expected);
        }
    }

    #[test]
    fn keys_are_redacted_from_every_field() {
        let body = format!(
            r#"{{"error":{{"message":"key {KEY} or sk-01****WXYZ","code":"{KEY}","type":"{KEY}","x":"{KEY}"}},"request_id":"{KEY}"}}"#
        );
        let shown = format!("{:?}", parse_error(401, &[], &body));
        assert!(
            !shown.contains("0123456789") && !shown.contains("WXYZ"),
            "{shown}"
        );
    }

    #[test]
    fn truncated_and_malformed_bodies_do_not_panic() {
        let page = "<html><title>é</title><h1>x</h1><p>https://a:b@c Bearer 界界界界界界界1</html>";
        let json = r#"[{"error":{"code":429,"message":"é try again in 5s \" input_value=界","details":[{"retryDelay":"41s"}]}}]"#;
        for body in [
            page,
            json,
            "data: {\"error\":1}",
            "<Error><Message>界</Message>",
        ] {
            for end in 0..=body.len() {
                let cut = &body.as_bytes()[..end];
                let found = parse(429, &HeaderMap::new(), cut, &[KEY], NOW);
                assert_eq!(found.format == BodyFormat::Empty, end == 0, "{found:?}");
                let _ = parse_embedded(&HeaderMap::new(), cut, &[KEY], NOW);
            }
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse_error(400, &[], &deep).format, BodyFormat::Text);
        let long = "input_value=".repeat(500_000);
        assert!(parse_error(400, &[], &long).message.len() <= 2048);
    }

    #[test]
    fn errors_inside_success_responses_are_distinguished_from_completions() {
        let parse_error = |body: &str| parse_embedded(&HeaderMap::new(), body.as_bytes(), &[], NOW);
        let status = |body: &str| parse_error(body).map(|found| found.status);
        let table = r#"
            429 {"error":{"code":429,"message":"m"}}
            403 {"error":{"code":"403 FORBIDDEN","message":"m"}}
            502 {"error":{"code":"200 OK","message":""}}
            502 {"success":false,"message":"m"}
            502 {"error_code":17,"error_msg":"m"}
            502 {"base_resp":{"status_code":1008,"status_msg":"m"}}
            401 {"code":401,"msg":"m"}
            none {"error":null,"choices":[]}
            none {"base_resp":{"status_code":0},"choices":[]}
            none {"success":true,"code":0,"choices":[]}
            none {"id":"x","object":"chat.completion","choices":[]}
        "#;
        for line in table.trim().lines() {
            let (expected, body) = line.trim().split_once(' ').unwrap();
            assert_eq!(status(body), expected.parse().ok(), "{body}");
        }
        let stream = "data: {\"error\":{\"code\":503,\"message\":\"m\"}}\n\n";
        assert_eq!(status(stream), Some(503));
        assert_eq!(status("<html></html>"), None);
        assert_eq!(status(""), None);
    }
}
