//! Rows that are complete requests, one per line, in the format of the `OpenAI` Batch API:
//! `{"custom_id": …, "method": "POST", "url": "/v1/chat/completions", "body": {…}}`, or the same
//! with `/v1/embeddings`. The body is sent unchanged.

use super::error::{IntakeError, InvalidRow, Result, quoted};
use super::fields::Fields;
use super::line_reader::LineReader;
use super::row_keys::{RowKeys, digest_of};
use super::rows::{NextRow, Rows};
use crate::api::{Api, RequestTemplate, RowFormat};
use crate::domain::job::NewRow;

/// The only column of an input of complete requests.
const CUSTOM_ID: &str = "custom_id";

/// An input of complete requests.
pub(super) struct Requests {
    lines: LineReader,
    keys: RowKeys,
    columns: [String; 1],
    api: Api,
    model: String,
}

/// Returns whether a line is a request in the format of the Batch API.
pub(super) fn is_request(text: &str) -> bool {
    Fields::parse(text).is_ok_and(|fields| {
        let has_fields = [CUSTOM_ID, "url"]
            .iter()
            .all(|name| fields.get(name).is_some());
        let is_object = |body: &str| body.starts_with('{');
        has_fields && fields.get("body").is_some_and(is_object)
    })
}

impl Requests {
    /// Reads the first line, which determines the model and endpoint of the batch.
    ///
    /// Errors: a flag that does not apply to complete requests, or an invalid first line.
    pub(super) fn new(
        mut lines: LineReader,
        template: &RequestTemplate,
    ) -> Result<(Self, RequestTemplate)> {
        let file = lines.file.clone();
        reject_template_flags(template, &file)?;
        let Some((line, text)) = lines.next()? else {
            return Err(IntakeError::NoLines(file));
        };
        let first = text
            .and_then(|text| BatchRequest::parse(text).map(|request| (request.api, request.model)));
        let (api, model) =
            first.map_err(|message| IntakeError::invalid_row(&file, line, message))?;
        lines.unread();
        let template = RequestTemplate {
            model: model.clone(),
            row_format: RowFormat::Requests,
            api,
            ..RequestTemplate::default()
        };
        let requests = Self {
            lines,
            keys: RowKeys::new(true),
            columns: [CUSTOM_ID.to_owned()],
            api,
            model,
        };
        Ok((requests, template))
    }
}

impl Rows for Requests {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn file(&self) -> &str {
        &self.lines.file
    }

    fn next(&mut self) -> Result<NextRow> {
        let Some((line, text)) = self.lines.next()? else {
            return Ok(NextRow::End);
        };
        let request = text.and_then(BatchRequest::parse).and_then(|request| {
            let (name, found, first, unit) = if request.api != self.api {
                let urls = [request.api, self.api].map(|api| api.format().batch_url);
                ("url", urls[0], urls[1], "endpoint")
            } else if request.model != self.model {
                ("model", &*request.model, &*self.model, "model")
            } else {
                return Ok(request);
            };
            let (found, first) = (quoted(found), quoted(first));
            Err(format!(
                "{name} is {found}, but the first line has {first}; use one file per {unit}"
            ))
        });
        let invalid =
            |column, message| Ok(NextRow::Invalid(InvalidRow::new(line, column, message)));
        let BatchRequest { id, body, .. } = match request {
            Ok(request) => request,
            Err(message) => return invalid(None, message),
        };
        match self.keys.key(&id, "", line) {
            Err(message) => invalid(Some(CUSTOM_ID.to_owned()), message),
            Ok(key) => Ok(NextRow::Row(NewRow {
                cells: serde_json::json!([key]).to_string(),
                key,
                digest: digest_of(body),
                request: body.to_owned(),
            })),
        }
    }
}

/// A line of the input.
struct BatchRequest<'a> {
    id: String,
    api: Api,
    model: String,
    body: &'a str,
}

impl<'a> BatchRequest<'a> {
    /// Parses a line, or returns an error message.
    fn parse(text: &'a str) -> Result<Self, String> {
        let fields = Fields::parse(text)?;
        let invalid = |name: &str, kind: &str| format!("`{name}` is missing or not {kind}");
        let id = fields.text(CUSTOM_ID);
        let id = id.ok_or_else(|| invalid(CUSTOM_ID, "a string"))?;
        if let Some(method) = fields.get("method").filter(|method| *method != "\"POST\"") {
            return Err(format!("unsupported method {}; use POST", quoted(method)));
        }
        let url = fields.text("url");
        let url = url.ok_or_else(|| invalid("url", "a string"))?;
        let api = Api::from_batch_url(&url).ok_or_else(|| {
            let known = Api::ALL.map(|api| quoted(api.format().batch_url));
            format!(
                "unsupported url {}; use {}",
                quoted(&url),
                known.join(" or ")
            )
        })?;
        let body = fields.get("body").filter(|body| body.starts_with('{'));
        let body = body.ok_or_else(|| invalid("body", "an object"))?;
        Ok(Self {
            model: check_body(body, api)?,
            api,
            id: id.into_owned(),
            body,
        })
    }
}

/// Validates a body and returns its model.
fn check_body(body: &str, api: Api) -> Result<String, String> {
    let fields = Fields::parse(body).map_err(|message| format!("body: {message}"))?;
    let model = fields
        .text("model")
        .filter(|model| !model.trim().is_empty());
    let model = model.ok_or("the body has no `model`")?;
    let layout = &api.format().layout;
    let is_valid = |value: &str| value != "null" && (!layout.is_array || value.starts_with('['));
    if !fields.get(layout.field).is_some_and(is_valid) {
        let kind = if layout.is_array { " array" } else { "" };
        return Err(format!("the body has no `{}`{kind}", layout.field));
    }
    if fields.get("stream") == Some("true") {
        return Err("the body sets `stream`; streaming is not supported".to_owned());
    }
    Ok(model.into_owned())
}

fn reject_template_flags(template: &RequestTemplate, file: &str) -> Result<()> {
    let given = [
        ("--prompt", template.prompt.is_some()),
        ("--system", template.system.is_some()),
        ("--set", !template.params.is_empty()),
        ("--id-column", template.id_column.is_some()),
        ("--schema", template.schema.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((flag, _)) => Err(IntakeError::ConflictingFlag(file.to_owned(), flag)),
    }
}
