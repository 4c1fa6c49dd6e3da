//! Placeholder for the reading of refusals.

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::domain::failure::Refusal;
use crate::domain::redact;
use crate::domain::time::Timestamp;

pub(super) fn read(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    known: &[&str],
    now: Timestamp,
) -> Refusal {
    let _ = now;
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let message = json["error"]["message"].as_str().unwrap_or(&text);
    let location = headers
        .get("location")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    Refusal {
        status,
        message: redact::excerpt(message, known),
        redirect_to: location.split('/').nth(2).unwrap_or_default().to_owned(),
        ..Refusal::default()
    }
}

pub(super) fn error_in_success(
    headers: &HeaderMap,
    body: &[u8],
    known: &[&str],
    now: Timestamp,
) -> Option<Refusal> {
    let json: Value = serde_json::from_slice(body).ok()?;
    json["error"].is_object().then(|| {
        let status = json["error"]["code"]
            .as_u64()
            .and_then(|code| u16::try_from(code).ok());
        read(status.unwrap_or(502), headers, body, known, now)
    })
}
