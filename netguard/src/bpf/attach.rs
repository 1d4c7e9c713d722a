//! Attaches the filter to an interface through a pinned link, or takes over the link of an earlier daemon:
//! the program is then exchanged in one step, and no packet passes unjudged.

use std::{fmt, io};

use aya::programs::{
    ProgramError, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::{XdpLink, XdpLinkId},
};

use super::{
    BpfError, Loaded, Pins,
    links::{Link, detach},
    load::{XDP_PROGRAM, xdp},
};
use crate::host::Interface;

/// Where in the receive path the filter sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver.
    Native,
    /// In the network stack, for drivers without XDP.
    Generic,
}

/// What became of an attachment.
#[derive(Debug)]
pub enum Attached {
    /// Newly attached in this mode. `fallback` says why it is not native.
    Fresh {
        mode: AttachMode,
        fallback: Option<String>,
    },
    /// The link of an earlier daemon was taken over.
    Adopted,
}

#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error(
        "{interface} already has another XDP program attached: detach it with the tool that loaded it, then try again"
    )]
    Occupied { interface: String },
    #[error("{interface} does not exist in this network namespace")]
    NoInterface { interface: String },
    #[error(
        "the driver of {interface} refuses native XDP ({reason}): use `attach = \"auto\"` or \"generic\" in the \
         configuration"
    )]
    NoNative { interface: String, reason: io::Error },
    #[error("the filter cannot be attached to {interface}: {reason}")]
    Refused { interface: String, reason: String },
    #[error(transparent)]
    Bpf(#[from] BpfError),
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// Attaches to `interface`, trying `modes` in order, unless a pinned link can be taken over.
///
/// # Errors
/// When the interface is missing or taken, or every mode is refused.
pub fn attach(
    loaded: &mut Loaded,
    pins: &Pins,
    interface: &Interface,
    modes: &[AttachMode],
) -> Result<Attached, AttachError> {
    if adopt(loaded, pins, interface)? {
        return Ok(Attached::Adopted);
    }
    let interface = interface.name.as_str();
    let mut fallback = None;
    for &mode in modes {
        match attach_fresh(loaded, pins, interface, mode) {
            Ok(()) => return Ok(Attached::Fresh { mode, fallback }),
            Err(AttachError::NoNative { reason, .. }) if modes.contains(&AttachMode::Generic) => {
                fallback = Some(reason.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Err(AttachError::Refused {
        interface: interface.to_owned(),
        reason: "no mode is allowed".to_owned(),
    })
}

/// Exchanges the program behind the pinned link of `interface`. A link that filters something else (the interface was
/// removed and made again under its name, or has taken over the name of another) is dropped.
fn adopt(loaded: &mut Loaded, pins: &Pins, interface: &Interface) -> Result<bool, AttachError> {
    let name = interface.name.as_str();
    let path = pins.link(name);
    if !path.exists() {
        return Ok(false);
    }
    let link = FdLink::from(PinnedLink::from_pin(&path).map_err(|error| refused(name, &error))?);
    let found = Link::of(name, &link).map_err(|error| refused(name, &error))?;
    if !found.filters(interface) {
        // It may be what protects a renamed interface.
        if !found.is_known() {
            return Err(AttachError::Refused {
                interface: name.to_owned(),
                reason: format!(
                    "what {} filters cannot be read from /proc/self/fdinfo",
                    path.display()
                ),
            });
        }
        detach(pins, name)?;
        return Ok(false);
    }
    let link = XdpLink::try_from(link).map_err(|error| refused(name, &error))?;
    let id = xdp(&mut loaded.ebpf, XDP_PROGRAM)?
        .attach_to_link(link)
        .map_err(|error| refused(name, &error))?;
    fd_link(loaded, id, name)?;
    Ok(true)
}

fn attach_fresh(
    loaded: &mut Loaded,
    pins: &Pins,
    interface: &str,
    mode: AttachMode,
) -> Result<(), AttachError> {
    let flags = match mode {
        AttachMode::Native => XdpMode::Driver,
        AttachMode::Generic => XdpMode::Skb,
    };
    let id = xdp(&mut loaded.ebpf, XDP_PROGRAM)?
        .attach(interface, flags)
        .map_err(|error| attach_failed(interface, mode, error))?;
    let path = pins.link(interface);
    fd_link(loaded, id, interface)?
        .pin(&path)
        .map_err(|error| refused(interface, &error))?;
    Ok(())
}

/// The link as a file descriptor; dropping that does not detach once it is pinned.
fn fd_link(loaded: &mut Loaded, id: XdpLinkId, interface: &str) -> Result<FdLink, AttachError> {
    let link = xdp(&mut loaded.ebpf, XDP_PROGRAM)?
        .take_link(id)
        .map_err(|error| refused(interface, &error))?;
    FdLink::try_from(link).map_err(|error| refused(interface, &error))
}

fn attach_failed(interface: &str, mode: AttachMode, error: ProgramError) -> AttachError {
    let interface = interface.to_owned();
    match error {
        ProgramError::UnknownInterface { .. } => AttachError::NoInterface { interface },
        ProgramError::SyscallError(error) => match error.io_error.raw_os_error() {
            Some(libc::EBUSY | libc::EEXIST) => AttachError::Occupied { interface },
            Some(libc::EPERM) => AttachError::Bpf(BpfError::NotRoot),
            _ if mode == AttachMode::Native => AttachError::NoNative {
                interface,
                reason: error.io_error,
            },
            _ => AttachError::Refused {
                interface,
                reason: error.io_error.to_string(),
            },
        },
        // aya retries EINVAL over netlink: the driver has no XDP, or cannot with this MTU or these offloads.
        error if mode == AttachMode::Native => AttachError::NoNative {
            interface,
            reason: io::Error::other(root_cause(&error)),
        },
        error => AttachError::Refused {
            interface,
            reason: root_cause(&error),
        },
    }
}

pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn refused(interface: &str, error: &dyn std::error::Error) -> AttachError {
    AttachError::Refused {
        interface: interface.to_owned(),
        reason: root_cause(error),
    }
}
