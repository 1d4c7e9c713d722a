//! What a source was found to do to an application, with the evidence.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::engine::Account;

/// What a source does to an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offence {
    /// It asks for more than the limit of requests of a source.
    HttpFlood,
    /// It asks for one endpoint more than the limit of one.
    EndpointFlood,
    /// It asks for the same path with ever new queries, which no cache knows.
    CacheBusting,
    /// It asks for what does not exist, one thing after another.
    Enumeration,
    /// It tries one password after another.
    CredentialStuffing,
    /// What it asks for costs this server more time than the limit.
    CostlyRequests,
    /// It breaks the protocol, or tries to break in.
    HttpViolation,
    /// It opens streams of HTTP/2 and gives them up.
    RapidReset,
    /// It begins handshakes of TLS, more than the limit, or without end.
    HandshakeFlood,
    /// It speaks another protocol than the service.
    ForeignProtocol,
    /// It does not end the heads of its requests.
    SlowHeads,
}

impl Offence {
    pub const ALL: [Self; 11] = [
        Self::HttpFlood,
        Self::EndpointFlood,
        Self::CacheBusting,
        Self::Enumeration,
        Self::CredentialStuffing,
        Self::CostlyRequests,
        Self::HttpViolation,
        Self::RapidReset,
        Self::HandshakeFlood,
        Self::ForeignProtocol,
        Self::SlowHeads,
    ];

    /// Whether it is about how many requests there are.
    pub const fn is_of_requests(self) -> bool {
        matches!(
            self,
            Self::HttpFlood
                | Self::EndpointFlood
                | Self::CacheBusting
                | Self::CostlyRequests
                | Self::RapidReset
        )
    }

    /// Whether it is about nothing else.
    pub const fn is_of_volume(self) -> bool {
        matches!(self, Self::HttpFlood | Self::EndpointFlood)
    }

    /// The word that the command line and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HttpFlood => "http-flood",
            Self::EndpointFlood => "endpoint-flood",
            Self::CacheBusting => "cache-busting",
            Self::Enumeration => "enumeration",
            Self::CredentialStuffing => "credential-stuffing",
            Self::CostlyRequests => "costly-requests",
            Self::HttpViolation => "http-violation",
            Self::RapidReset => "rapid-reset",
            Self::HandshakeFlood => "handshake-flood",
            Self::ForeignProtocol => "foreign-protocol",
            Self::SlowHeads => "slow-heads",
        }
    }
}

/// A source and what it was found to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub account: Account,
    /// The address of the account that it was seen from last.
    pub source: IpAddr,
    /// The TCP port of the service.
    pub port: u16,
    pub offence: Offence,
    /// For people, at most 96 bytes: figures, limit, an example ("GET /search: 812 of 850 queries were new").
    pub evidence: String,
    /// Requests, hellos or conversations that it is about, estimated.
    pub count: u64,
    /// Of those, so many a second: since it began, or over the time that was counted before, whichever is more.
    pub per_s: f64,
    /// How long it has been going on.
    pub over_for_ns: u64,
    /// The same was not told just now.
    pub is_news: bool,
}
