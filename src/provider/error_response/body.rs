//! Parses error bodies: JSON of many structures, web pages, XML, plain text and truncated JSON.
//!
//! Texts are returned as received; the caller redacts and truncates them.

use serde_json::{Map, Value};

use crate::domain::failure::BodyFormat;

use super::format::{
    element_text, fill, is_error, is_one_of, is_page, parse_json, status_of, strip_tags,
    truncated_field,
};

/// Names of fields, separated by spaces, that contain the actual error.
const INNER: &str = "error errors base_resp response fault";
const CODES: &str = "code error_code errcode err_code status_code errorcode";
const KINDS: &str = "type __type error_type";
const MESSAGES: &str = "message msg error_message error_msg errmsg errormessage status_msg \
                        error_description detail faultstring title";
const DELAYS: &str = "retrydelay retry_after retry_after_seconds";
const REQUEST_IDS: &str = "request_id requestid trace_id";

/// Fields whose values repeat the request or differ each time. Only their names are kept.
const NAME_ONLY: &str = "flagged_input input prompt messages content text output completion body \
                         request ctx url user_id timestamp path ray_id";

/// The maximum nesting depth that is examined.
const MAX_DEPTH: usize = 8;
/// The maximum length of a single detail, in bytes.
const MAX_VALUE_BYTES: usize = 512;
/// The length at which no more details are added, in bytes.
const MAX_DETAIL_BYTES: usize = 2048;

/// The contents of an error body. Texts that the body does not contain are empty.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    pub(super) format: BodyFormat,
    pub(super) code: String,
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) details: String,
    pub(super) request_id: String,
    /// The code of the error, if it is an error status.
    pub(super) status: Option<u16>,
    /// The value of a field with a retry delay.
    pub(super) delay: Option<String>,
    /// Headers of the upstream response in the body, with lowercase names.
    pub(super) headers: Vec<(String, String)>,
}

impl ErrorBody {
    /// Parses the body of a response with an error status.
    pub(super) fn parse(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        if let Some(value) = parse_json(text) {
            return Self::from_json(&value, text);
        }
        let mut found = Self::default();
        if text.is_empty() {
            found.format = BodyFormat::Empty;
        } else if is_page(text) {
            found.parse_page(text);
        } else {
            found.parse_text(text);
        }
        found
    }

    /// Parses the body of a success response; `None` if it does not contain an error.
    pub(super) fn parse_embedded(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?.trim();
        let value = parse_json(text)?;
        let first = value
            .as_array()
            .and_then(|items| items.first())
            .unwrap_or(&value);
        is_error(first.as_object()?).then(|| Self::from_json(&value, text))
    }

    fn from_json(value: &Value, text: &str) -> Self {
        let mut found = Self {
            format: BodyFormat::Json,
            ..Self::default()
        };
        found.add_value(value, MAX_DEPTH);
        if found.message.is_empty() && found.code.is_empty() && found.details.is_empty() {
            text.clone_into(&mut found.message);
        }
        found.status = found.status.or_else(|| status_of(&found.code));
        found
    }

    /// Adds a value, inner errors first, since the first value found for each field is kept.
    fn add_value(&mut self, value: &Value, depth: usize) {
        match value {
            _ if depth == 0 => {}
            Value::String(text) => self.add_message(text, depth),
            Value::Array(items) => match items.iter().find(|item| item.is_object()) {
                Some(_) if items.iter().all(|item| item.get("loc").is_some()) => {
                    self.add_validation_errors(items);
                }
                Some(object) => self.add_value(object, depth - 1),
                None => items
                    .iter()
                    .for_each(|item| self.add_value(item, depth - 1)),
            },
            Value::Object(object) => self.add_object(object, depth),
            _ => {}
        }
    }

    fn add_object(&mut self, object: &Map<String, Value>, depth: usize) {
        let inner = object.iter().filter(|(name, _)| is_one_of(name, INNER));
        for (_, value) in inner
            .clone()
            .filter(|(_, value)| value.is_object() || value.is_array())
        {
            self.add_value(value, depth - 1);
        }
        for name in MESSAGES.split(' ') {
            let mut fields = object.iter();
            if let Some((_, value)) = fields.find(|(key, _)| key.eq_ignore_ascii_case(name)) {
                self.add_value(value, depth - 1);
            }
        }
        for (_, value) in inner.filter(|(_, value)| value.is_string()) {
            self.add_value(value, depth - 1);
        }
        for (name, value) in object {
            self.add_field(name, value, depth);
        }
    }

    fn add_field(&mut self, name: &str, value: &Value, depth: usize) {
        let is_handled = is_one_of(name, INNER) || is_one_of(name, MESSAGES);
        if is_one_of(name, CODES) {
            fill(&mut self.code, value);
        } else if is_one_of(name, KINDS) {
            let is_kind = |kind: &str| !kind.contains(':') && kind != "error";
            if value.as_str().is_some_and(is_kind) {
                fill(&mut self.kind, value);
            }
        } else if is_one_of(name, REQUEST_IDS) {
            fill(&mut self.request_id, value);
        } else if name.eq_ignore_ascii_case("status") && value.is_number() {
            self.status = self.status.or_else(|| status_of(&value.to_string()));
        } else if !is_handled {
            self.add_details(name, value, depth, false);
        }
    }

    /// Adds a field to the details, with its name if it is nested inside the error (`inner`).
    fn add_details(&mut self, name: &str, value: &Value, depth: usize, inner: bool) {
        if depth == 0 || self.details.len() > MAX_DETAIL_BYTES {
            return;
        }
        if is_one_of(name, DELAYS) {
            let mut delay = String::new();
            fill(&mut delay, value);
            self.delay.get_or_insert(delay);
        }
        let name_only = is_one_of(name, NAME_ONLY);
        match value {
            _ if name_only && inner => self.add_word(name),
            Value::String(text) if !name_only => {
                if inner && !is_one_of(name, CODES) && !is_one_of(name, MESSAGES) {
                    self.add_word(name);
                }
                self.add_word(text);
            }
            Value::Number(number) if is_one_of(name, CODES) => self.add_word(&number.to_string()),
            Value::Object(object) if !name_only => {
                self.add_word(name);
                if name.eq_ignore_ascii_case("headers") {
                    self.add_headers(object);
                }
                for (name, value) in object {
                    self.add_details(name, value, depth - 1, true);
                }
            }
            Value::Array(items) if !name_only => {
                self.add_word(name);
                for item in items {
                    self.add_details("", item, depth - 1, true);
                }
            }
            _ => {}
        }
    }

    fn add_headers(&mut self, headers: &Map<String, Value>) {
        for (name, value) in headers {
            let mut text = String::new();
            fill(&mut text, value);
            self.headers.push((name.to_ascii_lowercase(), text));
        }
    }

    /// Sets the message, or adds the text to the details if the message is already set. The text
    /// can itself be JSON.
    fn add_message(&mut self, text: &str, depth: usize) {
        let text = text.trim();
        let inner = text
            .starts_with('{')
            .then(|| serde_json::from_str::<Value>(text).ok());
        if let Some(value) = inner.flatten().filter(Value::is_object) {
            self.add_value(&value, depth - 1);
        } else if self.message.is_empty() {
            text.clone_into(&mut self.message);
        } else if self.message != text {
            self.add_word(text);
        }
    }

    /// Adds a list of validation errors in the format of `FastAPI`.
    fn add_validation_errors(&mut self, items: &[Value]) {
        for item in items {
            let location = item.get("loc").and_then(Value::as_array);
            let mut path = String::new();
            for part in location.into_iter().flatten() {
                let part = part
                    .as_str()
                    .map_or_else(|| part.to_string(), str::to_owned);
                let separator = if path.is_empty() { "" } else { "." };
                path.extend([separator, &part]);
            }
            let message = item.get("msg").and_then(Value::as_str).unwrap_or("");
            let separator = if self.message.is_empty() { "" } else { "; " };
            self.message.extend([separator, &path, ": ", message]);
            if let Some(kind) = item.get("type") {
                fill(&mut self.kind, kind);
            }
        }
    }

    fn parse_page(&mut self, text: &str) {
        self.format = BodyFormat::Html;
        self.message = element_text(text, "<title", "</title>").unwrap_or_else(|| strip_tags(text));
        self.details = element_text(text, "<h1", "</h1>").unwrap_or_default();
        let lowercase = text.to_ascii_lowercase();
        // Firewall pages are identified by their scripts and links, not by their text.
        for marker in [
            "captcha",
            "incapsula",
            "errors.edgesuite.net",
            "cf-error-details",
        ] {
            if lowercase.contains(marker) {
                self.add_word(marker);
            }
        }
    }

    /// Parses any other text: truncated JSON, XML, plain text.
    fn parse_text(&mut self, text: &str) {
        self.format = BodyFormat::Text;
        if text.starts_with(['{', '[']) {
            self.code = truncated_field(text, "code").unwrap_or_default();
            self.kind = truncated_field(text, "type").unwrap_or_default();
            self.message = truncated_field(text, "message").unwrap_or_else(|| text.to_owned());
        } else if text.starts_with('<') {
            self.code = element_text(text, "<code", "</code>").unwrap_or_default();
            self.message =
                element_text(text, "<message", "</message>").unwrap_or_else(|| strip_tags(text));
        } else {
            text.clone_into(&mut self.message);
        }
    }

    fn add_word(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(MAX_VALUE_BYTES)];
        if !text.is_empty() && !self.details.is_empty() {
            self.details.push(' ');
        }
        self.details.push_str(text);
    }
}
