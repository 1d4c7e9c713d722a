//! `--shadow`: what would be dropped passes.

use anyhow::Result;
use netguard_tests::lab::{Family, Netguard, binary};

use crate::lab;

#[test]
fn a_shadow_drops_nothing() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = Netguard::start_with(&lab, &binary()?, "", &["--shadow"])?;
    netguard.must(&["block", "add", lab.client.ip4])?;
    assert_eq!(server.curl(&lab, Family::V4, "/")?.0, 200);
    Ok(())
}
