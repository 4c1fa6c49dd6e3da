//! Structured outputs: values that match a JSON Schema, as far as the simulator supports it, so
//! that a batch with a schema can be tried without an API key.

use serde_json::{Map, Value, json};

/// Maximum nesting depth, so that generation terminates for recursive schemas.
const MAX_DEPTH: usize = 16;

/// Returns the structured output for a `response_format`; `None` if it does not require any.
pub(super) fn generate(response_format: &Value, text: &str) -> Option<String> {
    match response_format["type"].as_str()? {
        "json_object" => Some(json!({ "answer": text }).to_string()),
        "json_schema" => {
            let schema = &response_format["json_schema"]["schema"];
            let generator = ValueGenerator { root: schema, text };
            Some(generator.value(schema, MAX_DEPTH).to_string())
        }
        _ => None,
    }
}

struct ValueGenerator<'a> {
    root: &'a Value,
    text: &'a str,
}

impl ValueGenerator<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Value {
        if depth == 0 {
            return Value::Null;
        }
        let fixed = [&schema["const"], &schema["enum"][0], &schema["default"]];
        if let Some(value) = fixed.into_iter().find(|value| !value.is_null()) {
            return value.clone();
        }
        let reference = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
        let referenced = reference.and_then(|pointer| self.root.pointer(pointer));
        let nested = ["anyOf", "oneOf", "allOf"].map(|name| &schema[name][0]);
        let nested = nested.into_iter().find(|schema| schema.is_object());
        if let Some(other) = referenced.or(nested) {
            return self.value(other, depth - 1);
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.first().and_then(Value::as_str),
            kind => kind.as_str(),
        };
        match kind {
            Some("string") => Value::String(self.string(schema)),
            Some("integer") => json!(schema["minimum"].as_i64().unwrap_or(1)),
            Some("number") => json!(schema["minimum"].as_f64().unwrap_or(0.5)),
            Some("boolean") => Value::Bool(true),
            Some("array") => {
                let items = schema["minItems"].as_u64().unwrap_or(1).clamp(0, 100);
                let item = |_| self.value(&schema["items"], depth - 1);
                Value::Array((0..items).map(item).collect())
            }
            Some("null") => Value::Null,
            _ => self.object(schema, depth),
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let properties = schema["properties"].as_object();
        let fields = properties.into_iter().flatten();
        let values = fields.map(|(name, schema)| (name.clone(), self.value(schema, depth - 1)));
        Value::Object(values.collect::<Map<_, _>>())
    }

    fn string(&self, schema: &Value) -> String {
        let max_length = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
        let max_length = usize::try_from(max_length).unwrap_or(usize::MAX);
        self.text.chars().take(max_length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &Value) {
        let format = json!({"type": "json_schema", "json_schema": {"schema": schema}});
        let output = generate(&format, "Simulated answer").expect("a structured output");
        let value: Value = serde_json::from_str(&output).expect("JSON");
        assert!(jsonschema::is_valid(schema, &value), "{output}");
    }

    #[test]
    fn generated_values_match_the_schema() {
        check(
            &json!({"type": "object", "required": ["a", "b", "c", "d", "e", "f"],
            "additionalProperties": false, "properties": {
                "a": {"type": "string", "maxLength": 5}, "b": {"type": "integer", "minimum": 7},
                "c": {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 2},
                "d": {"enum": ["red", "green"]}, "e": {"type": ["boolean", "null"]},
                "f": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
            "$defs": {"x": {"const": "fixed"}}}),
        );
        check(&json!({"type": "array", "items": {"type": "string"}}));
    }

    #[test]
    fn a_recursive_schema_terminates() {
        let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        let format = json!({"type": "json_schema", "json_schema": {"schema": schema}});
        assert!(generate(&format, "x").is_some());
        assert_eq!(generate(&json!({"type": "text"}), "x"), None);
        let any = generate(&json!({"type": "json_object"}), "x");
        assert_eq!(any.as_deref(), Some(r#"{"answer":"x"}"#));
    }
}
