//! What a configuration may say, but hardly means.

use std::collections::BTreeSet;

use super::Config;

impl Config {
    /// What is accepted but probably not meant, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut seen = BTreeSet::new();
        for name in &self.interfaces {
            if !seen.insert(name) {
                warnings.push(format!(
                    "interface {name} is listed more than once in `interfaces`"
                ));
            }
        }
        for block in &self.block {
            let block = block.prefix();
            for allow in &self.allow {
                if *allow == block {
                    warnings.push(format!(
                        "{block} is both in `allow` and in `block`: it passes, allow wins"
                    ));
                } else if allow.covers(&block) {
                    warnings.push(format!(
                        "{block} in `block` lies within {allow} in `allow`: it passes, allow wins"
                    ));
                }
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_about_what_is_probably_not_meant() {
        let text = r#"
            interfaces = ["eth0", "eth0"]
            allow = ["10.0.0.0/8", "2001:db8::/32"]
            block = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1"]
        "#;
        let warnings = Config::parse("test.toml", text).unwrap().warnings();
        assert_eq!(warnings.len(), 3, "{warnings:#?}");
        assert!(warnings[1].contains("10.0.0.0/8 is both in `allow` and in `block`: it passes"));
        assert_eq!(Config::default().warnings(), Vec::<String>::new());
    }
}
