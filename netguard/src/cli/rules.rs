//! `netguard block` and `netguard allow`: add, del, list, import.

mod target;

use std::{
    collections::BTreeSet,
    fmt::Display,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Subcommand;
use netguard_common::rule::{Origin, Proof, Reason};
use serde::Serialize;
use tabled::Tabled;

use super::{
    CliError, Context,
    confirm::{self, ConfirmOption},
    output::{seconds, table},
};
use crate::{
    bpf::{Entry, List, Rules},
    clock::monotonic_ns,
    config::Period,
    control::{Failure, Force, RuleAddition, RuleOutcome, RuleRemoval},
    prefix::{Prefix, PrefixError},
};
use target::Target;

#[derive(Subcommand, Debug)]
pub(super) enum RuleCommand<P>
where
    P: FromStr<Err = PrefixError> + Clone + Send + Sync + 'static,
{
    /// Add a prefix.
    Add {
        /// Address or prefix, IPv4 or IPv6.
        prefix: P,
        /// How long the rule holds, such as 60s, 10m or 2h; without it, until it is removed.
        #[arg(long)]
        ttl: Option<Period>,
        /// Why, in your words (up to 64 bytes are kept).
        #[arg(long = "reason", value_name = "TEXT")]
        note: Option<String>,
        /// Add it even if it touches this machine's own addresses, gateways, name servers or your own session (`=lock-out`), or
        /// what a feed says never to block (`=never-block`); by itself, both.
        #[arg(long, value_name = "GUARD", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
        force: Option<Force>,
        #[command(flatten)]
        confirm: ConfirmOption,
    },
    /// Remove a prefix.
    Del {
        /// The prefix as it was added.
        prefix: Prefix,
        #[command(flatten)]
        confirm: ConfirmOption,
    },
    /// List the prefixes, with reason, origin and time left.
    List,
    /// Add the prefixes of a file, one a line; text after '#' is ignored. A mistake anywhere adds nothing.
    Import {
        /// File, or - for standard input.
        file: PathBuf,
        /// How long the rules hold.
        #[arg(long)]
        ttl: Option<Period>,
        /// Add even what touches this machine's own addresses, gateways, name servers or your own session (`=lock-out`), or what a
        /// feed says never to block (`=never-block`); by itself, both.
        #[arg(long, value_name = "GUARD", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
        force: Option<Force>,
        #[command(flatten)]
        confirm: ConfirmOption,
    },
}

pub(super) async fn run<P>(context: &Context, list: List, command: RuleCommand<P>) -> Result<(), CliError>
where
    P: FromStr<Err = PrefixError> + Clone + Send + Sync + 'static + Into<Prefix>,
{
    match command {
        RuleCommand::Add {
            prefix,
            ttl,
            note,
            force,
            confirm,
        } => {
            let addition = RuleAddition {
                prefix: prefix.into(),
                ttl_s: ttl.map(whole_seconds),
                note,
                force: force.unwrap_or_default(),
            };
            let outcomes = Target::of(context)
                .await?
                .add(list, vec![addition], confirm)
                .await
                .map_err(CliError::from)?;
            match outcomes.first() {
                Some(outcome) => context.output.print(outcome, |outcome| sentence(list, outcome)),
                None => Ok(()),
            }
        }
        RuleCommand::Del { prefix, confirm } => {
            let outcome = Target::of(context)
                .await?
                .remove(list, &RuleRemoval { prefix }, confirm)
                .await?;
            context
                .output
                .print(&outcome, |outcome| sentence(list, outcome))?;
            if outcome.outcome == "absent" {
                Err(CliError::Negative)
            } else {
                Ok(())
            }
        }
        RuleCommand::List => show(context, list),
        RuleCommand::Import {
            file,
            ttl,
            force,
            confirm,
        } => {
            let (lines, additions): (Vec<String>, Vec<RuleAddition>) = read_prefixes::<P>(&file)?
                .into_iter()
                .map(|(line, prefix)| {
                    let addition = RuleAddition {
                        prefix,
                        ttl_s: ttl.map(whole_seconds),
                        note: None,
                        force: force.unwrap_or_default(),
                    };
                    (line, addition)
                })
                .unzip();
            let outcomes = Target::of(context)
                .await?
                .add(list, additions, confirm)
                .await
                .map_err(|failure| with_line(failure, &lines))?;
            context.output.print(&outcomes, |outcomes| {
                // A line can stand there twice.
                let distinct = |covered: bool| {
                    let outcomes = outcomes.iter();
                    let these = outcomes.filter(|outcome| outcome.covered_by.is_some() == covered);
                    these.map(|outcome| outcome.prefix).collect::<BTreeSet<_>>().len()
                };
                let (added, covered) = (distinct(false), distinct(true));
                let shortened = outcomes
                    .iter()
                    .filter(|outcome| outcome.shortened.is_some())
                    .count();
                let less = match shortened {
                    0 => String::new(),
                    count => format!("; {count} of them hold less long than before"),
                };
                let unconfirmed = outcomes.first().and_then(|outcome| outcome.unconfirmed.as_ref());
                format!(
                    "{added} prefixes added to the {}list, {covered} covered already{less}{}",
                    list.name(),
                    confirm::told(unconfirmed)
                )
            })
        }
    }
}

/// `failure` with the lines that it is about; `lines` are in the order of the additions.
fn with_line(mut failure: Failure, lines: &[String]) -> CliError {
    let place = |index: usize| lines.get(index).map(String::as_str);
    failure.message = match (&failure.objections, failure.index.and_then(place)) {
        (Some(objections), _) => format!("{}; nothing was added", objections.text(place)),
        (None, Some(line)) => format!("{line}: {}; nothing was added", failure.message),
        (None, None) => failure.message,
    };
    CliError::from(failure)
}

/// A rule as it is listed.
#[derive(Serialize)]
pub(super) struct Listed {
    pub(super) prefix: String,
    /// The operator's words, or the reason's name.
    pub(super) reason: String,
    pub(super) origin: &'static str,
    pub(super) proof: &'static str,
    /// `null`: it stays until it is removed.
    pub(super) expires_in_s: Option<u64>,
}

#[derive(Tabled)]
struct ListedRow<'a> {
    #[tabled(rename = "PREFIX")]
    prefix: &'a str,
    #[tabled(rename = "ENDS IN")]
    ends: String,
    #[tabled(rename = "ORIGIN")]
    origin: &'static str,
    #[tabled(rename = "PROOF")]
    proof: &'static str,
    #[tabled(rename = "REASON")]
    reason: &'a str,
}

fn show(context: &Context, list: List) -> Result<(), CliError> {
    let now_ns = monotonic_ns();
    let entries = Rules::open(&context.pins)?.list(list, now_ns)?;
    let listed: Vec<Listed> = entries.into_iter().map(|entry| listed(entry, now_ns)).collect();
    context.output.print(&listed, |listed| {
        if listed.is_empty() {
            return format!("the {}list is empty", list.name());
        }
        let rows = listed.iter().map(|rule| ListedRow {
            prefix: &rule.prefix,
            ends: rule.expires_in_s.map_or_else(|| "never".to_owned(), seconds),
            origin: rule.origin,
            proof: rule.proof,
            reason: &rule.reason,
        });
        table(rows, &[])
    })
}

/// `entry` in words, at `now_ns`. The operator's own words come first.
pub(super) fn listed(entry: Entry, now_ns: u64) -> Listed {
    let rule = entry.rule;
    Listed {
        prefix: entry.prefix.to_string(),
        reason: entry.note.unwrap_or_else(|| {
            Reason::from_number(rule.reason)
                .map_or("unknown", Reason::name)
                .to_owned()
        }),
        origin: Origin::from_number(rule.origin).map_or("unknown", Origin::name),
        proof: Proof::from_number(rule.proof).map_or("unknown", Proof::name),
        expires_in_s: rule.remaining_ns(now_ns).map(|left_ns| left_ns / 1_000_000_000),
    }
}

/// Reads one prefix a line, each with `file:line`; the error names file, line and mistake.
fn read_prefixes<P>(file: &Path) -> Result<Vec<(String, Prefix)>, CliError>
where
    P: FromStr<Err = PrefixError> + Into<Prefix>,
{
    let name = if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let wrong = |error: &dyn Display| CliError::Usage(format!("{name}: {error}"));
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| wrong(&error))?;
    } else {
        text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
    }
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, text)| !text.is_empty())
        .map(|(number, text)| {
            let line = format!("{name}:{number}");
            match text.parse::<P>() {
                Ok(prefix) => Ok((line, prefix.into())),
                Err(error) => Err(CliError::Usage(format!("{line}: {error}; nothing was added"))),
            }
        })
        .collect()
}

fn sentence(list: List, outcome: &RuleOutcome) -> String {
    let (prefix, list) = (outcome.prefix, list.name());
    let done = match (outcome.outcome.as_str(), outcome.covered_by) {
        (_, Some(wider)) => {
            format!("{prefix} is covered already: {wider} is on the {list}list and lasts as long")
        }
        ("removed", _) => format!("{prefix} removed from the {list}list"),
        ("absent", _) => format!("{prefix} is not on the {list}list (`netguard {list} list` shows what is)"),
        _ => match outcome.shortened {
            None => format!("{prefix} added to the {list}list"),
            Some(before) => {
                let left = before.expires_in_s.map_or_else(
                    || "for good".to_owned(),
                    |left_s| format!("for another {}", seconds(left_s)),
                );
                format!("{prefix} added to the {list}list, in place of a rule that would have held {left}")
            }
        },
    };
    done + &confirm::told(outcome.unconfirmed.as_ref())
}

/// Rules end with whole seconds.
fn whole_seconds(period: Period) -> u64 {
    period.duration().as_secs().max(1)
}
