//! `netguard service`: limits of single services, changed live.

mod list;

use clap::Subcommand;
use hyper::Method;
use serde::Serialize;

use super::{
    CliError, Context,
    alone::{alone, record},
    confirm::{self, ConfirmOption},
    limit::number,
};
use crate::{
    bpf::{Services, SettingsMap},
    config::{Burst, CookieMode, PolicyMode, RatePerSecond, ServicePort, TlsVersion},
    control::{Changed, Client, ClientError, ServiceChange, change_service, reset_service, risk, told},
    daemon::EventKind,
};

#[derive(Subcommand, Debug)]
pub(super) enum ServiceCommand {
    /// Show the services for which something else than the common limits holds, what becomes of their handshakes of TLS, and those of which is
    /// known what usually comes.
    List,
    /// Change what holds for a service at once; a restart of the daemon goes back to the configuration.
    Set {
        /// Protocol and port, such as udp/53.
        service: ServicePort,
        /// UDP: packets per second by all sources together. TCP: connection attempts that are left alone.
        #[arg(long, value_parser = number, required_unless_present_any = ["tls", "tls_minimum"])]
        rate: Option<RatePerSecond>,
        /// Packets that may come at once; the same as the rate if not given.
        #[arg(long, value_parser = number, requires = "rate")]
        burst: Option<Burst>,
        /// TCP: when it is answered for with SYN cookies; auto if not given.
        #[arg(long, value_enum, requires = "rate")]
        cookies: Option<CookieMode>,
        /// TCP: what becomes of handshakes of TLS below the floor, that is of an older version, without AEAD or without forward secrecy.
        #[arg(long, value_enum)]
        tls: Option<PolicyMode>,
        /// The lowest version of TLS that the floor lets through.
        #[arg(long, value_enum)]
        tls_minimum: Option<TlsVersion>,
        #[command(flatten)]
        confirm: ConfirmOption,
    },
    /// Let the common limits hold for a service again.
    Reset {
        /// Protocol and port, such as udp/53.
        service: ServicePort,
    },
}

/// Answer to `reset`.
#[derive(Serialize)]
struct Reset {
    service: String,
    /// `reset`, or `absent`.
    outcome: &'static str,
}

pub(super) async fn run(context: &Context, command: ServiceCommand) -> Result<(), CliError> {
    match command {
        ServiceCommand::List => list::list(context).await,
        ServiceCommand::Set {
            service,
            rate,
            burst,
            cookies,
            tls,
            tls_minimum,
            confirm,
        } => {
            let rate_per_s = rate.map(|rate| rate.value());
            let change = ServiceChange {
                rate_per_s,
                burst: burst.map(|burst| burst.value()).or(rate_per_s),
                cookies: cookies.unwrap_or_default(),
                tls,
                tls_minimum,
            };
            set(context, service, change, confirm).await
        }
        ServiceCommand::Reset { service } => reset(context, service).await,
    }
}

async fn set(
    context: &Context,
    service: ServicePort,
    change: ServiceChange,
    confirm: ConfirmOption,
) -> Result<(), CliError> {
    let changed = match Client::connect(&context.instance).await {
        Ok(mut client) => {
            let path = confirm.ask(&format!("/v1/services/{service}"));
            client.request(Method::PUT, &path, Some(&change)).await?
        }
        Err(ClientError::NotRunning) => {
            let _lock = alone(context).await?;
            let mut services = Services::open(&context.pins)?;
            let settings = SettingsMap::open(&context.pins)?.read()?;
            let risk = |rate_per_s| risk::of_service(&settings, service, None, rate_per_s);
            confirm.alone(|_| change.rate_per_s.and_then(risk), "")?;
            let set = change_service(&mut services, service, change)?;
            record(
                context,
                told::service_changed(service.to_string(), change, set.as_ref()),
            );
            Changed {
                change,
                unconfirmed: None,
            }
        }
        Err(error) => return Err(error.into()),
    };
    context.output.print(&changed, |Changed { change, unconfirmed }| {
        format!(
            "{}; the next start of the daemon takes the configuration's again{}",
            said(service, change),
            confirm::told(unconfirmed.as_ref())
        )
    })
}

/// What holds for `service` by `change`.
fn said(service: ServicePort, change: &ServiceChange) -> String {
    let limits = change.rate_per_s.map(|rate_per_s| {
        let what = if service.is_tcp() {
            "connection attempts/s before cookies are asked for"
        } else {
            "packets/s from all sources together"
        };
        let burst = change.burst.unwrap_or(rate_per_s);
        format!("{service} gets {rate_per_s} {what} now, bursts of {burst}")
    });
    let floor = change.tls.map(|mode| match mode {
        PolicyMode::Off => format!("handshakes of TLS at {service} are not judged now"),
        PolicyMode::Shadow => {
            format!("handshakes of TLS at {service} that are below the floor are counted now")
        }
        PolicyMode::Enforce => {
            format!("handshakes of TLS at {service} that are below the floor are ended now")
        }
    });
    let minimum = change
        .tls_minimum
        .map(|minimum| format!("the floor of {service} is TLS {} now", minimum.name()));
    let said: Vec<String> = [limits, floor, minimum].into_iter().flatten().collect();
    said.join("; ")
}

async fn reset(context: &Context, service: ServicePort) -> Result<(), CliError> {
    let was_set = match Client::connect(&context.instance).await {
        Ok(mut client) => {
            let path = format!("/v1/services/{service}");
            client.request(Method::DELETE, &path, None::<&()>).await?
        }
        Err(ClientError::NotRunning) => {
            let _lock = alone(context).await?;
            let was_set = reset_service(&mut Services::open(&context.pins)?, service)?;
            let service = service.to_string();
            record(context, was_set.then_some(EventKind::ServiceReset { service }));
            was_set
        }
        Err(error) => return Err(error.into()),
    };
    let reset = Reset {
        service: service.to_string(),
        outcome: if was_set { "reset" } else { "absent" },
    };
    context.output.print(&reset, |reset| match was_set {
        true => format!("the common limits hold for {} again", reset.service),
        false => format!(
            "{} has no limits of its own (`netguard service list` shows what has)",
            reset.service
        ),
    })?;
    if was_set { Ok(()) } else { Err(CliError::Negative) }
}
