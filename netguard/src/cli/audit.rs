//! `netguard audit`: the trail of what was decided, by whom; read and checked without a daemon.

mod follow;

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use hyper::Method;
use serde::Serialize;
use serde_json::{Map, Value};
use tabled::Tabled;

use super::{
    CliError, Context,
    events::fields,
    output::{line, table},
};
use crate::{
    audit::{AuditError, AuditState, Author, Head, Line, Place, Report, each_line, files, head, verify},
    clock::wall_clock_before,
    control::{Client, DaemonStatus},
};
use follow::follow;

#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// Check that no line was edited, removed, inserted or moved; exits with 1 where one was.
    ///
    /// Whoever may write the files can write a whole new trail from some line on, and can cut off its end. So keep what
    /// `netguard audit head` prints on another machine, and give it here. A running daemon is asked where the trail ends.
    Verify(VerifyArgs),
    /// Show what was decided, by whom.
    Show(ShowArgs),
    /// Print number and hash of the newest line, to keep elsewhere: SEQ:HASH.
    Head,
}

#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// Files of a trail, in the order of their lines; without any, the whole trail of the instance.
    files: Vec<PathBuf>,
    /// A line that must be there, as `netguard audit head` printed it; may be repeated.
    #[arg(long, value_name = "SEQ:HASH")]
    expect: Vec<Head>,
}

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// Files of a trail; without any, the whole trail of the instance.
    files: Vec<PathBuf>,
    /// Stay, and print lines as they are written, also by a daemon that begins later.
    #[arg(short, long, conflicts_with = "files")]
    follow: bool,
    /// Only what happened since then: a time (2026-01-31T12:00:00Z, in UTC), or a duration such as 1h.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<String>,
    /// Only events of this kind, such as rule-added; may be repeated.
    #[arg(long = "kind", value_name = "EVENT")]
    kinds: Vec<String>,
    /// The newest so many.
    #[arg(short = 'n', long, default_value_t = 100)]
    limit: usize,
}

#[derive(Serialize)]
struct Verified {
    ok: bool,
    /// Where the running daemon says that the trail ends; `null` where none was asked.
    daemon: Option<Head>,
    #[serde(flatten)]
    report: Report,
}

#[derive(Serialize)]
struct Newest {
    file: PathBuf,
    #[serde(flatten)]
    head: Head,
}

#[derive(Tabled)]
struct Row {
    /// Behind `!` where the line is not as it was written.
    #[tabled(rename = "LINE")]
    seq: String,
    #[tabled(rename = "AT")]
    at: String,
    #[tabled(rename = "BY")]
    author: String,
    #[tabled(rename = "EVENT")]
    event: String,
    #[tabled(rename = "WHAT")]
    what: String,
}

impl From<AuditError> for CliError {
    fn from(error: AuditError) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(super) async fn run(context: &Context, command: AuditCommand) -> Result<(), CliError> {
    match command {
        AuditCommand::Verify(args) => check(context, args).await,
        AuditCommand::Show(args) if args.follow => follow(context, &args).await,
        AuditCommand::Show(args) => show(context, &args),
        AuditCommand::Head => newest(context),
    }
}

async fn check(context: &Context, args: VerifyArgs) -> Result<(), CliError> {
    let mut answer = look(context, &args).await?;
    // A daemon writes meanwhile: a line may be half there, and a file be put beside.
    for _ in 0..3 {
        if answer.ok || !args.files.is_empty() {
            break;
        }
        answer = look(context, &args).await?;
    }
    context.output.print(&answer, text)?;
    if answer.ok {
        Ok(())
    } else {
        Err(CliError::Negative)
    }
}

async fn look(context: &Context, args: &VerifyArgs) -> Result<Verified, CliError> {
    let whole = args.files.is_empty();
    let mut expected = args.expect.clone();
    let mut daemon = None;
    if whole {
        let place = Place::noted(&context.instance);
        // Before the files are read: by then the line is there.
        daemon = ask(context).await.filter(|state| state.file == place.file);
    }
    let daemon = daemon.and_then(|state| {
        Some(Head {
            seq: state.seq?,
            hash: state.hash?,
        })
    });
    expected.extend(daemon);
    let report = verify(&chosen(context, &args.files)?, whole, &expected)?;
    Ok(Verified {
        ok: report.findings.is_empty(),
        daemon,
        report,
    })
}

/// What a running daemon says.
async fn ask(context: &Context) -> Option<AuditState> {
    let mut client = Client::connect(&context.instance).await.ok()?;
    let status: DaemonStatus = client
        .request(Method::GET, "/v1/status", None::<&()>)
        .await
        .ok()?;
    status.audit
}

fn text(verified: &Verified) -> String {
    let report = &verified.report;
    let mut lines: Vec<String> = report
        .findings
        .iter()
        .map(|finding| format!("{}:{}: {}", finding.file.display(), finding.line, finding.what))
        .collect();
    if report.more > 0 {
        lines.push(format!("and {} more", report.more));
    }
    for (event, count) in report.told.iter().filter(|(_, count)| **count > 0) {
        lines.push(format!("the trail tells of itself: {event}, {count} times"));
    }
    let looked = match report.files.len() {
        1 => format!("{} lines in a file", report.lines),
        files => format!("{} lines in {files} files", report.lines),
    };
    lines.push(match (verified.ok, report.first, report.last) {
        (true, Some(first), Some(last)) => {
            let daemon = if verified.daemon.is_some() {
                ", where the daemon says that it ends"
            } else {
                ""
            };
            format!(
                "{looked}, {} to {}{daemon}: none was edited, removed, inserted or moved; the newest is {last}",
                first.seq, last.seq
            )
        }
        (true, ..) => format!("{looked}: nothing to check"),
        (false, ..) => format!("{looked}: NOT as they were written"),
    });
    lines.join("\n")
}

/// The files that are meant.
fn chosen(context: &Context, named: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let file = Place::noted(&context.instance).file;
    let files = files(&file).map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
    if files.is_empty() {
        return Err(nothing(&file));
    }
    Ok(files)
}

fn nothing(file: &std::path::Path) -> CliError {
    CliError::Failed(format!(
        "there is no audit trail at {}: `netguard run` writes one unless `audit.mode` is \"off\"; name its files if they are elsewhere",
        file.display()
    ))
}

fn newest(context: &Context) -> Result<(), CliError> {
    let file = Place::noted(&context.instance).file;
    let head = head(&file)?.ok_or_else(|| nothing(&file))?;
    context
        .output
        .print(&Newest { file, head }, |newest| newest.head.to_string())
}

fn show(context: &Context, args: &ShowArgs) -> Result<(), CliError> {
    let mut newest = VecDeque::new();
    let mut unread = 0_u64;
    for file in chosen(context, &args.files)? {
        let read = each_line(&file, |raw| {
            let Ok(event) = serde_json::from_slice::<Map<String, Value>>(raw.bytes) else {
                unread += 1;
                return;
            };
            let sound = Line::read(raw.bytes).is_ok();
            unread += u64::from(!sound);
            if args.wants(&event) {
                newest.push_back((event, raw.bytes.to_vec(), sound));
            }
            if newest.len() > args.limit {
                newest.pop_front();
            }
        });
        read.map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
    }
    if context.output.json {
        for (_, bytes, _) in &newest {
            line(&String::from_utf8_lossy(bytes))?;
        }
    } else if newest.is_empty() {
        line("no such event is in the audit trail")?;
    } else {
        line(&table(
            newest.into_iter().map(|(event, _, sound)| row(event, sound)),
            &[0],
        ))?;
    }
    unsound(unread);
    Ok(())
}

/// Tells that `unread` lines are not as they were written, if there are any.
fn unsound(unread: u64) {
    if unread > 0 {
        let told =
            format!("netguard: not as they were written: {unread} of the lines, see `netguard audit verify`");
        // Beside the answer, which is whole without it.
        let _told = writeln!(io::stderr(), "{told}");
    }
}

impl ShowArgs {
    fn wants(&self, event: &Map<String, Value>) -> bool {
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        // Times in the trail have one form, so they sort as text.
        self.since.as_deref().is_none_or(|since| text("at") >= since)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == text("event")))
    }
}

fn row(mut event: Map<String, Value>, sound: bool) -> Row {
    let mut take = |key: &str| match event.remove(key) {
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let (seq, at, kind) = (take("seq"), take("at"), take("event"));
    let author = take("author");
    for silent in ["mono_ns", "prev", "hash"] {
        take(silent);
    }
    Row {
        seq: if sound { seq } else { format!("!{seq}") },
        at,
        author: serde_json::from_str(&author).map_or(author, |author: Author| author.to_string()),
        event: kind,
        what: fields(&event),
    }
}

/// A time as the trail writes it.
fn since(text: &str) -> Result<String, String> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Ok(humantime::format_rfc3339_millis(time).to_string());
    }
    humantime::parse_duration(text)
        .ok()
        .and_then(wall_clock_before)
        .ok_or_else(|| "a time in UTC (2026-01-31T12:00:00Z) or a duration (90m) is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_a_row() {
        let text = r#"{"seq":7,"at":"T","mono_ns":1,"author":{"by":"operator","uid":0,"user":"root"},"event":"rule-added","list":"block","note":"a b","for_s":null,"prev":"00","hash":"11"}"#;
        let event = serde_json::from_str(text).expect("JSON");
        let row = row(event, false);
        assert_eq!((row.seq.as_str(), row.author.as_str()), ("!7", "root"));
        assert_eq!(
            (row.event.as_str(), row.what.as_str()),
            ("rule-added", r#"list=block note="a b""#)
        );
    }

    #[test]
    fn a_time_or_a_duration_is_a_time() {
        assert_eq!(
            since("2026-01-31T12:00:00Z").as_deref(),
            Ok("2026-01-31T12:00:00.000Z")
        );
        assert_eq!(
            since("2026-01-31 12:00:00").as_deref(),
            Ok("2026-01-31T12:00:00.000Z")
        );
        let (hour, minute) = (since("1h").expect("a time"), since("1m").expect("a time"));
        assert!(hour < minute && hour.len() == "2026-01-31T12:00:00.000Z".len());
        for wrong in [
            "",
            "yesterday",
            "-1h",
            "2026-13-01T00:00:00Z",
            "99999999999999years",
        ] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
