//! Test support for netguard: frames that read as a specification, a laboratory of network namespaces, the
//! demo.
#![warn(missing_docs)]

pub mod bench;
pub mod demo;
pub mod frames;
pub mod generate;
pub mod lab;
pub mod world;
