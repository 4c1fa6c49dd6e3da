//! Writes a row's request: the JSON that will be sent, straight into text. What is the same for
//! every row is written once, when the recipe is read.

use std::sync::Arc;

use csv::StringRecord;

use super::columns::{Columns, PROMPT};
use super::error::IntakeError;
use super::params::{check_all, write_value};
use super::template::{Templates, Unrendered, is_template};
use crate::domain::request_template::{Api, RequestTemplate};

/// A recipe, ready to write requests.
#[derive(Debug)]
pub(super) struct Composer {
    parts: Vec<Part>,
    templates: Templates,
    /// How long the last request was: a good guess for the next.
    last_len: usize,
}

/// Why there is no request for a row.
#[derive(Debug)]
pub(super) enum Uncomposed {
    /// It is the row's fault: the field, where it is one, and what is wrong.
    Row(Option<usize>, String),
    /// No row can have a request.
    RequestTemplate(IntakeError),
}

/// A part of the request's text.
#[derive(Debug)]
enum Part {
    /// JSON that is the same for every row.
    Fixed(Vec<u8>),
    /// The text of a column, as the prompt.
    PromptCell(usize),
    /// A template's text, as the prompt.
    PromptTemplate,
    /// The whole system message with a template's text; nothing where that is blank.
    SystemTemplate,
    /// A parameter of this name, its value from the template of that flag.
    Param { name: Vec<u8>, flag: String },
}

/// The place of a column that has not shown up yet.
const NOWHERE: usize = usize::MAX;

const PROMPT_FLAG: &str = "--prompt";
const SYSTEM_FLAG: &str = "--system";
const EMPTY_PROMPT: &str = "the prompt is empty; fill it in or remove the row";

impl Composer {
    /// Reads a recipe for a file with these columns.
    pub(super) fn new(
        template: &RequestTemplate,
        columns: &Arc<Columns>,
    ) -> Result<Self, IntakeError> {
        check_all(&template.params)?;
        let mut composer = Self {
            parts: Vec::new(),
            templates: Templates::new(Arc::clone(columns)),
            last_len: 0,
        };
        composer.fix(|out| {
            out.extend_from_slice(b"{\"model\":");
            write_string(out, &template.model);
        });
        match template.api {
            Api::Chat => {
                composer.fix(|out| out.extend_from_slice(b",\"messages\":["));
                composer.add_system(template.system.as_deref())?;
                composer.fix(|out| out.extend_from_slice(b"{\"role\":\"user\",\"content\":"));
                composer.add_prompt(template.prompt.as_deref(), columns)?;
                composer.fix(|out| out.extend_from_slice(b"}]"));
            }
            Api::Embeddings => {
                refuse_system(template.system.as_deref())?;
                composer.fix(|out| out.extend_from_slice(b",\"input\":"));
                composer.add_prompt(template.prompt.as_deref(), columns)?;
            }
        }
        for (name, value) in &template.params {
            composer.add_param(name, value)?;
        }
        composer.fix(|out| out.push(b'}'));
        Ok(composer)
    }

    /// Takes up columns that have shown up.
    pub(super) fn grow(&mut self, columns: &Arc<Columns>) {
        self.templates.grow(columns);
        for part in &mut self.parts {
            if let Part::PromptCell(place) = part {
                *place = columns.find(PROMPT).unwrap_or(NOWHERE);
            }
        }
    }

    /// Returns the flags of templates with the columns they looked up in vain so far, though those
    /// might still have shown up.
    pub(super) fn missed(&self) -> Vec<(String, String)> {
        self.templates.missed()
    }

    /// Writes the request of a row. The record is the same afterwards.
    pub(super) fn compose(&mut self, record: &mut StringRecord) -> Result<String, Uncomposed> {
        let mut out = Vec::with_capacity(self.last_len + self.last_len / 8 + 64);
        for part in &self.parts {
            self.write(&mut out, part, record)?;
        }
        self.last_len = out.len();
        Ok(String::from_utf8(out).expect("every part is JSON made of UTF-8 text"))
    }

    fn add_system(&mut self, system: Option<&str>) -> Result<(), IntakeError> {
        match system {
            Some(text) if is_template(text) => {
                self.add_template(SYSTEM_FLAG, text, Part::SystemTemplate)
            }
            Some(text) if !text.trim().is_empty() => {
                self.fix(|out| write_system(out, text));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_prompt(&mut self, prompt: Option<&str>, columns: &Columns) -> Result<(), IntakeError> {
        match prompt {
            None => {
                let place = if columns.is_open() {
                    NOWHERE
                } else {
                    columns.prompt()?
                };
                self.parts.push(Part::PromptCell(place));
            }
            Some(text) if is_template(text) => {
                self.add_template(PROMPT_FLAG, text, Part::PromptTemplate)?;
            }
            Some(text) => {
                check_fixed_prompt(text, columns)?;
                self.fix(|out| write_string(out, text));
            }
        }
        Ok(())
    }

    fn add_param(&mut self, name: &str, value: &str) -> Result<(), IntakeError> {
        let mut start = vec![b','];
        write_string(&mut start, name);
        start.push(b':');
        if is_template(value) {
            let flag = format!("--set {name}");
            let part = Part::Param {
                name: start,
                flag: flag.clone(),
            };
            return self.add_template(&flag, value, part);
        }
        self.fix(|out| {
            out.append(&mut start);
            write_value(out, value).expect("`check_all` has seen that it can be written");
        });
        Ok(())
    }

    fn add_template(&mut self, flag: &str, text: &str, part: Part) -> Result<(), IntakeError> {
        self.templates.add(flag, text)?;
        self.parts.push(part);
        Ok(())
    }

    /// Writes on at the fixed part that is last.
    fn fix(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !matches!(self.parts.last(), Some(Part::Fixed(_))) {
            self.parts.push(Part::Fixed(Vec::new()));
        }
        if let Some(Part::Fixed(out)) = self.parts.last_mut() {
            write(out);
        }
    }

    fn write(
        &self,
        out: &mut Vec<u8>,
        part: &Part,
        record: &mut StringRecord,
    ) -> Result<(), Uncomposed> {
        match part {
            Part::Fixed(json) => out.extend_from_slice(json),
            Part::PromptCell(place) => {
                let text = record.get(*place).unwrap_or_default();
                write_prompt(out, text, Some(*place))?;
            }
            Part::PromptTemplate => {
                let text = self.templates.render(PROMPT_FLAG, record)?;
                write_prompt(out, &text, None)?;
            }
            Part::SystemTemplate => {
                let text = self.templates.render(SYSTEM_FLAG, record)?;
                if !text.trim().is_empty() {
                    write_system(out, &text);
                }
            }
            Part::Param { name, flag } => {
                let text = self.templates.render(flag, record)?;
                out.extend_from_slice(name);
                write_value(out, &text).map_err(|_| not_json(flag))?;
            }
        }
        Ok(())
    }
}

impl From<Unrendered> for Uncomposed {
    fn from(unrendered: Unrendered) -> Self {
        match unrendered {
            Unrendered::Row(what) => Self::Row(None, what),
            Unrendered::RequestTemplate(error) => Self::RequestTemplate(error),
        }
    }
}

/// Writes a text as a JSON string.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing text into memory cannot fail");
}

/// Writes a record's cells as a JSON array of strings.
pub(super) fn write_cells(record: &StringRecord) -> String {
    let mut out = Vec::with_capacity(record.as_slice().len() + 3 * record.len() + 16);
    for (place, cell) in record.iter().enumerate() {
        out.push(if place == 0 { b'[' } else { b',' });
        write_string(&mut out, cell);
    }
    out.push(b']');
    String::from_utf8(out).expect("JSON of UTF-8 text is UTF-8")
}

fn write_system(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"{\"role\":\"system\",\"content\":");
    write_string(out, text);
    out.extend_from_slice(b"},");
}

fn write_prompt(out: &mut Vec<u8>, text: &str, place: Option<usize>) -> Result<(), Uncomposed> {
    if text.trim().is_empty() {
        return Err(Uncomposed::Row(place, EMPTY_PROMPT.to_owned()));
    }
    write_string(out, text);
    Ok(())
}

fn not_json(flag: &str) -> Uncomposed {
    let what = format!(
        "{flag} starts like JSON and gives none for this row; write {{{{ column|tojson }}}} to put a text into JSON"
    );
    Uncomposed::Row(None, what)
}

/// Embeddings are made of a text alone.
fn refuse_system(system: Option<&str>) -> Result<(), IntakeError> {
    match system {
        None => Ok(()),
        Some(_) => Err(IntakeError::Template {
            name: SYSTEM_FLAG.to_owned(),
            what: "has no place in a request for embeddings".to_owned(),
            hint: "leave it out, or put its words into --prompt",
        }),
    }
}

/// A prompt without a column in it is the same for every row. A column's bare name is a slip.
fn check_fixed_prompt(text: &str, columns: &Columns) -> Result<(), IntakeError> {
    let refuse = |what: &str, hint| IntakeError::Template {
        name: PROMPT_FLAG.to_owned(),
        what: what.to_owned(),
        hint,
    };
    if text.trim().is_empty() {
        return Err(refuse(
            "is empty",
            "leave it out to take the column `prompt`",
        ));
    }
    if columns.find(text.trim()).is_some() {
        let what = "is the name of a column, not a template";
        return Err(refuse(
            what,
            "put double braces around it: --prompt '{{ name }}'",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(
        prompt: Option<&str>,
        system: Option<&str>,
        params: &[(&str, &str)],
    ) -> RequestTemplate {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        RequestTemplate {
            model: "m\"1".to_owned(),
            prompt: prompt.map(str::to_owned),
            system: system.map(str::to_owned),
            params: params.iter().map(owned).collect(),
            id_column: None,
            ..RequestTemplate::default()
        }
    }

    /// Composes over a row with the columns `prompt` and `tone`.
    fn compose(template: &RequestTemplate, cells: [&str; 2]) -> Result<String, String> {
        let header = StringRecord::from(&["prompt", "tone"][..]);
        let columns = Columns::new(&header, "jobs.csv", 1, b',').expect("the header is good");
        let mut composer =
            Composer::new(template, &Arc::new(columns)).map_err(|error| error.to_string())?;
        let mut record = StringRecord::from(&cells[..]);
        let found = composer.compose(&mut record);
        assert_eq!(
            record,
            StringRecord::from(&cells[..]),
            "the record must come back"
        );
        found.map_err(|uncomposed| match uncomposed {
            Uncomposed::Row(place, what) => format!("{place:?}: {what}"),
            Uncomposed::RequestTemplate(error) => error.to_string(),
        })
    }

    #[track_caller]
    fn check(template: &RequestTemplate, cells: [&str; 2], expected: &str) {
        let found = compose(template, cells).expect("it composes");
        assert_eq!(found, expected);
        let _: serde_json::Value = serde_json::from_str(&found).expect("it is JSON");
    }

    #[track_caller]
    fn check_refused(template: &RequestTemplate, cells: [&str; 2], expected: &str) {
        assert_eq!(compose(template, cells), Err(expected.to_owned()));
    }

    #[test]
    fn a_request_has_the_model_the_messages_and_the_parameters_in_order() {
        check(
            &template(None, None, &[]),
            ["say \"hi\"\n", ""],
            r#"{"model":"m\"1","messages":[{"role":"user","content":"say \"hi\"\n"}]}"#,
        );
        check(
            &template(
                None,
                Some("Be {kind}."),
                &[("top_p", "1.0"), ("user", "me"), ("a", "[1]")],
            ),
            ["你好 👋", ""],
            r#"{"model":"m\"1","messages":[{"role":"system","content":"Be {kind}."},{"role":"user","content":"你好 👋"}],"top_p":1.0,"user":"me","a":[1]}"#,
        );
        check(
            &template(
                Some("{{ tone }}: {{ prompt }}"),
                Some("Be {{ tone }}."),
                &[("x", "{{ tone|length }}"), ("y", "2")],
            ),
            ["go", "calm"],
            r#"{"model":"m\"1","messages":[{"role":"system","content":"Be calm."},{"role":"user","content":"calm: go"}],"x":4,"y":2}"#,
        );
        check(
            &template(Some("the same"), None, &[]),
            ["a", "b"],
            r#"{"model":"m\"1","messages":[{"role":"user","content":"the same"}]}"#,
        );
    }

    #[test]
    fn a_request_for_embeddings_has_the_text_as_its_input_and_no_messages() {
        let embeddings = |system| RequestTemplate {
            api: Api::Embeddings,
            ..template(
                Some("{{ tone }}: {{ prompt }}"),
                system,
                &[("dimensions", "64")],
            )
        };
        check(
            &embeddings(None),
            ["go", "calm"],
            r#"{"model":"m\"1","input":"calm: go","dimensions":64}"#,
        );
        check_refused(
            &embeddings(Some("Be calm.")),
            ["go", "calm"],
            "--system: has no place in a request for embeddings\nhint: leave it out, or put its words into --prompt",
        );
    }

    #[test]
    fn a_blank_system_message_is_left_out() {
        let bare = r#"{"model":"m\"1","messages":[{"role":"user","content":"a"}]}"#;
        check(&template(None, Some("{{ tone }} "), &[]), ["a", ""], bare);
        check(&template(None, Some(" \n"), &[]), ["a", "b"], bare);
    }

    #[test]
    fn a_templated_parameter_is_json_where_it_parses() {
        let format = ("response_format", r#"{"name": {{ tone|tojson }}}"#);
        check(
            &template(None, None, &[format]),
            ["a", "b\"c"],
            r#"{"model":"m\"1","messages":[{"role":"user","content":"a"}],"response_format":{"name": "b\"c"}}"#,
        );
        check_refused(
            &template(
                None,
                None,
                &[("response_format", r#"{"name": "{{ tone }}"}"#)],
            ),
            ["a", "b\"c"],
            "None: --set response_format starts like JSON and gives none for this row; write {{ column|tojson }} to put a text into JSON",
        );
    }

    #[test]
    fn an_empty_prompt_is_refused() {
        check_refused(
            &template(None, None, &[]),
            [" \t\n", "b"],
            &format!("Some(0): {EMPTY_PROMPT}"),
        );
        check_refused(
            &template(None, Some("{{ tone }}"), &[]),
            ["", "b"],
            &format!("Some(0): {EMPTY_PROMPT}"),
        );
        check_refused(
            &template(Some("{{ tone }}"), None, &[]),
            ["a", " "],
            &format!("None: {EMPTY_PROMPT}"),
        );
    }

    #[test]
    fn a_recipe_that_cannot_work_is_refused() {
        let cells = ["a", "b"];
        check_refused(
            &template(Some(" tone"), None, &[]),
            cells,
            "--prompt: is the name of a column, not a template\nhint: put double braces around it: --prompt '{{ name }}'",
        );
        check_refused(
            &template(Some(""), None, &[]),
            cells,
            "--prompt: is empty\nhint: leave it out to take the column `prompt`",
        );
        check_refused(
            &template(None, None, &[("stream", "true")]),
            cells,
            "`stream` cannot be set: answers are always read whole\nhint: leave it out",
        );
        check_refused(
            &template(None, None, &[("user", "{{ tune }}")]),
            cells,
            "jobs.csv:1: no column `tune` for --set user; did you mean `tone`? the columns are `prompt`, `tone`\n\
             hint: write {{ tone }} in --set user",
        );
    }

    #[test]
    fn cells_are_an_array_of_strings() {
        let cells = |record: &[&str]| write_cells(&StringRecord::from(record));
        assert_eq!(
            cells(&["a\"b", "", "c\r\nd\t\u{1}", "你好👋"]),
            r#"["a\"b","","c\r\nd\t\u0001","你好👋"]"#
        );
        assert_eq!(cells(&[""]), r#"[""]"#);
    }
}
