//! Limits by the names that the command line and the control socket use: a class, or a class and a level, as in `udp.service`.

use netguard_common::{
    layout::{Rate, Settings},
    limit::Class,
};

use super::{LimitChange, RequestError};
use crate::{bpf::SettingsMap, config::RatePerSecond};

/// Whose packets a limit counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An IPv4 address or IPv6 /64.
    Source,
    /// An IPv4 /24 or IPv6 /48.
    Prefix,
    /// A protocol and port; ICMP as a whole.
    Service,
}

impl Level {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Prefix => "prefix",
            Self::Service => "service",
        }
    }
}

/// A limit of the common settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitName {
    pub class: Class,
    pub level: Level,
}

impl LimitName {
    /// Every limit that there is.
    pub fn all() -> impl Iterator<Item = Self> {
        [Level::Source, Level::Prefix, Level::Service]
            .into_iter()
            .flat_map(|level| Class::ALL.map(|class| Self { class, level }))
            .filter(|name| match name.level {
                Level::Source => true,
                Level::Prefix => name.class != Class::Control,
                Level::Service => matches!(name.class, Class::Syn | Class::Udp | Class::Icmp),
            })
    }

    /// The limit that is called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(name: &str) -> Result<Self, RequestError> {
        Self::all()
            .find(|known| {
                known.to_string() == name
                    || known.level == Level::Source && name == format!("{}.source", known.class.name())
            })
            .ok_or_else(|| RequestError::NoSuchLimit(name.chars().take(64).collect()))
    }

    /// The rate in `settings`.
    pub fn rate(self, settings: &Settings) -> Rate {
        *self.place(&mut { *settings })
    }

    /// Writes the `rate` into `settings`.
    pub fn write(self, settings: &mut Settings, rate: Rate) {
        *self.place(settings) = rate;
    }

    fn place(self, settings: &mut Settings) -> &mut Rate {
        let class = self.class as usize;
        match (self.level, self.class) {
            (Level::Source, _) => &mut settings.limits[class],
            (Level::Prefix, _) => &mut settings.levels.prefix[class],
            (Level::Service, Class::Syn) => &mut settings.service_syn,
            (Level::Service, Class::Icmp) => &mut settings.levels.service_icmp,
            (Level::Service, _) => &mut settings.levels.service_udp,
        }
    }
}

impl std::fmt::Display for LimitName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.level {
            Level::Source => out.write_str(self.class.name()),
            level => write!(out, "{}.{}", self.class.name(), level.name()),
        }
    }
}

/// Changes the limit `name`; answers what it is now.
///
/// # Errors
/// When a number is out of range, or the kernel refuses.
pub fn change_limit(
    settings: &mut SettingsMap,
    name: LimitName,
    change: LimitChange,
) -> Result<Rate, RequestError> {
    for number in [change.rate_per_s, change.burst] {
        RatePerSecond::new(number).ok_or(RequestError::OutOfRange(number))?;
    }
    let mut new = settings.read()?;
    let rate = Rate::new(change.rate_per_s, change.burst);
    name.write(&mut new, rate);
    settings.write(&new)?;
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use netguard_common::shared::Field as _;

    use super::*;

    #[test]
    fn every_limit_has_a_name_and_a_place_of_its_own() {
        let mut settings = Settings::ZERO;
        for (number, name) in (1..).zip(LimitName::all()) {
            assert_eq!(LimitName::parse(&name.to_string()).expect("its own name"), name);
            *name.place(&mut settings) = Rate::new(number, 1);
        }
        for (number, name) in (1..).zip(LimitName::all()) {
            assert_eq!(name.rate(&settings), Rate::new(number, 1), "{name}");
        }
        for none in [
            "",
            "tcp",
            "control.prefix",
            "other.service",
            "udp.",
            "udp.country",
        ] {
            assert!(LimitName::parse(none).is_err(), "{none}");
        }
        assert_eq!(
            LimitName::parse("udp.source").expect("a limit").to_string(),
            "udp"
        );
    }
}
