//! What an operator's change does to the signatures; the same code in the daemon, and in the command line when it is dead.

use netguard_common::{
    layout::{Mode, Rule},
    signature::Signature,
};
use serde::{Deserialize, Serialize};

use super::{RequestError, requests::LONGEST_S};
use crate::{bpf::Signatures, daemon::Unconfirmed, signature};

/// Body of `POST /v1/signatures`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignatureAddition {
    /// Such as `ttl=64`, see `netguard signature add --help`.
    pub conditions: Vec<String>,
    /// `None`: for good.
    pub ttl_s: Option<u64>,
    /// Only counted.
    pub shadow: bool,
    /// Also one that fits honest packets.
    pub force: bool,
}

/// Answer to an addition or a removal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureOutcome {
    pub id: u32,
    /// `added`, `removed` or `absent`.
    pub outcome: String,
    /// It goes back unless that is confirmed.
    #[serde(default)]
    pub unconfirmed: Option<Unconfirmed>,
}

/// The signature that `addition` asks for.
///
/// # Errors
/// When it makes no sense.
pub fn signature(addition: &SignatureAddition, now_ns: u64) -> Result<Signature, RequestError> {
    let expires_at = match addition.ttl_s {
        None => 0,
        Some(ttl_s @ 1..=LONGEST_S) => Rule::expiry(now_ns, ttl_s * 1_000_000_000),
        Some(ttl_s) => return Err(RequestError::Ttl(ttl_s)),
    };
    let mode = if addition.shadow {
        Mode::Shadow
    } else {
        Mode::Enforce
    };
    Ok(Signature {
        expires_at,
        mode: mode as u32,
        ..signature::parse(&addition.conditions, addition.force)?
    })
}

/// Adds a signature.
///
/// # Errors
/// When there is no room.
pub fn add_signature(
    signatures: &mut Signatures,
    signature: Signature,
    now_ns: u64,
) -> Result<SignatureOutcome, RequestError> {
    let id = signatures.add(signature, now_ns)?;
    Ok(outcome(id, "added"))
}

/// Removes signature `id`.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_signature(signatures: &mut Signatures, id: u32) -> Result<SignatureOutcome, RequestError> {
    let removed = signatures.remove(id)?;
    Ok(outcome(id, if removed { "removed" } else { "absent" }))
}

fn outcome(id: u32, outcome: &str) -> SignatureOutcome {
    SignatureOutcome {
        id,
        outcome: outcome.to_owned(),
        unconfirmed: None,
    }
}
