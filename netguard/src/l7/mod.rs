//! What clients and services say to each other, from the segments that the socket filter hands on: HTTP in the clear, the hellos of TLS, and what is
//! neither where one of them is spoken. Pure: segments in, observations out; what they mean is said by [`crate::engine::l7`].

mod conversation;
mod conversations;
mod first;
mod forgotten;
mod h2;
mod http;
pub mod observation;
pub mod segment;
mod stream;
mod tls;

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
};

pub use conversations::Conversations;
pub use observation::{Flaw, H2Frames, Hello, Observation, Request, Response, Said};
pub use segment::{Ends, Segment, Side};

/// What is spoken at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Http,
    Tls,
    /// Neither: nothing is read.
    Other,
}

/// How much is looked at, and how much of it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of a head, or of a hello.
    pub head_bytes: usize,
    /// Headers of a request.
    pub headers: u16,
    /// Bytes of the body of a request; 0 for any.
    pub body_bytes: u64,
    /// Conversations that are followed; about 400 bytes each.
    pub conversations: usize,
    /// Bytes of heads under way, of all conversations.
    pub buffered_bytes: usize,
    /// By TCP port. What is spoken at others is seen from what comes, and nothing there is foreign.
    pub services: HashMap<u16, Protocol>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16_384,
            headers: 100,
            body_bytes: 0,
            conversations: 65_536,
            buffered_bytes: 16 << 20,
            services: HashMap::new(),
        }
    }
}

/// What reading a conversation needs from outside of it.
struct With<'a> {
    limits: &'a Limits,
    keys: &'a RandomState,
    say: &'a mut dyn FnMut(Observation),
}

impl With<'_> {
    /// A hash that nobody outside can foresee; never 0.
    fn hash(&self, bytes: &[u8]) -> u64 {
        self.keys.hash_one(bytes) | 1
    }
}
