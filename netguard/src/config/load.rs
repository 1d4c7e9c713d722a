//! Reading a configuration file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::Error as _;

use super::{Config, Mistake, decision, lists};

/// No sensible configuration is longer; long blocklists belong in `netguard block import`.
const MAX_BYTES: u64 = 16 << 20;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error("{path} does not exist: write one with `netguard config default > {path}`, or run without a file on the defaults", path = .0.display())]
    Missing(PathBuf),
    /// The file is there but cannot be read.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not a text of acceptable length.
    #[error("{path} is not a configuration file: {why}", path = .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: &'static str,
    },
    /// The text is not TOML, or not a configuration.
    #[error(transparent)]
    Invalid(Box<Mistake>),
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When the file is missing, unreadable, not text, not TOML, or says something that makes no sense.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => ConfigError::Missing(path.to_owned()),
            _ => ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            },
        };
        let not_text = |why| ConfigError::NotText {
            path: path.to_owned(),
            why,
        };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(not_text("it is longer than 16 MiB"));
        }
        let text = String::from_utf8(bytes).map_err(|_| not_text("it is not UTF-8 text"))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses `text`; `name` is what errors call it.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the place of the first mistake.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let mistake = |error| ConfigError::Invalid(Box::new(Mistake::new(name, text, &error)));
        let config = toml::from_str(text).map_err(mistake)?;
        for fits in [lists::fit, decision::fit] {
            fits(&config).map_err(|sentence| mistake(toml::de::Error::custom(sentence)))?;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Attach, DEFAULT_TOML, LogFormat, Mode, OnExit, PolicyMode};

    #[test]
    fn the_default_file_says_what_the_defaults_are() {
        assert_eq!(
            Config::parse("default.toml", DEFAULT_TOML).unwrap(),
            Config::default()
        );
        // Every key stands in the file: as tables, file and defaults are equal too.
        let file: toml::Table = toml::from_str(DEFAULT_TOML).unwrap();
        let mut defaults = toml::Table::try_from(Config::default()).unwrap();
        // A duration has more than one spelling.
        defaults["detect"]["flooder"]["block_for"] = "60s".into();
        defaults["guard"]["confirm"] = "60s".into();
        assert_eq!(file, defaults);
    }

    #[test]
    fn reads_every_key() {
        let text = r#"
            interfaces = ["eth0", "eth1"]
            mode = "shadow"
            attach = "generic"
            on_exit = "detach"
            allow = ["192.0.2.0/24"]
            block = ["198.51.100.7", "2001:db8::/32"]
            sanity.mode = "off"
            limit = { mode = "shadow", syn = { rate_per_s = 7, burst = 9 }, prefix.udp = { rate_per_s = 5, burst = 6 } }
            dns.truncate_ports = []
            service = [{ port = "tcp/443", rate_per_s = 3, burst = 4, cookies = "always" }]
            detect.flooder.block_for = "10m"
            guard.never_block = ["203.0.113.0/24"]
            log = { format = "json", level = "debug" }
            tables.block_prefixes = 1
        "#;
        let config = Config::parse("test.toml", text).unwrap();
        assert_eq!(config.interfaces[1].as_str(), "eth1");
        assert_eq!(
            (config.mode, config.attach, config.on_exit),
            (Mode::Shadow, Attach::Generic, OnExit::Detach)
        );
        assert_eq!(config.block[0].to_string(), "198.51.100.7/32");
        assert_eq!(
            (config.sanity.mode, config.blocklist.mode),
            (PolicyMode::Off, PolicyMode::Enforce)
        );
        assert_eq!(
            (
                config.limit.syn.rate_per_s.value(),
                config.limit.udp.burst.value()
            ),
            (7, 20_000)
        );
        assert_eq!(config.limit.prefix.udp.map(|limit| limit.burst.value()), Some(6));
        assert_eq!(
            (config.limit.prefix.syn, config.dns.truncate_ports.padded()),
            (None, [0; 4])
        );
        assert_eq!(config.service[0].port.to_string(), "tcp/443");
        assert_eq!(config.detect.flooder.block_for.duration().as_secs(), 600);
        assert_eq!(
            (config.log.format, config.log.level.as_str()),
            (LogFormat::Json, "debug")
        );
        assert_eq!(config.tables.block_prefixes.value(), 1);
        let again = Config::parse("again", &toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("none.toml");
        let error = Config::load(&missing).unwrap_err().to_string();
        assert!(
            error.contains("none.toml does not exist: write one with `netguard config default >"),
            "{error}"
        );
        let error = Config::load(directory.path()).unwrap_err().to_string();
        assert!(error.contains("cannot be read: "), "{error}");
        let binary = directory.path().join("binary.toml");
        std::fs::write(&binary, [0xff, 0xfe]).unwrap();
        let error = Config::load(&binary).unwrap_err().to_string();
        assert!(error.contains("is not UTF-8 text"), "{error}");
        let good = directory.path().join("good.toml");
        std::fs::write(&good, DEFAULT_TOML).unwrap();
        assert_eq!(Config::load(&good).unwrap(), Config::default());
    }
}
