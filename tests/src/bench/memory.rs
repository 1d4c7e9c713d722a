//! What the filter takes of the kernel's memory, and how long a long list takes to load.

use anyhow::Result;
use netguard::bpf::{self, InstanceName, Pins};

use super::{
    million::{self, Million},
    report::Figure,
};
use crate::world::DEFAULT_SIZES;

const MIB: f64 = 1_048_576.0;

/// Memory by default and with a million prefixes, and the time to load them.
pub(super) fn measure(name: &str, million: &Million) -> Result<Vec<Figure>> {
    let instance: InstanceName = name.parse()?;
    let pins = Pins::of(&instance);
    drop(bpf::load(&pins, DEFAULT_SIZES)?);
    let bytes = million::memory(&pins);
    pins.remove()?;
    Ok(vec![
        Figure::at_most("kernel memory, default", bytes? as f64 / MIB, "MiB", 64.0),
        Figure::at_most(
            "kernel memory, 1M IPv4 prefixes",
            million.memory as f64 / MIB,
            "MiB",
            160.0,
        ),
        Figure::at_most(
            "loading 1M IPv4 prefixes",
            million.load_time.as_secs_f64(),
            "s",
            1.0,
        ),
    ])
}
