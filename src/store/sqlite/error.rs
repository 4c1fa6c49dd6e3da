//! Conversion of SQLite errors.

use crate::store::error::StoreError;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let message = error
            .as_database_error()
            .map(sqlx::error::DatabaseError::message);
        let text = message.map_or_else(|| error.to_string(), str::to_owned);
        // A value that the program never writes.
        if matches!(
            error,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)
        ) {
            return StoreError::Corrupt(text);
        }
        match primary_code(&error) {
            // SQLITE_BUSY, SQLITE_LOCKED
            Some(5 | 6) => StoreError::Busy(text),
            // SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN
            Some(8 | 10 | 13 | 14) => StoreError::Disk(text),
            // SQLITE_CORRUPT, SQLITE_NOTADB
            Some(11 | 26) => StoreError::Corrupt(text),
            _ => StoreError::Other(error.to_string()),
        }
    }
}

/// Returns SQLite's primary result code, without the extension in the upper bytes.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}
