//! Parts of the datapath that the verifier judges by themselves: global functions, which it knows by their signature only.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use netguard_common::apart::{Part, run};

use crate::{lent, tables::KernelTables, view::XdpView};

/// Defines a global function for each part, and the call of the right one.
macro_rules! parts {
    ( $( $part:ident $function:ident; )* ) => {
        /// Runs `part` for the packet of `ctx`, which was parsed.
        #[inline(always)]
        pub(crate) fn call(part: Part, ctx: *mut xdp_md) -> u32 {
            match part {
                $( Part::$part => $function(ctx), )*
            }
        }

        $(
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $function(ctx: *mut xdp_md) -> u32 {
                begin(Part::$part, ctx)
            }
        )*
    };
}

parts! {
    Signature  netguard_signature;
    State      netguard_state;
    Reflection netguard_reflection;
    Cookie     netguard_cookie;
    Truncate   netguard_truncate;
    Head       netguard_head;
    Trusted    netguard_trusted;
    Connection netguard_connection;
}

#[inline(always)]
fn begin(part: Part, ctx: *mut xdp_md) -> u32 {
    // A part that reads nothing of the frame would be called without its context, which the verifier demands.
    keep(ctx);
    let ctx = XdpContext::new(ctx);
    let (Some(settings), Some(packet)) = (lent::settings(), lent::packet()) else {
        return part.nothing();
    };
    let view = XdpView::with_len(&ctx, packet.frame_len as u32);
    let tables = KernelTables::at(packet.judged_at_ns, &ctx, view.zero);
    run(part, &view, packet, settings, &tables)
}

/// Has the compiler believe that `pointer` is used.
#[inline(always)]
fn keep<T>(pointer: *mut T) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!("/* {0} */", in(reg) pointer, options(nostack));
    }
    let _ = pointer;
}
