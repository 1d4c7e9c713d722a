//! `netguard map`: the kernel's maps, read from their pins.

use clap::Subcommand;
use tabled::Tabled;

use super::{CliError, Context, output::table};
use crate::bpf::{DumpedEntry, dump_map, list_maps, lookup_in_map};

#[derive(Subcommand, Debug)]
pub(super) enum MapCommand {
    /// List the maps with their sizes and purposes.
    List,
    /// Print the entries of a map (without the zeros of arrays).
    Dump {
        /// Name of the map; case does not matter.
        name: String,
        /// Entries printed at the most.
        #[arg(long, default_value_t = 10_000)]
        limit: usize,
    },
    /// Print one entry of a map.
    Get {
        /// Name of the map; case does not matter.
        name: String,
        /// The key as `map dump` prints it.
        key: String,
    },
}

#[derive(Tabled)]
struct MapRow {
    #[tabled(rename = "MAP")]
    name: &'static str,
    #[tabled(rename = "KIND")]
    kind: &'static str,
    #[tabled(rename = "ENTRIES")]
    max_entries: u32,
    #[tabled(rename = "MEMORY")]
    memory: String,
    #[tabled(rename = "PURPOSE")]
    help: &'static str,
}

pub(super) fn run(context: &Context, command: &MapCommand) -> Result<(), CliError> {
    match command {
        MapCommand::List => context.output.print(&list_maps(&context.pins)?, |maps| {
            let rows = maps.iter().map(|map| MapRow {
                name: map.name,
                kind: map.kind,
                max_entries: map.max_entries,
                memory: format!("{} KiB", map.memory_bytes.div_ceil(1024)),
                help: map.help,
            });
            table(rows, &[2, 3])
        }),
        MapCommand::Dump { name, limit } => {
            context
                .output
                .print(&dump_map(&context.pins, name, *limit)?, |entries| {
                    if entries.is_empty() {
                        return "the map is empty".to_owned();
                    }
                    let lines: Vec<String> = entries.iter().map(line).collect();
                    lines.join("\n")
                })
        }
        MapCommand::Get { name, key } => context
            .output
            .print(&lookup_in_map(&context.pins, name, key)?, line),
    }
}

fn line(entry: &DumpedEntry) -> String {
    let key = entry
        .key
        .as_str()
        .map_or_else(|| entry.key.to_string(), str::to_owned);
    format!("{key}  {}", entry.value)
}
