//! The settings of the kernel as SYN cookies need them. With `net.ipv4.tcp_syncookies` 0 no socket takes a cookie; with 1 the
//! kernel makes them only when a queue is full; with 2 always, which sets every connection up a little less well: so 2 only
//! while services are answered for. `net.ipv4.tcp_timestamps` decides what cookies can offer, see [`offer`].
//!
//! A connection keeps the offset of its timestamps, whatever becomes of the setting. Only a cookie that is under way meanwhile is
//! misread: so timestamps change before cookies are made and a while after the last, and few are left that the kernel made
//! for itself.

use std::time::Duration;

use netguard_common::layout::{Cookies, Offer, Settings};
use tracing::warn;

use super::{
    Journal, State,
    offer::{NOTHING, offer, until},
    sysctls::{self, Borrowed, Setting, restore},
};
use crate::{
    bpf::{BpfError, InstanceName, Pins, SettingsMap},
    clock::monotonic_ns,
    host,
};

/// How long a service must not have been asked too often before the kernel answers again.
const CALM: Duration = Duration::from_secs(10);
/// And how long then a cookie may be under way.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// Answers in a second from which on it is asked whether they were sent.
const TELLING: u64 = 100;
/// Seconds in a row at which nearly all answers must be lost.
const PATIENCE: u32 = 3;

/// What the configuration says about them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// Whether services are answered for at all.
    pub(super) used: bool,
    /// Whether `net.ipv4.tcp_syncookies` is ours to change.
    pub(super) syncookies: bool,
    /// Whether `net.ipv4.tcp_timestamps` is.
    pub(super) timestamps: bool,
}

impl Wanted {
    /// Why cookies do not do all that they are to, at this moment, in sentences.
    pub(super) fn faults(self) -> Vec<String> {
        let name = Setting::SynCookies.name();
        if !self.used {
            return Vec::new();
        }
        if !self.syncookies && host::sysctl(name).is_ok_and(|value| value == "0") {
            return vec![format!(
                "SYN cookies do not work: {name} is 0 and `syn_cookies.manage_sysctls` is off"
            )];
        }
        let managed = [
            self.syncookies.then_some(Setting::SynCookies),
            self.timestamps.then_some(Setting::Timestamps),
        ];
        let managed: Vec<Setting> = managed.into_iter().flatten().collect();
        sysctls::faults(&managed)
    }
}

/// The switch of one instance.
#[derive(Default)]
pub(super) struct CookieSwitch {
    used: bool,
    syncookies: Option<Borrowed>,
    timestamps: Option<Borrowed>,
    /// When a cookie was wanted last, monotonic ns; `None` in times of peace.
    wanted_ns: Option<u64>,
    /// What the datapath was told to offer last.
    told: Option<Offer>,
    /// Answers made and packets not sent, at the last look.
    sent: Option<(u64, u64)>,
    /// Looks in a row at which nearly all answers were lost.
    lost: u32,
}

impl CookieSwitch {
    /// Makes sure that sockets take cookies, if the setting may be changed.
    pub(super) fn new(instance: &InstanceName, wanted: Wanted, journal: &Journal) -> Self {
        let borrow = |setting, managed| {
            if managed {
                return Borrowed::new(instance, setting);
            }
            if let Err(error) = restore(instance, setting) {
                warn!("since an earlier daemon {error}");
            }
            None
        };
        let mut switch = Self {
            used: wanted.used,
            syncookies: borrow(Setting::SynCookies, wanted.used && wanted.syncookies),
            timestamps: borrow(Setting::Timestamps, wanted.used && wanted.timestamps),
            ..Self::default()
        };
        for fault in wanted.faults() {
            warn!("{fault}");
        }
        let borrowed = [&switch.syncookies, &switch.timestamps];
        if borrowed.into_iter().flatten().any(|setting| setting.armed) {
            // An earlier daemon ended in a flood: its cookies are under way, and mean what they meant.
            switch.wanted_ns = Some(monotonic_ns());
        } else {
            switch.make_peace(journal);
            switch.restore_timestamps(journal);
        }
        switch
    }

    /// Looks whether services are asked too often; `wanted`: since the last look. Tells the datapath what it may offer.
    pub(super) fn look(&mut self, wanted: bool, state: &State) {
        if !self.used {
            return;
        }
        let now_ns = monotonic_ns();
        if wanted {
            self.wanted_ns = Some(now_ns);
        }
        let calm = self
            .wanted_ns
            .map(|last_ns| Duration::from_nanos(now_ns.saturating_sub(last_ns)));
        match calm {
            // Each time: somebody else may have set them back.
            Some(_) if wanted => {
                for setting in [&mut self.timestamps, &mut self.syncookies].into_iter().flatten() {
                    setting.arm(true, &state.journal);
                }
            }
            Some(calm) if calm > CALM + UNDER_WAY => {
                // Again: there may have been no tick since it was calm.
                self.make_peace(&state.journal);
                self.restore_timestamps(&state.journal);
                self.wanted_ns = None;
            }
            Some(calm) if calm > CALM => self.make_peace(&state.journal),
            _ => {}
        }
        let ends = self.timestamps.as_ref().is_some_and(Borrowed::changes);
        let ended = ends && calm.is_none_or(|calm| calm > CALM);
        self.tell(if ended { NOTHING } else { until(offer(), now_ns) }, state);
    }

    /// Sockets take cookies, and the kernel makes them when it needs to.
    fn make_peace(&mut self, journal: &Journal) {
        if let Some(syncookies) = &mut self.syncookies {
            syncookies.arm(false, journal);
        }
    }

    fn restore_timestamps(&mut self, journal: &Journal) {
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.arm(false, journal);
        }
    }

    fn tell(&mut self, offer: Offer, state: &State) {
        if self.told == Some(offer) {
            return;
        }
        let mut map = state.settings();
        let written = map.read().and_then(|mut settings| {
            settings.offer = offer;
            map.write(&settings)
        });
        match written {
            Ok(()) => self.told = Some(offer),
            Err(error) => warn!("SYN cookies may offer what the kernel does not take: {error}"),
        }
    }

    /// Whether nearly all answers were lost at the interface for a while, as a veth loses what it is to send back to an end
    /// that neither aggregates nor runs an XDP program; of `answered` and `unsent` in all.
    pub(super) fn undelivered(&mut self, answered: u64, unsent: u64) -> bool {
        let before = self.sent.replace((answered, unsent));
        let all_lost = before.is_some_and(|(answered_then, dropped_then)| {
            let made = answered.saturating_sub(answered_then);
            made >= TELLING && unsent.saturating_sub(dropped_then) >= made / 10 * 9
        });
        self.lost = if all_lost { self.lost + 1 } else { 0 };
        self.lost >= PATIENCE
    }
}

/// Lets the datapath make no cookies any more. Before settings are restored: those that it would make then nobody could take.
///
/// # Errors
/// When nothing is pinned, or the kernel refuses.
pub fn withdraw_cookies(pins: &Pins) -> Result<(), BpfError> {
    let mut map = SettingsMap::open(pins)?;
    let settings = map.read()?;
    map.write(&Settings {
        cookies: Cookies::Off as u32,
        offer: NOTHING,
        ..settings
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_answers_are_noticed() {
        let mut switch = CookieSwitch::default();
        assert!(
            !switch.undelivered(5_000, 5_000),
            "nothing is known about the past"
        );
        assert!(!switch.undelivered(5_099, 5_099), "too few to tell");
        assert!(!switch.undelivered(6_099, 5_199));
        assert!(!switch.undelivered(7_099, 6_199), "once can be chance");
        assert!(!switch.undelivered(8_099, 7_199));
        assert!(switch.undelivered(9_099, 8_199));
        assert!(!switch.undelivered(100, 100), "counters began anew");
    }
}
