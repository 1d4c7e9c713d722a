//! What is found on threads of their own, on its way to the tick, which decides.

use crate::engine::Finding;

/// Findings that wait for the tick.
const WAITING: usize = 4_096;

/// Not yet taken by the tick.
#[derive(Default)]
pub(super) struct Found(Vec<Finding>);

impl Found {
    /// Takes `findings` in, as far as there is room: what goes on is found again.
    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        let room = WAITING.saturating_sub(self.0.len());
        self.0.extend(findings.into_iter().take(room));
    }

    /// What was found since the last time, to be decided on.
    pub(super) fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.0)
    }
}
