//! Embeds the kernel object that `cargo xtask build-ebpf` made.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=NETGUARD_BPF_OBJECT");
    let object = env::var_os("NETGUARD_BPF_OBJECT").map_or_else(
        || {
            let workspace = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
            workspace.join("target/bpf/netguard.bpf.o")
        },
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", object.display());
    match object.canonicalize() {
        Ok(path) => println!("cargo::rustc-env=NETGUARD_BPF_OBJECT={}", path.display()),
        Err(error) => println!(
            "cargo::error=no kernel object at {}: {error}. Run `cargo xtask build-ebpf` first.",
            object.display()
        ),
    }
}
