//! What clients and services say to each other, from the segments that the socket filter hands on: HTTP in the clear, the hellos of TLS, and what is
//! neither where one of them is spoken. Pure: segments in, observations out; what they mean is said by [`crate::engine::l7`].

pub mod observation;
pub mod segment;

pub use observation::{Observation, Said};
pub use segment::{Ends, Segment, Side};
