//! The forms of error bodies: JSON of many shapes, web pages, XML, plain and cut-off text.
//!
//! Texts leave here as they came; the caller redacts and cuts them.

use serde_json::{Map, Value};

use crate::domain::failure::BodyForm;

use super::form::{between, cut_off, fill, is_error, is_one_of, is_page, parse, plain, status_of};

/// Objects that hold the error proper.
const INNER: [&str; 5] = ["error", "errors", "base_resp", "response", "fault"];
const CODES: [&str; 6] = [
    "code",
    "error_code",
    "errcode",
    "err_code",
    "status_code",
    "errorcode",
];
const KINDS: [&str; 3] = ["type", "__type", "error_type"];
const MESSAGES: [&str; 11] = [
    "message",
    "msg",
    "error_message",
    "error_msg",
    "errmsg",
    "errormessage",
    "status_msg",
    "error_description",
    "detail",
    "faultstring",
    "title",
];
const DELAYS: [&str; 3] = ["retrydelay", "retry_after", "retry_after_seconds"];
const REQUEST_IDS: [&str; 3] = ["request_id", "requestid", "trace_id"];

/// Fields whose values repeat the request, or differ every time: their names alone are kept.
const SILENT: [&str; 16] = [
    "flagged_input",
    "input",
    "prompt",
    "messages",
    "content",
    "text",
    "output",
    "completion",
    "body",
    "request",
    "ctx",
    "url",
    "user_id",
    "timestamp",
    "path",
    "ray_id",
];

/// How deep objects are looked into.
const DEPTH: usize = 8;
/// The most that is gathered of one value, and of all details together, in bytes.
const VALUE_BYTES: usize = 512;
const GATHERED_BYTES: usize = 2048;

/// An error as its body tells it; empty where the body tells nothing.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    pub(super) form: BodyForm,
    pub(super) code: String,
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) details: String,
    pub(super) request_id: String,
    /// The error's own code, where that is the status of an error.
    pub(super) status: Option<u16>,
    /// The text of a field that names a delay.
    pub(super) delay: Option<String>,
    /// Rate-limit headers that the body holds, with lower-case names.
    pub(super) headers: Vec<(String, String)>,
}

impl ErrorBody {
    /// Reads a body that is an error because its status says so.
    pub(super) fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        if let Some(value) = parse(text) {
            return Self::of_json(&value, text);
        }
        let mut found = Self::default();
        if text.is_empty() {
            found.form = BodyForm::Empty;
        } else if is_page(text) {
            found.page(text);
        } else {
            found.text(text);
        }
        found
    }

    /// Reads a success that holds an error; `None` when it does not.
    pub(super) fn in_success(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?.trim();
        let value = parse(text)?;
        let first = value
            .as_array()
            .and_then(|items| items.first())
            .unwrap_or(&value);
        is_error(first.as_object()?).then(|| Self::of_json(&value, text))
    }

    fn of_json(value: &Value, text: &str) -> Self {
        let mut found = Self {
            form: BodyForm::Json,
            ..Self::default()
        };
        found.take(value, DEPTH);
        if found.message.is_empty() && found.code.is_empty() && found.details.is_empty() {
            text.clone_into(&mut found.message);
        }
        found.status = found.status.or_else(|| status_of(&found.code));
        found
    }

    /// Takes what a value says, the inner error first: what is found first stays.
    fn take(&mut self, value: &Value, depth: usize) {
        match value {
            _ if depth == 0 => {}
            Value::String(text) => self.say(text, depth),
            Value::Array(items) => match items.iter().find(|item| item.is_object()) {
                Some(_) if items.iter().all(|item| item.get("loc").is_some()) => self.fields(items),
                Some(object) => self.take(object, depth - 1),
                None => items.iter().for_each(|item| self.take(item, depth - 1)),
            },
            Value::Object(object) => self.object(object, depth),
            _ => {}
        }
    }

    fn object(&mut self, object: &Map<String, Value>, depth: usize) {
        let inner = object.iter().filter(|(name, _)| is_one_of(name, &INNER));
        for (_, value) in inner
            .clone()
            .filter(|(_, value)| value.is_object() || value.is_array())
        {
            self.take(value, depth - 1);
        }
        for name in MESSAGES {
            if let Some((_, value)) = object
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
            {
                self.take(value, depth - 1);
            }
        }
        for (_, value) in inner.filter(|(_, value)| value.is_string()) {
            self.take(value, depth - 1);
        }
        for (name, value) in object {
            self.field(name, value, depth);
        }
    }

    fn field(&mut self, name: &str, value: &Value, depth: usize) {
        let taken = is_one_of(name, &INNER) || is_one_of(name, &MESSAGES);
        if is_one_of(name, &CODES) {
            fill(&mut self.code, value);
        } else if is_one_of(name, &KINDS) {
            let kind = value
                .as_str()
                .filter(|kind| !kind.contains(':') && *kind != "error");
            if let Some(kind) = kind.filter(|_| self.kind.is_empty()) {
                kind.clone_into(&mut self.kind);
            }
        } else if is_one_of(name, &REQUEST_IDS) {
            fill(&mut self.request_id, value);
        } else if name.eq_ignore_ascii_case("status") && value.is_number() {
            self.status = self.status.or_else(|| status_of(&value.to_string()));
        } else if !taken {
            self.detail(name, value, depth, false);
        }
    }

    /// Adds what a field says to the details; the name of a field too, below the error itself.
    fn detail(&mut self, name: &str, value: &Value, depth: usize, inner: bool) {
        if depth == 0 || self.details.len() > GATHERED_BYTES {
            return;
        }
        if is_one_of(name, &DELAYS) {
            let mut delay = String::new();
            fill(&mut delay, value);
            self.delay.get_or_insert(delay);
        }
        let silent = is_one_of(name, &SILENT);
        match value {
            _ if silent && inner => self.add(name),
            Value::String(text) if !silent => {
                if inner && !is_one_of(name, &CODES) && !is_one_of(name, &MESSAGES) {
                    self.add(name);
                }
                self.add(text);
            }
            Value::Number(number) if is_one_of(name, &CODES) => self.add(&number.to_string()),
            Value::Object(object) if !silent => {
                self.add(name);
                if name.eq_ignore_ascii_case("headers") {
                    self.inner_headers(object);
                }
                for (name, value) in object {
                    self.detail(name, value, depth - 1, true);
                }
            }
            Value::Array(items) if !silent => {
                self.add(name);
                for item in items {
                    self.detail("", item, depth - 1, true);
                }
            }
            _ => {}
        }
    }

    fn inner_headers(&mut self, headers: &Map<String, Value>) {
        for (name, value) in headers {
            let mut text = String::new();
            fill(&mut text, value);
            self.headers.push((name.to_ascii_lowercase(), text));
        }
    }

    /// Takes a text as the message, or as a detail when there is one. It may be JSON in itself.
    fn say(&mut self, text: &str, depth: usize) {
        let text = text.trim();
        let inner = text
            .starts_with('{')
            .then(|| serde_json::from_str::<Value>(text).ok());
        if let Some(value) = inner.flatten().filter(Value::is_object) {
            self.take(&value, depth - 1);
        } else if self.message.is_empty() {
            text.clone_into(&mut self.message);
        } else if self.message != text {
            self.add(text);
        }
    }

    /// Takes a list, as `FastAPI` has it, of what is wrong with which field.
    fn fields(&mut self, items: &[Value]) {
        for item in items {
            let location = item.get("loc").and_then(Value::as_array);
            let mut path = String::new();
            for part in location.into_iter().flatten() {
                let start = if path.is_empty() { "" } else { "." };
                path.push_str(start);
                path.push_str(
                    &part
                        .as_str()
                        .map_or_else(|| part.to_string(), str::to_owned),
                );
            }
            let says = item.get("msg").and_then(Value::as_str).unwrap_or("");
            let start = if self.message.is_empty() { "" } else { "; " };
            self.message.extend([start, &path, ": ", says]);
            if let Some(kind) = item.get("type") {
                fill(&mut self.kind, kind);
            }
        }
    }

    fn page(&mut self, text: &str) {
        self.form = BodyForm::Html;
        self.message = between(text, "<title", "</title>").unwrap_or_else(|| plain(text));
        self.details = between(text, "<h1", "</h1>").unwrap_or_default();
        let inside = text.to_ascii_lowercase();
        // What tells a firewall's page stands in its scripts and links, not in its words.
        for marker in [
            "captcha",
            "incapsula",
            "errors.edgesuite.net",
            "cf-error-details",
        ] {
            if inside.contains(marker) {
                self.add(marker);
            }
        }
    }

    /// Takes any other text; from XML and cut-off JSON what can still be told.
    fn text(&mut self, text: &str) {
        self.form = BodyForm::Text;
        if text.starts_with(['{', '[']) {
            self.code = cut_off(text, "code").unwrap_or_default();
            self.kind = cut_off(text, "type").unwrap_or_default();
            self.message = cut_off(text, "message").unwrap_or_else(|| text.to_owned());
        } else if text.starts_with('<') {
            self.code = between(text, "<code", "</code>").unwrap_or_default();
            self.message = between(text, "<message", "</message>").unwrap_or_else(|| plain(text));
        } else {
            text.clone_into(&mut self.message);
        }
    }

    fn add(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(VALUE_BYTES)];
        if !text.is_empty() && !self.details.is_empty() {
            self.details.push(' ');
        }
        self.details.push_str(text);
    }
}
