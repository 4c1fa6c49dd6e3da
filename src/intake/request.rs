//! Renders the request of a row as JSON text. Parts that are the same for every row are rendered
//! once.

use std::sync::Arc;

use csv::StringRecord;

use super::columns::{Columns, PROMPT};
use super::error::{IntakeError, Result};
use super::params::{check_all, write_value};
use super::template::{RenderError, Templates, is_template};
use crate::api::RequestTemplate;

/// Renders requests from a compiled template.
#[derive(Debug)]
pub(super) struct RequestRenderer {
    parts: Vec<RequestPart>,
    templates: Templates,
    /// Length of the last request, an estimate for the next one.
    last_len: usize,
}

/// A part of the request text.
#[derive(Debug)]
enum RequestPart {
    /// JSON that is the same for every row.
    Fixed(Vec<u8>),
    /// The prompt, from a column.
    PromptCell(usize),
    /// The prompt, from a template.
    PromptTemplate,
    /// The system message from a template, between two pieces of JSON; omitted if blank.
    SystemTemplate([&'static str; 2]),
    /// A parameter whose value is the template of `flag`.
    Param { name: Vec<u8>, flag: String },
}

/// The position of a column that has not appeared yet.
const UNKNOWN_COLUMN: usize = usize::MAX;

const PROMPT_FLAG: &str = "--prompt";
const SYSTEM_FLAG: &str = "--system";
const EMPTY_PROMPT: &str = "the prompt is empty; fill it in or remove the row";

impl RequestRenderer {
    /// Compiles a request template for an input with these columns.
    pub(super) fn new(template: &RequestTemplate, columns: &Arc<Columns>) -> Result<Self> {
        check_all(&template.params)?;
        let mut renderer = Self {
            parts: Vec::new(),
            templates: Templates::new(Arc::clone(columns)),
            last_len: 0,
        };
        renderer.push_fixed(|out| {
            out.extend_from_slice(b"{\"model\":");
            write_string(out, &template.model);
        });
        let layout = &template.api.format().layout;
        renderer.push_json(layout.start);
        renderer.add_system(template)?;
        renderer.push_json(layout.prompt[0]);
        renderer.add_prompt(template.prompt.as_deref(), columns)?;
        renderer.push_json(layout.prompt[1]);
        for (name, value) in &template.params {
            renderer.add_param(name, value)?;
        }
        renderer.push_json("}");
        Ok(renderer)
    }

    /// Replaces the columns by a list that contains new ones.
    pub(super) fn set_columns(&mut self, columns: &Arc<Columns>) {
        self.templates.set_columns(columns);
        for part in &mut self.parts {
            if let RequestPart::PromptCell(index) = part {
                *index = columns.find(PROMPT).unwrap_or(UNKNOWN_COLUMN);
            }
        }
    }

    /// Returns the columns not found so far, as pairs of template flag and column name.
    pub(super) fn missing_columns(&self) -> Vec<(String, String)> {
        self.templates.missing_columns()
    }

    /// Renders the request of a row. `record` is unchanged when this returns.
    pub(super) fn render(&mut self, record: &mut StringRecord) -> Result<String, RenderError> {
        let mut out = Vec::with_capacity(self.last_len + self.last_len / 8 + 64);
        for part in &self.parts {
            self.write(&mut out, part, record)?;
        }
        self.last_len = out.len();
        Ok(String::from_utf8(out).expect("every part is JSON made of UTF-8 text"))
    }

    fn add_system(&mut self, template: &RequestTemplate) -> Result<()> {
        let Some(text) = template.system.as_deref() else {
            return Ok(());
        };
        let api = template.api.format();
        let Some(json) = api.layout.system else {
            return Err(IntakeError::Template {
                name: SYSTEM_FLAG.to_owned(),
                message: format!("not supported for {}", api.name),
                hint: "remove it, or add its text to --prompt",
            });
        };
        if is_template(text) {
            return self.add_template(SYSTEM_FLAG, text, RequestPart::SystemTemplate(json));
        }
        self.push_fixed(|out| write_system(out, json, text));
        Ok(())
    }

    fn add_prompt(&mut self, prompt: Option<&str>, columns: &Columns) -> Result<()> {
        match prompt {
            None => {
                let index = if columns.is_open() {
                    UNKNOWN_COLUMN
                } else {
                    columns.prompt()?
                };
                self.parts.push(RequestPart::PromptCell(index));
            }
            Some(text) if is_template(text) => {
                self.add_template(PROMPT_FLAG, text, RequestPart::PromptTemplate)?;
            }
            Some(text) => {
                check_fixed_prompt(text, columns)?;
                self.push_fixed(|out| write_string(out, text));
            }
        }
        Ok(())
    }

    fn add_param(&mut self, name: &str, value: &str) -> Result<()> {
        let mut start = vec![b','];
        write_string(&mut start, name);
        start.push(b':');
        if is_template(value) {
            let flag = format!("--set {name}");
            let part = RequestPart::Param {
                name: start,
                flag: flag.clone(),
            };
            return self.add_template(&flag, value, part);
        }
        self.push_fixed(|out| {
            out.append(&mut start);
            write_value(out, value).expect("`check_all` accepted the value");
        });
        Ok(())
    }

    fn add_template(&mut self, flag: &str, text: &str, part: RequestPart) -> Result<()> {
        self.templates.add(flag, text)?;
        self.parts.push(part);
        Ok(())
    }

    fn push_json(&mut self, json: &str) {
        self.push_fixed(|out| out.extend_from_slice(json.as_bytes()));
    }

    /// Appends to the last part, which is the same for every row.
    fn push_fixed(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !matches!(self.parts.last(), Some(RequestPart::Fixed(_))) {
            self.parts.push(RequestPart::Fixed(Vec::new()));
        }
        if let Some(RequestPart::Fixed(out)) = self.parts.last_mut() {
            write(out);
        }
    }

    fn write(
        &self,
        out: &mut Vec<u8>,
        part: &RequestPart,
        record: &mut StringRecord,
    ) -> Result<(), RenderError> {
        match part {
            RequestPart::Fixed(json) => out.extend_from_slice(json),
            RequestPart::PromptCell(index) => {
                let text = record.get(*index).unwrap_or_default();
                write_prompt(out, text, Some(*index))?;
            }
            RequestPart::PromptTemplate => {
                let text = self.templates.render(PROMPT_FLAG, record)?;
                write_prompt(out, &text, None)?;
            }
            RequestPart::SystemTemplate(json) => {
                let text = self.templates.render(SYSTEM_FLAG, record)?;
                write_system(out, *json, &text);
            }
            RequestPart::Param { name, flag } => {
                let text = self.templates.render(flag, record)?;
                out.extend_from_slice(name);
                write_value(out, &text).map_err(|_| invalid_json(flag))?;
            }
        }
        Ok(())
    }
}

/// Writes text as a JSON string.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("serializing a string to memory cannot fail");
}

/// Returns the cells of a record as a JSON array of strings.
pub(super) fn cells_to_json(record: &StringRecord) -> String {
    let mut out = Vec::with_capacity(record.as_slice().len() + 3 * record.len() + 16);
    for (index, cell) in record.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        write_string(&mut out, cell);
    }
    out.push(b']');
    String::from_utf8(out).expect("JSON of UTF-8 text is UTF-8")
}

/// Writes a system message between two pieces of JSON, unless it is blank.
fn write_system(out: &mut Vec<u8>, json: [&str; 2], text: &str) {
    if !text.trim().is_empty() {
        out.extend_from_slice(json[0].as_bytes());
        write_string(out, text);
        out.extend_from_slice(json[1].as_bytes());
    }
}

fn write_prompt(out: &mut Vec<u8>, text: &str, index: Option<usize>) -> Result<(), RenderError> {
    if text.trim().is_empty() {
        return Err(RenderError::Row(index, EMPTY_PROMPT.to_owned()));
    }
    write_string(out, text);
    Ok(())
}

fn invalid_json(flag: &str) -> RenderError {
    let message = format!(
        "{flag}: rendered value is not valid JSON; use {{{{ column|tojson }}}} to insert text"
    );
    RenderError::Row(None, message)
}

/// Validates a prompt that is the same for every row. A bare column name is probably a mistake.
fn check_fixed_prompt(text: &str, columns: &Columns) -> Result<()> {
    let (message, hint) = if text.trim().is_empty() {
        ("template is empty", "remove it to use the `prompt` column")
    } else if columns.find(text.trim()).is_some() {
        let message = "value is the name of a column, not a template";
        (
            message,
            "enclose it in double braces: --prompt '{{ name }}'",
        )
    } else {
        return Ok(());
    };
    Err(IntakeError::Template {
        name: PROMPT_FLAG.to_owned(),
        message: message.to_owned(),
        hint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Api;

    /// A template with a prompt and a system message, unless they are empty, and with parameters.
    fn template(prompt: &str, system: &str, params: &[(&str, &str)]) -> RequestTemplate {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        RequestTemplate {
            model: "m\"1".to_owned(),
            prompt: optional(prompt),
            system: optional(system),
            params: params.iter().map(owned).collect(),
            ..RequestTemplate::default()
        }
    }

    /// Renders the request of a row with the columns `prompt` and `tone`.
    fn render(template: &RequestTemplate, cells: [&str; 2]) -> Result<String, String> {
        let header = StringRecord::from(&["prompt", "tone"][..]);
        let columns = Columns::new(&header, "jobs.csv", 1, b',').unwrap();
        let mut renderer = RequestRenderer::new(template, &Arc::new(columns))
            .map_err(|error| error.to_string())?;
        let given = StringRecord::from(&cells[..]);
        let mut record = given.clone();
        let found = renderer.render(&mut record);
        assert_eq!(record, given, "the record must be unchanged");
        found.map_err(|error| match error {
            RenderError::Row(index, message) => format!("{index:?}: {message}"),
            RenderError::Template(error) => error.to_string(),
        })
    }

    /// Checks the request after its model.
    #[track_caller]
    fn check(template: &RequestTemplate, cells: [&str; 2], expected: &str) {
        let found = render(template, cells).unwrap();
        assert_eq!(found, format!(r#"{{"model":"m\"1",{expected}"#));
        let _: serde_json::Value = serde_json::from_str(&found).unwrap();
    }

    #[track_caller]
    fn check_error(template: &RequestTemplate, cells: [&str; 2], expected: &str) {
        assert_eq!(render(template, cells), Err(expected.to_owned()));
    }

    #[test]
    fn a_request_has_a_model_messages_and_parameters_in_order() {
        let expected = r#""messages":[{"role":"user","content":"say \"hi\"\n"}]}"#;
        check(&template("", "", &[]), ["say \"hi\"\n", ""], expected);
        let params = [("top_p", "1.0"), ("user", "me"), ("a", "[1]")];
        check(
            &template("", "Be {kind}.", &params),
            ["你好 👋", ""],
            r#""messages":[{"role":"system","content":"Be {kind}."},{"role":"user","content":"你好 👋"}],"top_p":1.0,"user":"me","a":[1]}"#,
        );
        let params = [("x", "{{ tone|length }}"), ("y", "2")];
        check(
            &template("{{ tone }}: {{ prompt }}", "Be {{ tone }}.", &params),
            ["go", "calm"],
            r#""messages":[{"role":"system","content":"Be calm."},{"role":"user","content":"calm: go"}],"x":4,"y":2}"#,
        );
        let expected = r#""messages":[{"role":"user","content":"the same"}]}"#;
        check(&template("the same", "", &[]), ["a", "b"], expected);
    }

    #[test]
    fn an_embeddings_request_has_an_input_instead_of_messages() {
        let embeddings = |system| RequestTemplate {
            api: Api::Embeddings,
            ..template("{{ tone }}: {{ prompt }}", system, &[("dimensions", "64")])
        };
        let expected = r#""input":"calm: go","dimensions":64}"#;
        check(&embeddings(""), ["go", "calm"], expected);
        check_error(
            &embeddings("Be calm."),
            ["go", "calm"],
            "--system: not supported for embeddings\nhint: remove it, or add its text to --prompt",
        );
    }

    #[test]
    fn a_blank_system_message_is_omitted() {
        let bare = r#""messages":[{"role":"user","content":"a"}]}"#;
        check(&template("", "{{ tone }} ", &[]), ["a", ""], bare);
        check(&template("", " \n", &[]), ["a", "b"], bare);
    }

    #[test]
    fn a_templated_parameter_is_sent_as_json_if_valid() {
        let format = ("response_format", r#"{"name": {{ tone|tojson }}}"#);
        let expected =
            r#""messages":[{"role":"user","content":"a"}],"response_format":{"name": "b\"c"}}"#;
        check(&template("", "", &[format]), ["a", "b\"c"], expected);
        let format = ("response_format", r#"{"name": "{{ tone }}"}"#);
        check_error(
            &template("", "", &[format]),
            ["a", "b\"c"],
            "None: --set response_format: rendered value is not valid JSON; use {{ column|tojson }} to insert text",
        );
    }

    #[test]
    fn rejects_empty_prompts() {
        for (prompt, system, cells, field) in [
            ("", "", [" \t\n", "b"], "Some(0)"),
            ("", "{{ tone }}", ["", "b"], "Some(0)"),
            ("{{ tone }}", "", ["a", " "], "None"),
        ] {
            let expected = format!("{field}: {EMPTY_PROMPT}");
            check_error(&template(prompt, system, &[]), cells, &expected);
        }
    }

    #[test]
    fn rejects_invalid_request_settings() {
        for (template, expected) in [
            (
                template(" tone", "", &[]),
                "--prompt: value is the name of a column, not a template\nhint: enclose it in double braces: --prompt '{{ name }}'",
            ),
            (
                RequestTemplate {
                    prompt: Some(String::new()),
                    ..RequestTemplate::default()
                },
                "--prompt: template is empty\nhint: remove it to use the `prompt` column",
            ),
            (
                template("", "", &[("stream", "true")]),
                "cannot set parameter `stream`: streaming is not supported\nhint: remove it",
            ),
            (
                template("", "", &[("user", "{{ tune }}")]),
                "jobs.csv:1: column `tune` not found (referenced by --set user); did you mean `tone`? available columns: `prompt`, `tone`\n\
                 hint: use {{ tone }} in --set user",
            ),
        ] {
            check_error(&template, ["a", "b"], expected);
        }
    }

    #[test]
    fn cells_are_an_array_of_strings() {
        let cells = |record: &[&str]| cells_to_json(&StringRecord::from(record));
        let expected = r#"["a\"b","","c\r\nd\t\u0001","你好👋"]"#;
        assert_eq!(cells(&["a\"b", "", "c\r\nd\t\u{1}", "你好👋"]), expected);
        assert_eq!(cells(&[""]), r#"[""]"#);
    }
}
