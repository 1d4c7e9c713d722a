//! `netguard events`: what the daemon noticed and did.

use std::io::{self, Write as _};

use clap::Args;
use serde_json::{Map, Value};

use super::{CliError, Context};
use crate::{audit::Author, control::Client};

#[derive(Args, Debug)]
pub(super) struct EventArgs {
    /// Stay, and print events as they happen.
    #[arg(short, long)]
    follow: bool,
    /// Past events to begin with.
    #[arg(short = 'n', long, default_value_t = 100)]
    limit: usize,
}

pub(super) async fn run(context: &Context, args: &EventArgs) -> Result<(), CliError> {
    let mut client = Client::connect(&context.instance).await?;
    let json = context.output.json;
    let path = format!("/v1/events?limit={}&follow={}", args.limit, args.follow);
    client
        .lines(&path, |event| {
            let mut out = io::stdout().lock();
            if json {
                out.write_all(event)?;
                return out.write_all(b"\n").and_then(|()| out.flush());
            }
            writeln!(out, "{}", text(event)).and_then(|()| out.flush())
        })
        .await?;
    Ok(())
}

/// `2026-01-01T00:00:00.000Z blocked prefix=192.0.2.1/32 for_s=60 ...`
fn text(event: &[u8]) -> String {
    let Ok(mut rest) = serde_json::from_slice::<Map<String, Value>>(event) else {
        return String::from_utf8_lossy(event).into_owned();
    };
    let mut line = String::new();
    for leading in ["at", "event"] {
        if let Some(Value::String(value)) = rest.remove(leading) {
            line.push_str(&value);
            line.push(' ');
        }
    }
    // Most is the daemon's own doing.
    let author = rest.remove("author").unwrap_or_default();
    if let Ok(author @ Author::Operator { .. }) = serde_json::from_value(author) {
        rest.insert("by".to_owned(), author.to_string().into());
    }
    line.push_str(&fields(&rest));
    line.trim_end().to_owned()
}

/// `prefix=192.0.2.1/32 for_s=60 why="it is a gateway"`
pub(super) fn fields(fields: &Map<String, Value>) -> String {
    let field = |(name, value): (&String, &Value)| match value.as_str() {
        Some(text) if text.contains(' ') => format!("{name}=\"{text}\""),
        Some(text) => format!("{name}={text}"),
        None => format!("{name}={value}"),
    };
    let told = fields.iter().filter(|(_, value)| !value.is_null());
    harmless(&told.map(field).collect::<Vec<_>>().join(" "))
}

/// Whoever wrote a note does not write to the terminal: what that would obey is escaped.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => out.extend(letter.escape_debug()),
            false => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn events_read_as_one_line() {
        let event =
            br#"{"at":"T","event":"withheld","source":"192.0.2.1","why":"it is a gateway","note":null}"#;
        assert_eq!(
            super::text(event),
            r#"T withheld source=192.0.2.1 why="it is a gateway""#
        );
        let event = br#"{"at":"T","author":{"by":"operator","uid":0,"user":"root"},"event":"lists-synced"}"#;
        assert_eq!(super::text(event), "T lists-synced by=root");
        let event = br#"{"at":"T","event":"rule-added","note":"\u001b[2J\u009b1m"}"#;
        assert_eq!(super::text(event), r"T rule-added note=\u{1b}[2J\u{9b}1m");
    }
}
