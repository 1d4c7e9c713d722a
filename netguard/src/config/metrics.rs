//! Where the daemon's figures can be fetched from.

use std::{fmt, net::SocketAddr, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Figures for Prometheus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table with `listen`")]
pub struct Metrics {
    /// Address and port at which they are served; without one they are not.
    pub listen: Option<ListenAddress>,
}

/// An address of this machine, and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(SocketAddr);

/// Why a text is no [`ListenAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddressError {
    #[error("{0:?} is not an address with a port, such as \"127.0.0.1:9464\" or \"[::1]:9464\"")]
    NotAnAddress(String),
    #[error("{0} has port 0: write the port that Prometheus is to ask, such as 9464")]
    NoPort(SocketAddr),
}

impl ListenAddress {
    /// The address itself.
    #[must_use]
    pub fn socket(self) -> SocketAddr {
        self.0
    }

    /// Whether only this machine itself can reach it.
    #[must_use]
    pub fn is_private(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: SocketAddr = text
            .parse()
            .map_err(|_| ListenAddressError::NotAnAddress(text.chars().take(64).collect()))?;
        match address.port() {
            0 => Err(ListenAddressError::NoPort(address)),
            _ => Ok(Self(address)),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        for (text, private) in [
            ("127.0.0.1:9464", true),
            ("[::1]:9464", true),
            ("0.0.0.0:9464", false),
            ("[2001:db8::1]:80", false),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(
                (address.to_string().as_str(), address.is_private()),
                (text, private)
            );
        }
        for (text, part) in [
            ("127.0.0.1", "is not an address with a port"),
            ("localhost:9464", "is not an address with a port"),
            ("::1:9464", "is not an address with a port"),
            ("", "is not an address with a port"),
            ("127.0.0.1:0", "has port 0"),
            ("127.0.0.1:70000", "is not an address with a port"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
