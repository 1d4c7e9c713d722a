//! `netguard audit show --follow`: the newest lines of the trail, and from then on each as it is written. It ends when nobody reads it.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    time::Duration,
};

use serde_json::{Map, Value};

use super::{CliError, Context, ShowArgs, chosen, row, unsound};
use crate::audit::{Follower, Line, Place};

/// How often it is looked whether there are new lines.
const TURN: Duration = Duration::from_millis(250);

pub(super) async fn follow(context: &Context, args: &ShowArgs) -> Result<(), CliError> {
    // That there is one.
    chosen(context, &[])?;
    let file = Place::noted(&context.instance).file;
    let mut follower = Follower::new(&file);
    let mut at_most = args.limit;
    loop {
        let (mut lines, mut unread) = (VecDeque::new(), 0);
        let read = follower.read(|bytes| {
            let (line, sound) = told(args, context.output.json, bytes);
            unread += u64::from(!sound);
            lines.extend(line);
            if lines.len() > at_most {
                lines.pop_front();
            }
        });
        read.map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
        if !print(&lines)? {
            return Ok(());
        }
        unsound(unread);
        // Of what is new all is shown.
        at_most = usize::MAX;
        tokio::time::sleep(TURN).await;
    }
}

/// A line as it is printed, if it is wanted, and whether it is as it was written.
fn told(args: &ShowArgs, json: bool, bytes: &[u8]) -> (Option<String>, bool) {
    let Ok(event) = serde_json::from_slice::<Map<String, Value>>(bytes) else {
        return (None, false);
    };
    let sound = Line::read(bytes).is_ok();
    let wanted = args.wants(&event);
    let line = wanted.then(|| match json {
        true => String::from_utf8_lossy(bytes).into_owned(),
        false => {
            let row = row(event, sound);
            let [at, seq, author, kind, what] = [row.at, row.seq, row.author, row.event, row.what];
            format!("{at} {seq} {author} {kind} {what}").trim_end().to_owned()
        }
    });
    (line, sound)
}

/// Whether somebody still reads what is printed.
fn print(lines: &VecDeque<String>) -> Result<bool, CliError> {
    let mut out = io::stdout().lock();
    let mut all = lines.iter();
    match all
        .try_for_each(|line| writeln!(out, "{line}"))
        .and_then(|()| out.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::Failed(format!("the trail cannot be printed: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_if_it_is_wanted() {
        let args = ShowArgs {
            files: Vec::new(),
            follow: true,
            since: Some("2026-01-01T00:00:00.000Z".to_owned()),
            kinds: vec!["rule-added".to_owned()],
            limit: 9,
        };
        let line = |at: &str, event: &str| {
            format!(
                "{{\"seq\":7,\"at\":\"{at}\",\"author\":{{\"by\":\"daemon\"}},\"event\":\"{event}\",\"list\":\"block\"}}"
            )
        };
        let now = line("2026-01-02T00:00:00.000Z", "rule-added");
        // It has no hash.
        let shown = "2026-01-02T00:00:00.000Z !7 daemon rule-added list=block";
        assert_eq!(
            told(&args, false, now.as_bytes()),
            (Some(shown.to_owned()), false)
        );
        assert_eq!(told(&args, true, now.as_bytes()), (Some(now.clone()), false));
        for other in [
            line("2025-12-31T00:00:00.000Z", "rule-added"),
            line("2026-01-02T00:00:00.000Z", "blocked"),
        ] {
            assert_eq!(told(&args, false, other.as_bytes()).0, None);
        }
        assert_eq!(told(&args, false, b"{"), (None, false));
    }
}
