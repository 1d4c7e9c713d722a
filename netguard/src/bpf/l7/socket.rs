//! A packet socket that a program listens through, and that nothing is ever read from: its program accepts no packet.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt},
};

/// A socket of AF_PACKET whose packets begin at their network header.
pub(super) struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// One that gets nothing yet.
    pub(super) fn new() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Packet,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        // The least that the kernel allows: nothing is queued.
        setsockopt(&socket, sockopt::RcvBuf, &0)?;
        Ok(Self(socket))
    }

    /// Has it see what interface number `index` receives and sends.
    pub(super) fn bind(&self, index: u32) -> io::Result<()> {
        let invalid = |_| io::Error::from(Errno::EINVAL);
        let every = u16::try_from(libc::ETH_P_ALL).map_err(invalid)?;
        let address = libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).map_err(invalid)?,
            sll_protocol: every.to_be(),
            sll_ifindex: i32::try_from(index).map_err(invalid)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let len = libc::socklen_t::try_from(size_of_val(&address)).map_err(invalid)?;
        // SAFETY: the address is a live value of the length that is told, which the kernel only reads.
        let bound = unsafe { libc::bind(self.0.as_raw_fd(), (&raw const address).cast(), len) };
        Errno::result(bound)?;
        Ok(())
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
