//! The datapath of netguard: a pure, total function from a frame to a verdict, and the types that cross
//! the kernel boundary. It runs unchanged in the kernel, in tests, in fuzzing and in replay.
//!
//! No allocation, no floats, no clock, no I/O: bytes come through [`view::View`], everything else through
//! [`tables::Tables`].
#![no_std]

#[cfg(any(test, feature = "memory"))]
extern crate std;

pub mod apart;
pub mod bucket;
pub mod clock;
pub mod connection;
pub mod cookie;
pub mod decide;
pub mod dns;
pub mod drive;
pub mod egress;
pub mod exact;
pub mod fragment;
pub mod head;
pub mod heavy;
pub mod hint;
pub mod known;
pub mod l7;
pub mod layout;
pub mod level;
pub mod limit;
pub mod maps;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
pub mod offer;
pub mod own;
pub mod pace;
pub mod packet;
pub mod parse;
pub mod ranges;
pub mod reflection;
pub mod rule;
pub mod sample;
pub mod sanity;
pub mod service;
pub mod shared;
pub mod signature;
pub mod state;
pub mod syn_ack;
pub mod tables;
pub mod telemetry;
pub mod throttle;
pub mod tls;
pub mod verdict;
pub mod view;

pub use decide::{Judgement, decide};
pub use packet::Packet;
pub use verdict::{Action, Verdict};
