//! The error that ends the program: its message and exit code.

use std::io;

use crate::engine::RunError;
use crate::export::ExportError;
use crate::intake::{ExitKind, IntakeError};
use crate::provider::{BaseUrlError, ClientError};
use crate::store::{LockError, StoreError};

use super::Exit;

/// An error that ends the program.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) exit: Exit,
    /// What happened, and a line `hint:` with the next action.
    pub(crate) message: String,
}

impl CliError {
    /// Creates an error from what happened and a hint.
    pub(crate) fn new(exit: Exit, what: &str, hint: &str) -> Self {
        Self {
            exit,
            message: format!("{what}\nhint: {hint}"),
        }
    }

    fn from_error(exit: Exit, error: &impl std::error::Error) -> Self {
        Self {
            exit,
            message: error.to_string(),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::from_error(exit_code(&error), &error)
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        Self::from_error(exit_code(error.cause()), &error)
    }
}

fn exit_code(error: &StoreError) -> Exit {
    match error {
        StoreError::NoSuchBatch { .. } => Exit::NoInput,
        StoreError::Unsupported(_) => Exit::Config,
        StoreError::Busy(_) => Exit::Locked,
        _ => Exit::Storage,
    }
}

impl From<LockError> for CliError {
    fn from(error: LockError) -> Self {
        let exit = match error {
            LockError::Held { .. } => Exit::Locked,
            LockError::Io { .. } => Exit::Storage,
        };
        Self::from_error(exit, &error)
    }
}

impl From<IntakeError> for CliError {
    fn from(error: IntakeError) -> Self {
        let exit = match error.exit_kind() {
            ExitKind::NoInput => Exit::NoInput,
            ExitKind::DataError => Exit::BadInput,
        };
        Self::from_error(exit, &error)
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        Self::from_error(Exit::CannotWrite, &error)
    }
}

impl From<BaseUrlError> for CliError {
    fn from(error: BaseUrlError) -> Self {
        Self::from_error(Exit::Config, &error)
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::from_error(Exit::Config, &error)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::from_error(Exit::Unexpected, &error)
    }
}
