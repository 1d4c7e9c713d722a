//! What each kind of frame is judged as: a specification.

mod malformed;
mod ordinary;

use netguard_common::Verdict;
use netguard_tests::frames::{Frame, frame};

/// Name, frame, and the verdict of a netguard that enforces everything and has no rules.
pub(crate) type Fixture = (&'static str, fn() -> Frame, Verdict);

pub(crate) fn fixtures() -> impl Iterator<Item = &'static Fixture> {
    ordinary::FIXTURES.iter().chain(malformed::FIXTURES)
}

const S4: &str = "192.0.2.1";
const D4: &str = "198.51.100.1";
const S6: &str = "2001:db8::1";
const D6: &str = "2001:db8:1::1";

fn v4() -> Frame {
    frame().ipv4(S4, D4)
}

fn v6() -> Frame {
    frame().ipv6(S6, D6)
}

fn v4_tags(count: usize) -> Frame {
    (0..count)
        .fold(frame(), |frame, _| frame.tag(0x8100, 7))
        .ipv4(S4, D4)
}

fn dad() -> Frame {
    frame().ipv6("::", "ff02::1:ff00:1").ttl(255)
}
