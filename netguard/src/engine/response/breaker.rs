//! The circuit-break of a service: who is new is not served until the flood is over. It is a signature that fits whatever a newcomer
//! sends first and spares who is connected or known; so it needs nothing of its own in the datapath, and ends by itself as signatures do.
//!
//! After a while it opens half, as circuit breakers do: the signature only counts, and everybody is let in. If far more passes than may it
//! closes again, for twice as long; otherwise it is over.
//!
//! Honest newcomers who are not served ask again and again, and come all at once when it opens: neither may keep it closed. So a flood that
//! is not several times what may pass does not keep it either; it is over, and begins anew when the ladder is climbed again.

use netguard_common::{
    layout::Mode,
    packet::protocol,
    shared::Field as _,
    signature::{FLAGS, FieldSpec, PORT, PROTOCOL, Signature},
};

use super::{Restraint, Taken, Why};
use crate::config::ServicePort;

/// How long it stands before it opens half; twice as long for each time that it closed again, up to the cap.
const STANDS_NS: u64 = 30_000_000_000;
const STANDS_CAP_NS: u64 = 600_000_000_000;
/// How long it is half open before it is over.
const PROBE_NS: u64 = 2_000_000_000;
/// How long no more than may must be asked of the service by newcomers for it to be over without that.
const CALM_NS: u64 = 5_000_000_000;
/// How often who is not served asks again meanwhile: Linux sends a SYN five times in the first six seconds.
const RETRIES: f64 = 8.0;
/// Half open, it closes at once where so many times what may passes; and after a while where so many times passes in the mean, and the
/// detector still speaks for the attack: those who waited come in that time.
const AT_ONCE: f64 = 16.0;
const IN_THE_MEAN: f64 = 2.0;
const JUDGED_NS: u64 = 1_000_000_000;

const SYN: u64 = 0x02;
const ACK: u64 = 0x10;

/// How often the circuit of a service was broken in the course of an attack, and what passed in the moments since it is half open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trips {
    count: u32,
    passed: f64,
    moments: u32,
    /// Whether it is sent what only a flood sends.
    pub(super) is_flooded: bool,
}

/// What becomes of one that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stands,
    Opens,
    Closes,
    Ends(Why),
}

/// Fits what opens a connection to a TCP service, or any datagram to a UDP one; spares who is proven or known. `None` where `service` is no
/// name of one.
pub fn newcomers(service: &str) -> Option<Signature> {
    let port: ServicePort = service.parse().ok()?;
    let mut signature = Signature {
        mode: Mode::Enforce as u32,
        spares: 1,
        ..Signature::ZERO
    };
    let mut add = |field: FieldSpec, mask: u64, value: u64| {
        signature.mask[field.word] |= field.placed(mask);
        signature.value[field.word] |= field.placed(value);
    };
    add(PROTOCOL, PROTOCOL.most(), port.protocol().into());
    add(PORT, PORT.most(), port.port().into());
    if port.protocol() == protocol::TCP {
        add(FLAGS, SYN | ACK, SYN);
    }
    Some(signature)
}

/// What becomes of `taken` at `now_ns`. `load`: what passes to its service, and what may; `None` where nobody knows, which is too much.
/// `is_suspect`: the detector speaks for the attack.
pub(super) fn next(
    taken: &mut Taken,
    trips: &mut Trips,
    load: Option<(f64, f64)>,
    is_suspect: bool,
    now_ns: u64,
) -> Next {
    let (passing, may) = load.unwrap_or((f64::INFINITY, 0.0));
    // While it drops nothing, whatever newcomers send passes.
    let (asked, room) = match taken.mode_now() {
        Mode::Enforce => (taken.packets_per_s, RETRIES * may),
        _ => (passing, may),
    };
    trips.is_flooded = asked > room;
    if trips.is_flooded {
        taken.last_ns = now_ns;
    }
    let since_ns = now_ns.saturating_sub(taken.phase_ns);
    let next = match taken.restraint {
        Some(_) => {
            trips.passed += passing;
            trips.moments += 1;
            let mean = trips.passed / f64::from(trips.moments);
            if passing > AT_ONCE * may || is_suspect && since_ns >= JUDGED_NS && mean > IN_THE_MEAN * may {
                trips.count = trips.count.saturating_add(1);
                Next::Closes
            } else if since_ns >= PROBE_NS {
                Next::Ends(Why::Recovered)
            } else {
                Next::Stands
            }
        }
        None if now_ns.saturating_sub(taken.last_ns) >= CALM_NS => Next::Ends(Why::Recovered),
        None if taken.mode == Mode::Enforce && since_ns >= stands_ns(trips.count) => Next::Opens,
        None => Next::Stands,
    };
    if next != Next::Stands {
        (trips.passed, trips.moments) = (0.0, 0);
    }
    next
}

/// How long one stands that closed so often before.
fn stands_ns(trips: u32) -> u64 {
    STANDS_NS.saturating_mul(1 << trips.min(16)).min(STANDS_CAP_NS)
}

/// The restraint that `next` puts it under, where that changes.
pub(super) const fn restraint(next: Next) -> Option<Option<Restraint>> {
    match next {
        Next::Opens => Some(Some(Restraint::HalfOpen)),
        Next::Closes => Some(None),
        Next::Stands | Next::Ends(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::response::Measure, signature::conditions};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn newcomers_of_a_service_are_what_opens_a_connection_or_any_datagram() {
        let written = |service| newcomers(service).map(|signature| conditions(&signature).join(" "));
        assert_eq!(
            written("tcp/80").as_deref(),
            Some("protocol=tcp flags=S/0x12 port=80")
        );
        assert_eq!(written("udp/53").as_deref(), Some("protocol=udp port=53"));
        assert_eq!(written("other"), None);
        assert_eq!(newcomers("udp/53").map(|signature| signature.spares), Some(1));
    }

    fn taken(mode: Mode) -> Taken {
        let measure = Measure::CircuitBreak {
            service: "udp/53".to_owned(),
            signature: newcomers("udp/53").expect("a service"),
        };
        Taken::new(1, measure, mode, 0)
    }

    /// What happens, at which second, while newcomers send `flood` a second until second `until`, of which 100 may pass.
    fn followed(mode: Mode, flood: f64, until: u64) -> Vec<(u64, Next)> {
        let (mut taken, mut trips, mut told) = (taken(mode), Trips::default(), Vec::new());
        for tenth in 1..=4_000_u64 {
            let now_ns = tenth * SECOND / 10;
            let sent = if tenth / 10 < until { flood } else { 0.0 };
            let enforces = taken.mode_now() == Mode::Enforce;
            taken.packets_per_s = sent;
            let passing = if enforces { 0.0 } else { sent };
            let next = next(&mut taken, &mut trips, Some((passing, 100.0)), true, now_ns);
            if let Some(restraint) = restraint(next) {
                taken.restrain(restraint, now_ns);
            }
            if next != Next::Stands {
                told.push((tenth / 10, next));
            }
            if let Next::Ends(_) = next {
                break;
            }
        }
        told
    }

    #[test]
    fn it_opens_half_and_closes_again_for_twice_as_long() {
        let told = followed(Mode::Enforce, 5_000.0, 100);
        assert_eq!(
            told,
            [
                (30, Next::Opens),
                (30, Next::Closes),
                (90, Next::Opens),
                (90, Next::Closes),
                (104, Next::Ends(Why::Recovered)),
            ]
        );
        // What is too much and no more is borne for a second, as those who waited may be it.
        let told = followed(Mode::Enforce, 900.0, 60);
        assert_eq!(told[..2], [(30, Next::Opens), (31, Next::Closes)]);
    }

    #[test]
    fn it_is_over_when_what_comes_can_be_borne() {
        assert_eq!(
            followed(Mode::Enforce, 5_000.0, 20),
            [(24, Next::Ends(Why::Recovered))]
        );
        // What newcomers of ordinary times send does not keep it, who ask again as nobody answers.
        for sent in [90.0, 700.0] {
            assert_eq!(
                followed(Mode::Enforce, sent, 1_000),
                [(5, Next::Ends(Why::Recovered))]
            );
        }
        // One in shadow drops nothing, so nothing is to be tried.
        assert_eq!(
            followed(Mode::Shadow, 5_000.0, 100),
            [(104, Next::Ends(Why::Recovered))]
        );
    }

    /// Found in review: all who had waited came in one moment, which closed it again, for twice as long each time.
    #[test]
    fn a_crowd_that_waited_does_not_close_it() {
        for (is_suspect, expected) in [(true, Next::Closes), (false, Next::Ends(Why::Recovered))] {
            let (mut taken, mut trips) = (taken(Mode::Enforce), Trips::default());
            taken.restrain(Some(Restraint::HalfOpen), 0);
            let mut told = Vec::new();
            for tick in 1..=41_u64 {
                // Fourteen times what may in the first moment, three times in the mean.
                let passing = if tick == 1 { 1_400.0 } else { 300.0 };
                let now_ns = tick * SECOND / 20;
                told.push(next(
                    &mut taken,
                    &mut trips,
                    Some((passing, 100.0)),
                    is_suspect,
                    now_ns,
                ));
            }
            assert_eq!(told.iter().find(|next| **next != Next::Stands), Some(&expected));
        }
    }

    #[test]
    fn where_nobody_knows_what_passes_it_does_not_end_for_that() {
        let (mut taken, mut trips) = (taken(Mode::Enforce), Trips::default());
        taken.packets_per_s = 1.0;
        for second in 1..20 {
            assert_eq!(
                next(&mut taken, &mut trips, None, true, second * SECOND),
                Next::Stands
            );
        }
        assert_eq!(stands_ns(0), STANDS_NS);
        assert_eq!(stands_ns(u32::MAX), STANDS_CAP_NS);
    }
}
