//! netguard's daemon and command line as a library: everything but `main`.

pub mod bpf;
pub mod clock;
pub mod config;
pub mod engine;
pub mod host;
pub mod prefix;
