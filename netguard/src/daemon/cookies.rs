//! `net.ipv4.tcp_syncookies` as SYN cookies need it. With 0 no socket takes a cookie; with 1 the kernel makes them only when a
//! queue is full; with 2 always, which sets every connection up a little less well: so 2 only while services are answered for.
//!
//! What it was lies in a file, so that whoever detaches restores it, whether or not this daemon still lives.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing::{info, warn};

use super::{EventKind, Journal, RUNTIME_DIRECTORY};
use crate::{bpf::InstanceName, clock::monotonic_ns, host};

const NAME: &str = "net.ipv4.tcp_syncookies";
/// How long a service must not have been asked too often before the kernel answers again.
const CALM: Duration = Duration::from_secs(10);

/// Answers in a second from which on it is asked whether they were sent.
const TELLING: u64 = 100;
/// Seconds in a row at which nearly all answers must be lost.
const PATIENCE: u32 = 3;

/// The switch of one instance.
pub(super) struct CookieSwitch {
    /// Whether the setting is ours to change.
    managed: bool,
    /// The value in times of peace.
    peace: String,
    /// When a cookie was wanted last, monotonic ns; `None` in times of peace.
    wanted_ns: Option<u64>,
    /// Answers made and packets not sent, at the last look.
    sent: Option<(u64, u64)>,
    /// Looks in a row at which nearly all answers were lost.
    lost: u32,
}

impl CookieSwitch {
    /// Makes sure that sockets take cookies, if they are to be `used` and the setting may be `managed`.
    pub(super) fn new(instance: &InstanceName, used: bool, managed: bool, journal: &Journal) -> Self {
        let mut switch = Self {
            managed: used && managed,
            peace: "1".to_owned(),
            wanted_ns: None,
            sent: None,
            lost: 0,
        };
        if !switch.managed
            && let Err(error) = restore_sysctls(instance)
        {
            warn!("{NAME} is not what it was before an earlier daemon: {error}");
        }
        if !used {
            return switch;
        }
        let found = match host::sysctl(NAME) {
            Ok(found) => found,
            Err(error) => {
                warn!("{NAME} cannot be read, SYN cookies may not work: {error}");
                switch.managed = false;
                return switch;
            }
        };
        if !managed {
            if found == "0" {
                warn!("{NAME} is 0 and `syn_cookies.manage_sysctls` is off: SYN cookies do not work");
            }
            return switch;
        }
        // An earlier daemon may have left its own value behind.
        let original = original(instance).unwrap_or(found);
        if let Err(error) = fs::write(file(instance), format!("{original} {}\n", namespace())) {
            warn!("{NAME} stays as it is, what it was cannot be kept: {error}");
            switch.managed = false;
            return switch;
        }
        if original != "0" {
            switch.peace = original;
        }
        switch.set(&switch.peace.clone(), journal);
        switch
    }

    /// Looks whether services are asked too often; `wanted`: since the last look.
    pub(super) fn look(&mut self, wanted: bool, journal: &Journal) {
        if !self.managed {
            return;
        }
        let now_ns = monotonic_ns();
        match (wanted, self.wanted_ns) {
            (true, _) => {
                self.wanted_ns = Some(now_ns);
                // Each time: somebody else may have set it back.
                self.set("2", journal);
            }
            (false, Some(last_ns)) if u128::from(now_ns - last_ns) > CALM.as_nanos() => {
                self.wanted_ns = None;
                self.set(&self.peace.clone(), journal);
            }
            _ => {}
        }
    }

    /// Whether nearly all answers were lost at the interface for a while, as a veth loses what it is to send back to an end
    /// that runs no XDP program; of `answered` and `tx_dropped` in all.
    pub(super) fn undelivered(&mut self, answered: u64, tx_dropped: u64) -> bool {
        let before = self.sent.replace((answered, tx_dropped));
        let all_lost = before.is_some_and(|(answered_then, dropped_then)| {
            let made = answered.saturating_sub(answered_then);
            made >= TELLING && tx_dropped.saturating_sub(dropped_then) >= made / 10 * 9
        });
        self.lost = if all_lost { self.lost + 1 } else { 0 };
        self.lost >= PATIENCE
    }

    fn set(&self, value: &str, journal: &Journal) {
        if host::sysctl(NAME).is_ok_and(|found| found == value) {
            return;
        }
        match host::set_sysctl(NAME, value) {
            Ok(()) => {
                info!("{NAME} = {value}");
                journal.record(EventKind::Sysctl {
                    name: NAME.to_owned(),
                    value: value.to_owned(),
                });
            }
            Err(error) => warn!("{NAME} cannot be set to {value}, SYN cookies may not work: {error}"),
        }
    }
}

/// Makes the setting what it was before `instance` changed it.
///
/// # Errors
/// When it may not be set, or was changed in another network namespace.
pub fn restore_sysctls(instance: &InstanceName) -> io::Result<()> {
    let Ok(text) = fs::read_to_string(file(instance)) else {
        return Ok(());
    };
    if !text.ends_with(&format!(" {}\n", namespace())) {
        return Err(io::Error::other(format!(
            "it was changed in another network namespace: run the command there, or remove {}",
            file(instance).display()
        )));
    }
    if let Some(original) = original(instance) {
        host::set_sysctl(NAME, &original)?;
    }
    fs::remove_file(file(instance))
}

fn original(instance: &InstanceName) -> Option<String> {
    let text = fs::read_to_string(file(instance)).ok()?;
    let (value, namespace_then) = text.trim().split_once(' ')?;
    (namespace_then == namespace() && matches!(value, "0" | "1" | "2")).then(|| value.to_owned())
}

/// The network namespace of this process, as a word.
fn namespace() -> String {
    let link = fs::read_link("/proc/thread-self/ns/net").unwrap_or_default();
    link.display().to_string()
}

fn file(instance: &InstanceName) -> PathBuf {
    Path::new(RUNTIME_DIRECTORY).join(format!("{instance}.tcp_syncookies"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_answers_are_noticed() {
        let mut switch = CookieSwitch {
            managed: false,
            peace: "1".to_owned(),
            wanted_ns: None,
            sent: None,
            lost: 0,
        };
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
