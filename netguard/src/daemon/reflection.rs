//! Whether answers that nobody asked for are refused: only while questions are remembered wherever the filter runs.

use std::time::Duration;

use netguard_common::{
    layout::{Mode, Rate, Reflection, Settings},
    reflection::hints_of,
};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{EventKind, State, attachment::Watched, settings::limit_rate};
use crate::{
    bpf::{BpfError, EgressError},
    clock::monotonic_ns,
    config::{Config, PolicyMode},
    host,
};

/// What becomes of answers that nobody asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReflectionState {
    #[default]
    Off,
    /// They are counted.
    Shadow,
    Enforce,
    /// Questions cannot be remembered: all answers pass.
    Unavailable,
}

/// How long answers may come to questions that were asked before they were remembered. Who asks waits about that long.
const GRACE: Duration = Duration::from_secs(5);

/// The ports from which the kernel lets ask when nobody changed them.
const ASKING: (u16, u16) = (32_768, 60_999);

/// How the policy begins.
pub(super) struct Beginning {
    pub(super) state: ReflectionState,
    /// Questions that are on their way now are known to nobody.
    grace: bool,
    /// Why it is unavailable.
    pub(super) why: Option<String>,
}

impl Beginning {
    /// Questions are remembered if `config` wants that and what leaves is `watched`: anew, or as before.
    pub(super) fn new(config: &Config, watched: Option<&Result<bool, EgressError>>) -> Self {
        let state = wanted(config);
        let mut beginning = Self {
            state,
            grace: false,
            why: None,
        };
        if state == ReflectionState::Off {
            return beginning;
        }
        match watched {
            Some(Ok(fresh)) => beginning.grace = *fresh,
            Some(Err(error)) => {
                warn!("answers that nobody asked for are NOT refused: {error}");
                beginning.state = ReflectionState::Unavailable;
                beginning.why = Some(error.to_string());
            }
            None => {}
        }
        beginning
    }

    /// Whether what leaves is to be watched.
    pub(super) fn watches(&self) -> bool {
        matches!(self.state, ReflectionState::Shadow | ReflectionState::Enforce)
    }

    /// What the datapath is told.
    pub(super) fn settings(&self, config: &Config, before: &Reflection) -> Reflection {
        let grace_until_ns = if self.grace {
            grace_ends_ns()
        } else {
            before.grace_until_ns
        };
        told(config, mode(self.state), asking_ports(), grace_until_ns)
    }
}

/// What the datapath is told in a replay, which has no machine that asks but the one in the capture.
pub(crate) fn replayed(config: &Config) -> Reflection {
    told(config, mode(wanted(config)), ASKING, 0)
}

fn told(config: &Config, mode: Mode, asking: (u16, u16), grace_until_ns: u64) -> Reflection {
    let ports = config.reflection.ports.padded();
    Reflection {
        mode: mode as u32,
        asking_first: asking.0,
        asking_last: asking.1,
        hints: hints_of(&ports),
        ports,
        services: config.reflection.services.padded(),
        remember_ns: nanoseconds(config.reflection.remember_for.duration()),
        grace_until_ns,
        fragments: fragments(config),
    }
}

/// What `config` asks for.
pub(super) fn wanted(config: &Config) -> ReflectionState {
    match config.reflection.mode.under(config.mode) {
        PolicyMode::Off => ReflectionState::Off,
        PolicyMode::Shadow => ReflectionState::Shadow,
        PolicyMode::Enforce => ReflectionState::Enforce,
    }
}

const fn mode(state: ReflectionState) -> Mode {
    match state {
        ReflectionState::Off | ReflectionState::Unavailable => Mode::Off,
        ReflectionState::Shadow => Mode::Shadow,
        ReflectionState::Enforce => Mode::Enforce,
    }
}

/// Draws the consequence when an interface was not watched any more, and is now, or cannot be. True when nothing is to be
/// watched until the next attempt: never before the datapath has been told, which would refuse every answer.
pub(super) fn follow(state: &State, config: &Config, watched: &Watched) -> bool {
    match watched {
        _ if wanted(config) == ReflectionState::Off => false,
        Watched::AsBefore => false,
        Watched::Anew => !resume(state, wanted(config)),
        Watched::Refused(error) => give_up(state, error),
    }
}

/// Refuses answers again, if it did not; false when the datapath could not be told.
fn resume(state: &State, wanted: ReflectionState) -> bool {
    let told = change(state, |settings| {
        settings.grace_until_ns = grace_ends_ns();
        settings.mode = mode(wanted) as u32;
    });
    let before = *state.reflection();
    if let Err(error) = told {
        warn!("the kernel is not told that questions were forgotten: {error}");
        return before != ReflectionState::Unavailable;
    }
    *state.reflection() = wanted;
    if before == ReflectionState::Unavailable {
        info!("answers that nobody asked for are refused from now on");
        state.journal.record(EventKind::ReflectionOn);
    }
    true
}

/// Lets all answers pass; true when the datapath was told.
fn give_up(state: &State, error: &EgressError) -> bool {
    if *state.reflection() == ReflectionState::Unavailable {
        return true;
    }
    if let Err(error) = change(state, |settings| settings.mode = Mode::Off as u32) {
        warn!("the kernel is not told that questions cannot be remembered: {error}");
        return false;
    }
    *state.reflection() = ReflectionState::Unavailable;
    warn!("answers that nobody asked for are NOT refused until what leaves can be watched: {error}");
    let why = error.to_string();
    state.journal.record(EventKind::ReflectionOff { why });
    true
}

fn change(state: &State, to: impl FnOnce(&mut Reflection)) -> Result<(), BpfError> {
    let mut map = state.settings();
    let mut settings: Settings = map.read()?;
    to(&mut settings.reflection);
    map.write(&settings)
}

fn grace_ends_ns() -> u64 {
    monotonic_ns() + nanoseconds(GRACE)
}

/// The rate of later fragments that nobody asked for.
fn fragments(config: &Config) -> Rate {
    limit_rate(config.reflection.fragments)
}

fn asking_ports() -> (u16, u16) {
    let text = host::sysctl("net.ipv4.ip_local_port_range").unwrap_or_default();
    range(&text).unwrap_or(ASKING)
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once(char::is_whitespace)?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use netguard_common::shared::Field as _;

    use super::*;

    #[test]
    fn a_range_is_two_ports() {
        assert_eq!(range("32768\t60999"), Some((32_768, 60_999)));
        assert_eq!(range("60999"), None);
        assert!(asking_ports().0 < asking_ports().1);
    }

    #[test]
    fn nothing_is_refused_while_nothing_is_remembered() {
        let config = Config::default();
        let with = |state, grace| {
            let beginning = Beginning {
                state,
                grace,
                why: None,
            };
            beginning.settings(&config, &Reflection::ZERO)
        };
        assert_eq!(with(ReflectionState::Unavailable, false).mode, Mode::Off as u32);
        let enforced = with(ReflectionState::Enforce, false);
        assert_eq!(enforced.mode, Mode::Enforce as u32);
        assert_eq!((enforced.ports[2], enforced.hints[0] >> 53 & 1), (53, 1));
        assert_eq!(enforced.grace_until_ns, 0, "the watch went on");
        assert!(with(ReflectionState::Enforce, true).grace_until_ns > monotonic_ns());
    }
}
