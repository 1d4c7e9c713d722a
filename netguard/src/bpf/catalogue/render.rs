//! Shared structs as JSON, field by field.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netguard_common::{
    connection::{Holder, Level},
    l7::TalkKey,
    layout::{NoteKey, Question},
    packet::Address,
    shared::{Field as _, Shared, Visitor},
};
use serde_json::{Map, Value};

/// `value` as a JSON object with the names of its fields.
pub(super) fn render<T: Shared>(value: &T) -> Value {
    let mut render = Render {
        open: vec![("", Map::new())],
    };
    value.visit("value", &mut render);
    match render.open.pop() {
        // The struct itself was entered as the field "value".
        Some((_, mut fields)) => fields.remove("value").unwrap_or(Value::Null),
        None => Value::Null,
    }
}

/// The prefix that a note is about, with its list.
pub(super) fn note_key(key: &NoteKey) -> String {
    let address = IpAddr::from(Ipv6Addr::from(key.address)).to_canonical();
    let bits = if address.is_ipv4() {
        key.prefix_len.saturating_sub(96)
    } else {
        key.prefix_len
    };
    let list = if key.list == 0 { "allow" } else { "block" };
    format!("{list} {address}/{bits}")
}

/// The source that an account is about, see `netguard_common::limit::source_key`; a neighbour on the link is shown without what
/// the account leaves out.
pub fn source(key: u64) -> String {
    match key.to_ne_bytes() {
        [0xff, 0xff, 0, 0, a, b, c, d] => Ipv4Addr::from([a, b, c, d]).to_string(),
        [0xff, 0xfe, a, b, c, d, e, f] => {
            let [first, second, third] = [[a, b], [c, d], [e, f]].map(u16::from_be_bytes);
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, first, second, third).to_string()
        }
        network => {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&network);
            format!("{}/64", Ipv6Addr::from(octets))
        }
    }
}

/// Who holds connections: a source, or a prefix.
pub fn holder(holder: &Holder) -> String {
    if holder.level == Level::Source as u64 {
        return source(holder.key);
    }
    match holder.key.to_ne_bytes() {
        [0xff, 0xff, 0, 0, a, b, c, _] => format!("{}/24", Ipv4Addr::from([a, b, c, 0])),
        [a, b, c, d, e, f, ..] => {
            let [first, second, third] = [[a, b], [c, d], [e, f]].map(u16::from_be_bytes);
            format!("{}/48", Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0))
        }
    }
}

/// Who asked whom; a port 0 stands for later fragments.
pub(super) fn question(question: &Question) -> String {
    let end = |address: Address, port| std::net::SocketAddr::new(address.ip(), port);
    let own = end(question.own, question.own_port);
    if question.peer == Address::ZERO {
        return format!("{own} everybody:{}", question.peer_port);
    }
    format!("{own} {}", end(question.peer, question.peer_port))
}

/// Who speaks with which service.
pub(super) fn talk(key: &TalkKey) -> String {
    let end = |address: Address, port| std::net::SocketAddr::new(address.ip(), port);
    let (client, server) = (end(key.client, key.client_port), end(key.server, key.server_port));
    format!("{client} {server}")
}

/// Objects that were entered and not left yet, with their names.
struct Render {
    open: Vec<(&'static str, Map<String, Value>)>,
}

impl Render {
    fn put(&mut self, name: &'static str, value: Value) {
        let Some((_, fields)) = self.open.last_mut() else {
            return;
        };
        // An array of structs shows each element under the same name: it becomes a list.
        match fields.remove(name) {
            None => fields.insert(name.to_owned(), value),
            Some(Value::Array(mut list)) => {
                list.push(value);
                fields.insert(name.to_owned(), Value::Array(list))
            }
            Some(first) => fields.insert(name.to_owned(), Value::Array(vec![first, value])),
        };
    }
}

impl Visitor for Render {
    fn number(&mut self, name: &'static str, value: u64) {
        self.put(name, Value::from(value));
    }

    fn bytes(&mut self, name: &'static str, value: &[u8]) {
        let text = match <[u8; 16]>::try_from(value) {
            Ok(address) => IpAddr::from(Ipv6Addr::from(address)).to_canonical().to_string(),
            Err(_) => String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
        };
        self.put(name, Value::String(text));
    }

    fn enter(&mut self, name: &'static str) {
        self.open.push((name, Map::new()));
    }

    fn leave(&mut self) {
        if let Some((name, fields)) = self.open.pop() {
            self.put(name, Value::Object(fields));
        }
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::{
        layout::{Note, Rate, Settings},
        limit::source_key,
        packet::Address,
        shared::Field,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_structs_and_arrays_keep_their_shape() {
        let settings = Settings {
            sanity: 2,
            limits: [Rate::new(10, 1); netguard_common::layout::CLASSES],
            ..Settings::ZERO
        };
        let shown = render(&settings);
        assert_eq!(shown["sanity"], 2);
        assert_eq!(shown["sample"], json!({"interval_ns": 0, "tolerance_ns": 0}));
        assert_eq!(shown["limits"].as_array().map(Vec::len), Some(8));
    }

    #[test]
    fn accounts_are_shown_as_sources() {
        let shown = |text: &str| {
            let (family, address) = Address::of(text.parse().expect("an address"));
            source(source_key(family, address))
        };
        assert_eq!(shown("192.0.2.1"), "192.0.2.1");
        assert_eq!(shown("2001:db8:1:2::3"), "2001:db8:1:2::/64");
        assert_eq!(shown("fe80::9:1"), "fe80::9:1");
    }

    #[test]
    fn text_loses_its_filling() {
        let mut note = Note::ZERO;
        note.text[..4].copy_from_slice(b"spam");
        assert_eq!(render(&note), json!({"text": "spam"}));
    }
}
