//! `netguard config`: check a file, print the defaults, print the schema.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::{CliError, Context, output::line};
use crate::config::{Config, DEFAULT_TOML, schema_json};

#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Read a file as the daemon would, and say what is wrong with it.
    Check { file: PathBuf },
    /// Print the defaults, with comments: a file to begin with (as JSON with --json).
    Default,
    /// Print the JSON schema of the configuration, for editors.
    Schema,
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    /// Settings that are legal and probably not meant.
    warnings: Vec<String>,
}

pub(super) fn run(context: &Context, command: &ConfigCommand) -> Result<(), CliError> {
    match command {
        ConfigCommand::Check { file } => {
            let checked = Checked {
                ok: true,
                warnings: Config::load(file)?.warnings(),
            };
            context.output.print(&checked, |checked| {
                let mut lines: Vec<String> = checked
                    .warnings
                    .iter()
                    .map(|warning| format!("warning: {warning}"))
                    .collect();
                lines.push(format!("{} is a valid configuration", file.display()));
                lines.join("\n")
            })
        }
        ConfigCommand::Default => context
            .output
            .print(&Config::default(), |_| DEFAULT_TOML.to_owned()),
        ConfigCommand::Schema => {
            let schema = serde_json::to_string_pretty(&schema_json())
                .map_err(|error| CliError::Failed(error.to_string()))?;
            line(&schema)
        }
    }
}
