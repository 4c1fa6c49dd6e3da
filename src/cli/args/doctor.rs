//! The flags of `doctor`: those of the endpoint, and the model to ask.

use clap::Args;

use super::endpoint::EndpointArgs;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill doctor                     # as `promptmill run` would ask
  promptmill doctor --base-url https://api.chatanywhere.tech/v1 --model gpt-4o
  promptmill doctor --no-spend --json   # no chat call; one JSON object")]
pub(in crate::cli) struct DoctorArgs {
    /// The model's name [default: that of the newest batch, or gpt-4o-mini].
    #[arg(long, value_name = "NAME", env = "PROMPTMILL_MODEL")]
    pub(in crate::cli) model: Option<String>,
    /// Make no chat call, not even the one of a single token for each key.
    #[arg(long)]
    pub(in crate::cli) no_spend: bool,
    #[command(flatten)]
    pub(in crate::cli) endpoint: EndpointArgs,
}
