//! What the filter takes of the kernel's memory, and how long a long list takes to load.

use anyhow::Result;
use netguard::bpf::{self, InstanceName, Pins};

use super::{
    full::{Full, memory},
    report::Figure,
};
use crate::world::DEFAULT_SIZES;

const MIB: f64 = 1_048_576.0;

/// Memory by default and with long lists, and the time to load a million prefixes.
pub(super) fn measure(name: &str, full: &Full) -> Result<Vec<Figure>> {
    let instance: InstanceName = name.parse()?;
    let pins = Pins::of(&instance);
    drop(bpf::load(&pins, DEFAULT_SIZES)?);
    let default = memory(&pins);
    pins.remove()?;
    let mib = |bytes: u64| bytes as f64 / MIB;
    let [v4, both] = full.memory.map(mib);
    let load = &full.load;
    Ok(vec![
        Figure::at_most("kernel memory, default", mib(default?), "MiB", 64.0),
        Figure::at_most("kernel memory, feed of 1M IPv4 prefixes", v4, "MiB", 160.0),
        Figure::at_most("kernel memory, and one of 250k IPv6", both, "MiB", 160.0),
        Figure::at_most("loading 1M IPv4 prefixes", load.total().as_secs_f64(), "s", 1.0),
        Figure::plain("  reading the file", load.parse.as_secs_f64(), "s"),
        Figure::plain("  compiling", load.compile.as_secs_f64(), "s"),
        Figure::plain("  writing", load.write.as_secs_f64(), "s"),
        Figure::plain("  exchanging", load.exchange.as_secs_f64(), "s"),
    ])
}
