//! Values written as a string in configuration and JSON: parsed by their `FromStr`, written by their `Display`.
//!
//! serde's own `try_from = "String"` would lose the place of an array element: the error must come out of the visitor.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use super::{
    confirm::Confirm,
    decision::{DecisionAddress, HeaderText, LimitLabel, MethodText, PathPattern},
    metrics::ListenAddress,
    values::{InterfaceName, Period},
};
use crate::prefix::{BlockPrefix, Prefix};

/// What the schema and the type errors say about a value.
trait Text: FromStr<Err: fmt::Display> + fmt::Display {
    /// The name of the type in the schema.
    const NAME: &'static str;
    /// What is expected, with an article.
    const EXPECTED: &'static str;
    const EXAMPLES: &'static [&'static str];
}

impl Text for Prefix {
    const NAME: &'static str = "Prefix";
    const EXPECTED: &'static str =
        "an address or prefix in quotes, such as \"192.0.2.0/24\" or \"2001:db8::1\"";
    const EXAMPLES: &'static [&'static str] = &["192.0.2.0/24", "2001:db8::1"];
}

impl Text for BlockPrefix {
    const NAME: &'static str = "BlockPrefix";
    const EXPECTED: &'static str =
        "an address or prefix in quotes, but not everybody, such as \"198.51.100.0/24\"";
    const EXAMPLES: &'static [&'static str] = &["198.51.100.0/24", "2001:db8:bad::/48"];
}

impl Text for Period {
    const NAME: &'static str = "Period";
    const EXPECTED: &'static str = "a duration with its unit in quotes, such as \"60s\" or \"10m\"";
    const EXAMPLES: &'static [&'static str] = &["60s", "10m", "1h 30m"];
}

impl Text for Confirm {
    const NAME: &'static str = "Confirm";
    const EXPECTED: &'static str = "a duration from \"1s\" to \"1day\" in quotes, or \"never\"";
    const EXAMPLES: &'static [&'static str] = &["60s", "5m", "never"];
}

impl Text for InterfaceName {
    const NAME: &'static str = "InterfaceName";
    const EXPECTED: &'static str = "the name of an interface in quotes, such as \"eth0\"";
    const EXAMPLES: &'static [&'static str] = &["eth0"];
}

impl Text for ListenAddress {
    const NAME: &'static str = "ListenAddress";
    const EXPECTED: &'static str = "an address and a port in quotes, such as \"127.0.0.1:9464\"";
    const EXAMPLES: &'static [&'static str] = &["127.0.0.1:9464", "[::1]:9464"];
}

impl Text for DecisionAddress {
    const NAME: &'static str = "DecisionAddress";
    const EXPECTED: &'static str =
        "an address and a port, or the path of a unix socket, in quotes, such as \"127.0.0.1:9465\"";
    const EXAMPLES: &'static [&'static str] = &["127.0.0.1:9465", "/run/netguard/decision.sock"];
}

impl Text for HeaderText {
    const NAME: &'static str = "HeaderText";
    const EXPECTED: &'static str = "the name of a header in quotes, such as \"X-Api-Key\"";
    const EXAMPLES: &'static [&'static str] = &["X-Api-Key"];
}

impl Text for PathPattern {
    const NAME: &'static str = "PathPattern";
    const EXPECTED: &'static str = "a path in quotes, such as \"/login\" or \"/api/*\"";
    const EXAMPLES: &'static [&'static str] = &["/login", "/api/*"];
}

impl Text for MethodText {
    const NAME: &'static str = "MethodText";
    const EXPECTED: &'static str = "a method of HTTP in quotes, such as \"POST\"";
    const EXAMPLES: &'static [&'static str] = &["POST"];
}

impl Text for LimitLabel {
    const NAME: &'static str = "LimitLabel";
    const EXPECTED: &'static str =
        "a name of letters in lower case, digits, `-` and `_` in quotes, such as \"login\"";
    const EXAMPLES: &'static [&'static str] = &["login"];
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

fn schema<T: Text>() -> Schema {
    json_schema!({ "type": "string", "description": T::EXPECTED, "examples": T::EXAMPLES })
}

// The orphan rule forbids one generic impl of foreign traits for every `Text`.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor(PhantomData))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                <$type as Text>::NAME.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schema::<$type>()
            }
        }
    )*};
}

as_text!(
    Prefix,
    BlockPrefix,
    Period,
    Confirm,
    InterfaceName,
    ListenAddress,
    DecisionAddress,
    HeaderText,
    PathPattern,
    MethodText,
    LimitLabel
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let prefix: Prefix = serde_json::from_str("\"192.0.2.1\"").unwrap();
        assert_eq!(serde_json::to_string(&prefix).unwrap(), "\"192.0.2.1/32\"");
        let error = serde_json::from_str::<Prefix>("5").unwrap_err().to_string();
        assert!(
            error.contains("expected an address or prefix in quotes"),
            "{error}"
        );
    }

    #[test]
    fn every_example_is_accepted() {
        fn check<T: Text>() {
            for example in T::EXAMPLES {
                assert!(example.parse::<T>().is_ok(), "{} {example}", T::NAME);
            }
        }
        check::<Prefix>();
        check::<BlockPrefix>();
        check::<Period>();
        check::<Confirm>();
        check::<InterfaceName>();
        check::<ListenAddress>();
        check::<DecisionAddress>();
        check::<HeaderText>();
        check::<PathPattern>();
        check::<MethodText>();
        check::<LimitLabel>();
    }
}
