//! What is asked: the flags of the input and the recipe.

use std::path::PathBuf;

use clap::Args;

use crate::cli::values::delimiter;

#[derive(Args, Debug)]
pub(in crate::cli) struct InputArgs {
    /// A CSV file with a header; `-` is standard input.
    pub(in crate::cli) input: PathBuf,
    /// The batch's name [default: the input's path].
    #[arg(long, value_name = "NAME", help_heading = "Recipe")]
    pub(in crate::cli) batch: Option<String>,
    /// The model's name, as the provider spells it [default: gpt-4o-mini].
    #[arg(
        long,
        value_name = "NAME",
        env = "PROMPTMILL_MODEL",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) model: Option<String>,
    /// The prompt, as a template over the columns [default: the column `prompt`].
    #[arg(
        long,
        value_name = "TEMPLATE",
        env = "PROMPTMILL_PROMPT",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) prompt: Option<String>,
    /// A system message, as a template over the columns.
    #[arg(
        long,
        value_name = "TEMPLATE",
        env = "PROMPTMILL_SYSTEM",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) system: Option<String>,
    /// A request parameter; JSON where it parses as JSON, templates allowed. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Recipe")]
    pub(in crate::cli) set: Vec<String>,
    /// The column that names each row [default: a row is known by its whole content].
    #[arg(
        long,
        value_name = "COLUMN",
        env = "PROMPTMILL_ID_COLUMN",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) id_column: Option<String>,
    /// The character between two fields; `\t` is a tab [default: ,].
    #[arg(
        long, value_name = "CHAR", value_parser = delimiter, env = "PROMPTMILL_DELIMITER", hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) delimiter: Option<u8>,
    /// Take the changed recipe: the rows whose request differs are asked again.
    #[arg(long, help_heading = "Recipe")]
    pub(in crate::cli) redo: bool,
}
