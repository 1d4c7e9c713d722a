//! The kernel object: entry points that lend the datapath of `netguard-common` a packet and the maps. No
//! decision about traffic is made here.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![expect(
    unreachable_pub,
    reason = "entry points and sections are for the loader, which rustc cannot see"
)]

mod answer;
mod apart;
mod cells;
mod clock;
mod connections;
mod l7;
mod leaving;
mod lent;
mod maps;
mod object;
mod skb;
mod sockets;
mod store;
mod tables;
mod time_cell;
mod view;

use aya_ebpf::{
    bindings::xdp_action,
    macros::{classifier, sock_ops, socket_filter, xdp},
    programs::{SkBuffContext, SockOpsContext, TcContext, XdpContext},
};
use netguard_common::{Action, Judgement, decide, egress, layout};

use crate::{skb::SkbView, tables::KernelTables, view::XdpView};

/// Filters a network interface. With `frags`, interfaces with jumbo frames can attach it too.
#[xdp(frags)]
#[inline(always)]
pub fn netguard_xdp(ctx: XdpContext) -> u32 {
    let judgement = judge(&ctx);
    #[cfg(feature = "trace")]
    aya_log_ebpf::debug!(
        &ctx,
        "verdict {} shadow {}",
        judgement.verdict.number(),
        judgement.shadow as u8
    );
    match judgement.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Answer => answer::send(&ctx, judgement.verdict),
    }
}

/// The same judgement for `BPF_PROG_TEST_RUN` only: returns the counter index of the judgement instead of an
/// XDP action, so that tests and replay see verdicts. A frame may bring its time along, see [`told_ns`].
/// Nothing that arrives at an interface is ever judged by it.
#[xdp(frags)]
#[inline(always)]
pub fn netguard_judge(ctx: XdpContext) -> u32 {
    judge_at(told_ns(&ctx), &ctx).counter()
}

/// The time that a frame of a test run brings along, in the eight bytes of metadata before it; 0, which is none, where it brings
/// nothing. Parts that run apart are told as of any time that was read.
#[inline(always)]
fn told_ns(ctx: &XdpContext) -> u64 {
    let (at, frame) = (ctx.metadata(), ctx.metadata_end());
    if at + size_of::<u64>() > frame {
        return 0;
    }
    // SAFETY: the bounds were checked just now; the kernel keeps metadata aligned to four bytes.
    unsafe { (at as *const u64).read_unaligned() }
}

/// `TCX_NEXT`: the next program has its say, if there is one.
const NEXT: i32 = -1;
/// `TCX_DROP`
const DROP: i32 = 2;

/// Looks at what leaves through an interface: remembers what asks something, and drops the handshakes of TLS that a service may not have.
#[classifier]
pub fn netguard_egress(ctx: TcContext) -> i32 {
    let view = SkbView::new(&ctx);
    if egress::leave(&view, &KernelTables::new(&ctx, view.zero)) {
        NEXT
    } else {
        DROP
    }
}

/// Counts the connections of all sockets in a cgroup; it changes and refuses nothing.
#[sock_ops]
pub fn netguard_sock(ctx: SockOpsContext) -> u32 {
    connections::notice(&ctx);
    1
}

/// Listens to conversations with services, through packet sockets; none of them gets anything to read.
#[socket_filter]
pub fn netguard_l7(ctx: SkBuffContext) -> i64 {
    l7::listen(&ctx);
    0
}

#[inline(always)]
fn judge(ctx: &XdpContext) -> Judgement {
    judge_at(0, ctx)
}

/// As of `now_ns`; at 0 the clock is read where a stage asks.
#[inline(always)]
fn judge_at(now_ns: u64, ctx: &XdpContext) -> Judgement {
    let view = XdpView::new(ctx);
    decide(&view, &KernelTables::at(now_ns, ctx, view.zero))
}

/// What the loader compares with its own fingerprint before it loads anything.
#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".netguard.layout")]
pub static NETGUARD_LAYOUT: u64 = layout::FINGERPRINT;

/// Off the BPF target this package exists for clippy and the type checker only.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
