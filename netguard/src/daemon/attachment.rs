//! Keeps the filter on its interfaces: attaches it at the start, and again when an interface was removed and made
//! anew under its name (a driver reloaded, a container restarted), which takes the filter with it.

use tracing::{info, warn};

use super::{DaemonError, EventKind, Protected, State};
use crate::{
    bpf::{self, AttachError, AttachMode, Attached, Loaded, Pins},
    config::Attach,
    host::{self, Interface},
};

/// The loaded filter and how it is to be attached.
pub(super) struct Attachment {
    loaded: Loaded,
    pins: Pins,
    attach: Attach,
}

impl Attachment {
    pub(super) fn new(loaded: Loaded, pins: Pins, attach: Attach) -> Self {
        Self { loaded, pins, attach }
    }

    /// Whether the maps of an earlier daemon were taken over.
    pub(super) fn adopted(&self) -> bool {
        self.loaded.adopted
    }

    /// Attaches the filter to `interface`, or takes over the link that an earlier daemon left there.
    pub(super) fn protect(&mut self, interface: &Interface) -> Result<Protected, DaemonError> {
        let modes: &[AttachMode] = match self.attach {
            Attach::Auto => &[AttachMode::Native, AttachMode::Generic],
            Attach::Native => &[AttachMode::Native],
            Attach::Generic => &[AttachMode::Generic],
        };
        let name = interface.name.as_str();
        let current = interface.program_id();
        let attached = bpf::attach(&mut self.loaded, &self.pins, name, current, modes)
            .map_err(|error| named(error, current))?;
        let (mode, adopted) = match attached {
            Attached::Fresh { mode, fallback } => {
                if let Some(reason) = fallback {
                    warn!(
                        interface = name,
                        driver = interface.driver.as_deref().unwrap_or("unknown"),
                        "the driver refuses native XDP ({reason}): attached in generic mode, which is slower"
                    );
                }
                (mode.to_string(), false)
            }
            Attached::Adopted => (
                interface.xdp.map_or_else(String::new, |xdp| xdp.mode.to_string()),
                true,
            ),
        };
        info!(interface = name, mode, adopted, "protecting");
        Ok(Protected {
            interface: name.to_owned(),
            mode,
            adopted,
            fault: None,
        })
    }

    /// Looks whether every interface still runs the filter, and attaches it again where it does not.
    pub(super) async fn check(&mut self, state: &State) {
        let standing = match host::interfaces().await {
            Ok(standing) => standing,
            Err(error) => {
                warn!("whether the filter is still attached is not known: {error}");
                return;
            }
        };
        let before = state.interfaces().clone();
        let mut after = Vec::new();
        for protected in &before {
            let interface = standing
                .iter()
                .find(|interface| interface.name == protected.interface);
            let stands = interface.is_some_and(|interface| {
                bpf::runs_filter(&self.pins, &interface.name, interface.program_id())
            });
            let renewed = match (stands, &protected.fault) {
                (true, None) => {
                    after.push(protected.clone());
                    continue;
                }
                (true, Some(_)) => Protected {
                    fault: None,
                    ..protected.clone()
                },
                (false, _) => self.renew(protected, interface),
            };
            tell(state, protected, &renewed);
            after.push(renewed);
        }
        *state.interfaces() = after;
    }

    /// `protected` with the filter attached to `interface` again, or with why that cannot be.
    fn renew(&mut self, protected: &Protected, interface: Option<&Interface>) -> Protected {
        let faulty = |fault: String| Protected {
            fault: Some(fault),
            ..protected.clone()
        };
        let Some(interface) = interface else {
            return faulty("the interface is gone, or has another name".to_owned());
        };
        if !self.pins.have_links() {
            // Somebody took the way back: attaching what cannot be pinned would last until the next look.
            return faulty("its pins were removed: end this daemon, or start it again".to_owned());
        }
        self.protect(interface)
            .unwrap_or_else(|error| faulty(error.to_string()))
    }
}

/// What is told: a fault once, not each second, and its end.
fn tell(state: &State, before: &Protected, after: &Protected) {
    let interface = after.interface.clone();
    match &after.fault {
        Some(why) if before.fault.as_ref() != Some(why) => {
            warn!(interface, "NOT protected: {why}");
            state.journal.record(EventKind::Unprotected {
                interface,
                why: why.clone(),
            });
        }
        Some(_) => {}
        None => state.journal.record(EventKind::ProtectedAgain { interface }),
    }
}

/// An occupied interface is told with the name of the program that occupies it.
fn named(error: AttachError, current: Option<u32>) -> DaemonError {
    match (error, current) {
        (AttachError::Occupied { interface }, Some(id)) => {
            let name = bpf::program_name(id).unwrap_or_else(|| "without a name".to_owned());
            DaemonError::Occupied {
                interface,
                program: format!("{name} (id {id})"),
            }
        }
        (error, _) => DaemonError::Attach(error),
    }
}
