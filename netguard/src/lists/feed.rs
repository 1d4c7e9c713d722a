//! Feeds: lists of addresses and prefixes in the formats in which they are published. An entry that is none is left out and told;
//! a file in which many are none, or that was cut short, is no feed. Where files come from is not its business.

mod gathered;
mod json;
mod lines;
mod recognise;
mod stix;
mod table;
mod timed;

use std::{path::Path, time::SystemTime};

use super::{ListError, Size, Told, misp, packed::unpacked, read};
use crate::{
    config::{FeedAction, FeedFormat},
    prefix::Prefix,
};

use gathered::Gathered;
use timed::Spell;

/// A list of lines with more entries than this that does not end with a line was cut short; people write shorter ones themselves.
const LINES_OF_MACHINES: usize = 100;

/// How a feed is read.
#[derive(Clone, Debug)]
pub struct Reading {
    pub format: FeedFormat,
    pub action: FeedAction,
    /// The shortest prefixes that are believed.
    pub widest_v4: u8,
    pub widest_v6: u8,
    /// Whether private space stays in.
    pub keep_private: bool,
    /// Bytes of text that are read.
    pub max_bytes: u64,
    /// When the feed was written: its durations begin then. `None`: when the file was.
    pub written: Option<SystemTime>,
    /// What holds now is put together.
    pub now: SystemTime,
    /// How many entries that are refused are told one by one, and how many that are trimmed.
    pub tell: usize,
}

/// As the configuration has it by default, now.
impl Default for Reading {
    fn default() -> Self {
        Self {
            format: FeedFormat::Auto,
            action: FeedAction::Block,
            widest_v4: 8,
            widest_v6: 16,
            keep_private: false,
            max_bytes: 64 << 20,
            written: None,
            now: crate::clock::wall_clock(),
            tell: Told::ONE_BY_ONE,
        }
    }
}

/// What a feed says.
#[derive(Debug, Default)]
pub struct Feed {
    /// What it turned out to be.
    pub format: FeedFormat,
    /// What holds: sorted, each once.
    pub prefixes: Vec<Prefix>,
    /// Where each was read: lines of text, else entries, from 1.
    pub places: Vec<u32>,
    /// What `places` count.
    pub unit: &'static str,
    /// Entries that are no prefixes to be believed.
    pub refused: Told,
    /// Entries in space that is not the internet's.
    pub trimmed: Told,
    /// Entries that speak of something else than addresses, or do not ask for a block.
    pub passed_over: usize,
    /// Prefixes that had ended when it was put together.
    pub ended: usize,
    /// Prefixes that had not begun then.
    pub waiting: usize,
    /// Since when what it is put together of is what holds of it.
    pub since: Option<SystemTime>,
    /// When another part of it holds: something begins or ends.
    pub until: Option<SystemTime>,
    /// How much it was when it was put together, of what had not ended.
    pub size: Size,
    /// The most that it was since it was read.
    pub most: Size,
    /// All prefixes, sorted; empty where none of them begins or ends.
    pub(super) timed: Vec<(Prefix, Spell)>,
}

/// Reads the feed in `file`, or one of MISP in the directory of this name.
///
/// # Errors
/// When it cannot be read, or is no feed.
pub fn read_feed(file: &Path, reading: &Reading) -> Result<Feed, ListError> {
    let may_be_misp = matches!(reading.format, FeedFormat::Auto | FeedFormat::Misp);
    if may_be_misp && file.is_dir() {
        return events(file, reading);
    }
    let bytes = read(file, reading.max_bytes)?;
    let written = || file.metadata().and_then(|metadata| metadata.modified()).ok();
    let reading = Reading {
        written: reading.written.or_else(written),
        ..reading.clone()
    };
    parse_feed(&file.display().to_string(), bytes, &reading)
}

/// Reads the feed of MISP in `directory`. Places are those within its events.
fn events(directory: &Path, reading: &Reading) -> Result<Feed, ListError> {
    let name = directory.display().to_string();
    let files = misp::files(directory, reading.max_bytes)?;
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let mut left = reading.max_bytes;
    let mut gathered = Gathered::new(&name, reading);
    for (file, event) in files.iter().zip(&names) {
        let bytes = read(file, left).map_err(|error| match error {
            ListError::Unreadable { source, .. } => ListError::NoEvent {
                event: event.clone(),
                source,
            },
            ListError::TooLong { .. } => ListError::TooLong {
                file: name.clone(),
                mib: reading.max_bytes >> 20,
            },
            other => other,
        })?;
        left = left.saturating_sub(bytes.len() as u64);
        let text = String::from_utf8(bytes).map_err(|_| ListError::NotText(event.clone()))?;
        gathered.name = event;
        json::misp(&text, &mut gathered)?;
    }
    gathered.name = &name;
    gathered.finish(FeedFormat::Misp)
}

/// Reads the feed in `bytes`; `name` is what errors call it.
///
/// # Errors
/// When it is no feed.
pub fn parse_feed(name: &str, bytes: Vec<u8>, reading: &Reading) -> Result<Feed, ListError> {
    let bytes = unpacked(name, bytes, reading.max_bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| ListError::NotText(name.to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let start = text.trim_start();
    if start.is_empty() {
        return Err(ListError::Empty(name.to_owned()));
    }
    if start.starts_with('<') {
        return Err(ListError::Html(name.to_owned()));
    }
    let format = match reading.format {
        FeedFormat::Auto => recognise::recognise(name, text)?,
        named => named,
    };
    if matches!(format, FeedFormat::Misp) && misp::events(start).is_some() {
        return Err(ListError::Manifest(name.to_owned()));
    }
    // It lists those who are to be spared.
    if format != reading.format && format == FeedFormat::Warninglist && reading.action == FeedAction::Block {
        return Err(ListError::NotToBlock(name.to_owned()));
    }
    let mut gathered = Gathered::new(name, reading);
    match format {
        FeedFormat::Auto | FeedFormat::Plain => lines::plain(text, &mut gathered)?,
        FeedFormat::Ipset => lines::ipset(text, &mut gathered)?,
        FeedFormat::Csv => table::csv(text, &mut gathered)?,
        FeedFormat::Spamhaus => json::spamhaus(text, &mut gathered)?,
        FeedFormat::Crowdsec => json::crowdsec(text, &mut gathered)?,
        FeedFormat::Misp => json::misp(text, &mut gathered)?,
        FeedFormat::Stix => stix::stix(text, &mut gathered)?,
        FeedFormat::Warninglist => json::warninglist(text, &mut gathered)?,
    }
    gathered.finish(format)
}

/// Refuses a list of lines that was cut short.
fn whole(text: &str, name: &str, entries: usize) -> Result<(), ListError> {
    if entries > LINES_OF_MACHINES && !text.ends_with('\n') {
        return Err(ListError::CutShort {
            file: name.to_owned(),
            why: "its last line does not end".to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A reading as the configuration has it by default.
    pub(super) fn reading() -> Reading {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Reading {
            max_bytes: 1 << 20,
            written: Some(now),
            now,
            ..Reading::default()
        }
    }

    pub(super) fn parse(text: &str) -> Result<Feed, String> {
        parse_feed("f", text.into(), &reading()).map_err(|error| error.to_string())
    }

    pub(super) fn shown(feed: &Feed) -> Vec<String> {
        feed.prefixes.iter().map(Prefix::to_string).collect()
    }

    #[test]
    fn what_is_no_feed_is_refused() {
        let nonsense = "nonsense\n".repeat(9);
        let error = parse(&nonsense).unwrap_err();
        assert!(
            error.contains("9 lines that are no prefixes") && error.contains("f:1:"),
            "{error}"
        );
        for (text, told) in [
            ("", "no prefix at all"),
            (" \n\n", "no prefix at all"),
            ("\n# nothing\n", "no prefix at all"),
            ("<!DOCTYPE html>\n<p>192.0.2.1", "is a page of the web"),
            ("{\"error\": \"quota\"}", "is JSON of no known format"),
            ("[1, 2]", "is JSON of no known format"),
            ("{\"list\": [\"192.0.2.1\"", "cut short"),
            ("0.0.0.0/0\n", "no prefix at all"),
            ("10.0.0.0/8\n", "nothing but private space"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let binary = parse_feed("f", vec![0x1f, 0x8b, 0xff], &reading()).unwrap_err();
        assert!(binary.to_string().contains("is not text"));
    }

    #[test]
    fn a_list_of_machines_ends_with_a_line() {
        let list: String = (0..200).map(|number| format!("192.0.2.{number}\n")).collect();
        assert_eq!(parse(&list).unwrap().prefixes.len(), 200);
        let error = parse(&list[..list.len() - 2]).unwrap_err();
        assert!(error.contains("cut short: its last line does not end"), "{error}");
        assert!(parse("192.0.2.1").is_ok());
    }

    #[test]
    fn whom_not_to_block_is_not_blocked_by_mistake() {
        let list =
            "{\"name\": \"resolvers\", \"type\": \"cidr\", \"list\": [\"192.0.2.0/24\", \"2001:db8::/32\"]}";
        assert!(parse(list).unwrap_err().contains("action = \"never-block\""));
        let never = Reading {
            action: FeedAction::NeverBlock,
            ..reading()
        };
        assert_eq!(parse_feed("f", list.into(), &never).unwrap().prefixes.len(), 2);
        let meant = Reading {
            format: FeedFormat::Warninglist,
            ..reading()
        };
        assert_eq!(parse_feed("f", list.into(), &meant).unwrap().prefixes.len(), 2);
    }
}
