//! Changes that go back unless they are confirmed: `netguard confirm`, `netguard undo`, and the option `--confirm` of what changes.

use clap::Args;
use hyper::Method;
use serde::Serialize;

use super::{CliError, Context};
use crate::{
    config::Confirm,
    control::{Client, ClientError, RequestError},
    daemon::{Unconfirmed, UnconfirmedChange},
};

/// What else keeps a rule from locking its author out for good where no daemon runs.
pub(super) const TTL: &str = "give it an end of at most a minute with --ttl, or ";

/// The option of a command that changes something.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct ConfirmOption {
    /// Take the change back after this time, unless `netguard confirm` says that all is well; `never`: it stays at once. Without
    /// this, what could lock you out waits as long as `guard.confirm` says.
    #[arg(long, value_name = "TIME|never")]
    confirm: Option<Confirm>,
}

impl ConfirmOption {
    /// `path` with what was asked for.
    pub(super) fn ask(self, path: &str) -> String {
        match self.confirm {
            Some(confirm) => format!("{path}?confirm_s={}", confirm.seconds()),
            None => path.to_owned(),
        }
    }

    /// The same for rules of which one may hold an address from which whoever asks is logged in.
    pub(super) fn ask_about(self, path: &str, own_session: bool) -> String {
        let path = self.ask(path);
        match own_session {
            true => format!(
                "{path}{}own_session=true",
                if path.contains('?') { '&' } else { '?' }
            ),
            false => path,
        }
    }

    /// The same for a change that nobody could take back, since no daemon runs. `risk` gets the seconds in which it would have to be
    /// confirmed; `instead` says what else would do, and ends with "or".
    ///
    /// # Errors
    /// When it must be confirmed.
    pub(super) fn alone(
        self,
        risk: impl FnOnce(u64) -> Option<String>,
        instead: &'static str,
    ) -> Result<(), RequestError> {
        let why = match self.confirm {
            Some(Confirm::Never) => return Ok(()),
            Some(Confirm::Within(_)) => "it is to be confirmed".to_owned(),
            // The daemon's configuration is not known here.
            None => match risk(Confirm::default().seconds()) {
                Some(why) => why,
                None => return Ok(()),
            },
        };
        Err(RequestError::Alone { why, instead })
    }
}

/// Which change is meant.
#[derive(Args, Debug)]
pub(super) struct ChangeArgs {
    /// Its number; without one, the only change that waits.
    id: Option<u64>,
}

/// What is to become of a change.
#[derive(Clone, Copy)]
pub(super) enum Word {
    Confirm,
    Undo,
}

pub(super) async fn run(context: &Context, word: Word, args: &ChangeArgs) -> Result<(), CliError> {
    let mut client = match Client::connect(&context.instance).await {
        Ok(client) => client,
        Err(ClientError::NotRunning) => {
            let message = "no daemon runs, so no change waits: rules that nobody confirmed end by themselves";
            return Err(CliError::Failed(message.to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let id = match args.id {
        Some(id) => id,
        None => the_only(client.request(Method::GET, "/v1/changes", None::<&()>).await?)?,
    };
    let method = match word {
        Word::Confirm => Method::POST,
        Word::Undo => Method::DELETE,
    };
    let path = format!("/v1/changes/{id}");
    let change: UnconfirmedChange = client.request(method, &path, None::<&()>).await?;
    let done = Done {
        id: change.id,
        what: change.what,
        outcome: match word {
            Word::Confirm => "confirmed",
            Word::Undo => "undone",
        },
    };
    context.output.print(&done, |done| match word {
        Word::Confirm => format!("change {}, {}, stays", done.id, done.what),
        Word::Undo => format!("change {}, {}, is taken back", done.id, done.what),
    })
}

/// The answer.
#[derive(Serialize)]
struct Done {
    id: u64,
    what: String,
    /// `confirmed`, or `undone`.
    outcome: &'static str,
}

fn the_only(waiting: Vec<UnconfirmedChange>) -> Result<u64, CliError> {
    match &waiting[..] {
        [one] => Ok(one.id),
        [] => Err(CliError::Failed("no change waits for confirmation".to_owned())),
        several => {
            let one = |change: &UnconfirmedChange| format!("{} ({})", change.id, change.what);
            let several: Vec<String> = several.iter().map(one).collect();
            Err(CliError::Usage(format!(
                "several changes wait for confirmation, say which: {}",
                several.join(", ")
            )))
        }
    }
}

/// What is added to the sentence about a change that is done.
pub(super) fn told(unconfirmed: Option<&Unconfirmed>) -> String {
    let Some(Unconfirmed { id, within_s, why }) = unconfirmed else {
        return String::new();
    };
    let why = why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    format!(
        "\nIT GOES BACK IN {within_s} s{why}: `netguard confirm {id}` if all is well, `netguard undo {id}` if not"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Author;

    fn change(id: u64) -> UnconfirmedChange {
        UnconfirmedChange {
            id,
            what: format!("block 10.{id}.0.0/16"),
            author: Author::Daemon,
            goes_back_in_s: 5,
            why: None,
        }
    }

    #[test]
    fn a_change_needs_no_number_where_it_is_the_only_one() {
        assert_eq!(the_only(vec![change(7)]).expect("one"), 7);
        assert!(matches!(the_only(Vec::new()), Err(CliError::Failed(_))));
        let error = the_only(vec![change(7), change(8)]).expect_err("two").to_string();
        assert!(error.contains("7 (block 10.7.0.0/16), 8 ("), "{error}");
    }

    #[test]
    fn nothing_waits_without_a_daemon() {
        let of = |text: Option<&str>| ConfirmOption {
            confirm: text.map(|text| text.parse().expect("a time")),
        };
        let risky = |_| Some("it is wide".to_owned());
        assert!(of(None).alone(|_| None, "").is_ok());
        assert!(of(Some("never")).alone(risky, "").is_ok());
        assert!(of(Some("10s")).alone(|_| None, "").is_err());
        let error = of(None)
            .alone(risky, "give it an end with --ttl, or ")
            .expect_err("risky");
        assert!(
            error.to_string().starts_with("it is wide, and no daemon runs")
                && error.to_string().contains("--ttl, or add --confirm never"),
            "{error}"
        );
        assert_eq!(
            of(Some("10s")).ask("/v1/limits/udp"),
            "/v1/limits/udp?confirm_s=10"
        );
        assert_eq!(of(None).ask("/v1/limits/udp"), "/v1/limits/udp");
    }
}
