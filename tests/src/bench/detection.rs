//! How well attacks are recognised: labelled captures, made-up ones of which the truth is known, and live floods. Nothing is recognised here:
//! the program under test does that.

mod captures;
mod live;
mod mixes;
mod plots;
mod replayed;
mod speed;
mod told;
mod traffic;
mod usual;

use anyhow::Result;
pub use captures::Recognised;
pub use told::{Detected, LiveRow, MixRow, Percentiles};
pub use usual::UsualRow;

use super::{Objects, report::Figure};
use crate::captures::Captures;

/// All that is told.
pub(super) struct Detection {
    pub(super) captures: Vec<Recognised>,
    pub(super) detected: Detected,
    pub(super) figures: Vec<Figure>,
}

/// Measures captures (those that are named, else those beside the project), mixes and live floods, those whose name contains `only`.
pub(super) fn measure(objects: &Objects, only: &str) -> Result<Detection> {
    let labelled = match &objects.captures {
        Some(directory) => Some(Captures::in_directory(directory)?),
        None => Captures::unpack()?,
    };
    let (captures, mut figures) = match &labelled {
        Some(labelled) => captures::measure(&objects.netguard, labelled, only)?,
        None => {
            eprintln!(
                "bench: NOT MEASURED: labelled captures, of which none lie beside the project; --captures names their directory"
            );
            (Vec::new(), Vec::new())
        }
    };
    let mut detected = mixes::measure(&objects.netguard, only)?;
    let (rows, of_daemon) = live::measure(objects, only)?;
    detected.add_live(rows);
    figures.extend(detected.figures());
    let (usual, of_usual) = usual::measure(&objects.netguard, only)?;
    detected.usual = usual;
    figures.extend(of_usual);
    figures.extend(speed::measure(&objects.netguard, only)?);
    figures.extend(of_daemon);
    Ok(Detection {
        captures,
        detected,
        figures,
    })
}
