//! What can be wrong with the file, and whether that is damage or only in the way. It touches no file.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use redb::{DatabaseError, StorageError};

use super::StoreError;

/// Why the file could not be used.
pub(super) enum Fault {
    Open(io::Error),
    Used,
    Format(u64),
    Damaged(String),
    Broken(String),
}

impl Fault {
    pub(super) fn told(self, file: &Path) -> StoreError {
        let file = file.to_owned();
        match self {
            Self::Open(source) => StoreError::Open { file, source },
            Self::Used => StoreError::Used { file },
            Self::Format(found) => StoreError::Format { file, found },
            Self::Damaged(why) | Self::Broken(why) => StoreError::Broken { file, why },
        }
    }
}

impl From<DatabaseError> for Fault {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::Used,
            DatabaseError::UpgradeRequired(version) => Self::Format(version.into()),
            DatabaseError::Storage(StorageError::Corrupted(why)) => Self::Damaged(why),
            DatabaseError::Storage(StorageError::Io(error))
                if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                Self::Damaged(error.to_string())
            }
            other => Self::Broken(other.to_string()),
        }
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Corrupted(why) => Self::Damaged(why),
            other => Self::Broken(other.to_string()),
        }
    }
}
