//! Interfaces as they are protected, and how that is told.

use serde::{Deserialize, Serialize};

/// An interface that is to be protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protected {
    /// As it is configured.
    pub interface: String,
    /// What it is called now, where that is something else; the filter stays with it.
    pub renamed: Option<String>,
    /// `native` or `generic`.
    pub mode: String,
    /// Whether the filter of an earlier daemon was taken over.
    pub adopted: bool,
    /// Why the interface is not protected at the moment.
    pub fault: Option<String>,
}

impl Protected {
    pub fn name_now(&self) -> &str {
        self.renamed.as_ref().unwrap_or(&self.interface)
    }
}
