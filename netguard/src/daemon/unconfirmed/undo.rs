//! What takes a change back, or makes it stay. What somebody changed after it is theirs, and is left.

use netguard_common::{
    layout::{Rate, Rule, Service},
    signature::Signature,
};

use tracing::warn;

use super::{super::State, ChangeError};
use crate::{
    bpf::{BpfError, List},
    clock::monotonic_ns,
    config::ServicePort,
    control::{Import, LimitName, RuleTrial},
    prefix::Prefix,
};

/// What was changed, and what held before.
#[derive(Debug)]
pub(crate) enum Undo {
    /// Rules that were added, and end soon by themselves.
    Added(RuleTrial),
    Removed {
        list: List,
        prefix: Prefix,
        rule: Rule,
        note: Option<String>,
    },
    Limit {
        name: LimitName,
        before: Rate,
        set: Rate,
    },
    /// `None`: the common limits.
    Service {
        port: ServicePort,
        before: Option<Service>,
        set: Option<Service>,
    },
    /// A signature that ends soon by itself.
    Signature {
        id: u32,
        standing: Signature,
        /// When it was meant to end; 0: never.
        expires_at: u32,
    },
}

/// How an undoing ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    /// What is done about an attack stands upon it.
    Held,
}

impl Undo {
    /// What the limit `name` was before this, and is by it; `None`: this is about something else.
    pub(crate) fn limit_before(&self, name: LimitName) -> Option<(Rate, Rate)> {
        match self {
            Self::Limit {
                name: own,
                before,
                set,
            } if *own == name => Some((*before, *set)),
            _ => None,
        }
    }

    /// What held for the service at `port` before this, and does by it.
    pub(crate) fn service_before(&self, port: ServicePort) -> Option<(Option<Service>, Option<Service>)> {
        match self {
            Self::Service {
                port: own,
                before,
                set,
            } if *own == port => Some((*before, *set)),
            _ => None,
        }
    }

    /// Whether this is a change of rules of `list` of which `touches` says so.
    pub(crate) fn is_of_rules(&self, list: List, touches: impl Fn(&Prefix) -> bool) -> bool {
        match self {
            Self::Added(trial) => trial.list() == list && trial.prefixes().any(|prefix| touches(&prefix)),
            Self::Removed {
                list: own, prefix, ..
            } => *own == list && touches(prefix),
            _ => false,
        }
    }

    /// Whether this is the addition of a rule for `prefix` to `list`, and of nothing else.
    pub(crate) fn is_only(&self, list: List, prefix: &Prefix) -> bool {
        matches!(self, Self::Added(trial) if trial.list() == list && trial.prefixes().eq([*prefix]))
    }

    /// Whether this is the addition of signature `id`.
    pub(crate) fn is_signature(&self, id: u32) -> bool {
        matches!(self, Self::Signature { id: own, .. } if *own == id)
    }

    /// Takes the change back; others have their turn in between.
    ///
    /// # Errors
    /// When the kernel refuses: it can be tried again.
    pub(super) async fn take_back(&mut self, state: &State) -> Result<End, BpfError> {
        match self {
            Self::Added(trial) => {
                while trial.take_back(&mut state.rules()) {
                    tokio::task::yield_now().await;
                }
                Ok(End::Done)
            }
            rest => rest.put_back(state),
        }
    }

    /// [`Self::take_back`] of what takes one step.
    fn put_back(&mut self, state: &State) -> Result<End, BpfError> {
        match self {
            // It goes back in portions.
            Self::Added(_) => {}
            Self::Removed {
                list,
                prefix,
                rule,
                note,
            } => {
                let now_ns = monotonic_ns();
                // Whoever became essential since is not blocked by what comes back.
                let objection = state.guard().objection(prefix);
                if *list == List::Block
                    && let Some((guarded, kind)) = objection.filter(|(_, kind)| kind.is_essential())
                {
                    warn!(%prefix, %guarded, "a block does not come back: that is {}", kind.describe());
                    return Ok(End::Done);
                }
                let mut rules = state.rules();
                let standing = rules.entries(*list)?;
                let stands = |(other, rule): &(Prefix, Rule)| other == prefix && !rule.expired(now_ns);
                if !rule.expired(now_ns) && !standing.iter().any(stands) {
                    rules.insert(*list, *prefix, *rule, note.as_deref())?;
                }
            }
            Self::Limit { name, before, set } => {
                let mut map = state.settings();
                let mut settings = map.read()?;
                if name.rate(&settings) == *set {
                    name.write(&mut settings, *before);
                    map.write(&settings)?;
                }
            }
            Self::Service { port, before, set } => {
                // Before the services, as whoever takes both.
                let held = state.responder().limits(&port.to_string());
                let mut services = state.services();
                if services.of(port.protocol(), port.port())? != *set {
                    // Once the measure ends it leaves what it found, which is this change.
                    return Ok(if held { End::Held } else { End::Done });
                }
                match before {
                    Some(before) => services.set(*before)?,
                    None => {
                        services.remove(port.protocol(), port.port())?;
                    }
                }
            }
            Self::Signature { id, standing, .. } => {
                let mut signatures = state.signatures();
                if signatures.stands(*id, standing)? {
                    signatures.remove(*id)?;
                }
            }
        }
        Ok(End::Done)
    }

    /// Gives what ends soon the end that was meant. The turn to write is the caller's.
    ///
    /// # Errors
    /// When the kernel refuses: all is as it was then.
    pub(super) async fn confirm(&mut self, state: &State) -> Result<(), ChangeError> {
        match self {
            Self::Added(trial) => {
                let refused = |message: String| ChangeError::Refused(format!("not confirmed: {message}"));
                let mut import = Import::confirmed(trial, &mut state.rules())
                    .map_err(|error| refused(error.to_string()))?;
                loop {
                    let step = import.step(&mut state.rules());
                    match step {
                        Some(done) => {
                            break done.map(drop).map_err(|failed| refused(failed.error.to_string()));
                        }
                        None => tokio::task::yield_now().await,
                    }
                }
            }
            Self::Signature {
                id,
                standing,
                expires_at,
            } => {
                let meant = Signature {
                    expires_at: *expires_at,
                    ..*standing
                };
                let _stood = state.signatures().replace(*id, standing, meant)?;
                Ok(())
            }
            Self::Removed { .. } | Self::Limit { .. } | Self::Service { .. } => Ok(()),
        }
    }
}
