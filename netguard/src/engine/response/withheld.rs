//! Why something is not done about an attack, in sentences, and what an operator can do then. It decides nothing.

use std::fmt;

use super::{Mode, ResponseSettings};
use crate::engine::{detect::Class, places::Unknown};

/// Why a measure is not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Withheld {
    /// Nobody can say where sources are, or may do anything about it.
    Places(Unknown),
    /// Too few ordinary packets are known to tell whom it would hit.
    UnknownPeace { known: u64 },
    /// Too few packets of the attack were seen that pass.
    FewPackets { seen: usize },
    /// No place sends much of the attack and hardly anything else.
    NoPlace,
    /// Those that do are where too many connected sources are, or too many ordinary packets come from those that are held together.
    Good,
    /// So many places are held already, because of whatever attacks.
    Full { most: usize },
    /// Somebody is logged in by that port.
    Session { port: u16 },
    /// What is usual for the service was not learnt, or it gets no more than twice that.
    NoTarget,
}

impl fmt::Display for Withheld {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Places(Unknown::NoDatabase) => out.write_str(
                "no database says where sources are: name one by `geo.country_database` or `geo.asn_database`",
            ),
            Self::Places(Unknown::Unread) => out.write_str("the database of places is still being read"),
            Self::Places(Unknown::Unreadable(why)) => write!(out, "it is not known where sources are: {why}"),
            Self::Places(Unknown::Default) => {
                out.write_str("`geo.default` says what becomes of places that no policy names")
            }
            Self::UnknownPeace { known } => write!(
                out,
                "{known} ordinary packets are known by where they came from, 128 are needed to tell whom it would hit"
            ),
            Self::FewPackets { seen } => {
                write!(out, "{seen} of its packets that pass were looked at, 64 are needed")
            }
            Self::NoPlace => {
                out.write_str("no country or autonomous system sends much of it and hardly anything in peace")
            }
            Self::Good => out.write_str(
                "too many connected clients are where it comes from, or too many ordinary packets come from all places that are held",
            ),
            Self::Full { most } => write!(out, "{most} countries or autonomous systems are held already"),
            Self::Session { port } => write!(
                out,
                "somebody is logged in by tcp/{port}, which stays open unless you write `break_sessions = true`"
            ),
            Self::NoTarget => out.write_str("no service is known to get more than twice what is usual for it"),
        }
    }
}

/// Why nothing is done about attacks of `class` by measures, where that is so by their kind, and what else holds or helps.
pub fn nothing_to_do(class: Class, settings: &ResponseSettings) -> Option<&'static str> {
    let refused = |mode: Mode, enforced, otherwise| {
        Some(if mode == Mode::Enforce {
            enforced
        } else {
            otherwise
        })
    };
    match class {
        Class::SegmentFlood => refused(
            settings.state,
            "segments of no connection are refused one by one, by the table of sockets ([state]): nothing else is needed",
            "set `state.mode` to \"enforce\": segments of no connection are refused one by one then",
        ),
        Class::SynAckReflection => refused(
            settings.state,
            "answers to connections that this machine did not ask for are refused one by one, by the table of sockets ([state]), \
             beyond what the kernel answers itself; where that is believed at some ports only, see `state.reach`",
            "set `state.mode` to \"enforce\": answers to connections that this machine did not ask for are refused one by one then",
        ),
        Class::Reflection => refused(
            settings.reflection,
            "answers that nobody asked for are refused one by one ([reflection]): nothing else is needed",
            "set `reflection.mode` to \"enforce\": answers that nobody asked for are refused one by one then",
        ),
        Class::Malformed => refused(
            settings.sanity,
            "packets that cannot be real are refused one by one ([sanity]): nothing else is needed",
            "set `sanity.mode` to \"enforce\": packets that cannot be real are refused one by one then",
        ),
        Class::Scan => Some(
            "who tries ports breaks in nowhere by that: beyond the limit of its source it is refused. `netguard block add` ends it where \
             the source is known to be its own",
        ),
        Class::ConnectionExhaustion | Class::LowAndSlow => Some(
            "connections that are kept cannot be told from slow clients by their packets, and who keeps them has passed every \
             challenge: shorten the time that the server waits for a request, cap the connections of one client there, and block who \
             holds most of them (`netguard block add`)",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_a_measure_or_a_sentence() {
        let on = ResponseSettings::all(Mode::Enforce);
        for class in Class::ALL.into_iter().filter(|class| class.is_attack()) {
            let has_kinds = super::super::volume::kinds(class).is_some();
            let sentence = nothing_to_do(class, &on);
            assert!(has_kinds != sentence.is_some(), "{class:?}");
        }
        let off = ResponseSettings {
            state: Mode::Shadow,
            ..on
        };
        let told = nothing_to_do(Class::SynAckReflection, &off).expect("a sentence");
        assert!(told.contains("set `state.mode`"), "{told}");
    }
}
