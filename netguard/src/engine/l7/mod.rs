//! What applications are told, as it tells on who says it: rates of requests, of failures, of cost, and of what no client of good faith says.
//! Observations in, findings out; time is an argument.

pub mod finding;

pub use finding::{Finding, Offence};
