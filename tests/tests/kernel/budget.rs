//! What the kernel object may cost: verifier work and map memory, as `tests/budget.toml` says; and that it has the
//! maps of the catalogue and the layouts of the daemon.

use std::{collections::BTreeMap, fs};

use netguard::bpf::{ObjectError, embedded_object, verify_object};
use netguard_common::maps::{MAPS, MapKind};
use netguard_tests::world::World;
use serde::Deserialize;

use super::kernel;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    verified_instructions: BTreeMap<String, u32>,
    map_bytes: BTreeMap<String, u64>,
    total_map_bytes: u64,
}

fn budget() -> Budget {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/budget.toml");
    toml::from_str(&fs::read_to_string(path).expect("the budget can be read")).expect("the budget is TOML")
}

#[test]
fn the_verifier_stays_within_its_budget() {
    let mut object = kernel(&World::new());
    for (name, most) in budget().verified_instructions {
        let walked = match name.as_str() {
            "netguard_xdp" => object
                .program("netguard_xdp")
                .expect("it loads")
                .verified_instructions(),
            "netguard_judge" => object
                .program("netguard_judge")
                .expect("it loads")
                .verified_instructions(),
            "netguard_egress" => object.egress_verified_instructions(),
            "netguard_l7" => object.l7_verified_instructions(),
            other => panic!("the budget names a program {other}"),
        };
        let walked = walked.expect("the kernel counts them");
        println!("{name}: {walked} of {most} verified instructions");
        assert!(
            walked <= most,
            "{name} costs the verifier {walked} instructions, the budget is {most}"
        );
    }
}

#[test]
fn maps_stay_within_their_memory() {
    let budget = budget();
    let maps = kernel(&World::new())
        .maps()
        .expect("the kernel describes its maps");
    let mut total = 0;
    for (name, _, _, bytes) in &maps {
        let most = budget
            .map_bytes
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no budget"));
        println!("{name}: {bytes} of {most} bytes");
        assert!(bytes <= most, "{name} takes {bytes} bytes, the budget is {most}");
        total += bytes;
    }
    assert!(total <= budget.total_map_bytes, "all maps take {total} bytes");
}

#[test]
fn the_object_has_the_maps_of_the_catalogue() {
    let maps = kernel(&World::new())
        .maps()
        .expect("the kernel describes its maps");
    let mut found: Vec<_> = maps
        .into_iter()
        .map(|(name, key, value, _)| (name, key, value))
        .collect();
    let mut listed: Vec<_> = MAPS
        .iter()
        .map(|spec| {
            assert!(spec.kind != MapKind::RingBuf || (spec.key_size, spec.value_size) == (0, 0));
            (spec.name.to_owned(), spec.key_size, spec.value_size)
        })
        .collect();
    found.sort();
    listed.sort();
    assert_eq!(found, listed);
}

#[test]
fn an_object_of_other_layouts_is_refused() {
    assert_eq!(verify_object(embedded_object()), Ok(()));
    let reference = fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/bpf/reference.bpf.o"
    ));
    let reference = reference.expect("`cargo xtask build-ebpf` makes the reference object");
    assert_eq!(verify_object(&reference), Err(ObjectError::Foreign));
}
