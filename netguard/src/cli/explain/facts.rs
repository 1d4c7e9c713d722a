//! What stands in the kernel's tables, and what the daemon remembers, about one source at one moment. It judges nothing.

use std::net::IpAddr;

use hyper::Method;
use netguard_common::{
    layout::{Mode, Settings},
    signature::Signature,
};

use super::{
    super::{CliError, Context},
    connections::{Holding, holdings},
};
use crate::{
    bpf::{
        Entry, LimitLevel, List, OwnAddresses, Proven, Ranges, Rules, SettingsMap, Signatures, limit_levels,
    },
    clock::monotonic_ns,
    control::{Client, ClientError, SourceReport},
    host,
};

/// Whatever an explanation is made of.
pub(super) struct Facts {
    pub(super) address: IpAddr,
    /// When they were looked at, monotonic.
    pub(super) now_ns: u64,
    pub(super) settings: Settings,
    /// The rules that hold for it.
    pub(super) matching: Vec<(List, Entry)>,
    pub(super) levels: Vec<LimitLevel>,
    pub(super) report: SourceReport,
    /// Established TCP connections with this machine.
    pub(super) connections: u32,
    /// Whether it had such a connection lately, as the datapath sees it.
    pub(super) is_proven: bool,
    /// Whether it is an address of this machine.
    pub(super) is_own: bool,
    pub(super) holdings: Vec<Holding>,
    /// Those in force, with their numbers.
    pub(super) signatures: Vec<(u32, Signature)>,
}

impl Facts {
    pub(super) async fn of(context: &Context, address: IpAddr) -> Result<Self, CliError> {
        let now_ns = monotonic_ns();
        let pins = &context.pins;
        let settings = SettingsMap::open(pins)?.read()?;
        let tables = Rules::open(pins)?;
        let mut matching = Vec::new();
        for list in [List::Allow, List::Block] {
            let entries = tables.matching(list, address, now_ns)?;
            matching.extend(entries.into_iter().map(|entry| (list, entry)));
        }
        let report = report(context, address).await?;
        let connections = match report.connections {
            Some(connections) => connections,
            // No daemon: this process may stand in another network namespace, but nobody else can be asked.
            None => host::established_peers()?.all.get(&address).copied().unwrap_or(0),
        };
        let proven_until_ns = Proven::open(pins)?.until_ns(address)?;
        let signatures = Signatures::open(pins)?.list(now_ns)?.into_iter();
        Ok(Self {
            address,
            now_ns,
            matching,
            levels: limit_levels(pins, address, now_ns)?,
            report,
            connections,
            is_proven: proven_until_ns.is_some_and(|until_ns| until_ns > now_ns),
            is_own: OwnAddresses::open(pins)?.contains(address)?,
            holdings: holdings(pins, &settings, address, now_ns)?,
            signatures: signatures.map(|(id, signature, _)| (id, signature)).collect(),
            settings,
        })
    }

    pub(super) fn on(&self, wanted: List) -> impl Iterator<Item = &Entry> {
        let on_it = self.matching.iter().filter(move |(list, _)| *list == wanted);
        on_it.map(|(_, entry)| entry)
    }

    pub(super) fn connection_mode(&self) -> Mode {
        Mode::from_number(self.settings.connections.mode)
    }
}

/// What the daemon remembers; when it is dead, no more than whether the kernel has lists: those are not to be read back.
async fn report(context: &Context, address: IpAddr) -> Result<SourceReport, CliError> {
    match Client::connect(&context.instance).await {
        Ok(mut client) => Ok(client
            .request(Method::GET, &format!("/v1/sources/{address}"), None::<&()>)
            .await?),
        Err(ClientError::NotRunning) => {
            let are_set = Ranges::open(&context.pins)?.is_set();
            Ok(SourceReport {
                lists_unknown: are_set.then(|| DEAD.to_owned()),
                ..SourceReport::default()
            })
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) const DEAD: &str = "lists are in force, and only a daemon can say what is on them: `netguard run`";
