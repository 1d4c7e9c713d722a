//! `netguard feed`: published lists, countries and autonomous systems, and what they do.

use clap::Subcommand;
use hyper::Method;
use tabled::Tabled;

use super::{
    CliError, Context,
    output::{seconds, table},
};
use crate::{control::Client, daemon::ListReport};

#[derive(Subcommand, Clone, Copy, Debug)]
pub(super) enum FeedCommand {
    /// Show every list of the configuration: its size, its age, what it was against.
    List,
    /// Read all files again now and put them in force; the daemon does so by itself within 10 s of a change.
    Sync,
}

#[derive(Tabled)]
struct Row {
    #[tabled(rename = "NAME")]
    name: String,
    #[tabled(rename = "KIND")]
    kind: String,
    #[tabled(rename = "ACTION")]
    action: String,
    #[tabled(rename = "MODE")]
    mode: String,
    #[tabled(rename = "PREFIXES")]
    prefixes: usize,
    #[tabled(rename = "PACKETS")]
    packets: u64,
    #[tabled(rename = "READ")]
    read: String,
    #[tabled(rename = "FAULT")]
    fault: String,
}

pub(super) async fn run(context: &Context, command: FeedCommand) -> Result<(), CliError> {
    let mut client = Client::connect(&context.instance).await?;
    let method = match command {
        FeedCommand::List => Method::GET,
        FeedCommand::Sync => Method::POST,
    };
    let lists: Vec<ListReport> = client.request(method, "/v1/lists", None::<&()>).await?;
    context.output.print(&lists, |lists| text(lists))?;
    match command {
        FeedCommand::Sync if lists.iter().any(|list| list.fault.is_some()) => Err(CliError::Negative),
        _ => Ok(()),
    }
}

fn text(lists: &[ListReport]) -> String {
    if lists.is_empty() {
        return "no list is configured (`feed` and `[geo]` in the configuration)".to_owned();
    }
    let rows = lists.iter().map(|list| Row {
        name: list.name.clone(),
        kind: list.kind.clone(),
        action: list.action.clone(),
        mode: list.mode.clone(),
        prefixes: list.prefixes,
        packets: list.packets,
        read: list
            .read_s_ago
            .map_or_else(|| "-".to_owned(), |age| format!("{} ago", seconds(age))),
        fault: match (&list.fault, list.skipped) {
            (Some(fault), _) => fault.clone(),
            (None, 0) => String::new(),
            (None, skipped) => format!("{skipped} lines left out"),
        },
    });
    table(rows, &[4, 5])
}
