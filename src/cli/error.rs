//! The error that ends the program: text for a person, and the exit code.

use std::io;

use crate::export::ExportError;
use crate::intake::{ExitKind, IntakeError};
use crate::provider::{BaseUrlError, ClientError};
use crate::runner::RunError;
use crate::store::{LockError, StoreError};

use super::exit::Exit;

/// An error that ends the program.
#[derive(Debug)]
pub(super) struct CliError {
    pub(super) exit: Exit,
    /// What happened; a `hint:` line says the next thing to do.
    pub(super) message: String,
}

impl CliError {
    /// Makes an error of what happened and what to do.
    pub(super) fn new(exit: Exit, what: &str, hint: &str) -> Self {
        Self {
            exit,
            message: format!("{what}\nhint: {hint}"),
        }
    }

    fn of(exit: Exit, error: &impl std::error::Error) -> Self {
        Self {
            exit,
            message: error.to_string(),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::of(exit_of(&error), &error)
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        Self::of(exit_of(error.cause()), &error)
    }
}

fn exit_of(error: &StoreError) -> Exit {
    match error {
        StoreError::NoSuchBatch { .. } => Exit::NoInput,
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
        Self::of(exit, &error)
    }
}

impl From<IntakeError> for CliError {
    fn from(error: IntakeError) -> Self {
        let exit = match error.exit_kind() {
            ExitKind::Missing => Exit::NoInput,
            ExitKind::Bad => Exit::BadInput,
        };
        Self::of(exit, &error)
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        Self::of(Exit::CannotWrite, &error)
    }
}

impl From<BaseUrlError> for CliError {
    fn from(error: BaseUrlError) -> Self {
        Self::of(Exit::Config, &error)
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::of(Exit::Config, &error)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::of(Exit::Unexpected, &error)
    }
}
