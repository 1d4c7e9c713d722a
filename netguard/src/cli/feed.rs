//! `netguard feed`: published lists, countries and autonomous systems, and what they do.

use clap::Subcommand;
use hyper::Method;
use tabled::Tabled;

use super::{
    CliError, Context,
    feed_check::{self, CheckArgs},
    output::{seconds, table},
};
use crate::{control::Client, daemon::ListReport};

#[derive(Subcommand, Clone, Debug)]
pub(super) enum FeedCommand {
    /// Show every list of the configuration: its size, its age, what it was against, what of it is not in force and why.
    List,
    /// Read all files and ask all servers again now, or those of one feed; the daemon does so by itself in time.
    Sync {
        /// The feed.
        name: Option<String>,
    },
    /// Read or fetch a feed again now and take it for good, however it has grown or shrunk.
    Accept {
        /// The feed.
        name: String,
    },
    /// Show what would be in force of a file, and what not and why; needs no daemon and changes nothing.
    Check(CheckArgs),
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
    #[tabled(rename = "FORMAT")]
    format: String,
    #[tabled(rename = "PREFIXES")]
    prefixes: usize,
    #[tabled(rename = "TRIMMED")]
    trimmed: usize,
    #[tabled(rename = "REFUSED")]
    refused: usize,
    #[tabled(rename = "PACKETS")]
    packets: u64,
    #[tabled(rename = "AGE")]
    age: String,
    #[tabled(rename = "NEXT")]
    next: String,
    #[tabled(rename = "FAULT")]
    fault: String,
}

pub(super) async fn run(context: &Context, command: FeedCommand) -> Result<(), CliError> {
    let (method, path) = match &command {
        FeedCommand::Check(args) => return feed_check::run(context, args).await,
        FeedCommand::List => (Method::GET, "/v1/lists".to_owned()),
        FeedCommand::Sync { name: None } => (Method::POST, "/v1/lists".to_owned()),
        FeedCommand::Sync { name: Some(name) } => (Method::POST, of_feed(name)),
        FeedCommand::Accept { name } => (Method::POST, format!("{}?accept=true", of_feed(name))),
    };
    let mut client = Client::connect(&context.instance).await?;
    let lists: Vec<ListReport> = client.request(method, &path, None::<&()>).await?;
    context.output.print(&lists, |lists| text(lists))?;
    let is_bad = |list: &ListReport| list.fault.is_some() || list.fetching;
    match command {
        FeedCommand::Sync { .. } | FeedCommand::Accept { .. } if lists.iter().any(is_bad) => {
            Err(CliError::Negative)
        }
        _ => Ok(()),
    }
}

/// The path of a feed; its name may have any letters.
fn of_feed(name: &str) -> String {
    let letters = name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    format!("/v1/feeds/{}", letters.collect::<String>())
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
        format: list.format.clone().unwrap_or_else(|| "-".to_owned()),
        prefixes: list.prefixes,
        trimmed: list.trimmed,
        refused: list.skipped,
        packets: list.packets,
        age: list.age_s.map_or_else(|| "-".to_owned(), seconds),
        next: match (list.fetching, list.next_refresh_in_s) {
            (true, _) => "now".to_owned(),
            (false, Some(next)) => format!("in {}", seconds(next)),
            (false, None) => "-".to_owned(),
        },
        fault: list.fault.clone().unwrap_or_default(),
    });
    let mut text = table(rows, &[5, 6, 7, 8]);
    for list in lists {
        for (what, count, first) in [
            ("refused", list.skipped, &list.refused),
            ("trimmed", list.trimmed, &list.trimmed_first),
        ] {
            text.push_str(&told(&list.name, what, count, first));
        }
    }
    text
}

/// Lines for the first entries that are not in force, and one for those that are not told.
pub(super) fn told(name: &str, what: &str, count: usize, first: &[String]) -> String {
    let mut text: String = first
        .iter()
        .map(|line| format!("\n{name}, {what}: {line}"))
        .collect();
    if count > first.len() && !first.is_empty() {
        text.push_str(&format!("\n{name}, {what}: and {} more", count - first.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_tells_what_is_not_in_force() {
        let list = ListReport {
            name: "bad".to_owned(),
            kind: "feed".to_owned(),
            skipped: 7,
            refused: vec!["f:6: no".to_owned()],
            trimmed: 1,
            trimmed_first: vec!["line 2: 10.0.0.0/8 is private".to_owned()],
            next_refresh_in_s: Some(60),
            ..ListReport::default()
        };
        let shown = text(&[list]);
        for part in [
            "in 1m",
            "bad, refused: f:6: no\nbad, refused: and 6 more\nbad, trimmed: line 2: 10.0",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
        assert_eq!(of_feed("a/b c"), "/v1/feeds/a%2Fb%20c");
    }
}
