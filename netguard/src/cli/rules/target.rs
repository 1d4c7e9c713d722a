//! Who changes the rules: the daemon if one runs, this process otherwise.

use std::{
    io::{self, Write as _},
    net::IpAddr,
};

use hyper::Method;

use super::super::{
    CliError, Context,
    alone::{alone, record, tell_unasked},
    confirm::{ConfirmOption, TTL},
};
use crate::{
    bpf::{List, Rules},
    clock::monotonic_ns,
    control::{
        Client, ClientError, Failure, Import, Objections, Objector, RequestError, RuleAddition, RuleOutcome,
        RuleRemoval, essentials, remove_rule, risk, told,
    },
    daemon::Lock,
    engine::Guard,
    host,
};

pub(super) enum Target<'a> {
    Daemon(Client),
    Maps {
        context: &'a Context,
        rules: Box<Rules>,
        guard: Guard,
        _lock: Lock,
    },
}

impl<'a> Target<'a> {
    pub(super) async fn of(context: &'a Context) -> Result<Self, CliError> {
        match Client::connect(&context.instance).await {
            Ok(client) => Ok(Self::Daemon(client)),
            Err(ClientError::NotRunning) => {
                let lock = alone(context).await?;
                Ok(Self::Maps {
                    context,
                    rules: Box::new(Rules::open(&context.pins)?),
                    _lock: lock,
                    guard: Guard::new(essentials(host::facts().await?)),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn add(
        &mut self,
        list: List,
        additions: Vec<RuleAddition>,
        confirm: ConfirmOption,
    ) -> Result<Vec<RuleOutcome>, Failure> {
        let clients = host::own_session_peers();
        refuse_own_session(list, &additions, &clients)?;
        let holds_client =
            |addition: &RuleAddition| clients.iter().any(|client| addition.prefix.contains(*client));
        let own_session = list == List::Block && additions.iter().any(holds_client);
        match self {
            Self::Daemon(client) => {
                let path = confirm.ask_about(&path(list), own_session);
                let outcomes: Vec<RuleOutcome> =
                    client.request(Method::POST, &path, Some(&additions)).await?;
                let unasked = outcomes.first().map_or(&[][..], |first| &first.unasked[..]);
                if !unasked.is_empty() {
                    tell_unread(unasked);
                }
                Ok(outcomes)
            }
            Self::Maps {
                context,
                rules,
                guard,
                ..
            } => {
                let nobody = Objections::default();
                let mut import = Import::new(guard, nobody, list, additions.clone(), monotonic_ns())
                    .map_err(|failed| failed.failure())?;
                confirm
                    .alone(
                        |within_s| {
                            risk::of_additions(guard, list, &additions, within_s)
                                .or_else(|| risk::of_session(own_session))
                        },
                        TTL,
                    )
                    .map_err(|error| error.failure())?;
                let result = loop {
                    if let Some(result) = import.step(rules) {
                        break result;
                    }
                };
                let outcomes = result.map_err(|failed| failed.failure())?;
                record(context, told::added(list, &additions, &outcomes));
                let asks = |addition: &RuleAddition| !addition.force.overrides(Objector::NeverBlock);
                if list == List::Block && additions.iter().any(asks) {
                    tell_unasked();
                }
                Ok(outcomes)
            }
        }
    }

    pub(super) async fn remove(
        &mut self,
        list: List,
        removal: &RuleRemoval,
        confirm: ConfirmOption,
    ) -> Result<RuleOutcome, CliError> {
        match self {
            Self::Daemon(client) => Ok(client
                .request(Method::DELETE, &confirm.ask(&path(list)), Some(removal))
                .await?),
            Self::Maps {
                context,
                rules,
                guard,
                ..
            } => {
                confirm.alone(|_| risk::of_removal(guard, list, removal.prefix), "")?;
                let (outcome, _) = remove_rule(rules, list, removal)?;
                record(context, told::removed(list, &outcome));
                Ok(outcome)
            }
        }
    }
}

/// Beside the answer: the daemon does not know what these `feeds` would say.
fn tell_unread(feeds: &[String]) {
    let told = format!(
        "netguard: {} was never read and says never to block whom, which nobody could ask: see `netguard feed list`",
        feeds.join(", ")
    );
    let _told = writeln!(io::stderr(), "{told}");
}

fn path(list: List) -> String {
    format!("/v1/rules/{}", list.name())
}

/// Whoever works over ssh, from one of `clients`, must not cut themselves off.
fn refuse_own_session(list: List, additions: &[RuleAddition], clients: &[IpAddr]) -> Result<(), Failure> {
    if list == List::Allow {
        return Ok(());
    }
    let mut objections = Objections::default();
    for (index, addition) in additions.iter().enumerate() {
        let prefix = addition.prefix;
        let client = clients.iter().find(|client| prefix.contains(**client));
        if let Some(client) = client.filter(|_| !addition.force.overrides(Objector::LockOut)) {
            objections.add(Objector::LockOut, index, prefix, || {
                format!("{prefix} holds {client}, from where you are logged in")
            });
        }
    }
    match objections.index() {
        None => Ok(()),
        index => Err(Failure {
            index,
            ..RequestError::Guarded(objections).failure()
        }),
    }
}
