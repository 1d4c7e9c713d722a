//! How a trail stands, as the daemon tells it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Hash;

/// How the trail stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditState {
    pub file: PathBuf,
    /// Number and hash of the newest line that was written.
    pub seq: Option<u64>,
    pub hash: Option<Hash>,
    /// Events that wait to be written.
    pub waiting: usize,
    /// Events that found no room while they could not be written.
    pub lost: u64,
    /// Why nothing is written at the moment.
    pub fault: Option<String>,
}

impl AuditState {
    /// What is not as it should be, and what to do; `None`: nothing.
    pub fn sentence(&self) -> Option<String> {
        let file = self.file.display();
        let lost = match self.lost {
            0 => String::new(),
            lost => format!("; {lost} events found no room in memory and are lost to it"),
        };
        match &self.fault {
            Some(fault) => Some(format!(
                "the audit trail is NOT written: {fault}; {} events wait, and it is tried again every second{lost}",
                self.waiting
            )),
            None => (self.lost > 0)
                .then(|| format!("the audit trail {file} has a gap{lost}: see `netguard audit show`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_is_told() {
        let mut state = AuditState {
            file: "/var/lib/netguard/x/audit.jsonl".into(),
            waiting: 7,
            ..AuditState::default()
        };
        assert_eq!(state.sentence(), None);
        state.lost = 3;
        let gap = state.sentence().expect("a gap");
        assert!(
            gap.contains("x/audit.jsonl has a gap") && gap.contains("3 events"),
            "{gap}"
        );
        state.fault = Some("/x: No space left on device".to_owned());
        let fault = state.sentence().expect("a fault");
        assert!(
            fault.contains("NOT written: /x: No space") && fault.contains("7 events wait"),
            "{fault}"
        );
    }
}
