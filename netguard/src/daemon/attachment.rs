//! Keeps the filter on its interfaces: attaches it at the start, and again when an interface was removed and made
//! anew under its name (a driver reloaded, a container restarted), which takes the filter with it.

mod backoff;

use std::collections::HashMap;

use netguard_common::layout::Segments;
use tracing::{debug, info, warn};

use super::{DaemonError, EventKind, Protected, State, segments::segments, setup::suitable};
use crate::{
    bpf::{
        self, AttachError, AttachMode, Attached, BpfError, EgressError, Link, ListenError, Listening, Loaded,
        NotCounted, Pins,
    },
    config::Attach,
    host::{self, Interface},
};
use backoff::Backoff;

/// The loaded filter and how it is to be attached.
pub(super) struct Attachment {
    loaded: Loaded,
    pins: Pins,
    attach: Attach,
    /// Whether what leaves is to be watched, too.
    to_watch: bool,
    /// Whether it is, and packets may be judged by that.
    watching: bool,
    watch_refusals: Backoff,
    refusals: HashMap<String, Refusals>,
}

/// What a look at the interfaces told besides.
pub(super) struct Looked {
    /// Packets that they could not send since they were made.
    pub(super) unsent: u64,
    /// A VLAN on one of them.
    pub(super) vlan: Option<String>,
    /// The largest TCP segments that all of them can take.
    pub(super) segments: Segments,
    pub(super) watched: Watched,
}

/// What became of the watch on what leaves.
pub(super) enum Watched {
    AsBefore,
    /// One of the interfaces was not watched until now.
    Anew,
    Refused(EgressError),
}

/// Attempts in a row that an interface refused.
struct Refusals {
    /// Of the interface; another number is another interface, which may not refuse.
    index: u32,
    attempts: Backoff,
    why: String,
}

impl Attachment {
    pub(super) fn new(loaded: Loaded, pins: Pins, attach: Attach) -> Self {
        Self {
            loaded,
            pins,
            attach,
            to_watch: false,
            watching: false,
            watch_refusals: Backoff::default(),
            refusals: HashMap::new(),
        }
    }

    /// Whether the maps of an earlier daemon were taken over.
    pub(super) fn adopted(&self) -> bool {
        self.loaded.adopted
    }

    /// Has the kernel count connections; false when an earlier daemon had already.
    pub(super) fn count_connections(&mut self) -> Result<bool, NotCounted> {
        bpf::count_connections(&mut self.loaded, &self.pins)
    }

    /// Who can listen to services.
    pub(super) fn listening(&mut self) -> Result<Listening, ListenError> {
        Listening::open(&mut self.loaded, &self.pins)
    }

    /// Watches what `interfaces` send, and nothing else, from now on; true when one of them was not watched until now.
    pub(super) fn watch(&mut self, interfaces: &[Interface]) -> Result<bool, EgressError> {
        self.to_watch = true;
        bpf::forget(&self.pins, interfaces)?;
        let mut fresh = false;
        for interface in interfaces {
            fresh |= bpf::watch(&mut self.loaded, &self.pins, interface)?;
        }
        self.watching = true;
        self.watch_refusals = Backoff::default();
        Ok(fresh)
    }

    /// Whether what leaves is to be watched, as the next look sees to.
    pub(super) fn want_watch(&mut self, wanted: bool) {
        if wanted && !self.to_watch {
            self.watch_refusals = Backoff::default();
        }
        self.to_watch = wanted;
    }

    /// Whether what leaves is watched, as far as the last look saw.
    pub(super) fn is_watching(&self) -> bool {
        self.watching
    }

    /// Lets what is watched be, and tries the rest again later.
    pub(super) fn watch_later(&mut self) {
        self.watching = false;
        self.watch_refusals.refused();
    }

    /// Watches nothing any more, until it is tried again where it is wanted. Nothing that arrives may be judged by it now.
    pub(super) fn watch_nothing(&mut self) {
        self.watch_later();
        if let Err(error) = bpf::forget(&self.pins, &[]) {
            warn!("what leaves is still watched: {error}");
        }
    }

    /// Watches again what nobody watches any more: the interface was made anew, somebody detached the watch, or it was refused
    /// before.
    fn watch_again(&mut self, standing: &[Interface]) -> Watched {
        if !self.to_watch || standing.is_empty() || !self.pins.have_links() {
            return Watched::AsBefore;
        }
        let before = self.watching;
        let due = if before {
            let unwatched = |interface: &Interface| !bpf::is_watched(&self.pins, interface);
            standing.iter().any(unwatched)
        } else {
            self.watch_refusals.is_due()
        };
        if !due {
            return Watched::AsBefore;
        }
        match self.watch(standing) {
            Ok(fresh) if fresh || !before => Watched::Anew,
            Ok(_) => Watched::AsBefore,
            Err(error) => Watched::Refused(error),
        }
    }

    /// Protects all `interfaces`, or changes nothing.
    pub(super) fn protect_all(&mut self, interfaces: &[Interface]) -> Result<Vec<Protected>, DaemonError> {
        let mut protected: Vec<Protected> = Vec::new();
        for interface in interfaces {
            match self.protect(interface) {
                Ok(one) => protected.push(one),
                Err(error) => {
                    let new = protected.iter().filter(|protected| !protected.adopted);
                    let failed = new.filter_map(|new| bpf::detach(&self.pins, &new.interface).err());
                    return Err(error.and_left(failed.map(|error| error.to_string()).collect()));
                }
            }
        }
        Ok(protected)
    }

    /// Attaches the filter to `interface`, or takes over the link that an earlier daemon left there.
    fn protect(&mut self, interface: &Interface) -> Result<Protected, DaemonError> {
        suitable(interface)?;
        let modes: &[AttachMode] = match self.attach {
            Attach::Auto => &[AttachMode::Native, AttachMode::Generic],
            Attach::Native => &[AttachMode::Native],
            Attach::Generic => &[AttachMode::Generic],
        };
        let name = interface.name.as_str();
        self.redirect_answers(interface);
        let attached = bpf::attach(&mut self.loaded, &self.pins, interface, modes)
            .map_err(|error| named(error, interface.program_id()))?;
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
            renamed: None,
            mode,
            adopted,
            fault: None,
        })
    }

    /// Looks whether every interface still runs the filter, and attaches it again where it does not. `None` when the kernel
    /// does not list them.
    pub(super) async fn check(&mut self, state: &State) -> Option<Looked> {
        let standing = match host::interfaces().await {
            Ok(standing) => standing,
            Err(error) => {
                warn!("whether the filter is still attached is not known: {error}");
                return None;
            }
        };
        let before = state.interfaces().clone();
        let names: Vec<&str> = before.iter().map(|one| one.interface.as_str()).collect();
        if let Err(error) = self.follow_names(&names, &standing) {
            warn!("pins do not follow the names of their interfaces: {error}");
        }
        // First the watch, then the filter.
        let filtered = filtered(&self.pins, &names, &standing);
        let watched = self.watch_again(&filtered);
        for interface in &filtered {
            let redirected = bpf::redirect_answers(&self.pins, interface);
            redirected.unwrap_or_else(|error| debug!("answers may not leave: {error}"));
        }
        let mut after = Vec::new();
        for protected in &before {
            let (looked, renewed) = self.look(protected, &standing);
            tell(state, protected, &looked, renewed);
            after.push(looked);
        }
        let names: Vec<String> = after
            .iter()
            .map(|protected| protected.name_now().to_owned())
            .collect();
        let ours: Vec<&Interface> = standing
            .iter()
            .filter(|interface| names.contains(&interface.name))
            .collect();
        let of_ours = |vlan: &&Interface| ours.iter().any(|ours| vlan.vlan_of == Some(ours.index));
        let looked = Looked {
            unsent: ours.iter().map(|interface| interface.unsent).sum(),
            vlan: standing.iter().find(of_ours).map(|vlan| vlan.name.clone()),
            segments: segments(&filtered),
            watched,
        };
        *state.interfaces() = after;
        Some(looked)
    }

    /// Before the filter answers, and again where the kernel has forgotten it.
    fn redirect_answers(&self, interface: &Interface) {
        if let Err(error) = bpf::redirect_answers(&self.pins, interface) {
            warn!("answers may not leave through {}: {error}", interface.name);
        }
    }

    /// Where the name of a protected interface has gone to another one, the pins follow. Otherwise they keep their names, by
    /// which a renamed interface is known.
    fn follow_names(&self, names: &[&str], standing: &[Interface]) -> Result<(), BpfError> {
        let moved = |interface: &&Interface| {
            let link = Link::pinned(&self.pins, &interface.name);
            names.contains(&interface.name.as_str())
                && link
                    .and_then(|link| link.filtered(standing))
                    .is_some_and(|filtered| filtered.index != interface.index)
        };
        if standing.iter().any(|interface| moved(&interface)) {
            bpf::follow_names(&self.pins, standing)?;
        }
        Ok(())
    }

    /// `protected` as it is now, attached again if need be, and whether that was needed.
    fn look(&mut self, protected: &Protected, standing: &[Interface]) -> (Protected, bool) {
        let named = standing
            .iter()
            .find(|interface| interface.name == protected.interface);
        let link = match Link::read(&self.pins, &protected.interface) {
            Ok(link) => link,
            // Unknown is not gone: nothing is attached in the place of what may stand.
            Err(error) => {
                warn!("whether the filter is still attached is not known: {error}");
                return (protected.clone(), false);
            }
        };
        let filtered = link.and_then(|link| link.filtered(standing));
        match (named, filtered) {
            // Under another name, and nobody has taken the old one.
            (None, Some(filtered)) => {
                let renamed = Some(filtered.name.clone());
                (protected.standing(renamed), false)
            }
            (Some(named), Some(filtered)) if named.index == filtered.index => {
                (protected.standing(None), false)
            }
            (named, _) => (self.renew(protected, named), true),
        }
    }

    /// `protected` with the filter attached to `interface` again, or with why that cannot be.
    fn renew(&mut self, protected: &Protected, interface: Option<&Interface>) -> Protected {
        let faulty = |fault: String| Protected {
            renamed: None,
            fault: Some(fault),
            ..protected.clone()
        };
        let Some(interface) = interface else {
            return faulty("the interface is gone".to_owned());
        };
        if !self.pins.have_links() {
            // Somebody took the way back: attaching what cannot be pinned would last until the next look.
            return faulty("its pins were removed: end this daemon, or start it again".to_owned());
        }
        let refused = self.refusals.remove(&interface.name);
        let mut attempts = Backoff::default();
        if let Some(mut refused) = refused.filter(|refused| refused.index == interface.index) {
            if !refused.attempts.is_due() {
                let why = refused.why.clone();
                self.refusals.insert(interface.name.clone(), refused);
                return faulty(why);
            }
            attempts = refused.attempts;
        }
        self.protect(interface).unwrap_or_else(|error| {
            attempts.refused();
            let refusals = Refusals {
                index: interface.index,
                attempts,
                why: error.to_string(),
            };
            self.refusals.insert(interface.name.clone(), refusals);
            faulty(error.to_string())
        })
    }
}

/// Those of `standing` that run the filter, or are to: they are called one of `names`.
pub(super) fn filtered(pins: &Pins, names: &[&str], standing: &[Interface]) -> Vec<Interface> {
    let links = Link::all(pins);
    let runs = |interface: &&Interface| {
        names.contains(&interface.name.as_str()) || links.iter().any(|link| link.filters(interface))
    };
    standing.iter().filter(runs).cloned().collect()
}

impl Protected {
    /// As it is while its filter stands.
    fn standing(&self, renamed: Option<String>) -> Self {
        Self {
            renamed,
            fault: None,
            ..self.clone()
        }
    }
}

/// What is told: a fault once, not each second, and its end, also of one that came and went between two looks.
fn tell(state: &State, before: &Protected, after: &Protected, renewed: bool) {
    let interface = after.interface.clone();
    match &after.fault {
        Some(why) if before.fault.as_ref() != Some(why) => {
            warn!(interface, "NOT protected: {why}");
            state.journal.record(EventKind::Unprotected {
                interface,
                why: why.clone(),
            });
        }
        None if before.fault.is_some() || renewed => {
            state.journal.record(EventKind::ProtectedAgain { interface });
        }
        None if before.renamed != after.renamed => match &after.renamed {
            Some(name) => warn!(interface, "still protected, but called {name} now"),
            None => info!(interface, "called by its configured name again"),
        },
        _ => {}
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
