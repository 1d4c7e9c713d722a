//! What applications are told, as it tells on who says it: rates of requests, of failures, of cost, and of what no client of good faith says.
//! Observations in, findings out; time is an argument.

mod count;
pub mod finding;
mod http;
mod offences;
mod other;
mod queries;
pub mod report;
mod service;
pub mod settings;
mod source;
mod sources;
#[cfg(test)]
mod tests;
mod totals;

pub use finding::{Finding, Offence};
pub use offences::Offences;
pub use report::{Report, SourceReport};
pub use settings::Settings;
pub use totals::Totals;

const SECOND_NS: u64 = 1_000_000_000;
