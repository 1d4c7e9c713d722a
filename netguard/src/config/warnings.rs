//! What a configuration may say, but hardly means.

use std::collections::BTreeSet;

use super::{Config, CookieMode, CookieTimestamps};

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
        let mut seen = BTreeSet::new();
        for service in &self.service {
            let port = service.port;
            if !seen.insert(port) {
                warnings.push(format!(
                    "{port} is more than once in `service`: the last one holds"
                ));
            }
            if !port.is_tcp() && service.cookies != CookieMode::default() {
                warnings.push(format!(
                    "{port} takes no connections: `cookies` means nothing for it"
                ));
            }
            if !port.is_tcp() && service.tls.is_some() {
                warnings.push(format!("{port} takes no connections: `tls` means nothing for it"));
            }
            if !port.is_tcp() && service.speaks.is_some() {
                warnings.push(format!(
                    "{port} takes no connections: `speaks` means nothing for it"
                ));
            }
            if service.tls.is_none() && service.tls_minimum.is_some() {
                warnings.push(format!(
                    "{port} has `tls_minimum` without `tls`: no handshake is judged"
                ));
            }
        }
        let cookies = &self.syn_cookies;
        if cookies.timestamps == CookieTimestamps::Manage && !cookies.manage_sysctls {
            warnings.push(
                "`syn_cookies.timestamps` is not managed while `syn_cookies.manage_sysctls` is off"
                    .to_owned(),
            );
        }
        if let Some(listen) = self.metrics.listen
            && !listen.is_private()
        {
            warnings.push(format!(
                "`metrics.listen` is {listen}: whoever reaches that address may read what the filter counts"
            ));
        }
        warnings.extend(self.decision_warnings());
        let reputation = &self.reputation;
        if reputation.release_below > reputation.block_from {
            warnings.push(
                "`reputation.release_below` is above `reputation.block_from`, which then holds for both"
                    .to_owned(),
            );
        }
        if reputation.block_for_at_most < self.detect.flooder.block_for {
            warnings.push(
                "`reputation.block_for_at_most` is shorter than `detect.flooder.block_for`: no block is longer than that one"
                    .to_owned(),
            );
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
            metrics.listen = "[::]:9464"
            allow = ["10.0.0.0/8", "2001:db8::/32"]
            syn_cookies = { timestamps = "manage", manage_sysctls = false }
            block = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1"]
            service = [
                { port = "udp/53", rate_per_s = 1, burst = 1 },
                { port = "udp/53", rate_per_s = 1, burst = 1, cookies = "always" },
                { port = "udp/443", tls = "enforce" },
                { port = "tcp/443", rate_per_s = 1, burst = 1, tls_minimum = "1.2" },
            ]
        "#;
        let warnings = Config::parse("test.toml", text).unwrap().warnings();
        assert_eq!(warnings.len(), 9, "{warnings:#?}");
        assert!(warnings[1].contains("udp/53 is more than once"));
        assert!(warnings[2].contains("takes no connections"));
        assert!(warnings[3].contains("`tls` means nothing"));
        assert!(warnings[4].contains("tcp/443 has `tls_minimum` without"));
        assert!(warnings[5].contains("`syn_cookies.timestamps` is not managed"));
        assert!(warnings[6].contains("`metrics.listen` is [::]:9464"));
        assert!(warnings[7].contains("10.0.0.0/8 is both in `allow` and in `block`: it passes"));
        let text = r#"
            reputation = { block_from = 20, block_for_at_most = "10s" }
        "#;
        let warnings = Config::parse("test.toml", text).unwrap().warnings();
        assert_eq!(warnings.len(), 2, "{warnings:#?}");
        assert_eq!(Config::default().warnings(), Vec::<String>::new());
    }
}
