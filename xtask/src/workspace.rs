//! Where things are in this repository: its root, the host build's output and the kernel objects.

use std::{env, path::PathBuf};

/// The directory of the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    // `cargo run` sets the variable; a binary started by hand falls back to where it was compiled.
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut root = PathBuf::from(package);
    root.pop();
    root
}

/// The output directory of host builds; tasks pass it to cargo, so that a configured one cannot differ.
pub(crate) fn host_target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Where the kernel objects and the toolchain record lie, always inside the repository: the daemon's build looks here.
pub(crate) fn bpf_dir() -> PathBuf {
    root().join("target/bpf")
}
