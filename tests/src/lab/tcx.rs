//! Other people's programs on the way out of an interface (TCX), by the bare system call: no tool of this distribution knows
//! that hook.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::{errno::Errno, net::if_::if_nametoindex};

use super::Namespace;

const PROG_LOAD: libc::c_long = 5;
const PROG_QUERY: libc::c_long = 16;
const LINK_CREATE: libc::c_long = 28;
const SCHED_CLS: u32 = 3;
const TCX_EGRESS: u32 = 47;

/// `TCX_NEXT`: the next program decides.
pub const TCX_NEXT: i32 = -1;
/// `TCX_PASS`: the packet leaves, and no program behind this one sees it.
pub const TCX_PASS: i32 = 0;

/// A program on egress, behind those that are there; detached on drop.
#[derive(Debug)]
pub struct EgressProgram {
    _link: OwnedFd,
}

/// The beginning of `union bpf_attr`, as far as these commands use it.
#[repr(C, align(8))]
#[derive(Default)]
struct Attributes([u32; 32]);

impl Attributes {
    fn put64(&mut self, at: usize, value: u64) {
        let bytes = value.to_ne_bytes();
        for (index, word) in bytes.chunks_exact(4).enumerate() {
            self.0[at + index] = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        }
    }

    fn call(&mut self, command: libc::c_long) -> Result<i32> {
        // SAFETY: the attributes are as long as told, and what they point to outlives the call.
        let done =
            unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), size_of_val(&self.0)) };
        Ok(i32::try_from(Errno::result(done)?)?)
    }
}

impl EgressProgram {
    /// Attaches a program that answers `verdict` to every packet.
    pub fn attach(ns: &Namespace, iface: &str, verdict: i32) -> Result<Self> {
        ns.enter(|| attach_here(iface, verdict))?
            .with_context(|| format!("attaching a program to {iface} in {}", ns.name()))
    }
}

/// The numbers of the programs on egress, in their order.
pub fn egress_programs(ns: &Namespace, iface: &str) -> Result<Vec<u32>> {
    ns.enter(|| {
        let mut programs = [0_u32; 64];
        let mut query = Attributes::default();
        query.0[..2].copy_from_slice(&[if_nametoindex(iface)?, TCX_EGRESS]);
        query.put64(4, programs.as_mut_ptr() as u64);
        query.0[6] = u32::try_from(programs.len())?;
        query.call(PROG_QUERY)?;
        Ok(programs[..usize::try_from(query.0[6])?].to_vec())
    })?
}

fn attach_here(iface: &str, verdict: i32) -> Result<EgressProgram> {
    // r0 = verdict; exit
    let code: [[u8; 8]; 2] = [
        {
            let [a, b, c, d] = verdict.to_ne_bytes();
            [0xb7, 0, 0, 0, a, b, c, d]
        },
        [0x95, 0, 0, 0, 0, 0, 0, 0],
    ];
    let mut load = Attributes::default();
    load.0[..2].copy_from_slice(&[SCHED_CLS, 2]);
    load.put64(2, code.as_ptr() as u64);
    load.put64(4, c"GPL".as_ptr() as u64);
    let program = owned(load.call(PROG_LOAD)?);
    let mut link = Attributes::default();
    link.0[..3].copy_from_slice(&[
        u32::try_from(program.as_raw_fd())?,
        if_nametoindex(iface)?,
        TCX_EGRESS,
    ]);
    Ok(EgressProgram {
        _link: owned(link.call(LINK_CREATE)?),
    })
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just made it, for nobody else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
