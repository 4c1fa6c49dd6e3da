//! The schema of a batch: read from a file, asked for in requests, found again in the recipe.

use std::fs;
use std::path::Path;

use crate::domain::request_template::{Api, RequestTemplate};
use crate::progress::safe::Safe;
use crate::schema::Schema;

use super::args::ResponseFormat;
use super::error::CliError;
use super::exit::Exit;

/// The parameter of a request that says of which form the answer is to be.
const PARAMETER: &str = "response_format";

/// Makes the schema in a file a part of the recipe, and asks for answers that fit where that is wanted
/// and nothing else was said of their form.
pub(super) fn add(
    template: &mut RequestTemplate,
    path: &Path,
    format: ResponseFormat,
) -> Result<(), CliError> {
    let schema = read(path)?;
    if template.api == Api::Embeddings {
        let what = "--schema is for answers to messages, and embeddings have none";
        return Err(CliError::new(Exit::Usage, what, "leave it out"));
    }
    let value = match format {
        ResponseFormat::Schema => Some(schema.response_format()),
        ResponseFormat::Json => Some(r#"{"type":"json_object"}"#.to_owned()),
        ResponseFormat::None => None,
    };
    let is_said = template.params.iter().any(|(name, _)| name == PARAMETER);
    if let Some(value) = value.filter(|_| !is_said) {
        template.params.push((PARAMETER.to_owned(), value));
    }
    template.schema = Some(schema.text().to_owned());
    Ok(())
}

fn read(path: &Path) -> Result<Schema, CliError> {
    let shown = path.display().to_string();
    let refused = |what: &str, hint| {
        let what = format!("cannot use the schema {}: {what}", Safe(&shown));
        CliError::new(Exit::Config, &what, hint)
    };
    let text = fs::read_to_string(path)
        .map_err(|error| refused(&error.to_string(), "check the path of --schema"))?;
    Schema::parse(&text).map_err(|error| {
        let hint = "--schema takes a file with a JSON Schema, whole in itself";
        refused(&error.to_string(), hint)
    })
}

/// Returns the schema of a recipe, if it has one.
pub(super) fn of(template: &RequestTemplate) -> Result<Option<Schema>, CliError> {
    let schema = template.schema.as_deref().map(Schema::parse).transpose();
    schema.map_err(|error| {
        let what = format!("the schema that is stored with the batch cannot be used: {error}");
        CliError::new(
            Exit::Storage,
            &what,
            "import the file again with --schema FILE --redo",
        )
    })
}
