//! netguard's daemon and command line as a library: everything but `main`.

pub mod audit;
pub mod bpf;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod decision;
pub mod engine;
pub mod host;
pub mod l7;
pub mod lists;
pub mod metrics;
pub mod prefix;
pub mod ranges;
pub mod replay;
pub mod signature;
