//! How long a change may go unconfirmed until it is taken back.

use std::{fmt, str::FromStr, time::Duration};

use super::{Period, PeriodError};

/// Whether a change is taken back where nobody confirms it, and after how long: `"60s"`, from 1 second to 1 day, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// It stays at once.
    Never,
    Within(Period),
}

/// Why a text is not a [`Confirm`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfirmError {
    #[error("{0}, or \"never\"")]
    Period(#[from] PeriodError),
    #[error("{0} is out of range: a change waits from 1s to 1day for its confirmation, or \"never\"")]
    OutOfRange(Period),
}

impl Confirm {
    /// The longest that a change waits.
    pub const LONGEST: Duration = Duration::from_hours(24);

    /// Whole seconds; 0: never.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Never => 0,
            Self::Within(period) => period.duration().as_secs(),
        }
    }
}

impl Default for Confirm {
    fn default() -> Self {
        Self::Within(Period::constant::<60>())
    }
}

impl FromStr for Confirm {
    type Err = ConfirmError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "never" {
            return Ok(Self::Never);
        }
        let period: Period = text.parse()?;
        if (Duration::from_secs(1)..=Self::LONGEST).contains(&period.duration()) {
            Ok(Self::Within(period))
        } else {
            Err(ConfirmError::OutOfRange(period))
        }
    }
}

impl fmt::Display for Confirm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => out.write_str("never"),
            Self::Within(period) => period.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_waits_for_a_sensible_time_or_not_at_all() {
        for (text, seconds) in [("never", 0), ("1s", 1), ("60s", 60), ("1day", 86_400)] {
            let confirm: Confirm = text.parse().unwrap();
            assert_eq!(confirm.seconds(), seconds, "{text}");
            assert_eq!(confirm.to_string().parse::<Confirm>().unwrap(), confirm);
        }
        for text in ["0s", "500ms", "25h"] {
            assert!(text.parse::<Confirm>().is_err(), "{text}");
        }
        let error = "soon".parse::<Confirm>().unwrap_err().to_string();
        assert!(
            error.contains("\"60s\"") && error.contains("\"never\""),
            "{error}"
        );
    }
}
