//! Puts single frames on the wire of a namespace, byte for byte (AF_PACKET); tagged ones need no VLAN device.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::Namespace;

/// Sends frames through an interface of `ns`, in order, each from its Ethernet header on.
pub fn send_frames(ns: &Namespace, iface: &str, frames: &[Vec<u8>]) -> Result<()> {
    ns.enter(|| send_here(iface, frames))?
        .with_context(|| format!("sending frames through {iface} in {}", ns.name()))
}

fn send_here(iface: &str, frames: &[Vec<u8>]) -> Result<()> {
    // Protocol 0: a socket that only sends.
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    let index = if_nametoindex(iface)?;
    for frame in frames {
        let sent = send_one(&socket, index, frame)?;
        ensure!(sent == frame.len(), "{sent} of {} bytes went out", frame.len());
    }
    Ok(())
}

fn send_one(socket: &OwnedFd, index: u32, frame: &[u8]) -> Result<usize> {
    let to = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET)?,
        sll_protocol: frame
            .get(12..14)
            .map_or(0, |ethertype| u16::from_ne_bytes([ethertype[0], ethertype[1]])),
        sll_ifindex: i32::try_from(index)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    let to_len = libc::socklen_t::try_from(size_of_val(&to))?;
    // SAFETY: both pointers are to live values whose lengths are passed with them; the kernel only reads
    // them.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const to).cast(),
            to_len,
        )
    };
    Ok(usize::try_from(Errno::result(sent)?)?)
}
