//! The addresses of this machine in the kernel's table. Where it has no room for all, nothing needs to be switched off: what
//! is judged by the table (forged own sources, connections, questions) or answered for (SYN cookies, DNS) passes unjudged and
//! unanswered for an address that is not in it. It must be known, though.

use std::{net::IpAddr, sync::atomic::Ordering};

use tracing::{info, warn};

use super::{EventKind, State};
use crate::bpf::OwnAddresses;

/// Makes the table hold `addresses`.
pub(super) fn follow(state: &State, own: &mut OwnAddresses, addresses: &[IpAddr]) {
    match own.set(addresses) {
        Ok(left_out) => tell(state, left_out),
        Err(error) => warn!("services at new addresses are not answered for: {error}"),
    }
}

/// Tells how many addresses found no room, when that begins and when it ends.
pub(super) fn tell(state: &State, left_out: usize) {
    let before = state.own_left_out.swap(left_out, Ordering::Relaxed);
    match (before, left_out) {
        (0, 0) => {}
        (0, count) => {
            warn!("{}", sentence(count));
            state.journal.record(EventKind::OwnLeftOut { count });
        }
        (_, 0) => {
            info!("all addresses of this machine have room again");
            state.journal.record(EventKind::OwnLeftOut { count: 0 });
        }
        _ => {}
    }
}

/// For people.
pub fn sentence(left_out: usize) -> String {
    format!(
        "{left_out} addresses of this machine find no room in the kernel's table: for them nothing is answered, and no connection, \
         reflection or forged own source is judged; raise `tables.own_addresses`, and begin anew with `netguard detach`"
    )
}
