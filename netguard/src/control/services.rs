//! What holds for single services, as requests say it; the same code in the daemon, and in the command line when it is dead.

use netguard_common::layout::Service as Entry;
use serde::{Deserialize, Serialize};

use super::RequestError;
use crate::{
    bpf::Services,
    config::{CookieMode, RatePerSecond, Service, ServicePort},
    daemon::service_entry,
};

/// Body of `PUT /v1/services/{protocol}/{port}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceChange {
    pub rate_per_s: u32,
    pub burst: u32,
    /// TCP only.
    pub cookies: CookieMode,
}

/// Makes `change` hold for the service at `port`; answers what does.
///
/// # Errors
/// When a number is out of range, or there are too many services.
pub fn change_service(
    services: &mut Services,
    port: ServicePort,
    change: ServiceChange,
) -> Result<Entry, RequestError> {
    let number = |number| RatePerSecond::new(number).ok_or(RequestError::OutOfRange(number));
    let service = Service {
        port,
        rate_per_s: number(change.rate_per_s)?,
        burst: number(change.burst)?,
        cookies: change.cookies,
    };
    if !service.port.is_tcp() && change.cookies != CookieMode::default() {
        return Err(RequestError::Service(format!(
            "{port} takes no connections: SYN cookies are for TCP services"
        )));
    }
    let entry = service_entry(&service);
    services.set(entry)?;
    Ok(entry)
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
