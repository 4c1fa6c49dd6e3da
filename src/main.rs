//! The binary, a thin wrapper around [`promptmill::cli::main`].

use std::process::ExitCode;

fn main() -> ExitCode {
    promptmill::cli::main()
}
