//! Reads an error response into a [`Refusal`], whatever form its body has: the headers, the hint
//! and the redaction are here, the forms of bodies in `body`.
//!
//! What it means is for `verdict::judge` to say; nothing is decided here.

mod body;
mod form;

use std::time::Duration;

use reqwest::header::HeaderMap;

use self::body::ErrorBody;
use crate::domain::failure::{BodyForm, Refusal};
use crate::domain::redact;
use crate::domain::retry_after::{self, Said};
use crate::domain::time::Timestamp;

/// The headers that carry the provider's id of a request, the first that is there counts.
const REQUEST_IDS: [&str; 7] = [
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-amzn-requestid",
    "x-ms-request-id",
    "x-oneapi-request-id",
    "cf-ray",
];

/// The most of a header that is kept, in bytes.
const HEADER_BYTES: usize = 128;
/// The most of the details that is kept, in bytes.
const DETAIL_BYTES: usize = 1024;
/// The most of a message that is looked at, in bytes: many times what is kept of it.
const MESSAGE_BYTES: usize = 16 * 1024;
/// The status of an error inside a success that names none of its own.
const NAMELESS: u16 = 502;

/// Reads a response whose status is no success.
///
/// `known` are the keys to take out of every text; `now` is what a date in a hint is compared with
/// when the response has no `Date`.
#[must_use]
pub fn read(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    known: &[&str],
    now: Timestamp,
) -> Refusal {
    refusal(status, headers, ErrorBody::read(body), known, now)
}

/// Reads the error inside a success; `None` when there is none in it.
///
/// To be asked when the body holds no usable choice. The status is the error's own code where that
/// is one (400 to 599), else 502.
#[must_use]
pub fn error_in_success(
    headers: &HeaderMap,
    body: &[u8],
    known: &[&str],
    now: Timestamp,
) -> Option<Refusal> {
    let found = ErrorBody::in_success(body)?;
    let status = found.status.unwrap_or(NAMELESS);
    Some(refusal(status, headers, found, known, now))
}

fn refusal(
    status: u16,
    headers: &HeaderMap,
    mut body: ErrorBody,
    known: &[&str],
    now: Timestamp,
) -> Refusal {
    let end = body.message.floor_char_boundary(MESSAGE_BYTES);
    body.message.truncate(end);
    let hint = hint(status, headers, &body, now);
    let kind = if body.kind.is_empty() {
        amazon_type(headers)
    } else {
        body.kind
    };
    let request_id = REQUEST_IDS.iter().find_map(|name| header(headers, name));
    Refusal {
        status,
        code: short(&body.code, HEADER_BYTES, known),
        kind: short(&kind, HEADER_BYTES, known),
        message: redact::excerpt(&without_echo(&body.message), known),
        details: short(&details(&body.details, headers), DETAIL_BYTES, known),
        form: body.form,
        server: short(header(headers, "server").unwrap_or(""), HEADER_BYTES, known),
        redirect_to: redirect_host(status, headers),
        request_id: short(request_id.unwrap_or(&body.request_id), HEADER_BYTES, known),
        should_retry: match header(headers, "x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        },
        hint,
    }
}

fn hint(status: u16, headers: &HeaderMap, body: &ErrorBody, now: Timestamp) -> Option<Duration> {
    // A gateway may put the headers of the provider behind it into the body.
    let lookup = |name: &str| {
        let inner = || {
            let mut inner = body.headers.iter();
            inner
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        header(headers, name).or_else(inner)
    };
    // A web page may say anything; only its headers count.
    let message = if body.form == BodyForm::Html {
        ""
    } else {
        &body.message
    };
    let said = Said {
        status,
        header: &lookup,
        delay: body.delay.as_deref(),
        message,
    };
    retry_after::parse(&said, now)
}

/// Adds what headers tell in the way a body would.
fn details(found: &str, headers: &HeaderMap) -> String {
    match header(headers, "cf-mitigated") {
        Some(how) => format!("{found} cf-mitigated {how}"),
        None => found.to_owned(),
    }
}

/// `AccessDeniedException` of `AccessDeniedException:http://internal.amazon.com/…`.
fn amazon_type(headers: &HeaderMap) -> String {
    let text = header(headers, "x-amzn-errortype").unwrap_or("");
    text.split(':').next().unwrap_or("").to_owned()
}

/// Takes out the parts of the request that validators repeat in their messages: pydantic's
/// `input_value=…`, and `'input': …` in a Python list of errors.
fn without_echo(message: &str) -> String {
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

/// Redacts, then cuts at a character's border.
fn short(text: &str, bytes: usize, known: &[&str]) -> String {
    let clean = redact::redact(text.trim(), known);
    clean[..clean.floor_char_boundary(bytes)].to_owned()
}

/// The host of an absolute `Location`.
fn redirect_host(status: u16, headers: &HeaderMap) -> String {
    let target = (300..400)
        .contains(&status)
        .then(|| header(headers, "location"));
    let url = target
        .flatten()
        .and_then(|text| reqwest::Url::parse(text).ok());
    let host = url.as_ref().and_then(|url| url.host_str());
    short(host.unwrap_or(""), HEADER_BYTES, &[])
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

    fn ask(status: u16, pairs: &[(&'static str, &'static str)], body: &str) -> Refusal {
        read(status, &headers(pairs), body.as_bytes(), &[KEY], NOW)
    }

    #[track_caller]
    fn check(body: &str, [code, kind, message, details]: [&str; 4]) {
        let found = ask(400, &[], body);
        let texts = [found.code, found.kind, found.message, found.details];
        assert_eq!(texts, [code, kind, message, details], "{body}");
    }

    #[test]
    fn errors_are_found_in_every_form() {
        check(
            r#"{"error":{"message":"m","type":"t","param":null,"code":"c"}}"#,
            ["c", "t", "m", ""],
        );
        check(r#"{"error":"m"}"#, ["", "", "m", ""]);
        check(
            r#"{"message":"m","code":30014,"data":null}"#,
            ["30014", "", "m", ""],
        );
        check(r#"{"detail":"m"}"#, ["", "", "m", ""]);
        check(
            r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{"prompt":"secret words"}}]}"#,
            ["", "missing", "body.messages: Field required", ""],
        );
        check(
            r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"m"}"#,
            ["", "", "m", "Unauthorized"],
        );
        check(
            r#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]"#,
            ["400", "", "m", "INVALID_ARGUMENT"],
        );
        check(
            r#"{"success":false,"errors":[{"code":7003,"message":"m"}],"messages":[]}"#,
            ["7003", "", "m", ""],
        );
        check(
            r#"{"type":"error","error":{"type":"t","message":"m"},"request_id":"r"}"#,
            ["", "t", "m", ""],
        );
        check(
            r#"{"code":"invalid-argument","error":"m"}"#,
            ["invalid-argument", "", "m", ""],
        );
        check(
            r#"{"error":"Forbidden","message":"m"}"#,
            ["", "", "m", "Forbidden"],
        );
        check(r#"{"error_code":17,"error_msg":"m"}"#, ["17", "", "m", ""]);
        check(
            r#"{"base_resp":{"status_code":1008,"status_msg":"m"}}"#,
            ["1008", "", "m", ""],
        );
        check(
            r#"{"Response":{"Error":{"Code":"c","Message":"m"}}}"#,
            ["c", "", "m", ""],
        );
        check(r#""m""#, ["", "", "m", ""]);
    }

    #[test]
    fn errors_that_are_no_json_are_read_too() {
        check("plain", ["", "", "plain", ""]);
        check("", ["", "", "", ""]);
        check(
            "<Error><Code>c</Code><Message>m</Message></Error>",
            ["c", "", "m", ""],
        );
        check(
            r#"{"error":{"message":"m \"q\"","type":"t","code":"c","par"#,
            ["c", "t", "m \"q\"", ""],
        );
        check(
            r#"{"error":{"message":"{\"error\":{\"message\":\"m\",\"code\":\"c\"}}","type":"t"}}"#,
            ["c", "t", "m", ""],
        );
    }

    #[test]
    fn inner_reasons_become_details_and_prompts_do_not() {
        let body = r#"{"error":{"code":403,"message":"m","metadata":{"reasons":["violence"],"flagged_input":"my secret prompt","raw":"upstream said no"}}}"#;
        let details = ask(403, &[], body).details;
        assert_eq!(
            details,
            "metadata reasons violence flagged_input raw upstream said no"
        );
        let azure = r#"{"error":{"code":"content_filter","message":"m","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
        assert_eq!(
            ask(400, &[], azure).details,
            "innererror ResponsibleAIPolicyViolation"
        );
        let pydantic =
            "1 error: [type=missing, input_value={'p': 'my secret prompt'}, input_type=dict]";
        assert!(!ask(422, &[], pydantic).message.contains("secret"));
    }

    #[test]
    fn pages_are_named_by_their_title() {
        let page = ask(
            502,
            &[],
            "<html><head><title>502 Bad\n Gateway</title></head><body><h1>Oh no</h1></body></html>",
        );
        assert_eq!(
            (page.form, page.message.as_str()),
            (BodyForm::Html, "502 Bad Gateway")
        );
        assert_eq!(page.details, "Oh no");
    }

    #[test]
    fn headers_tell_the_rest() {
        let told = [
            ("x-request-id", "req_1"),
            ("x-should-retry", "false"),
            ("server", "cloudflare"),
            ("location", "https://other.example:8443/v1?x=1"),
            ("retry-after", "7"),
        ];
        let found = ask(307, &told, "");
        assert_eq!(found.request_id, "req_1");
        assert_eq!(found.should_retry, Some(false));
        assert_eq!(found.server, "cloudflare");
        assert_eq!(found.redirect_to, "other.example");
        assert_eq!(found.hint, Some(Duration::from_secs(7)));
        assert_eq!(ask(400, &told, "").redirect_to, "");
        assert_eq!(
            ask(400, &[], r#"{"error":"m","request_id":"r"}"#).request_id,
            "r"
        );
    }

    #[test]
    fn hints_are_found_in_bodies() {
        let gemini = r#"{"error":{"code":429,"message":"m","details":[{"@type":"RetryInfo","retryDelay":"41s"}]}}"#;
        assert_eq!(ask(429, &[], gemini).hint, Some(Duration::from_secs(41)));
        let openrouter = r#"{"error":{"message":"m","code":429,"metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1763942460000"}}}}"#;
        assert_eq!(ask(429, &[], openrouter).hint, Some(Duration::from_mins(1)));
    }

    #[test]
    fn no_key_survives_in_any_field() {
        let body = format!(
            r#"{{"error":{{"message":"key {KEY} or sk-01****WXYZ","code":"{KEY}","type":"{KEY}","x":"{KEY}"}},"request_id":"{KEY}"}}"#
        );
        let shown = format!("{:?}", ask(401, &[], &body));
        assert!(
            !shown.contains("0123456789") && !shown.contains("WXYZ"),
            "{shown}"
        );
    }

    #[test]
    fn no_body_panics_however_it_is_cut_or_built() {
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
                let found = read(429, &HeaderMap::new(), cut, &[KEY], NOW);
                assert_eq!(found.form == BodyForm::Empty, end == 0, "{found:?}");
                let _ = error_in_success(&HeaderMap::new(), cut, &[KEY], NOW);
            }
        }
        let deep = "[".repeat(100_000);
        assert_eq!(ask(400, &[], &deep).form, BodyForm::Text);
        let long = "input_value=".repeat(500_000);
        assert!(ask(400, &[], &long).message.len() <= 2048);
    }

    #[test]
    fn an_error_inside_a_success_is_told_from_an_answer() {
        let ask = |body: &str| error_in_success(&HeaderMap::new(), body.as_bytes(), &[], NOW);
        let status = |body: &str| ask(body).map(|found| found.status);
        assert_eq!(status(r#"{"error":{"code":429,"message":"m"}}"#), Some(429));
        assert_eq!(
            status(r#"{"error":{"code":"403 FORBIDDEN","message":"m"}}"#),
            Some(403)
        );
        assert_eq!(
            status(r#"{"error":{"code":"200 OK","message":""}}"#),
            Some(502)
        );
        assert_eq!(status(r#"{"success":false,"message":"m"}"#), Some(502));
        assert_eq!(status(r#"{"error_code":17,"error_msg":"m"}"#), Some(502));
        assert_eq!(
            status(r#"{"base_resp":{"status_code":1008,"status_msg":"m"}}"#),
            Some(502)
        );
        assert_eq!(
            status("data: {\"error\":{\"code\":503,\"message\":\"m\"}}\n\n"),
            Some(503)
        );
        assert_eq!(status(r#"{"code":401,"msg":"m"}"#), Some(401));
        assert_eq!(status(r#"{"error":null,"choices":[]}"#), None);
        assert_eq!(
            status(r#"{"base_resp":{"status_code":0},"choices":[]}"#),
            None
        );
        assert_eq!(status(r#"{"success":true,"code":0,"choices":[]}"#), None);
        assert_eq!(
            status(r#"{"id":"x","object":"chat.completion","choices":[]}"#),
            None
        );
        assert_eq!(status("<html></html>"), None);
        assert_eq!(status(""), None);
    }
}
