//! The packets that the benchmark measures, and the tables they meet.

use anyhow::{Result, ensure};
use netguard::bpf::{ProgramUnderTest, TestObject};
use netguard_common::layout::{CLASSES, Rate, Rule};

use crate::{frames::frame, world::World};

const DROP: u32 = 1;
const PASS: u32 = 2;

/// One row of the table.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) frame: fn() -> Vec<u8>,
    /// Whether the limits are so high that nothing reaches them, or so low that everything does.
    pub(super) generous: bool,
    /// What the program answers.
    action: u32,
    /// Highest ratio to the reference that is good enough.
    pub(super) goal: Option<f64>,
}

pub(super) const CASES: &[Case] = &[
    case("blocked address, IPv4", || udp_v4("192.0.2.66"), DROP, None),
    case("blocked address, IPv6", || udp_v6("2001:db8::66"), DROP, None),
    case("blocked prefix, IPv4", || udp_v4("198.18.5.5"), DROP, None),
    case("blocked prefix, IPv6", || udp_v6("2001:db8:f000::1"), DROP, None),
    case("limited UDP, IPv4", || udp_v4("203.0.113.9"), DROP, None),
    case("limited UDP, IPv6", || udp_v6("2001:db8:7::1"), DROP, None),
    case("limited SYN, IPv4", || tcp_v4("S"), DROP, None),
    case("malformed (LAND), IPv4", || udp_v4("198.51.100.1"), DROP, None),
    passed("passed UDP within its limit, IPv4", || udp_v4("203.0.113.9")),
    passed("passed UDP within its limit, IPv6", || udp_v6("2001:db8:7::1")),
    passed("passed TCP data, IPv4", || tcp_v4("PA")),
];

/// Tables with some rules of every kind, and limits that everything exceeds.
pub(super) fn strict() -> World {
    let mut world = rules().limits([Rate::new(1, 1); CLASSES]);
    // The daemon's sample budget: reporting drops is part of their cost.
    world.settings.sample = Rate::new(2_000, 400);
    world
}

/// The same rules, and limits that nothing reaches.
pub(super) fn generous() -> World {
    rules().limits([Rate::new(10_000_000, 10_000_000); CLASSES])
}

/// Lists the sources that are blocked exactly for the reference program, too.
pub(super) fn list_sources(reference: &mut TestObject) -> Result<()> {
    let rule = Rule {
        expires_at: 0,
        reason: 0,
        origin: 0,
        proof: 0,
    };
    reference.insert_exact("LISTED_V4", [192, 0, 2, 66], rule)?;
    let address: std::net::Ipv6Addr = "2001:db8::66".parse()?;
    reference.insert_exact("LISTED_V6", address.octets(), rule)?;
    Ok(())
}

/// Refuses to measure a packet that is not treated as its row says.
pub(super) fn check(case: &Case, program: &ProgramUnderTest<'_>, frame: &[u8]) -> Result<()> {
    // The second run of a limited source is the one over its limit.
    program.run(frame, 2)?;
    let action = program.run(frame, 1)?;
    ensure!(
        action == case.action,
        "{}: the program answers {action}, not {}",
        case.name,
        case.action
    );
    Ok(())
}

const fn case(name: &'static str, frame: fn() -> Vec<u8>, action: u32, goal: Option<f64>) -> Case {
    Case {
        name,
        frame,
        generous: false,
        action,
        goal,
    }
}

const fn passed(name: &'static str, frame: fn() -> Vec<u8>) -> Case {
    Case {
        name,
        frame,
        generous: true,
        action: PASS,
        goal: None,
    }
}

fn rules() -> World {
    World::new()
        .allow("192.0.2.7")
        .allow("2001:db8:7:7::/64")
        .block("192.0.2.66")
        .block("198.18.0.0/15")
        .block("2001:db8::66")
        .block("2001:db8:bad::/64")
        .block("2001:db8:f000::/36")
}

fn udp_v4(source: &str) -> Vec<u8> {
    frame()
        .ipv4(source, "198.51.100.1")
        .udp(1234, 443)
        .payload(22)
        .build()
}

fn udp_v6(source: &str) -> Vec<u8> {
    frame()
        .ipv6(source, "2001:db8:1::1")
        .udp(1234, 443)
        .payload(22)
        .build()
}

fn tcp_v4(flags: &str) -> Vec<u8> {
    frame()
        .ipv4("203.0.113.9", "198.51.100.1")
        .tcp(1234, 443)
        .flags(flags)
        .payload(10)
        .build()
}
