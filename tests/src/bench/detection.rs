//! How well attacks are recognised: labelled captures, made-up ones of which the truth is known, and live floods. Nothing is recognised here:
//! the program under test does that.

mod captures;
mod live;
mod mixes;
mod plots;
mod told;
mod traffic;

use anyhow::Result;
pub use captures::Recognised;
pub use told::{Detected, LiveRow, MixRow, Percentiles};

use super::{Objects, report::Figure};

/// All that is told.
pub(super) struct Detection {
    pub(super) captures: Vec<Recognised>,
    pub(super) detected: Detected,
    pub(super) figures: Vec<Figure>,
}

/// Measures captures, where there are any, mixes and live floods, those whose name contains `only`.
pub(super) fn measure(objects: &Objects, only: &str) -> Result<Detection> {
    let (captures, mut figures) = match &objects.captures {
        Some(directory) => captures::measure(&objects.netguard, directory, only)?,
        None => {
            eprintln!("bench: no labelled captures: --captures names their directory");
            (Vec::new(), Vec::new())
        }
    };
    let mut detected = mixes::measure(&objects.netguard, only)?;
    let (rows, of_daemon) = live::measure(objects, only)?;
    detected.add_live(rows);
    figures.extend(detected.figures());
    figures.extend(of_daemon);
    Ok(Detection {
        captures,
        detected,
        figures,
    })
}
