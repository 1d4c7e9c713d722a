//! The rungs of the ladder: in which order measures are tried, and how long more must pass than may before each. What is done on one
//! the course says.

use super::{Mode, ResponseSettings};

/// How far up the ladder the response to an attack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    Alert,
    Limit,
    Challenge,
    Geo,
    CircuitBreak,
}

impl Rung {
    /// Those above the first.
    pub const ABOVE: [Self; 4] = [Self::Limit, Self::Challenge, Self::Geo, Self::CircuitBreak];

    /// The word that the command line and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Limit => "limit",
            Self::Challenge => "challenge",
            Self::Geo => "geo",
            Self::CircuitBreak => "circuit-break",
        }
    }

    /// How long more must pass than may before this one is tried: the last two hurt honest newcomers.
    pub(super) const fn patience_ns(self) -> u64 {
        match self {
            Self::Alert | Self::Limit => 0,
            Self::Challenge => 300_000_000,
            Self::Geo => 1_000_000_000,
            Self::CircuitBreak => 2_000_000_000,
        }
    }

    /// The one that is tried after this one for `service` (empty: the attack is aimed at none). Behind the last it is the turn of those
    /// above the challenge again: they come and go while the attack goes on.
    pub(super) fn next(self, service: &str, settings: &ResponseSettings) -> Option<Self> {
        let is_open = |rung: &Self| match rung {
            Self::Alert => false,
            Self::Limit => !service.is_empty() && settings.limits != Mode::Off,
            Self::Challenge => service.starts_with("tcp/") && settings.challenge != Mode::Off,
            Self::Geo => settings.geo != Mode::Off,
            Self::CircuitBreak => !service.is_empty() && settings.circuit_break != Mode::Off,
        };
        let mut open = Self::ABOVE.into_iter().filter(is_open);
        let again = || {
            let mut open = Self::ABOVE.into_iter().filter(is_open);
            open.find(|rung| *rung > Self::Challenge)
        };
        open.find(|rung| *rung > self).or_else(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rungs in the order in which they are tried.
    fn climbed(service: &str, settings: ResponseSettings) -> Vec<&'static str> {
        let mut rung = Rung::Alert;
        let mut climbed = Vec::new();
        while let Some(next) = rung.next(service, &settings).filter(|_| climbed.len() < 6) {
            climbed.push(next.name());
            rung = next;
        }
        climbed
    }

    #[test]
    fn each_rung_has_its_turn_and_the_last_ones_have_it_again() {
        let on = ResponseSettings::all(Mode::Enforce);
        let (geo, last) = ("geo", "circuit-break");
        assert_eq!(
            climbed("tcp/80", on),
            ["limit", "challenge", geo, last, geo, last]
        );
        assert_eq!(climbed("udp/53", on), ["limit", geo, last, geo, last, geo]);
        assert_eq!(climbed("", on), [geo; 6]);
        let limits = ResponseSettings {
            limits: Mode::Shadow,
            ..ResponseSettings::all(Mode::Off)
        };
        assert_eq!(climbed("tcp/80", limits), ["limit"]);
        assert_eq!(climbed("tcp/80", ResponseSettings::all(Mode::Off)), [""; 0]);
    }
}
