//! Writes small databases of the MMDB format (version 2), as those who sell them do; it reads none.

use std::net::IpAddr;

/// The mark before the description of the database.
const MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// Bytes of zeros between the tree and the data.
const GAP: usize = 16;

/// A node of the tree: what lies behind either bit.
type Node = [Way; 2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Nowhere,
    Node(usize),
    /// Offset in the data.
    Data(usize),
}

/// A database in which each prefix (address and length in bits) lies in the country with the code beside it. IPv4 lies in
/// `::/96`. Prefixes must not overlap.
#[must_use]
pub fn countries(entries: &[(&str, u8, &str)]) -> Vec<u8> {
    let country = |code: &&str| [map(1), text("country"), map(1), text("iso_code"), text(code)].concat();
    database(entries, country)
}

/// The same of autonomous systems, with the number of each.
#[must_use]
pub fn systems(entries: &[(&str, u8, u32)]) -> Vec<u8> {
    let system = |number: &u32| {
        let number = [&[0xc4][..], &number.to_be_bytes()].concat();
        [map(1), text("autonomous_system_number"), number].concat()
    };
    database(entries, system)
}

/// A database in which `record` makes of what stands beside a prefix what is written of it.
fn database<T>(entries: &[(&str, u8, T)], record: impl Fn(&T) -> Vec<u8>) -> Vec<u8> {
    let mut tree: Vec<Node> = vec![[Way::Nowhere; 2]];
    let mut data = Vec::new();
    for (address, bits, told) in entries {
        let at = data.len();
        data.extend(record(told));
        let (address, bits) = match address
            .parse()
            .unwrap_or_else(|error| panic!("{address}: {error}"))
        {
            IpAddr::V4(ip) => (u128::from(u32::from(ip)), bits + 96),
            IpAddr::V6(ip) => (u128::from(ip), *bits),
        };
        insert(&mut tree, address, bits, at);
    }
    let mut bytes = Vec::new();
    let nodes = tree.len();
    for way in tree.iter().flatten() {
        let record = match way {
            Way::Nowhere => nodes,
            Way::Node(node) => *node,
            Way::Data(at) => nodes + GAP + at,
        };
        bytes.extend(u32::try_from(record).unwrap_or_default().to_be_bytes());
    }
    bytes.extend([0; GAP]);
    bytes.extend(data);
    bytes.extend(MARK);
    bytes.extend(description(nodes));
    bytes
}

fn insert(tree: &mut Vec<Node>, address: u128, bits: u8, data: usize) {
    let mut node = 0;
    for depth in 0..bits {
        let bit = (address >> (127 - depth) & 1) as usize;
        if depth + 1 == bits {
            tree[node][bit] = Way::Data(data);
            return;
        }
        node = match tree[node][bit] {
            Way::Node(next) => next,
            _ => {
                tree.push([Way::Nowhere; 2]);
                let next = tree.len() - 1;
                tree[node][bit] = Way::Node(next);
                next
            }
        };
    }
}

fn description(nodes: usize) -> Vec<u8> {
    let nodes = u32::try_from(nodes).unwrap_or_default();
    let mut bytes = map(9);
    let numbers = [
        ("binary_format_major_version", short(2)),
        ("binary_format_minor_version", short(0)),
        ("ip_version", short(6)),
        ("record_size", short(32)),
        ("node_count", [&[0xc4][..], &nodes.to_be_bytes()].concat()),
        // Types from 8 on stand in a byte of their own, less 7.
        (
            "build_epoch",
            [&[0x08, 2][..], &1_700_000_000_u64.to_be_bytes()].concat(),
        ),
        ("database_type", text("Test-Country")),
        ("description", map(0)),
        ("languages", vec![0x00, 4]),
    ];
    for (name, value) in numbers {
        bytes.extend(text(name));
        bytes.extend(value);
    }
    bytes
}

fn map(entries: u8) -> Vec<u8> {
    vec![0xe0 | entries]
}

/// Up to 28 bytes.
fn text(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap_or_default();
    assert!(len < 29, "{text} is too long");
    [&[0x40 | len][..], text.as_bytes()].concat()
}

fn short(number: u16) -> Vec<u8> {
    [&[0xa2][..], &number.to_be_bytes()].concat()
}
