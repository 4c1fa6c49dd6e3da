//! Arguments of `doctor`.

use clap::Args;

use super::settings::EndpointArgs;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill doctor                     # with the settings of `promptmill run`
  promptmill doctor --base-url https://api.chatanywhere.tech/v1 --model gpt-4o
  promptmill doctor --no-spend --json   # no chat requests; JSON output")]
pub(in crate::cli) struct DoctorArgs {
    /// Model name [default: that of the newest batch, or gpt-4o-mini]
    #[arg(long, value_name = "NAME", env)]
    pub(in crate::cli) model: Option<String>,
    /// Send no chat requests, which may cost money
    ///
    /// Without this option, one request that is limited to one token is sent with each key.
    #[arg(long)]
    pub(in crate::cli) no_spend: bool,
    #[command(flatten)]
    pub(in crate::cli) endpoint: EndpointArgs,
}
