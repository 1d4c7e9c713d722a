//! What holds for single services, as requests say it; the same code in the daemon, and in the command line when it is dead.

use netguard_common::{layout::Service as Entry, service::FREE};
use serde::{Deserialize, Serialize};

use super::RequestError;
use crate::{
    bpf::Services,
    config::{CookieMode, PolicyMode, RatePerSecond, Service, ServicePort, TlsVersion},
    daemon::service_entry,
};

/// Body of `PUT /v1/services/{protocol}/{port}`: what is to change. Limits belong together; without `rate_per_s` they stay what they are, as
/// what is said of TLS does where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceChange {
    #[serde(default)]
    pub rate_per_s: Option<u32>,
    /// The rate, if not given.
    #[serde(default)]
    pub burst: Option<u32>,
    /// TCP only.
    #[serde(default)]
    pub cookies: CookieMode,
    /// What becomes of handshakes below the floor; TCP only.
    #[serde(default)]
    pub tls: Option<PolicyMode>,
    #[serde(default)]
    pub tls_minimum: Option<TlsVersion>,
}

/// Makes `change` hold for the service at `port`; answers what does: `None`, the common limits and nothing else.
///
/// # Errors
/// When a number is out of range, or there are too many services.
pub fn change_service(
    services: &mut Services,
    port: ServicePort,
    change: ServiceChange,
) -> Result<Option<Entry>, RequestError> {
    let number = |number| RatePerSecond::new(number).ok_or(RequestError::OutOfRange(number));
    let standing = services.of(port.protocol(), port.port())?;
    let wanted = Service {
        speaks: None,
        port,
        rate_per_s: change.rate_per_s.map(number).transpose()?,
        burst: change.burst.or(change.rate_per_s).map(number).transpose()?,
        cookies: change.cookies,
        tls: change.tls,
        tls_minimum: change.tls_minimum,
    };
    refuse_senseless(&wanted)?;
    let entry = service_entry(&wanted);
    let limits = match standing {
        Some(standing) if wanted.rate_per_s.is_none() => standing,
        _ => entry,
    };
    let floor = standing.unwrap_or(FREE);
    let entry = Entry {
        rate: limits.rate,
        cookies: limits.cookies,
        common: limits.common,
        tls: change.tls.map_or(floor.tls, |_| entry.tls),
        tls_minimum: change
            .tls_minimum
            .map_or(floor.tls_minimum, |_| entry.tls_minimum),
        ..entry
    };
    if entry.common != 0 && entry.tls == 0 {
        services.remove(port.protocol(), port.port())?;
        return Ok(None);
    }
    services.set(entry)?;
    Ok(Some(entry))
}

fn refuse_senseless(wanted: &Service) -> Result<(), RequestError> {
    let port = wanted.port;
    let floor = wanted.tls.is_some() || wanted.tls_minimum.is_some();
    let why = if !port.is_tcp() && wanted.cookies != CookieMode::default() {
        "takes no connections: SYN cookies are for TCP services"
    } else if !port.is_tcp() && floor {
        "takes no connections: the floor of TLS is for TCP services"
    } else if wanted.rate_per_s.is_none() && !floor {
        "stays as it is: say what is to change, its rate or what becomes of TLS"
    } else if wanted.rate_per_s.is_none()
        && (wanted.burst.is_some() || wanted.cookies != CookieMode::default())
    {
        "has no burst or cookies without a rate: add --rate"
    } else {
        return Ok(());
    };
    Err(RequestError::Service(format!("{port} {why}")))
}

/// Lets the common limits hold for the service at `port` again; tells whether others did.
///
/// # Errors
/// When the kernel refuses.
pub fn reset_service(services: &mut Services, port: ServicePort) -> Result<bool, RequestError> {
    Ok(services.remove(port.protocol(), port.port())?)
}

/// The service that is called `name`.
///
/// # Errors
/// When there is none.
pub fn service_named(name: &str) -> Result<ServicePort, RequestError> {
    name.parse().map_err(RequestError::Service)
}
