//! `netguard signature`: packets that look like those of an attack.

use clap::Subcommand;
use hyper::Method;
use netguard_common::layout::Mode;
use serde::Serialize;
use tabled::Tabled;

use super::{
    CliError, Context,
    alone::{alone, record},
    confirm::{self, ConfirmOption, TTL},
    output::{seconds, table},
};
use crate::{
    bpf::Signatures,
    clock::monotonic_ns,
    config::Period,
    control::{
        Client, ClientError, SignatureAddition, SignatureOutcome, add_signature, remove_signature, risk,
        signature, told,
    },
    signature::{conditions, remaining_s},
};

#[derive(Subcommand, Debug)]
pub(super) enum SignatureCommand {
    /// Drop packets that fit all conditions, such as `protocol=udp port=53 ttl=57 payload=0001/00ff`.
    ///
    /// Fields: family, protocol, ttl, flags (letters of FSRPAUEC), icmp-type, icmp-code, tos, df, fragment, length, id,
    /// source-port, port, window, payload-length, sequence, acknowledgement, header-length, payload (first 32 bytes, in
    /// hexadecimal).
    Add {
        /// FIELD=VALUE or FIELD=VALUE/MASK.
        #[arg(required = true)]
        conditions: Vec<String>,
        /// For how long, such as 10m; without it, until it is removed.
        #[arg(long)]
        ttl: Option<Period>,
        /// Only count.
        #[arg(long)]
        shadow: bool,
        /// Also when honest packets fit.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        confirm: ConfirmOption,
    },
    /// Remove a signature by its number.
    Del { id: u32 },
    /// Show the signatures in force, and how many packets they fitted.
    List,
}

/// A signature in force.
#[derive(Serialize)]
struct Listed {
    id: u32,
    mode: &'static str,
    conditions: Vec<String>,
    /// Whether sources are spared that have proven themselves, or that their UDP service knows.
    spares_known: bool,
    /// `null`: it stays until it is removed.
    expires_in_s: Option<u64>,
    packets: u64,
    bytes: u64,
}

#[derive(Tabled)]
struct Row {
    #[tabled(rename = "ID")]
    id: u32,
    #[tabled(rename = "MODE")]
    mode: &'static str,
    #[tabled(rename = "SPARES")]
    spares: &'static str,
    #[tabled(rename = "ENDS IN")]
    ends: String,
    #[tabled(rename = "PACKETS")]
    packets: u64,
    #[tabled(rename = "CONDITIONS")]
    conditions: String,
}

pub(super) async fn run(context: &Context, command: SignatureCommand) -> Result<(), CliError> {
    match command {
        SignatureCommand::List => list(context),
        SignatureCommand::Add {
            conditions,
            ttl,
            shadow,
            force,
            confirm,
        } => {
            let addition = SignatureAddition {
                conditions,
                ttl_s: ttl.map(|ttl| ttl.duration().as_secs().max(1)),
                shadow,
                force,
            };
            let outcome = match Client::connect(&context.instance).await {
                Ok(mut client) => {
                    let path = confirm.ask("/v1/signatures");
                    client.request(Method::POST, &path, Some(&addition)).await?
                }
                Err(ClientError::NotRunning) => {
                    let _lock = alone(context).await?;
                    let mut signatures = Signatures::open(&context.pins)?;
                    let now_ns = monotonic_ns();
                    let meant = signature(&addition, now_ns)?;
                    confirm.alone(|within_s| risk::of_signature(&addition, within_s), TTL)?;
                    let outcome = add_signature(&mut signatures, meant, now_ns)?;
                    record(context, [told::signature_added(&addition, &outcome)]);
                    outcome
                }
                Err(error) => return Err(error.into()),
            };
            context.output.print(&outcome, sentence)
        }
        SignatureCommand::Del { id } => {
            let outcome = match Client::connect(&context.instance).await {
                Ok(mut client) => {
                    let path = format!("/v1/signatures/{id}");
                    client.request(Method::DELETE, &path, None::<&()>).await?
                }
                Err(ClientError::NotRunning) => {
                    let _lock = alone(context).await?;
                    let outcome = remove_signature(&mut Signatures::open(&context.pins)?, id)?;
                    record(context, told::signature_removed(&outcome));
                    outcome
                }
                Err(error) => return Err(error.into()),
            };
            context.output.print(&outcome, sentence)?;
            if outcome.outcome == "absent" {
                Err(CliError::Negative)
            } else {
                Ok(())
            }
        }
    }
}

fn sentence(outcome: &SignatureOutcome) -> String {
    match outcome.outcome.as_str() {
        "absent" => format!(
            "there is no signature {} (`netguard signature list` shows what is)",
            outcome.id
        ),
        done => format!(
            "signature {} {done}{}",
            outcome.id,
            confirm::told(outcome.unconfirmed.as_ref())
        ),
    }
}

fn list(context: &Context) -> Result<(), CliError> {
    let now_ns = monotonic_ns();
    let listed = Signatures::open(&context.pins)?.list(now_ns)?.into_iter();
    let listed: Vec<Listed> = listed
        .map(|(id, signature, hits)| Listed {
            id,
            mode: match Mode::from_number(signature.mode) {
                Mode::Shadow => "shadow",
                _ => "enforce",
            },
            conditions: conditions(&signature),
            spares_known: signature.spares != 0,
            expires_in_s: remaining_s(&signature, now_ns),
            packets: hits.packets,
            bytes: hits.bytes,
        })
        .collect();
    context.output.print(&listed, |listed| {
        if listed.is_empty() {
            return "there are no signatures".to_owned();
        }
        let rows = listed.iter().map(|signature| Row {
            id: signature.id,
            mode: signature.mode,
            spares: if signature.spares_known { "known" } else { "nobody" },
            ends: signature.expires_in_s.map_or_else(|| "never".to_owned(), seconds),
            packets: signature.packets,
            conditions: signature.conditions.join(" "),
        });
        table(rows, &[0, 4])
    })
}
