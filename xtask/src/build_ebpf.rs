//! `build-ebpf`: compiles package netguard-ebpf for the kernel and puts its objects where the daemon's build looks.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use object::{Architecture, Object, ObjectSymbol, Symbol, SymbolKind};

use crate::{process, setup, workspace};

const TARGET: &str = "bpfel-unknown-none";
/// The binaries of netguard-ebpf and the objects that they become.
const OBJECTS: [(&str, &str); 3] = [
    ("netguard-kernel", "netguard.bpf.o"),
    ("netguard-reference", "reference.bpf.o"),
    ("netguard-driver", "driver.bpf.o"),
];

/// Builds the objects; `trace` compiles per-packet logging in.
pub(crate) fn run(trace: bool) -> Result<()> {
    let toolchain = setup::bpf_toolchain()?;
    let target_dir = workspace::root().join("target/bpf-build");
    let mut cargo = process::foreign(&toolchain.cargo);
    cargo
        .current_dir(workspace::root())
        .args([
            "build",
            "--package",
            "netguard-ebpf",
            "--target",
            TARGET,
            "--release",
            "--locked",
        ])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(&target_dir)
        .env("RUSTC", &toolchain.rustc)
        // build-std is unstable: a stable compiler has to be told that this is meant.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(&toolchain.linker))
        // An empty wrapper overrides one in a user's configuration.
        .env("RUSTC_WRAPPER", "")
        // The kernel's profile, without touching the host's: the verifier counts instructions.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        // BTF is made from debug information.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2");
    if trace {
        cargo.args(["--features", "trace"]);
    }
    process::run(&mut cargo)?;
    for (binary, object) in OBJECTS {
        let built = target_dir.join(TARGET).join("release").join(binary);
        publish(&built, &workspace::bpf_dir().join(object))?;
    }
    Ok(())
}

/// Copies an object after checking it; leaves an identical one alone, so that the daemon is not rebuilt for nothing.
fn publish(built: &Path, place: &PathBuf) -> Result<()> {
    let bytes = fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    check(&bytes).with_context(|| format!("{} is no kernel object", built.display()))?;
    let unchanged = fs::read(place).is_ok_and(|old| old == bytes);
    if !unchanged {
        fs::create_dir_all(workspace::bpf_dir())?;
        fs::write(place, &bytes).with_context(|| format!("cannot write {}", place.display()))?;
    }
    let state = if unchanged { "unchanged" } else { "written" };
    println!("build-ebpf: {} ({} bytes, {state})", shown(place), bytes.len());
    Ok(())
}

fn check(bytes: &[u8]) -> Result<()> {
    let file = object::File::parse(bytes)?;
    if file.architecture() != Architecture::Bpf {
        bail!("its machine is {:?}, not BPF", file.architecture());
    }
    if file.section_by_name(".BTF").is_none() {
        bail!("it has no .BTF section");
    }
    // Each packet would pay a call for it, and the kernel refuses the names of some.
    let left = |symbol: &Symbol<'_, '_>| symbol.kind() == SymbolKind::Text && symbol.is_local();
    if let Some(function) = file.symbols().find(left) {
        let name = function.name().unwrap_or("?");
        bail!(
            "the compiler did not inline {name}: mark it #[inline(always)]; closures called in several places cannot be"
        );
    }
    Ok(())
}

fn rustflags(linker: &Path) -> String {
    let flags = [
        "-Clink-arg=--btf".to_owned(),
        // With 32-bit operations and jumps (Linux 5.1): without them each is two shifts more, a tenth of a packet's time.
        "-Ctarget-cpu=v3".to_owned(),
        format!("-Clinker={}", linker.display()),
        // aya-ebpf picks the layout of the host's registers by it.
        format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
    ];
    flags.join("\x1f")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace::root())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_other_machines_and_rubbish_are_refused() {
        let own = fs::read("/proc/self/exe").unwrap();
        assert!(check(&own).unwrap_err().to_string().contains("not BPF"));
        assert!(check(b"not an object").is_err());
    }

    #[test]
    fn flags_are_separated_as_cargo_expects() {
        assert_eq!(rustflags(Path::new("/l")).split('\x1f').count(), 4);
    }
}
