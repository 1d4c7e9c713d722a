//! The control socket: HTTP and JSON over a unix socket, for root and the daemon's own user.

mod api;
mod client;
mod handlers;
mod import;
mod limits;
mod listed;
mod objections;
mod peer;
mod requests;
pub mod risk;
mod server;
mod services;
mod signatures;
pub mod told;

use std::path::{Path, PathBuf};

use crate::{bpf::InstanceName, daemon::RUNTIME_DIRECTORY};

pub use api::{
    Changed, DaemonStatus, Failure, FailureKind, LimitChange, RuleAddition, RuleOutcome, RuleRemoval,
    Shortened, SourceReport, Stats,
};
pub use client::{Client, ClientError};
pub use import::{FailedAt, Import, RuleTrial};
pub use limits::{Level, LimitName, change_limit};
pub use objections::{Force, Objection, Objections, Objector};
pub use requests::{RequestError, essentials, remove_rule};
pub use server::{listen, remove_socket, serve};
pub use services::{ServiceChange, change_service, reset_service, service_named};
pub use signatures::{SignatureAddition, SignatureOutcome, add_signature, remove_signature, signature};

/// The control socket of `instance`.
pub fn socket_path(instance: &InstanceName) -> PathBuf {
    Path::new(RUNTIME_DIRECTORY).join(format!("{instance}.sock"))
}
