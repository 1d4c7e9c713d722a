//! What holds for single services, as requests say it; the same code in the daemon, and in the command line when it is dead.

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

/// Makes `change` hold for the service that is called `name`.
///
/// # Errors
/// When there is no such service, a number is out of range, or there are too many services.
pub fn change_service(
    services: &mut Services,
    name: &str,
    change: ServiceChange,
) -> Result<(), RequestError> {
    let number = |number| RatePerSecond::new(number).ok_or(RequestError::OutOfRange(number));
    let service = Service {
        port: named(name)?,
        rate_per_s: number(change.rate_per_s)?,
        burst: number(change.burst)?,
        cookies: change.cookies,
    };
    if !service.port.is_tcp() && change.cookies != CookieMode::default() {
        return Err(RequestError::Service(format!(
            "{name} takes no connections: SYN cookies are for TCP services"
        )));
    }
    Ok(services.set(service_entry(&service))?)
}

/// Lets the common limits hold for the service that is called `name` again; tells whether others did.
///
/// # Errors
/// When there is no such service, or the kernel refuses.
pub fn reset_service(services: &mut Services, name: &str) -> Result<bool, RequestError> {
    let service = named(name)?;
    Ok(services.remove(service.protocol(), service.port())?)
}

fn named(name: &str) -> Result<ServicePort, RequestError> {
    name.parse().map_err(RequestError::Service)
}
