//! Limits in the kernel that are not those of the configuration: a person changed them, or a daemon that is gone did so because of an
//! attack and could not take it back. It changes nothing.

use std::collections::BTreeMap;

use netguard_common::{
    layout::{Rate, Service, Settings},
    state::Reach,
};

use super::{
    configuration,
    settings::{services, settings},
};
use crate::{
    bpf::{BpfError, InstanceName, Pins, Services, SettingsMap},
    config::ServicePort,
    control::{LimitName, told},
};

/// What stands in the maps of `instance` and is not as the last start was told, such as `udp/53 at 100/s instead of 20000/s`. Nothing where
/// that is not known: it is kept beside the audit trail.
///
/// # Errors
/// When a map cannot be read.
pub fn changed_limits(pins: &Pins, instance: &InstanceName) -> Result<Vec<String>, BpfError> {
    let Some(config) = configuration::last_of(instance) else {
        return Ok(Vec::new());
    };
    let standing = SettingsMap::open(pins)?.read()?;
    // How far the table of sockets is believed is no limit.
    let wanted = settings(&config, &standing, Reach::All);
    let mut changed = common(&standing, &wanted);
    changed.extend(single(&Services::open(pins)?.list()?, &services(&config)));
    Ok(changed)
}

fn common(standing: &Settings, wanted: &Settings) -> Vec<String> {
    let changed = LimitName::all().filter(|name| name.rate(standing) != name.rate(wanted));
    changed
        .map(|name| {
            let [is, was] = [standing, wanted].map(|settings| rate(name.rate(settings)));
            format!("{name} at {is} instead of {was}")
        })
        .collect()
}

fn single(standing: &[Service], wanted: &[Service]) -> Vec<String> {
    let named = |services: &[Service]| -> BTreeMap<String, Service> {
        let named = services.iter().filter_map(|service| {
            let port = ServicePort::new(service.protocol, service.port)?;
            Some((port.to_string(), *service))
        });
        named.collect()
    };
    let (standing, wanted) = (named(standing), named(wanted));
    let told = |service: Option<&Service>| {
        service.map_or_else(|| "the common limits".to_owned(), |service| rate(service.rate))
    };
    let names = standing
        .keys()
        .chain(wanted.keys().filter(|name| !standing.contains_key(*name)));
    names
        .map(|name| (name, standing.get(name), wanted.get(name)))
        .filter(|(_, is, was)| is != was)
        .map(|(name, is, was)| match (told(is), told(was)) {
            (is, was) if is == was => format!("{name} at {is} with other SYN cookies"),
            (is, was) => format!("{name} at {is} instead of {was}"),
        })
        .collect()
}

fn rate(rate: Rate) -> String {
    match rate.interval_ns {
        0 => told::rate(rate),
        _ => format!("{} (bursts of {})", told::rate(rate), rate.burst()),
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::{layout::Cookies, shared::Field as _};

    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_not_as_configured_is_told() {
        let wanted = settings(&Config::default(), &Settings::ZERO, Reach::All);
        assert_eq!(common(&wanted, &wanted), [""; 0]);
        let mut standing = wanted;
        let udp = LimitName::parse("udp").expect("a limit");
        udp.write(&mut standing, Rate::new(7, 9));
        assert_eq!(
            common(&standing, &wanted),
            ["udp at 7/s (bursts of 9) instead of 10000/s (bursts of 20000)"]
        );

        let service = |port, rate_per_s, cookies: Cookies| Service {
            rate: Rate::new(rate_per_s, rate_per_s),
            port,
            protocol: 6,
            cookies: cookies as u8,
            ..Service::ZERO
        };
        let configured = [
            service(22, 50, Cookies::Auto),
            service(80, 500, Cookies::Auto),
            service(443, 9, Cookies::Auto),
        ];
        let now = [
            service(22, 50, Cookies::Auto),
            service(80, 20, Cookies::Always),
            service(443, 9, Cookies::Always),
            service(25, 3, Cookies::Always),
        ];
        assert_eq!(single(&configured, &configured), [""; 0]);
        assert_eq!(
            single(&now, &configured),
            [
                "tcp/25 at 3/s (bursts of 3) instead of the common limits",
                "tcp/443 at 9/s (bursts of 9) with other SYN cookies",
                "tcp/80 at 20/s (bursts of 20) instead of 500/s (bursts of 500)",
            ]
        );
        assert_eq!(
            single(&[], &configured[..1]),
            ["tcp/22 at the common limits instead of 50/s (bursts of 50)"]
        );
    }
}
