//! Who changes the rules: the daemon if one runs, this process otherwise.

use std::net::IpAddr;

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
        Client, ClientError, Failure, FailureKind, Import, RuleAddition, RuleOutcome, RuleRemoval,
        essentials, remove_rule, risk, told,
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
            Self::Daemon(client) => client
                .request(
                    Method::POST,
                    &confirm.ask_about(&path(list), own_session),
                    Some(&additions),
                )
                .await
                .map_err(Failure::from),
            Self::Maps {
                context,
                rules,
                guard,
                ..
            } => {
                let mut import = Import::new(guard, list, additions.clone(), monotonic_ns())
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
                if list == List::Block && additions.iter().any(|addition| !addition.force) {
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

fn path(list: List) -> String {
    format!("/v1/rules/{}", list.name())
}

/// Whoever works over ssh, from one of `clients`, must not cut themselves off.
fn refuse_own_session(list: List, additions: &[RuleAddition], clients: &[IpAddr]) -> Result<(), Failure> {
    if list == List::Allow {
        return Ok(());
    }
    for (index, addition) in additions
        .iter()
        .enumerate()
        .filter(|(_, addition)| !addition.force)
    {
        if let Some(client) = clients.iter().find(|client| addition.prefix.contains(**client)) {
            return Err(Failure {
                kind: FailureKind::Usage,
                message: format!(
                    "{} holds {client}, from where you are logged in: add --force if you mean it",
                    addition.prefix
                ),
                index: Some(index),
            });
        }
    }
    Ok(())
}
