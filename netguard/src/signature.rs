//! Signatures as people write them: `FIELD=VALUE` or `FIELD=VALUE/MASK`, such as `ttl=64`, `flags=SA` or `payload=dead00/ffff00`.

use netguard_common::{
    rule::EXPIRY_SHIFT,
    shared::Field as _,
    signature::{FIELDS, FLAGS, FieldSpec, PAYLOAD_AT, PAYLOAD_LEN, PROTOCOL, Signature, WORDS},
};

const FLAG_LETTERS: &str = "FSRPAUEC";
const PROTOCOLS: [(&str, u64); 4] = [("icmp", 1), ("tcp", 6), ("udp", 17), ("icmpv6", 58)];
const PAYLOAD: &str = "payload";

/// Fields that tell a service and not an attack on it.
const ORDINARY: [&str; 3] = ["family", "protocol", "port"];

/// Why a text is no condition of a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error(
        "{0:?} is no condition: write FIELD=VALUE or FIELD=VALUE/MASK, such as ttl=64 or payload=dead00/ffff00"
    )]
    Shape(String),
    #[error("a signature has no field {0:?}: the fields are {known}, payload", known = names())]
    NoSuchField(String),
    #[error(
        "{value:?} is no value of {field}: write a whole number up to {most}, or 0x and hexadecimal digits"
    )]
    Value {
        field: &'static str,
        value: String,
        most: u64,
    },
    #[error(
        "{0:?} is no payload: write 1 to {PAYLOAD_LEN} bytes in hexadecimal digits, two for each, and a mask as long"
    )]
    Payload(String),
    #[error("{0} is named twice")]
    Twice(String),
    #[error(
        "this would hit honest packets as well: name what only the attack has, such as ttl, length, window or payload, or add --force"
    )]
    Ordinary,
}

/// The signature that fits what all `conditions` fit; its mode and end are not set.
///
/// # Errors
/// When a condition cannot be understood, or, unless `force`, no condition tells an attack from a service.
pub fn parse(conditions: &[String], force: bool) -> Result<Signature, SignatureError> {
    let mut signature = Signature::ZERO;
    let mut seen: Vec<&str> = Vec::new();
    for condition in conditions {
        let shape = || SignatureError::Shape(condition.clone());
        let (name, rest) = condition.split_once('=').ok_or_else(shape)?;
        let (value, mask) = match rest.split_once('/') {
            Some((value, mask)) => (value, Some(mask)),
            None => (rest, None),
        };
        if seen.contains(&name) {
            return Err(SignatureError::Twice(name.to_owned()));
        }
        seen.push(name);
        if name == PAYLOAD {
            payload(&mut signature, value, mask)?;
            continue;
        }
        let field = FIELDS.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| SignatureError::NoSuchField(name.to_owned()))?;
        let mask = mask.map_or(Ok(field.most()), |mask| number(field, mask))?;
        let value = number(field, value)? & mask;
        signature.mask[field.word] |= field.placed(mask);
        signature.value[field.word] |= field.placed(value);
    }
    if !force && seen.iter().all(|name| ORDINARY.contains(name)) {
        return Err(SignatureError::Ordinary);
    }
    Ok(signature)
}

/// The conditions of `signature`.
pub fn conditions(signature: &Signature) -> Vec<String> {
    let mut conditions = Vec::new();
    for field in FIELDS {
        let (mask, value) = (field.of(&signature.mask), field.of(&signature.value));
        if mask == 0 {
            continue;
        }
        let value = shown(field, value);
        conditions.push(match mask == field.most() {
            true => format!("{}={value}", field.name),
            false => format!("{}={value}/{mask:#x}", field.name),
        });
    }
    let bytes = |words: &[u64; WORDS]| {
        words[PAYLOAD_AT..]
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect()
    };
    let (mask, value): (Vec<u8>, Vec<u8>) = (bytes(&signature.mask), bytes(&signature.value));
    if let Some(last) = mask.iter().rposition(|byte| *byte != 0) {
        let (mask, value) = (&mask[..=last], &value[..=last]);
        let whole = mask.iter().all(|byte| *byte == 0xff);
        let mask = if whole {
            String::new()
        } else {
            format!("/{}", hex(mask))
        };
        conditions.push(format!("{PAYLOAD}={}{mask}", hex(value)));
    }
    conditions
}

/// Seconds until `signature` ends; `None`: never.
pub fn remaining_s(signature: &Signature, now_ns: u64) -> Option<u64> {
    let ends_ns = u64::from(signature.expires_at) << EXPIRY_SHIFT;
    (signature.expires_at != 0).then(|| ends_ns.saturating_sub(now_ns) / 1_000_000_000)
}

fn names() -> String {
    FIELDS
        .iter()
        .map(|field| field.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn number(field: &FieldSpec, text: &str) -> Result<u64, SignatureError> {
    let word = match *field {
        PROTOCOL => PROTOCOLS
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, number)| *number),
        FLAGS => letters(text),
        _ => None,
    };
    let number = word.or_else(|| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    });
    number
        .filter(|number| *number <= field.most())
        .ok_or_else(|| SignatureError::Value {
            field: field.name,
            value: text.to_owned(),
            most: field.most(),
        })
}

fn shown(field: &FieldSpec, value: u64) -> String {
    match *field {
        PROTOCOL => {
            let name = PROTOCOLS.iter().find(|(_, number)| *number == value);
            name.map_or_else(|| value.to_string(), |(name, _)| (*name).to_owned())
        }
        FLAGS if value != 0 => FLAG_LETTERS
            .chars()
            .enumerate()
            .filter(|(bit, _)| value >> bit & 1 != 0)
            .map(|(_, letter)| letter)
            .collect(),
        _ => value.to_string(),
    }
}

fn letters(text: &str) -> Option<u64> {
    let bits = text
        .chars()
        .map(|letter| FLAG_LETTERS.find(letter).map(|bit| 1 << bit));
    let bits: Option<Vec<u64>> = bits.collect();
    bits.filter(|bits| !bits.is_empty())
        .map(|bits| bits.iter().fold(0, |all, bit| all | bit))
}

fn payload(signature: &mut Signature, value: &str, mask: Option<&str>) -> Result<(), SignatureError> {
    let wrong = |text: &str| SignatureError::Payload(text.to_owned());
    let value_bytes = unhex(value)
        .filter(|bytes| (1..=PAYLOAD_LEN).contains(&bytes.len()))
        .ok_or_else(|| wrong(value))?;
    let mask_bytes = match mask {
        Some(mask) => unhex(mask)
            .filter(|bytes| bytes.len() == value_bytes.len())
            .ok_or_else(|| wrong(mask))?,
        None => vec![0xff; value_bytes.len()],
    };
    for (at, (value, mask)) in value_bytes.iter().zip(&mask_bytes).enumerate() {
        let (word, shift) = (PAYLOAD_AT + at / 8, 56 - at % 8 * 8);
        signature.mask[word] |= u64::from(*mask) << shift;
        signature.value[word] |= u64::from(value & mask) << shift;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that `text` writes as two hexadecimal digits each.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(conditions: &[&str]) -> Result<Signature, SignatureError> {
        let conditions: Vec<String> = conditions.iter().map(|&text| text.to_owned()).collect();
        parse(&conditions, false)
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        let written = [
            "protocol=tcp",
            "ttl=64/0xc0",
            "flags=SA",
            "port=80",
            "window=512",
            "payload=dead00/ffff0f",
        ];
        let signature = parsed(&written).unwrap();
        assert_eq!(conditions(&signature), written);
        assert_eq!(signature.port(), Some(80));
        assert_eq!(
            parsed(&["ttl=0x40", "length=0x200"]),
            parsed(&["ttl=64", "length=512"])
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (conditions, part) in [
            (&["ttl"][..], "is no condition"),
            (&["color=7"], "no field \"color\": the fields are family"),
            (&["ttl=256"], "up to 255"),
            (&["ttl=x"], "is no value of ttl"),
            (&["payload=abc"], "is no payload"),
            (&["payload=ab/abcd"], "is no payload"),
            (&["ttl=1", "ttl=2"], "ttl is named twice"),
            (&["protocol=udp", "port=53"], "add --force"),
            (&[], "add --force"),
        ] {
            let error = parsed(conditions).unwrap_err().to_string();
            assert!(error.contains(part), "{conditions:?}: {error}");
        }
        assert!(parse(&["port=53".to_owned()], true).is_ok());
    }
}
