//! The JSON Schema of a batch: read from a file, and stored with the request settings.

use std::fs;
use std::path::Path;

use clap::ValueEnum;

use crate::api::RequestTemplate;
use crate::progress::safe::Safe;
use crate::schema::Schema;

use super::exit::{CliError, Exit};

/// How structured output is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ResponseFormat {
    // With `response_format` of type `json_schema`.
    Schema,
    // With `response_format` of type `json_object`.
    Json,
    // Without `response_format`, for endpoints that do not support it.
    None,
}

/// Adds the schema in a file to the request settings, and the parameter for structured output
/// unless it is set already.
pub(super) fn add(
    template: &mut RequestTemplate,
    path: &Path,
    format: ResponseFormat,
) -> Result<(), CliError> {
    let schema = read(path)?;
    let api = template.api.format();
    let Some(output) = &api.structured_output else {
        let what = format!("--schema does not apply to {}", api.name);
        return Err(CliError::new(Exit::Usage, &what, "remove --schema"));
    };
    let value = match format {
        ResponseFormat::Schema => Some((output.with_schema)(schema.text())),
        ResponseFormat::Json => Some(output.any_object.to_owned()),
        ResponseFormat::None => None,
    };
    let is_set = template
        .params
        .iter()
        .any(|(name, _)| name == output.parameter);
    if let Some(value) = value.filter(|_| !is_set) {
        template.params.push((output.parameter.to_owned(), value));
    }
    template.schema = Some(schema.text().to_owned());
    Ok(())
}

fn read(path: &Path) -> Result<Schema, CliError> {
    let displayed = path.display().to_string();
    let failed = |what: &str, hint| {
        let what = format!("cannot use the schema {}: {what}", Safe(&displayed));
        CliError::new(Exit::Config, &what, hint)
    };
    let text = fs::read_to_string(path)
        .map_err(|error| failed(&error.to_string(), "check the path of --schema"))?;
    Schema::parse(&text).map_err(|error| {
        let hint = "pass a JSON Schema without references to other files";
        failed(&error.to_string(), hint)
    })
}

/// Returns the schema in the request settings, if there is one.
pub(super) fn of(template: &RequestTemplate) -> Result<Option<Schema>, CliError> {
    let schema = template.schema.as_deref().map(Schema::parse).transpose();
    schema.map_err(|error| {
        let what = format!("cannot use the schema that is stored with the batch: {error}");
        let hint = "import the file again with --schema FILE --redo";
        CliError::new(Exit::Storage, &what, hint)
    })
}
