//! Prefixes as text: what prints is read as the same, and says what it covers.

use std::net::IpAddr;

use netguard::{
    engine::{Account, Guard, GuardKind},
    prefix::Prefix,
};
use proptest::prelude::*;

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ]
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (address(), any::<u8>()).prop_map(|(address, bits)| {
        let most = if address.to_canonical().is_ipv4() { 32 } else { 128 };
        Prefix::truncated(address, bits % (most + 1)).expect("the length fits")
    })
}

proptest! {
    #[test]
    fn prefixes_survive_printing(prefix in prefix()) {
        prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
    }

    #[test]
    fn covering_is_containing_every_address(wide in prefix(), narrow in prefix()) {
        if wide.covers(&narrow) {
            prop_assert!(wide.contains(narrow.address()) && wide.bits() <= narrow.bits());
        }
    }

    #[test]
    fn an_account_holds_its_address_and_nothing_wider(address in address()) {
        let prefix = Account::of(address).prefix();
        prop_assert!(prefix.contains(address));
        let bits = match address.to_canonical() {
            IpAddr::V4(_) => 32,
            IpAddr::V6(neighbour) if neighbour.is_unicast_link_local() => 128,
            IpAddr::V6(_) => 64,
        };
        prop_assert_eq!(prefix.bits(), bits);
    }

    /// Whatever a block would cover of a guarded prefix, the guard objects.
    #[test]
    fn the_guard_objects_to_every_overlap(guarded in prefix(), wanted in prefix(), inside in address()) {
        let guard = Guard::new([(guarded, GuardKind::Gateway)]);
        if guarded.contains(inside) && wanted.contains(inside) {
            prop_assert!(guard.objection(&wanted).is_some());
        }
        prop_assert!(guard.objection(&guarded).is_some());
        prop_assert!(guard.objection(&Prefix::from(guarded.address())).is_some());
    }
}
