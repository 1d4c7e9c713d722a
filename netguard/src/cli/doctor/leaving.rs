//! What hangs on the look at what leaves: answers to this machine's own questions, and the floor of TLS.

use netguard_common::layout::Mode;

use super::{Check, State, check, release};
use crate::{
    bpf::{Link, Pins, Services, SettingsMap, is_watched},
    control::DaemonStatus,
    daemon::{ReflectionState, TlsState},
    host::Interface,
};

/// The first kernel with TCX, by which what leaves is looked at.
const MIN_KERNEL: (u32, u32) = (6, 6);

/// Without the watch on what an interface sends, answers to this machine's own questions would be dropped.
pub(super) fn reflection(interfaces: &[Interface], pins: &Pins, status: Option<&DaemonStatus>) -> Check {
    if release().1 < MIN_KERNEL {
        let detail = "off: it needs Linux 6.6 or newer; all other policies work";
        return check("reflection", State::Warn, detail);
    }
    if status.is_some_and(|status| status.reflection == ReflectionState::Unavailable) {
        let detail = "OFF: what leaves cannot be watched, which is tried again; `netguard events` tells why";
        return check("reflection", State::Warn, detail);
    }
    let settings = SettingsMap::open(pins).and_then(|map| map.read());
    if settings.is_ok_and(|settings| Mode::from_number(settings.reflection.mode) == Mode::Enforce)
        && let Some(interface) = unwatched(interfaces, pins)
    {
        let detail = format!(
            "what {} sends is not watched, so answers to its questions are dropped; a running daemon mends that within \
             a second, else `netguard run -i {}`",
            interface.name, interface.name
        );
        return check("reflection", State::Fail, detail);
    }
    check("reflection", State::Ok, "questions can be remembered (TCX)")
}

/// Nothing where no service has a policy.
pub(super) fn tls(interfaces: &[Interface], pins: &Pins, status: Option<&DaemonStatus>) -> Option<Check> {
    const NAME: &str = "floor of TLS";
    if !Services::open(pins)
        .and_then(|services| services.have_tls())
        .unwrap_or(false)
    {
        return None;
    }
    if release().1 < MIN_KERNEL {
        let detail = "it does NOT hold: it needs Linux 6.6 or newer";
        return Some(check(NAME, State::Fail, detail));
    }
    if let Some(interface) = unwatched(interfaces, pins) {
        let detail = format!(
            "it does NOT hold for what {} sends; a running daemon mends that within a second, else `netguard run -i {}`",
            interface.name, interface.name
        );
        return Some(check(NAME, State::Fail, detail));
    }
    let told = status.map(|status| &status.tls);
    Some(match told.and_then(|tls| tls.fault.as_ref()) {
        Some(why) => check(
            NAME,
            State::Warn,
            format!("it holds, but refused handshakes end by time-out: {why}"),
        ),
        None if told.is_some_and(|tls| tls.state == TlsState::Unavailable) => {
            let detail = "it does NOT hold: `netguard events` tells why";
            check(NAME, State::Fail, detail)
        }
        None => check(NAME, State::Ok, "it holds"),
    })
}

/// An interface that is filtered, and of which nobody looks at what it sends.
fn unwatched<'a>(interfaces: &'a [Interface], pins: &Pins) -> Option<&'a Interface> {
    let links = Link::all(pins);
    interfaces
        .iter()
        .find(|interface| links.iter().any(|link| link.filters(interface)) && !is_watched(pins, interface))
}
