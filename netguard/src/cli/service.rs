//! `netguard service`: limits of single services, changed live.

use clap::Subcommand;
use hyper::Method;
use netguard_common::layout::{Cookies, Service, Settings};
use serde::Serialize;
use tabled::Tabled;

use super::{
    CliError, Context,
    alone::{alone, record},
    confirm::{self, ConfirmOption},
    limit::number,
    output::table,
};
use crate::{
    bpf::{Services, SettingsMap},
    config::{Burst, CookieMode, PolicyMode, RatePerSecond, ServicePort, TlsVersion},
    control::{Changed, Client, ClientError, ServiceChange, change_service, reset_service, risk, told},
    daemon::EventKind,
    engine::baseline::NormalTraffic,
};

#[derive(Subcommand, Debug)]
pub(super) enum ServiceCommand {
    /// Show the services for which something else than the common limits holds, and what becomes of their handshakes of TLS.
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

/// A service in force.
#[derive(Serialize, Tabled)]
struct Row {
    #[tabled(rename = "SERVICE")]
    service: String,
    #[tabled(rename = "RATE/S")]
    rate_per_s: u64,
    #[tabled(rename = "BURST")]
    burst: u64,
    /// `-` for UDP.
    #[tabled(rename = "COOKIES")]
    cookies: &'static str,
    /// `off`, or what becomes of handshakes below which version; `-` for UDP.
    #[tabled(rename = "TLS")]
    tls: String,
    /// Whether its rate is the common one.
    #[tabled(skip)]
    common: bool,
    /// What of it usually comes in a second, connection attempts or datagrams; absent where nobody knows.
    #[tabled(rename = "USUALLY P50/P95/P99", display("usual_text"))]
    usual: Option<Usual>,
}

/// Values that a second seldom exceeds.
#[derive(Serialize)]
struct Usual {
    p50: f64,
    p95: f64,
    p99: f64,
    /// Seconds that were learnt.
    learnt_s: u64,
}

fn usual_text(usual: &Option<Usual>) -> String {
    match usual {
        Some(usual) => format!("{:.0}/{:.0}/{:.0}", usual.p50, usual.p95, usual.p99),
        None => "-".to_owned(),
    }
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
        ServiceCommand::List => list(context).await,
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

async fn list(context: &Context) -> Result<(), CliError> {
    // A dead daemon knows nothing of what is usual; the limits hold all the same.
    let normal: NormalTraffic = match Client::connect(&context.instance).await {
        Ok(mut client) => client.request(Method::GET, "/v1/normal", None::<&()>).await?,
        Err(_) => NormalTraffic::default(),
    };
    let settings = SettingsMap::open(&context.pins)?.read()?;
    let rows: Vec<Row> = Services::open(&context.pins)?
        .list()?
        .iter()
        .filter_map(|entry| row(entry, &settings, &normal))
        .collect();
    context.output.print(&rows, |rows| {
        if rows.is_empty() {
            return "the common limits hold for every service: `netguard limit list` shows them".to_owned();
        }
        table(rows, &[1, 2])
    })
}

fn row(entry: &Service, settings: &Settings, normal: &NormalTraffic) -> Option<Row> {
    let service = ServicePort::new(entry.protocol, entry.port)?;
    let usual = normal.services.get(&service.to_string()).map(|normal| {
        let normal = if service.is_tcp() {
            normal.opening
        } else {
            normal.packets
        };
        Usual {
            p50: normal.median,
            p95: normal.p95,
            p99: normal.p99,
            learnt_s: normal.learnt_s,
        }
    });
    let common = entry.common != 0;
    let (rate, cookies) = match (common, service.is_tcp()) {
        (false, _) => (entry.rate, u32::from(entry.cookies)),
        (true, true) => (settings.service_syn, settings.cookies),
        (true, false) => (settings.levels.service_udp, 0),
    };
    let (mode, minimum) = told::floor_of(Some(entry));
    Some(Row {
        usual,
        service: service.to_string(),
        rate_per_s: rate.per_second(),
        burst: rate.burst(),
        tls: match (service.is_tcp(), mode) {
            (false, _) => "-".to_owned(),
            (true, PolicyMode::Off) => "off".to_owned(),
            (true, mode) => format!("{} {}", mode.name(), minimum.name()),
        },
        common,
        cookies: match (service.is_tcp(), Cookies::from_number(cookies)) {
            (false, _) => "-",
            (true, Cookies::Off) => "off",
            (true, Cookies::Auto) => "auto",
            (true, Cookies::Always) => "always",
        },
    })
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
