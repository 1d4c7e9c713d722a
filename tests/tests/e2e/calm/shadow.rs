//! `--shadow`: what would be dropped passes, and is counted beside the verdict that it would have got.

use anyhow::Result;
use netguard_tests::lab::{Family, Netguard, binary, growth};

use crate::calm::lab;

#[test]
fn a_shadow_counts_and_drops_nothing() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = Netguard::start_with(&lab, &binary()?, "", &["--shadow"])?;
    for family in [Family::V4, Family::V6] {
        netguard.must(&["block", "add", lab.client.ip(family)])?;
        let before = netguard.stats()?;
        assert_eq!(server.curl(&lab, family, "/")?.0, 200);
        let counted = growth(&before, &netguard.stats()?);
        assert!(counted.contains_key("shadow-block-address"), "{counted:?}");
        assert!(!counted.contains_key("block-address"), "{counted:?}");
    }
    assert_eq!(netguard.drops()?.values().sum::<u64>(), 0);
    Ok(())
}
