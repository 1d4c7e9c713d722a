//! What a second brought, in few numbers.

/// Rates of the last second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub passed_per_s: u64,
    pub dropped_per_s: u64,
    pub answered_per_s: u64,
    /// Since the maps were made.
    pub samples_sent: u64,
    pub samples_lost: u64,
}
