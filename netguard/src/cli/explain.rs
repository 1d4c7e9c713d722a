//! `netguard explain`: why a source is treated as it is, and how to change that.

mod connections;
mod explanation;
mod facts;
mod http;
mod stages;
#[cfg(test)]
mod tests;
mod text;
mod undo;

use std::net::IpAddr;

use clap::Args;

use super::{CliError, Context};
use explanation::Explanation;
use facts::Facts;

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The source, an IPv4 or IPv6 address.
    address: IpAddr,
}

pub(super) async fn run(context: &Context, args: &ExplainArgs) -> Result<(), CliError> {
    let facts = Facts::of(context, args.address.to_canonical()).await?;
    let explanation = Explanation::of(facts);
    context.output.print(&explanation, text::text)
}
