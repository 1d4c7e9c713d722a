//! The values a configuration is made of: each type can hold only what makes sense, and says so when it refuses.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

/// A whole number from `MIN` to `MAX`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Within<const MIN: u32, const MAX: u32>(u32);

/// Events per second, 1 to 10 million.
pub type RatePerSecond = Within<1, 10_000_000>;

/// Events that may come at once, 1 to 10 million.
pub type Burst = Within<1, 10_000_000>;

/// Entries a kernel map is made for, 1 to 4 194 304.
pub type TableSize = Within<1, 4_194_304>;

/// A duration from 100 ms (one tick) to 365 days, written with its unit: `"60s"`, `"10m"`, `"1h 30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

/// Why a text is not a [`Period`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PeriodError {
    /// Not a number with a unit.
    #[error(
        "{text:?} is not a duration ({reason}): write a number and its unit, such as \"60s\", \"10m\" or \"1h\""
    )]
    NotADuration {
        /// What was written.
        text: String,
        /// What the parser missed.
        reason: humantime::DurationError,
    },
    /// Shorter than a tick or longer than a year.
    #[error("{0:?} is out of range: a duration here is at least 100ms and at most 365days")]
    OutOfRange(String),
}

/// The name of a network interface as the kernel accepts it: 1 to 15 bytes without `/`, `:` or space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

/// Why a text cannot be the name of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceNameError {
    /// Empty, or longer than the kernel's 15 bytes.
    #[error(
        "{text:?} is not an interface name: it has {bytes} bytes and the kernel takes 1 to 15 (see `ip link`)"
    )]
    Length {
        /// What was written, at most its first 64 characters.
        text: String,
        /// Its length.
        bytes: usize,
    },
    /// A character or name the kernel refuses.
    #[error(
        "{0:?} is not an interface name: `/`, `:`, spaces, `.` and `..` are not accepted (see `ip link`)"
    )]
    Characters(String),
}

/// Up to `MOST` ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<u16>", into = "Vec<u16>")]
#[schemars(with = "Vec<u16>")]
pub struct Ports<const MOST: usize>([u16; MOST]);

impl<const MOST: usize> Ports<MOST> {
    /// A single port.
    #[must_use]
    pub fn one(port: u16) -> Self {
        let mut padded = [0; MOST];
        padded[0] = port;
        Self(padded)
    }

    /// These ports as a constant of this program: too many do not compile.
    #[must_use]
    pub const fn constant<const COUNT: usize>(ports: [u16; COUNT]) -> Self {
        const { assert!(COUNT <= MOST) };
        let mut padded = [0; MOST];
        padded.split_at_mut(COUNT).0.copy_from_slice(&ports);
        Self(padded)
    }

    /// The ports, then zeros.
    #[must_use]
    pub fn padded(self) -> [u16; MOST] {
        self.0
    }
}

impl<const MOST: usize> Default for Ports<MOST> {
    fn default() -> Self {
        Self([0; MOST])
    }
}

impl<const MOST: usize> TryFrom<Vec<u16>> for Ports<MOST> {
    type Error = String;

    fn try_from(ports: Vec<u16>) -> Result<Self, Self::Error> {
        let mut padded = [0; MOST];
        if ports.contains(&0) {
            return Err("there is no port 0: write ports from 1 to 65535".to_owned());
        }
        let count = ports.len();
        let room = padded.get_mut(..count);
        room.ok_or_else(|| format!("at most {MOST} ports, not {count}"))?
            .copy_from_slice(&ports);
        Ok(Self(padded))
    }
}

impl<const MOST: usize> From<Ports<MOST>> for Vec<u16> {
    fn from(ports: Ports<MOST>) -> Self {
        ports.0.into_iter().filter(|port| *port != 0).collect()
    }
}

impl<const MIN: u32, const MAX: u32> Within<MIN, MAX> {
    /// The number as a constant of this program: a value out of range does not compile.
    #[must_use]
    pub const fn constant<const VALUE: u32>() -> Self {
        const { assert!(MIN <= VALUE && VALUE <= MAX) };
        Self(VALUE)
    }

    /// The number, if it is in range.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if MIN <= value && value <= MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeNumber<const MIN: u32, const MAX: u32>;

        impl<const MIN: u32, const MAX: u32> Visitor<'_> for WholeNumber<MIN, MAX> {
            type Value = Within<MIN, MAX>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                let number = u32::try_from(value).ok().and_then(Within::new);
                number.ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                let number = u32::try_from(value).ok().and_then(Within::new);
                number.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
            }
        }

        deserializer.deserialize_u32(WholeNumber::<MIN, MAX>)
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Within<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Within_{MIN}_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Within<MIN, MAX> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl Period {
    const SHORTEST: Duration = Duration::from_millis(100);
    /// The longest time that anything can be given; what is to hold longer holds for good.
    pub const LONGEST: Duration = Duration::from_hours(365 * 24);

    /// A period of whole seconds as a constant of this program: zero or more than 365 days does not compile.
    #[must_use]
    pub const fn constant<const SECONDS: u32>() -> Self {
        const { assert!(1 <= SECONDS && SECONDS <= 365 * 24 * 3600) };
        Self(Duration::from_secs(SECONDS as u64))
    }

    /// The duration itself.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let duration = humantime::parse_duration(text).map_err(|reason| PeriodError::NotADuration {
            text: shown(text),
            reason,
        })?;
        if (Self::SHORTEST..=Self::LONGEST).contains(&duration) {
            Ok(Self(duration))
        } else {
            Err(PeriodError::OutOfRange(shown(text)))
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(out)
    }
}

impl InterfaceName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;

    // The same tests as the kernel's dev_valid_name() (net/core/dev.c).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > 15 {
            return Err(InterfaceNameError::Length {
                text: shown(text),
                bytes: text.len(),
            });
        }
        let refused = |byte: u8| matches!(byte, b'/' | b':' | 0 | 0x0b) || byte.is_ascii_whitespace();
        if text == "." || text == ".." || text.bytes().any(refused) {
            return Err(InterfaceNameError::Characters(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// As much of `text` as a message should repeat.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_range() {
        let parse = |text: &str| serde_json::from_str::<RatePerSecond>(text);
        assert_eq!(parse("1").unwrap().value(), 1);
        assert_eq!(parse("10000000").unwrap().value(), 10_000_000);
        for text in ["0", "-1", "10000001", "4294967297", "1.5", "\"5\""] {
            let error = parse(text).unwrap_err().to_string();
            assert!(
                error.contains("expected a whole number from 1 to 10000000"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn periods_carry_a_unit() {
        for (text, millis, shown) in [
            ("60s", 60_000, "1m"),
            ("10m", 600_000, "10m"),
            ("100ms", 100, "100ms"),
            ("1h 30m", 5_400_000, "1h 30m"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.duration().as_millis(), millis);
            assert_eq!(period.to_string(), shown);
            assert_eq!(
                shown.parse::<Period>().unwrap(),
                period,
                "what is shown can be read back"
            );
        }
        for (text, part) in [
            ("60", "is not a duration (time unit needed"),
            ("", "is not a duration"),
            ("-5s", "is not a duration"),
            ("5 parsecs", "is not a duration"),
            ("0s", "at least 100ms"),
            ("99ms", "at least 100ms"),
            ("366days", "at most 365days"),
            ("99999999999999999999s", "is not a duration"),
        ] {
            let error = text.parse::<Period>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn interface_names_follow_the_kernel() {
        for name in ["eth0", "enp0s31f6", "br-lan.100", "fifteen-bytes-x"] {
            assert_eq!(name.parse::<InterfaceName>().unwrap().as_str(), name);
        }
        for (name, part) in [
            ("", "has 0 bytes"),
            ("sixteen-bytes-xx", "has 16 bytes"),
            ("eth 0", "spaces"),
            ("eth0:1", "`:`"),
            ("a/b", "`/`"),
            ("..", "`..`"),
        ] {
            let error = name.parse::<InterfaceName>().unwrap_err().to_string();
            assert!(error.contains(part), "{name}: {error}");
        }
    }
}
