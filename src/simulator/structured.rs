//! Structured answers: a value that fits a JSON Schema as far as the simulator reads one, so that a run
//! with a schema can be tried without a key.

use serde_json::{Map, Value, json};

/// Schemas within schemas that are followed, so that one that holds itself ends.
const DEPTH: usize = 16;

/// Returns the answer that a `response_format` asks for; `None` where it asks for none.
pub(super) fn answer(response_format: &Value, text: &str) -> Option<String> {
    match response_format["type"].as_str()? {
        "json_object" => Some(json!({ "answer": text }).to_string()),
        "json_schema" => {
            let schema = &response_format["json_schema"]["schema"];
            let maker = Maker { root: schema, text };
            Some(maker.value(schema, DEPTH).to_string())
        }
        _ => None,
    }
}

struct Maker<'a> {
    root: &'a Value,
    text: &'a str,
}

impl Maker<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Value {
        if depth == 0 {
            return Value::Null;
        }
        let fixed = [&schema["const"], &schema["enum"][0], &schema["default"]];
        if let Some(value) = fixed.into_iter().find(|value| !value.is_null()) {
            return value.clone();
        }
        let place = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
        let within = ["anyOf", "oneOf", "allOf"].map(|name| &schema[name][0]);
        let within = within.into_iter().find(|schema| schema.is_object());
        if let Some(other) = place.and_then(|place| self.root.pointer(place)).or(within) {
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
        let made = fields.map(|(name, schema)| (name.clone(), self.value(schema, depth - 1)));
        Value::Object(made.collect::<Map<_, _>>())
    }

    fn string(&self, schema: &Value) -> String {
        let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.text.chars().take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &Value) {
        let format = json!({"type": "json_schema", "json_schema": {"schema": schema}});
        let made = answer(&format, "Simulated answer").expect("an answer");
        let value: Value = serde_json::from_str(&made).expect("JSON");
        assert!(jsonschema::is_valid(schema, &value), "{made}");
    }

    #[test]
    fn what_is_made_fits() {
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
    fn a_schema_that_holds_itself_ends() {
        let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        let format = json!({"type": "json_schema", "json_schema": {"schema": schema}});
        assert!(answer(&format, "x").is_some());
        assert_eq!(answer(&json!({"type": "text"}), "x"), None);
        let any = answer(&json!({"type": "json_object"}), "x");
        assert_eq!(any.as_deref(), Some(r#"{"answer":"x"}"#));
    }
}
