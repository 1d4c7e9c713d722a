//! What is counted by itself: parts of a request, hashed with a secret, so that nobody can choose a bucket; and as people read it, where keys of
//! an API are only told by a fingerprint.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};

use super::{request::Asked, route::Route};
use crate::{
    config::{KeyPart, Place},
    engine::Account,
};

/// Characters of a user's name that are told.
const TOLD: usize = 40;
/// Bytes of a path that are told.
const PATH: usize = 80;

/// Where a client is, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Whereabouts {
    pub country: Option<Place>,
    pub asn: Option<Place>,
}

/// The hash of what `parts` of a request are, for the limit `index`; `None`: it lacks one of them.
pub(super) fn hashed(
    secret: &RandomState,
    index: usize,
    parts: &[KeyPart],
    asked: &Asked<'_>,
    at: &Whereabouts,
) -> Option<u64> {
    let mut hasher = secret.build_hasher();
    hasher.write_usize(index);
    for part in parts {
        hasher.write_u8(*part as u8);
        match part {
            KeyPart::Client => Account::of(asked.client).hash(&mut hasher),
            KeyPart::User => asked.user?.hash(&mut hasher),
            KeyPart::ApiKey => asked.api_key?.hash(&mut hasher),
            KeyPart::Route => {
                asked.method.hash(&mut hasher);
                Route::of(&asked.path)
                    .segments()
                    .for_each(|segment| segment.hash(&mut hasher));
            }
            KeyPart::Country => at.country?.hash(&mut hasher),
            KeyPart::Asn => at.asn?.hash(&mut hasher),
        }
    }
    Some(hasher.finish())
}

/// The same for people, such as `192.0.2.1/32, POST /login`.
pub(super) fn told(secret: &RandomState, parts: &[KeyPart], asked: &Asked<'_>, at: &Whereabouts) -> String {
    let place = |place: Option<Place>| match place {
        Some(Place::Country(country)) => country.to_string(),
        Some(Place::Asn(number)) => format!("AS{number}"),
        None => "nowhere".to_owned(),
    };
    let part = |part: &KeyPart| match part {
        KeyPart::Client => Account::of(asked.client).to_string(),
        KeyPart::User => format!("user {}", printable(asked.user.unwrap_or_default(), TOLD)),
        KeyPart::ApiKey => format!(
            "api-key {}",
            fingerprint(secret, asked.api_key.unwrap_or_default())
        ),
        KeyPart::Route => {
            let route = Route::of(&asked.path).to_string();
            format!("{} {}", asked.method, printable(route.as_bytes(), PATH))
        }
        KeyPart::Country => place(at.country),
        KeyPart::Asn => place(at.asn),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// Eight digits by which an operator tells keys apart, and from which nobody learns one.
fn fingerprint(secret: &RandomState, key: &[u8]) -> String {
    format!("#{:08x}", secret.hash_one(("fingerprint", key)) as u32)
}

/// As much of `bytes` as a terminal should show.
fn printable(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(most).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::request::tests::asked;

    #[test]
    fn keys_are_what_their_parts_are() {
        let secret = RandomState::new();
        let at = Whereabouts {
            country: None,
            asn: Some(Place::Asn(64_496)),
        };
        let (mut one, mut two) = (asked("GET", "/users/1"), asked("GET", "/users/2"));
        one.client = "2001:db8::1".parse().unwrap();
        two.client = "2001:db8::2".parse().unwrap();
        let key = |parts: &[KeyPart], asked: &Asked<'_>| hashed(&secret, 0, parts, asked, &at);
        let parts = [KeyPart::Client, KeyPart::Route];
        // One /64, and one route.
        assert!(key(&parts, &one).is_some());
        assert_eq!(key(&parts, &one), key(&parts, &two));
        assert_ne!(key(&parts, &one), hashed(&secret, 1, &parts, &one, &at));
        two.method = "POST";
        assert_ne!(key(&parts, &one), key(&parts, &two));
        for lacking in [KeyPart::User, KeyPart::ApiKey, KeyPart::Country] {
            assert_eq!(key(&[KeyPart::Client, lacking], &one), None);
        }
        assert!(key(&[KeyPart::Asn], &one).is_some());
        assert_ne!(
            hashed(&RandomState::new(), 0, &parts, &one, &at),
            key(&parts, &one),
            "nobody can compute it"
        );
    }

    #[test]
    fn no_key_of_an_api_is_told() {
        let secret = RandomState::new();
        let mut asked = asked("POST", "/login/4711");
        asked.user = Some(b"ann\x1b[31m");
        asked.api_key = Some(b"hunter2-hunter2");
        let all = [
            KeyPart::Client,
            KeyPart::User,
            KeyPart::ApiKey,
            KeyPart::Route,
            KeyPart::Country,
        ];
        let told = told(&secret, &all, &asked, &Whereabouts::default());
        assert!(!told.contains("hunter2") && !told.contains('\x1b'), "{told}");
        assert!(
            told.starts_with("192.0.2.1/32, user ann?[31m, api-key #"),
            "{told}"
        );
        assert!(told.ends_with(", POST /login/:id, nowhere"), "{told}");
    }
}
