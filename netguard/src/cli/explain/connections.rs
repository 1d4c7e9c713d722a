//! What the connection stage says of a source.

use std::net::IpAddr;

use netguard_common::layout::{Mode, Settings};
use serde::Serialize;

use super::super::output::seconds;
use crate::bpf::{BpfError, Connections, HeldBy, Pins, holder_text};

/// Connections of a source, or of its prefix.
#[derive(Serialize)]
pub(super) struct Holding {
    holder: String,
    connections: u32,
    /// `null`: any number.
    limit: Option<u32>,
    penalties: u32,
    /// How long no other is admitted; 0: it is now.
    refused_for_s: u64,
}

/// Those of `source`, while the stage is on.
pub(super) fn holdings(
    pins: &Pins,
    settings: &Settings,
    source: IpAddr,
    now_ns: u64,
) -> Result<Vec<Holding>, BpfError> {
    let limits = &settings.connections;
    if limits.mode == Mode::Off as u32 {
        return Ok(Vec::new());
    }
    let (source, prefix) = Connections::open(pins)?.of(source)?;
    let holding = |held: HeldBy| Holding {
        holder: holder_text(&held.holder),
        connections: held.count,
        limit: Some(limits.most(&held.holder)).filter(|most| *most != 0),
        penalties: held.penalties,
        refused_for_s: held.until_ns.saturating_sub(now_ns).div_ceil(1_000_000_000),
    };
    Ok([Some(source), prefix]
        .into_iter()
        .flatten()
        .map(holding)
        .collect())
}

impl Holding {
    /// Why it opens no connection now, where that is so.
    pub(super) fn refusal(&self) -> Option<String> {
        let limit = self.limit?;
        if self.refused_for_s > 0 {
            let left = seconds(self.refused_for_s);
            return Some(format!("{} opens no connection for {left}", self.holder));
        }
        (self.connections >= limit).then(|| format!("{} holds all {limit} that it may", self.holder))
    }

    /// How many it holds.
    pub(super) fn figure(&self) -> String {
        let most = self
            .limit
            .map_or_else(|| "any number".to_owned(), |limit| limit.to_string());
        format!("{} holds {} of {most}", self.holder, self.connections)
    }

    #[cfg(test)]
    pub(super) fn fixed(holder: &str, connections: u32, limit: u32, refused_for_s: u64) -> Self {
        Self {
            holder: holder.to_owned(),
            connections,
            limit: Some(limit),
            penalties: u32::from(refused_for_s > 0),
            refused_for_s,
        }
    }

    /// What people are told of it: nothing of one who is far from a limit.
    pub(super) fn sentence(&self) -> Option<String> {
        let limit = self.limit?;
        if self.refused_for_s > 0 {
            return Some(format!(
                "{} asked for more than {limit} connections, {} times in a row: it opens no more for {}",
                self.holder,
                self.penalties,
                seconds(self.refused_for_s)
            ));
        }
        (self.connections >= limit / 2).then(|| {
            format!(
                "{} holds {} connections, of {limit} that it may (`connections` in the configuration)",
                self.holder, self.connections
            )
        })
    }
}
