//! JSON Schema of the responses of a batch: parsing, validation, and the follow-up request after a
//! schema violation. Schemas are never fetched from the network.

use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::api::{self, Content};
use crate::domain::failure::{Failure, InvalidResponse, ResponseProblem};

/// Maximum number of validation errors reported per response.
const MAX_ERRORS: usize = 3;

/// A schema to validate responses with.
#[derive(Debug)]
pub struct Schema {
    text: String,
    validator: Validator,
    fields: Vec<String>,
}

/// Why a text is not a valid schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The text is not JSON.
    #[error("invalid JSON at line {line}, column {column}")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The JSON is not a schema, or refers to an external schema.
    #[error("{0}")]
    NotSchema(String),
}

/// The validation errors of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaViolation {
    /// The errors without values from the response, for messages and logs.
    masked: String,
    /// The errors with values, for the follow-up request to the model.
    detailed: String,
}

impl Schema {
    /// Parses a schema.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let schema: Value = serde_json::from_str(text).map_err(|error| SchemaError::NotJson {
            line: error.line(),
            column: error.column(),
        })?;
        let not_schema = |error: ValidationError<'_>| {
            SchemaError::NotSchema(format!("{}{error}", location(&error)))
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

    /// Returns the schema on one line.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the names of the top-level fields, in the order of the schema.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Validates the content of a response body.
    pub fn check_body(&self, body: &str) -> Result<(), SchemaViolation> {
        let content = api::content(body);
        self.check(content.as_ref().map_or("", Content::as_text))
    }

    /// Validates the content of a response.
    pub fn check(&self, completion: &str) -> Result<(), SchemaViolation> {
        let value: Value = serde_json::from_str(completion.trim()).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = format!("invalid JSON at line {line}, column {column}");
            SchemaViolation {
                detailed: message.clone(),
                masked: message,
            }
        })?;
        let errors = self.validator.iter_errors(&value).take(MAX_ERRORS);
        let errors: Vec<_> = errors.collect();
        if errors.is_empty() {
            return Ok(());
        }
        let join = |message: fn(&ValidationError<'_>) -> String| {
            let messages = errors.iter().map(|error| location(error) + &message(error));
            messages.collect::<Vec<_>>().join("; ")
        };
        Err(SchemaViolation {
            masked: join(|error| error.masked().to_string()),
            detailed: join(|error| error.to_string()),
        })
    }

    /// Returns a request that asks the model to correct its response: the conversation so far, the
    /// invalid response and the validation errors. `None` if the request has no messages.
    #[must_use]
    pub fn follow_up(
        &self,
        request: &str,
        body: &str,
        violation: &SchemaViolation,
    ) -> Option<String> {
        let content = api::content(body);
        let completion = content.as_ref().map_or("", Content::as_text);
        let correction = format!(
            "This response does not match the JSON Schema {}\nErrors: {}\nRespond with corrected \
             JSON only, without any other text or code fences.",
            self.text, violation.detailed
        );
        api::follow_up(request, completion, &correction)
    }
}

impl SchemaViolation {
    /// Converts the violation to a failure of its request.
    #[must_use]
    pub fn failure(&self, request_id: &str) -> Failure {
        Failure::InvalidResponse(InvalidResponse {
            problem: ResponseProblem::SchemaViolation,
            excerpt: self.masked.clone(),
            request_id: request_id.to_owned(),
        })
    }
}

/// Returns the location of a validation error as a prefix; empty at the top level.
fn location(error: &ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    if path.is_empty() {
        path
    } else {
        format!("{path}: ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PERSON: &str = r#"{
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name", "age"], "additionalProperties": false
    }"#;

    fn person() -> Schema {
        Schema::parse(PERSON).unwrap()
    }

    #[track_caller]
    fn check(completion: &str, expected: &[&str]) {
        let result = person()
            .check(completion)
            .map_err(|violation| violation.masked);
        assert_eq!(result.is_ok(), expected.is_empty(), "{completion}");
        let errors = result.err().unwrap_or_default();
        let is_expected = expected.iter().all(|part| errors.contains(part));
        assert!(is_expected, "{errors}");
    }

    #[test]
    fn validation_errors_are_reported_without_values() {
        check(r#" {"name":"Ada","age":36} "#, &[]);
        let given = r#"{"name":"Ada","age":"secret"}"#;
        check(given, &["/age: ", "is not of type \"integer\""]);
        check(r#"{"name":"Ada"}"#, &["\"age\" is a required property"]);
        check("```json\n{}\n```", &["invalid JSON"]);
        check("", &["invalid JSON"]);
        let violation = person().check(r#"{"name":"Ada","age":"secret"}"#);
        let violation = violation.unwrap_err();
        assert!(!violation.masked.contains("secret"), "{}", violation.masked);
        assert!(
            violation.detailed.contains("secret"),
            "{}",
            violation.detailed
        );
    }

    #[test]
    fn a_follow_up_contains_the_response_and_the_errors() {
        let (schema, completion) = (person(), r#"{"name":"Ada","age":-1}"#);
        let violation = schema.check(completion).unwrap_err();
        let request = r#"{"model":"m","messages":[{"role":"user","content":"who?"}],"n":1.0}"#;
        let body = json!({"choices": [{"message": {"content": completion}}]}).to_string();
        let follow_up = schema.follow_up(request, &body, &violation).unwrap();
        let follow_up: Value = serde_json::from_str(&follow_up).unwrap();
        let messages = follow_up["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 3);
        let expected = json!({"role": "assistant", "content": completion});
        assert_eq!(messages[1], expected);
        let correction = messages[2]["content"].as_str().unwrap();
        assert!(
            correction.contains("/age: -1 is less than the minimum of 0"),
            "{correction}"
        );
        assert_eq!(schema.follow_up("{}", &body, &violation), None);
    }

    #[test]
    fn fields_are_the_top_level_ones_in_order() {
        assert_eq!(person().fields(), ["name", "age"]);
        assert!(Schema::parse("true").unwrap().fields().is_empty());
    }

    #[test]
    fn an_invalid_schema_is_rejected_with_its_location() {
        let rejected = |text| Schema::parse(text).expect_err(text);
        let not_json = SchemaError::NotJson { line: 2, column: 1 };
        assert_eq!(rejected("{\n"), SchemaError::NotJson { line: 2, column: 0 });
        assert_eq!(rejected("{\n]"), not_json);
        let wrong = rejected(r#"{"properties":{"a":{"type":"text"}}}"#).to_string();
        assert!(wrong.starts_with("/properties/a/type: "), "{wrong}");
        let remote = rejected(r#"{"$ref":"https://example.com/schema.json"}"#).to_string();
        assert!(remote.contains("example.com"), "{remote}");
    }
}
