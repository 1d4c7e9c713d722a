//! Who asks servers: what it trusts, where it follows, and how long it waits. It does not ask.

use std::{fs, path::Path, sync::Arc};

use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::{FetchError, Request};

pub(super) fn agent(request: &Request) -> Result<Agent, FetchError> {
    let encrypted = request.url.starts_with("https:");
    let mut config = Agent::config_builder()
        .https_only(encrypted)
        .http_status_as_error(false)
        .timeout_global(Some(request.timeout))
        .user_agent(concat!("netguard/", env!("CARGO_PKG_VERSION")))
        // What is secret is not shown to whom a server points.
        .max_redirects(if encrypted && request.header_file.is_none() {
            5
        } else {
            0
        })
        .max_redirects_will_error(request.header_file.is_none() && encrypted);
    if encrypted {
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(authorities(request.ca.as_deref())?);
        config = config.tls_config(tls.build());
    }
    Ok(config.build().new_agent())
}

fn authorities(ca: Option<&Path>) -> Result<RootCerts, FetchError> {
    let Some(file) = ca else {
        let system = rustls_native_certs::load_native_certs().certs;
        if system.is_empty() {
            return Err(FetchError::NoAuthorities);
        }
        return Ok(system
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .into());
    };
    let pem = fs::read(file).map_err(|source| FetchError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(FetchError::NoCertificate(file.to_owned()));
    }
    Ok(certificates.into())
}
