//! How far the kernel's table of sockets is believed: what it does not know may belong to a container, another machine or a
//! translated port. What this machine does can change at any time, so it is looked at again and again.

use netguard_common::state::Reach;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{EventKind, State};
use crate::{
    config::{self, Config, PolicyMode},
    host::{Translation, translation},
};

/// How far strays are judged, and why no further.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReach {
    /// `nothing`, `listening` or `all`.
    pub reach: String,
    pub why: Option<String>,
}

/// How far, and why no further.
pub(super) type Found = (Reach, Option<&'static str>);

/// What `config` asks for, on a machine that is as it is now.
pub(super) fn reach(config: &Config) -> Found {
    if config.state.mode == PolicyMode::Off {
        return (Reach::Nothing, None);
    }
    under(config.state.reach, translation())
}

/// Whether all that is sent to own addresses ends in sockets of this machine, as far as `asked` says and the machine is looked at now.
pub(super) fn is_all(asked: config::Reach) -> bool {
    under(asked, translation()).0 == Reach::All
}

/// The reach as it is told.
pub(super) fn told((reach, why): Found) -> StateReach {
    let reach = match reach {
        Reach::Nothing => "nothing",
        Reach::Listening => "listening",
        Reach::All => "all",
    };
    StateReach {
        reach: reach.to_owned(),
        why: why.map(str::to_owned),
    }
}

/// Looks again, and tells what changed.
pub(super) fn look(state: &State, config: &Config) {
    let found = reach(config);
    let told = told(found);
    if *state.reach() == told {
        return;
    }
    let mut map = state.settings();
    let written = map.read().and_then(|mut settings| {
        settings.suspicion.reach = found.0 as u32;
        map.write(&settings)
    });
    match written {
        Ok(()) => {
            state.journal.record(EventKind::StateReach(told.clone()));
            *state.reach() = told;
        }
        Err(error) => warn!("segments without a connection are judged as before: {error}"),
    }
}

const fn under(asked: config::Reach, translation: Translation) -> Found {
    use config::Reach as Asked;
    match (asked, translation) {
        (Asked::Auto, Translation::Forwarding) => {
            let why = "this machine forwards packets: connections of its addresses may end in containers or other machines";
            (Reach::Nothing, Some(why))
        }
        (Asked::Auto, Translation::Possible) => {
            let why =
                "this kernel can translate addresses: what nothing listens for may be meant for another port";
            (Reach::Listening, Some(why))
        }
        (Asked::Auto | Asked::All, _) => (Reach::All, None),
        (Asked::Listening, _) => (Reach::Listening, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_end_elsewhere_is_not_judged() {
        use config::Reach as Asked;
        let of = |asked, translation| under(asked, translation).0;
        assert_eq!(of(Asked::Auto, Translation::None), Reach::All);
        assert_eq!(of(Asked::Auto, Translation::Possible), Reach::Listening);
        assert_eq!(of(Asked::Auto, Translation::Forwarding), Reach::Nothing);
        assert_eq!(of(Asked::Listening, Translation::Forwarding), Reach::Listening);
        assert_eq!(of(Asked::All, Translation::Forwarding), Reach::All);
    }
}
