//! Calm: what is learnt of calm times beside what is normal, as one daemon leaves it to the next: what is served, what ordinary packets look
//! like, where they come from, and how many ask in vain. It learns nothing itself.
//!
//! Each part is read by itself: one that another version wrote otherwise is left, and costs neither the others nor what is normal.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    campaign::{Ordinary, Target, Usual},
    peace::KeptPeace,
    places::KeptPlaces,
};

/// Services that are remembered at the most: all ports of both protocols.
pub const SERVED: usize = 2 * 65_536;

/// What was served, and when it was last; seconds since 1970.
pub type Served = BTreeMap<Target, u64>;

/// What was learnt, to be kept. What an older daemon did not write is nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calm {
    /// As [`Served`]; keys of JSON are words.
    pub served: Vec<(Target, u64)>,
    pub packets: KeptPeace,
    pub places: KeptPlaces,
    pub ordinary: Ordinary,
    /// How many ask in vain.
    pub probes: Usual,
    /// Which parts were there and could not be read, and why.
    #[serde(skip)]
    pub left: Vec<String>,
}

impl Calm {
    /// Forgets who is ordinary; whether anything was learnt of that. What is served is known, not learnt.
    pub fn forget(&mut self) -> bool {
        let was = self.is_learnt();
        *self = Self {
            served: std::mem::take(&mut self.served),
            ..Self::default()
        };
        was
    }

    /// Whether it is known who is ordinary.
    pub fn is_learnt(&self) -> bool {
        let is_none = self.packets.is_empty()
            && self.places == KeptPlaces::default()
            && self.ordinary == Ordinary::default()
            && self.probes.is_empty();
        !is_none
    }
}

/// Reads whatever is JSON.
impl<'de> Deserialize<'de> for Calm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut written = Value::deserialize(deserializer)?;
        let mut left = Vec::new();
        if !written.is_object() {
            left.push("it has no parts".to_owned());
        }
        Ok(Self {
            served: part(&mut written, "served", &mut left, |served: &Vec<_>| {
                served.len() <= SERVED
            }),
            packets: part(&mut written, "packets", &mut left, KeptPeace::is_sound),
            places: part(&mut written, "places", &mut left, KeptPlaces::is_sound),
            ordinary: part(&mut written, "ordinary", &mut left, Ordinary::is_sound),
            probes: part(&mut written, "probes", &mut left, Usual::is_sound),
            left,
        })
    }
}

/// The part of this name, if it is one and can have been learnt.
fn part<T: Default + DeserializeOwned>(
    written: &mut Value,
    name: &str,
    left: &mut Vec<String>,
    is_sound: impl FnOnce(&T) -> bool,
) -> T {
    let Some(part) = written.get_mut(name).map(Value::take) else {
        return T::default();
    };
    let why = match serde_json::from_value(part) {
        Ok(part) if is_sound(&part) => return part,
        Ok(_) => "what it says cannot have been learnt".to_owned(),
        Err(error) => error.to_string(),
    };
    left.push(format!("{name}: {why}"));
    T::default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_served_is_not_forgotten_and_who_is_ordinary_is() {
        let target = Target { protocol: 6, port: 1 };
        let served = Calm {
            served: vec![(target, 7)],
            ..Calm::default()
        };
        for part in [json!({ "places": [[null, 5]] }), json!({ "probes": [7] })] {
            let mut learnt = part;
            learnt["served"] = json!([[target, 7]]);
            let mut learnt: Calm = serde_json::from_value(learnt).expect("it is read");
            assert!(learnt.left.is_empty() && learnt.is_learnt() && learnt.forget());
            assert_eq!(learnt, served);
        }
        let mut learnt = served.clone();
        assert!(!learnt.forget(), "nothing is learnt any more");
        assert_eq!(learnt, served);
    }

    /// Found in review: one more word of a packet, or a kind of place that only a newer version knows, cost five weeks of what is normal.
    #[test]
    fn a_part_that_cannot_be_read_costs_no_other() {
        let target = Target {
            protocol: 6,
            port: 443,
        };
        let calm = Calm {
            served: vec![(target, 1_800_000_000)],
            probes: serde_json::from_value(json!([3, 15])).expect("counts"),
            ..Calm::default()
        };
        let good = serde_json::to_value(&calm).expect("it is JSON");
        assert!(good.get("left").is_none());
        let stratum = json!({ "protocol": 6, "port": 443, "opening": true });
        let without_probes = Calm {
            probes: Usual::default(),
            ..calm.clone()
        };
        for (name, wrong) in [
            ("probes", json!([3, -1])),
            ("probes", json!([8_193])),
            (
                "packets",
                json!({ "fields": "9 words", "strata": [[stratum, [[0, 0, 0, 0, 0, 0, 0, 0, 0]]]] }),
            ),
            ("packets", json!({ "fields": 7 })),
            ("places", json!([[{ "Galaxy": 1 }, 5]])),
            ("places", json!([[null, 0]])),
            ("ordinary", json!({ "networks": [], "looks": 7 })),
            ("ordinary", Value::Null),
        ] {
            let mut written = good.clone();
            written[name] = wrong;
            let read: Calm = serde_json::from_value(written).expect("it is read");
            assert_eq!(read.left.len(), 1, "{:?}", read.left);
            assert!(read.left[0].starts_with(name), "{:?}", read.left);
            assert_eq!(
                Calm {
                    left: Vec::new(),
                    ..read
                },
                if name == "probes" {
                    without_probes.clone()
                } else {
                    calm.clone()
                }
            );
        }
        let mut written = good.clone();
        written["served"] = vec![good["served"][0].clone(); SERVED + 1].into();
        let read: Calm = serde_json::from_value(written).expect("it is read");
        assert!(
            read.served.is_empty() && read.left[0].starts_with("served: "),
            "{:?}",
            read.left
        );
        let mut newer = good;
        newer["more"] = json!("what only a newer version knows");
        assert_eq!(serde_json::from_value::<Calm>(newer).expect("it is read"), calm);
        for nothing in [json!(7), Value::Null, json!([])] {
            let read: Calm = serde_json::from_value(nothing).expect("it is read");
            assert_eq!((read.served.len(), read.left.len()), (0, 1));
        }
    }
}
