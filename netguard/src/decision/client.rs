//! Who asks: the address that the last proxy we trust has seen. Whatever anybody else wrote into the header is not believed.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::{config::ClientHeader, prefix::Prefix};

/// Entries of a header that are looked at, from its end: no real chain of proxies is longer.
const MOST_HOPS: usize = 32;

/// Who is at the other end of the connection to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Address(IpAddr),
    /// Somebody whom the permissions of our socket let in.
    Local,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub address: IpAddr,
    /// How that is known.
    pub known: Known,
}

/// How the address of a client is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A trusted proxy says so.
    Said,
    /// It is the peer, whom nobody trusts to speak for others.
    Untrusted,
    /// A trusted proxy says nothing, or nothing that can be read: what is left is the last proxy whose word can.
    Unsaid,
}

/// Whom to believe, and which header.
#[derive(Clone, Debug)]
pub struct Believed {
    trusted: Vec<Prefix>,
    header: ClientHeader,
}

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
static FORWARDED: HeaderName = HeaderName::from_static("forwarded");

impl Believed {
    pub fn new(trusted: Vec<Prefix>, header: ClientHeader) -> Self {
        Self { trusted, header }
    }

    /// Whether `peer` may speak for others.
    pub fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Local => true,
            Peer::Address(address) => self.is_proxy(address),
        }
    }

    /// Who asks, as `peer` says in `headers`.
    pub fn client(&self, peer: Peer, headers: &HeaderMap) -> Client {
        // Nobody at a unix socket has an address; without a header it is this machine that asks.
        let nearest = match peer {
            Peer::Address(address) => address.to_canonical(),
            Peer::Local => IpAddr::from([127, 0, 0, 1]),
        };
        if !self.trusts(peer) {
            return Client {
                address: nearest,
                known: Known::Untrusted,
            };
        }
        match self.header {
            ClientHeader::XForwardedFor => self.walk(nearest, headers, &X_FORWARDED_FOR, address_of),
            ClientHeader::Forwarded => self.walk(nearest, headers, &FORWARDED, forwarded_for),
            ClientHeader::XRealIp => {
                let mut values = headers.get_all(&X_REAL_IP).iter();
                // The last one: a proxy that adds instead of replacing adds at the end.
                let said = values
                    .next_back()
                    .and_then(|value| address_of(value.to_str().ok()?));
                client(said, nearest)
            }
        }
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|prefix| prefix.contains(address))
    }

    /// From the end of the header `name` towards its beginning, as long as who speaks is trusted.
    fn walk(
        &self,
        mut nearest: IpAddr,
        headers: &HeaderMap,
        name: &HeaderName,
        read: impl Fn(&str) -> Option<IpAddr>,
    ) -> Client {
        let mut hops = 0;
        // Several headers of one name are one list (RFC 9110, 5.3).
        for value in headers.get_all(name).iter().rev() {
            // Each entry by itself: a byte that is no text, which a client put into its own, must not hide what our proxy put behind it.
            for entry in value.as_bytes().rsplit(|byte| *byte == b',') {
                hops += 1;
                let text = std::str::from_utf8(entry).ok().filter(|_| hops <= MOST_HOPS);
                let Some(said) = text.and_then(|text| read(text.trim())) else {
                    return client(None, nearest);
                };
                if !self.is_proxy(said) {
                    return client(Some(said), nearest);
                }
                nearest = said;
            }
        }
        // All of them are ours: the farthest one asks for itself. Without any it was not said who asks.
        client((hops > 0).then_some(nearest), nearest)
    }
}

fn client(said: Option<IpAddr>, nearest: IpAddr) -> Client {
    Client {
        address: said.unwrap_or(nearest),
        known: if said.is_some() {
            Known::Said
        } else {
            Known::Unsaid
        },
    }
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`.
fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address| address.to_canonical())
}

/// The address behind `for=` in an element of `Forwarded` (RFC 7239, 4 and 6). Names that hide it are none.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let node = element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    })?;
    address_of(node.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn believed(header: ClientHeader) -> Believed {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48"];
        Believed::new(trusted.map(|text| text.parse().unwrap()).into(), header)
    }

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn peer(text: &str) -> Peer {
        Peer::Address(text.parse().unwrap())
    }

    #[test]
    fn the_last_address_that_no_proxy_of_ours_has_is_the_client() {
        let believed = believed(ClientHeader::XForwardedFor);
        for (values, address, known) in [
            (vec!["192.0.2.1"], "192.0.2.1", Known::Said),
            (vec!["203.0.113.9, 192.0.2.1"], "192.0.2.1", Known::Said),
            (vec!["192.0.2.1, 10.0.0.7"], "192.0.2.1", Known::Said),
            (
                vec!["203.0.113.9", "192.0.2.1,10.0.0.7"],
                "192.0.2.1",
                Known::Said,
            ),
            (vec!["2001:db8:2::1"], "2001:db8:2::1", Known::Said),
            (vec!["[2001:db8:2::1]:443"], "2001:db8:2::1", Known::Said),
            (vec!["192.0.2.1:443"], "192.0.2.1", Known::Said),
            (vec!["::ffff:192.0.2.1"], "192.0.2.1", Known::Said),
            // The last proxy whose word can be read.
            (vec!["203.0.113.9, garbage, 10.0.0.7"], "10.0.0.7", Known::Unsaid),
            (vec!["203.0.113.9, garbage"], "10.0.0.1", Known::Unsaid),
            (vec!["203.0.113.9,"], "10.0.0.1", Known::Unsaid),
            (vec![], "10.0.0.1", Known::Unsaid),
            (vec!["10.0.0.9, 10.0.0.8"], "10.0.0.9", Known::Said),
        ] {
            let client = believed.client(peer("10.0.0.1"), &headers("x-forwarded-for", &values));
            assert_eq!(
                (client.address.to_string().as_str(), client.known),
                (address, known),
                "{values:?}"
            );
        }
        let long = "10.0.0.7,".repeat(40) + "10.0.0.7";
        let client = believed.client(peer("10.0.0.1"), &headers("x-forwarded-for", &[&long]));
        assert_eq!(client.known, Known::Unsaid);
    }

    #[test]
    fn what_is_no_text_hides_nothing() {
        let believed = believed(ClientHeader::XForwardedFor);
        let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
        for (values, address, known) in [
            (
                vec![value(&[0xff]), value(b"203.0.113.7")],
                "203.0.113.7",
                Known::Said,
            ),
            (vec![value(b"\xff, 203.0.113.7")], "203.0.113.7", Known::Said),
            (
                vec![value(b"192.0.2.1, \x80\xff,203.0.113.7, 10.0.0.7")],
                "203.0.113.7",
                Known::Said,
            ),
            // Nothing in front of it is believed.
            (
                vec![value(b"203.0.113.7, \xff, 10.0.0.7")],
                "10.0.0.7",
                Known::Unsaid,
            ),
            (
                vec![value(b"203.0.113.7"), value(&[0xff])],
                "10.0.0.1",
                Known::Unsaid,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append("x-forwarded-for", value.clone());
            }
            let client = believed.client(peer("10.0.0.1"), &headers);
            assert_eq!(
                (client.address.to_string().as_str(), client.known),
                (address, known),
                "{values:?}"
            );
        }
    }

    #[test]
    fn one_header_is_believed_and_no_other() {
        let mut all = headers("x-forwarded-for", &["192.0.2.1"]);
        all.insert("x-real-ip", "192.0.2.2".parse().unwrap());
        all.insert(
            "forwarded",
            "for=203.0.113.1, proto=https;For=\"[2001:db8:2::3]:1\""
                .parse()
                .unwrap(),
        );
        for (header, address) in [
            (ClientHeader::XForwardedFor, "192.0.2.1"),
            (ClientHeader::XRealIp, "192.0.2.2"),
            (ClientHeader::Forwarded, "2001:db8:2::3"),
        ] {
            let client = believed(header).client(Peer::Local, &all);
            assert_eq!(
                (client.address.to_string().as_str(), client.known),
                (address, Known::Said)
            );
        }
        let hidden = headers("forwarded", &["for=192.0.2.1, for=_secret"]);
        let client = believed(ClientHeader::Forwarded).client(Peer::Local, &hidden);
        assert_eq!(client.known, Known::Unsaid);
    }
}
