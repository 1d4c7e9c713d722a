//! The words of which settings for requests are made: addresses, headers, paths, methods and names, each refused with what to write instead.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use hyper::{Method, header::HeaderName};

use crate::config::values::shown;

/// Where proxies ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecisionAddress {
    Tcp(SocketAddr),
    /// An absolute path.
    Unix(PathBuf),
}

/// The name of a header, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderText(HeaderName);

/// A path, or with `*` at its end all that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(String);

/// A method of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodText(Method);

/// What a limit is called: 1 to 32 of a-z, 0-9, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitLabel(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address with a port, such as \"127.0.0.1:9465\", nor the path of a socket, such as \"/run/netguard/decision.sock\""
)]
pub struct DecisionAddressError(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a header: write one such as \"X-Api-Key\"")]
pub struct HeaderTextError(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no path of requests: it begins with a slash, has no query, and `*` only at its end, such as \"/login\" or \"/api/*\""
)]
pub struct PathPatternError(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no method of HTTP: write one such as \"POST\"")]
pub struct MethodTextError(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot name a limit: write 1 to 32 letters in lower case, digits, `-` or `_`")]
pub struct LimitLabelError(String);

impl HeaderText {
    pub fn name(&self) -> &HeaderName {
        &self.0
    }
}

impl PathPattern {
    /// Every path.
    pub fn all() -> Self {
        Self("/*".to_owned())
    }

    /// Whether `path`, which is in its normal form, is meant.
    pub fn fits(&self, path: &str) -> bool {
        match self.0.strip_suffix('*') {
            // "/api/*" means "/api", too: the normal form has no slash at its end.
            Some(start) => {
                path.starts_with(start) || start.strip_suffix('/').is_some_and(|whole| whole == path)
            }
            None => path == self.0,
        }
    }
}

impl MethodText {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl LimitLabel {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DecisionAddress {
    type Err = DecisionAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('/') && !text.ends_with('/') && !text.contains('\0') {
            return Ok(Self::Unix(text.into()));
        }
        let address = text.parse::<SocketAddr>().ok();
        let address = address.filter(|address| address.port() != 0);
        address
            .map(Self::Tcp)
            .ok_or_else(|| DecisionAddressError(shown(text)))
    }
}

impl FromStr for HeaderText {
    type Err = HeaderTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| HeaderTextError(shown(text)))
    }
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let start = text.strip_suffix('*').unwrap_or(text);
        let strange = |c: char| c.is_control() || matches!(c, '*' | '?' | '#' | '%' | ' ');
        if !text.starts_with('/') || start.contains(strange) || start.contains("//") {
            return Err(PathPatternError(shown(text)));
        }
        // In the normal form of a path a slash ends none but the first.
        let text = match text.strip_suffix('/') {
            Some(whole) if !whole.is_empty() => whole,
            _ => text,
        };
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for MethodText {
    type Err = MethodTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| MethodTextError(shown(text)))
    }
}

impl FromStr for LimitLabel {
    type Err = LimitLabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if (1..=32).contains(&text.len()) && text.chars().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(LimitLabelError(shown(text)))
        }
    }
}

impl fmt::Display for DecisionAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => path.display().fmt(out),
        }
    }
}

impl fmt::Display for HeaderText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_str().fmt(out)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for MethodText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_str().fmt(out)
    }
}

impl fmt::Display for LimitLabel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_paths_or_their_beginning() {
        let pattern = |text: &str| text.parse::<PathPattern>().unwrap();
        assert!(pattern("/login").fits("/login") && !pattern("/login").fits("/login2"));
        assert!(pattern("/login/").fits("/login"));
        let api = pattern("/api/*");
        assert!(api.fits("/api") && api.fits("/api/x/y") && !api.fits("/apix"));
        assert!(pattern("/a*").fits("/abc") && pattern("/a*").fits("/a"));
        assert!(PathPattern::all().fits("/") && PathPattern::all().fits("/x"));
        assert!(pattern("/").fits("/") && !pattern("/").fits("/x"));
        for bad in ["", "x", "/a?b", "/a*/b", "/a%20", "//a", "/a b"] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        for text in ["127.0.0.1:9465", "[::1]:1", "/run/x.sock"] {
            assert_eq!(text.parse::<DecisionAddress>().unwrap().to_string(), text);
        }
        for bad in ["127.0.0.1", "127.0.0.1:0", "x", "/", "/run/"] {
            assert!(bad.parse::<DecisionAddress>().is_err(), "{bad}");
        }
        assert_eq!(
            "X-Api-Key".parse::<HeaderText>().unwrap().to_string(),
            "x-api-key"
        );
        assert_eq!("POST".parse::<MethodText>().unwrap().to_string(), "POST");
    }
}
