//! Rows that are whole requests, one a line, in the form of the `OpenAI` Batch API:
//! `{"custom_id": …, "method": "POST", "url": "/v1/chat/completions", "body": {…}}`, or the same with
//! `/v1/embeddings`. The body is sent as it stands there.

use super::error::{BadRow, IntakeError, quoted};
use super::fields::Fields;
use super::keys::{Keys, digest_of};
use super::lines::Lines;
use super::reader::Step;
use crate::domain::job::NewRow;
use crate::domain::request_template::{Api, Form, RequestTemplate};

/// The one column of such an input.
const CUSTOM_ID: &str = "custom_id";

/// An input of requests.
pub(super) struct Requests {
    lines: Lines,
    keys: Keys,
    columns: [String; 1],
    api: Api,
    model: String,
}

/// Tells whether a line is a request in the form of the Batch API.
pub(super) fn is_request(text: &str) -> bool {
    let Ok(fields) = Fields::read(text) else {
        return false;
    };
    let is_object = |body: &str| body.starts_with('{');
    let named = [CUSTOM_ID, "url"]
        .iter()
        .all(|name| fields.get(name).is_some());
    named && fields.get("body").is_some_and(is_object)
}

impl Requests {
    /// Reads the first line, which says for all of them which model is asked.
    ///
    /// Errors: the recipe has something to say as well, or the first line is no request.
    pub(super) fn new(
        mut lines: Lines,
        template: &RequestTemplate,
    ) -> Result<(Self, RequestTemplate), IntakeError> {
        let file = lines.file.clone();
        reject_template_flags(template, &file)?;
        let Some((line, text)) = lines.next()? else {
            return Err(IntakeError::NoLines { file });
        };
        let first =
            text.and_then(|text| Request::read(text).map(|request| (request.api, request.model)));
        let (api, model) = match first {
            Ok(first) => first,
            Err(what) => {
                let column = None;
                let rows = vec![BadRow { line, column, what }];
                return Err(IntakeError::BadRows {
                    file,
                    rows,
                    more: 0,
                });
            }
        };
        lines.hold();
        let template = RequestTemplate {
            model: model.clone(),
            form: Form::Requests,
            api,
            ..RequestTemplate::default()
        };
        let requests = Self {
            lines,
            keys: Keys::new(true),
            columns: [CUSTOM_ID.to_owned()],
            api,
            model,
        };
        Ok((requests, template))
    }

    /// Returns the name of the one column.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Returns the input as messages call it.
    pub(super) fn file(&self) -> &str {
        &self.lines.file
    }

    /// Reads the next request.
    pub(super) fn next(&mut self) -> Result<Step, IntakeError> {
        let Some((line, text)) = self.lines.next()? else {
            return Ok(Step::End);
        };
        let request = text.and_then(Request::read).and_then(|request| {
            if request.api != self.api {
                Err(format!(
                    "goes to `{}`, the first line to `{}`; a file has one of them: split it",
                    request.api.batch_url(),
                    self.api.batch_url()
                ))
            } else if request.model == self.model {
                Ok(request)
            } else {
                Err(format!(
                    "asks for the model {}, the first line for {}; a file has one model: split it",
                    quoted(&request.model),
                    quoted(&self.model)
                ))
            }
        });
        let bad = |column, what| Ok(Step::Bad(BadRow { line, column, what }));
        let Request { id, body, .. } = match request {
            Ok(request) => request,
            Err(what) => return bad(None, what),
        };
        match self.keys.key(&id, "", line) {
            Err(what) => bad(Some(CUSTOM_ID.to_owned()), what),
            Ok(key) => Ok(Step::Row(NewRow {
                cells: serde_json::json!([key]).to_string(),
                key,
                digest: digest_of(body),
                request: body.to_owned(),
            })),
        }
    }
}

/// What a line asks for.
struct Request<'a> {
    id: String,
    api: Api,
    model: String,
    body: &'a str,
}

impl<'a> Request<'a> {
    /// Reads a line; says what is wrong with one that is no request.
    fn read(text: &'a str) -> Result<Self, String> {
        let fields = Fields::read(text)?;
        let needs = |name: &str, what: &str| format!("`{name}` is missing, or is not {what}");
        let id = fields.text(CUSTOM_ID);
        let id = id.ok_or_else(|| needs(CUSTOM_ID, "a text"))?;
        if let Some(method) = fields.get("method").filter(|method| *method != "\"POST\"") {
            return Err(format!(
                "the method is {}; it can only be POST",
                quoted(method)
            ));
        }
        let url = fields.text("url").ok_or_else(|| needs("url", "a text"))?;
        let api = Api::ALL.into_iter().find(|api| api.batch_url() == url);
        let api = api.ok_or_else(|| {
            let known = Api::ALL.map(|api| format!("`{}`", api.batch_url()));
            format!(
                "the url is {}; it can be {}",
                quoted(&url),
                known.join(" or ")
            )
        })?;
        let body = fields.get("body").filter(|body| body.starts_with('{'));
        let body = body.ok_or_else(|| needs("body", "an object"))?;
        Ok(Self {
            model: check_body(body, api)?,
            api,
            id: id.into_owned(),
            body,
        })
    }
}

/// Checks what can be known of a body before it is sent; returns its model.
fn check_body(body: &str, api: Api) -> Result<String, String> {
    let fields = Fields::read(body).map_err(|what| format!("the body: {what}"))?;
    let model = fields
        .text("model")
        .filter(|model| !model.trim().is_empty());
    let model = model.ok_or("the body names no model")?;
    let asks = match api {
        Api::Chat => fields
            .get("messages")
            .is_some_and(|list| list.starts_with('[')),
        Api::Embeddings => fields.get("input").is_some_and(|input| input != "null"),
    };
    if !asks {
        return Err(match api {
            Api::Chat => "the body has no list of messages".to_owned(),
            Api::Embeddings => "the body has no input".to_owned(),
        });
    }
    if fields.get("stream") == Some("true") {
        return Err("the body asks for a stream; answers are always read whole".to_owned());
    }
    Ok(model.into_owned())
}

fn reject_template_flags(template: &RequestTemplate, file: &str) -> Result<(), IntakeError> {
    let given = [
        ("--prompt", template.prompt.is_some()),
        ("--system", template.system.is_some()),
        ("--set", !template.params.is_empty()),
        ("--id-column", template.id_column.is_some()),
        ("--schema", template.schema.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((flag, _)) => Err(IntakeError::Given {
            file: file.to_owned(),
            flag,
        }),
    }
}
