//! The JSON Schema that the answers of a batch are to fit: what it says, whether an answer fits, and how
//! a model is asked again where one does not. No schema is ever fetched from the network.

use std::fmt::Write as _;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::domain::completion::{Content, StoredBody};
use crate::domain::failure::{Failure, NoAnswer, Problem};

/// Faults of an answer that are told, at most.
const MAX_TOLD: usize = 3;

/// A schema that answers can be held to.
#[derive(Debug)]
pub struct Schema {
    text: String,
    validator: Validator,
    fields: Vec<String>,
}

/// Why a text is no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is no JSON.
    #[error("line {line}, column {column}: it is no JSON")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It is JSON, and no schema; or it refers to one that is not in it.
    #[error("{0}")]
    NotSchema(String),
}

/// What does not fit in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaViolation {
    /// The faults, with nothing of the answer but names and places: for errors and logs.
    told: String,
    /// The faults with the values: for the model that gave them.
    whole: String,
}

impl Schema {
    /// Reads a schema.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let schema: Value = serde_json::from_str(text).map_err(|error| SchemaError::NotJson {
            line: error.line(),
            column: error.column(),
        })?;
        let not_schema = |error: jsonschema::ValidationError<'_>| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() {
                "the schema"
            } else {
                &place
            };
            SchemaError::NotSchema(format!("{place}: {error}"))
        };
        jsonschema::meta::validate(&schema).map_err(not_schema)?;
        let validator = jsonschema::validator_for(&schema).map_err(not_schema)?;
        let properties = schema["properties"].as_object();
        Ok(Self {
            fields: properties.map_or_else(Vec::new, |fields| fields.keys().cloned().collect()),
            text: schema.to_string(),
            validator,
        })
    }

    /// Returns it on one line.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the names of the fields that an answer has at its top, in the schema's order.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Returns the `response_format` that asks an endpoint for answers that fit.
    #[must_use]
    pub fn response_format(&self) -> String {
        let schema = &self.text;
        format!(r#"{{"type":"json_schema","json_schema":{{"name":"answer","schema":{schema}}}}}"#)
    }

    /// Holds the answer in a response's body to it.
    pub fn check_body(&self, body: &str) -> Result<(), SchemaViolation> {
        let stored = StoredBody::read(body);
        let content = stored.content();
        self.check(content.as_ref().map_or("", Content::as_text))
    }

    /// Holds an answer to it.
    pub fn check(&self, completion: &str) -> Result<(), SchemaViolation> {
        let value: Value = serde_json::from_str(completion.trim()).map_err(|error| {
            let told = format!("it is no JSON from column {} on", error.column());
            SchemaViolation {
                whole: told.clone(),
                told,
            }
        })?;
        let mut violation = SchemaViolation {
            told: String::new(),
            whole: String::new(),
        };
        for error in self.validator.iter_errors(&value).take(MAX_TOLD) {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() {
                "the whole"
            } else {
                &place
            };
            for (faults, fault) in [
                (&mut violation.told, error.masked().to_string()),
                (&mut violation.whole, error.to_string()),
            ] {
                let between = if faults.is_empty() { "" } else { "; " };
                // A string takes all that is written to it.
                let _ = write!(*faults, "{between}{place}: {fault}");
            }
        }
        if violation.told.is_empty() {
            return Ok(());
        }
        Err(violation)
    }

    /// Returns the request that asks again: the conversation so far, the answer that does not fit
    /// out of a response's body, and what is wrong with it. `None` when the request has no messages
    /// to add to.
    #[must_use]
    pub fn follow_up(
        &self,
        request: &str,
        body: &str,
        violation: &SchemaViolation,
    ) -> Option<String> {
        let stored = StoredBody::read(body);
        let content = stored.content();
        let completion = content.as_ref().map_or("", Content::as_text);
        let mut request: Value = serde_json::from_str(request).ok()?;
        let messages = request.get_mut("messages")?.as_array_mut()?;
        let wrong = format!(
            "This answer does not fit the JSON Schema {}\nWhat is wrong: {}\nAnswer again, with \
             nothing but JSON that fits: no other words and no code fence.",
            self.text, violation.whole
        );
        messages.push(json!({"role": "assistant", "content": completion}));
        messages.push(json!({"role": "user", "content": wrong}));
        Some(request.to_string())
    }
}

impl SchemaViolation {
    /// Returns it as the failure of the request that brought the answer.
    #[must_use]
    pub fn failure(&self, request_id: &str) -> Failure {
        Failure::NoAnswer(NoAnswer {
            problem: Problem::SchemaViolation,
            excerpt: self.told.clone(),
            request_id: request_id.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: &str = r#"{
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name", "age"], "additionalProperties": false
    }"#;

    fn person() -> Schema {
        Schema::parse(PERSON).expect("a schema")
    }

    #[track_caller]
    fn check(completion: &str, expected: &[&str]) {
        let told = person()
            .check(completion)
            .map_err(|violation| violation.told);
        match told {
            Ok(()) => assert!(expected.is_empty(), "{completion} fits"),
            Err(told) => {
                assert!(!expected.is_empty(), "{completion}: {told}");
                assert!(expected.iter().all(|part| told.contains(part)), "{told}");
            }
        }
    }

    #[test]
    fn an_answer_fits_or_its_faults_are_told_without_its_values() {
        check(r#" {"name":"Ada","age":36} "#, &[]);
        check(
            r#"{"name":"Ada","age":"secret"}"#,
            &["/age: ", "is not of type \"integer\""],
        );
        check(r#"{"name":"Ada"}"#, &["\"age\" is a required property"]);
        check("```json\n{}\n```", &["no JSON"]);
        check("", &["no JSON"]);
        let violation = person().check(r#"{"name":"Ada","age":"secret"}"#);
        let violation = violation.expect_err("it does not fit");
        assert!(!violation.told.contains("secret"), "{}", violation.told);
        assert!(violation.whole.contains("secret"), "{}", violation.whole);
    }

    #[test]
    fn the_model_is_asked_again_with_its_answer_and_the_fault() {
        let (schema, completion) = (person(), r#"{"name":"Ada","age":-1}"#);
        let violation = schema.check(completion).expect_err("it does not fit");
        let request = r#"{"model":"m","messages":[{"role":"user","content":"who?"}],"n":1.0}"#;
        let body = json!({"choices": [{"message": {"content": completion}}]}).to_string();
        let again = schema
            .follow_up(request, &body, &violation)
            .expect("messages");
        let again: Value = serde_json::from_str(&again).expect("JSON");
        let messages = again["messages"].as_array().expect("a list");
        assert_eq!(messages.len(), 3);
        assert_eq!(
            messages[1],
            json!({"role": "assistant", "content": completion})
        );
        let said = messages[2]["content"].as_str().expect("a text");
        assert!(
            said.contains("/age: -1 is less than the minimum of 0"),
            "{said}"
        );
        assert_eq!(schema.follow_up("{}", &body, &violation), None);
    }

    #[test]
    fn fields_are_those_at_the_top_in_their_order() {
        assert_eq!(person().fields(), ["name", "age"]);
        assert!(Schema::parse("true").expect("a schema").fields().is_empty());
    }

    #[test]
    fn what_is_no_schema_is_refused_with_its_place() {
        let refused = |text| Schema::parse(text).expect_err(text);
        let not_json = SchemaError::NotJson { line: 2, column: 1 };
        assert_eq!(refused("{\n"), SchemaError::NotJson { line: 2, column: 0 });
        assert_eq!(refused("{\n]"), not_json);
        let wrong = refused(r#"{"properties":{"a":{"type":"text"}}}"#).to_string();
        assert!(wrong.starts_with("/properties/a/type: "), "{wrong}");
        let remote = refused(r#"{"$ref":"https://example.com/schema.json"}"#).to_string();
        assert!(remote.contains("example.com"), "{remote}");
    }
}
