//! What the running kernel must offer to load programs: version, type information, the BPF file system, and root.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use anyhow::Result;

use crate::process;

use super::report::Report;

const BPFFS: &str = "/sys/fs/bpf";
const BTF: &str = "/sys/kernel/btf/vmlinux";
/// 6.1 is the oldest long-term kernel that the programs are written for.
const OLDEST_KERNEL: (u32, u32) = (6, 1);
/// From here on a network namespace shows `net.core.rmem_max`, without which no window scale is offered there; what leaves can be
/// watched from 6.6 on (TCX). Some tests of the e2e rung need both.
const OLDEST_KERNEL_FOR_E2E: (u32, u32) = (6, 10);

/// Whether this process has the rights of root.
pub(crate) fn is_root() -> bool {
    // The owner of /proc/self is the effective user of the process.
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Mounts bpffs if it is not; reports what cannot be changed from here.
pub(crate) fn ensure(report: &mut Report) -> Result<()> {
    if !is_root() {
        report.note("not root: building works; kernel, e2e, demo and bench need root");
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    match kernel_version(&release) {
        Some(version) if version >= OLDEST_KERNEL => {
            report.found(format_args!("Linux {}", release.trim()));
            if let Some(note) = too_old_for_e2e(version) {
                report.note(note);
            }
        }
        _ => report.missing(
            format_args!(
                "a kernel from {}.{} on (this is {})",
                OLDEST_KERNEL.0,
                OLDEST_KERNEL.1,
                release.trim()
            ),
            "boot a newer one",
        ),
    }
    if Path::new(BTF).exists() {
        report.found(format_args!("kernel type information in {BTF}"));
    } else {
        report.missing(
            format_args!("kernel type information in {BTF}"),
            "boot a kernel with CONFIG_DEBUG_INFO_BTF=y",
        );
    }
    bpffs(report)
}

fn bpffs(report: &mut Report) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    if is_mounted(&mounts) {
        report.found(format_args!("bpffs on {BPFFS}"));
    } else if report.may_change() && is_root() {
        report.doing(format_args!("mount bpffs on {BPFFS}"));
        process::output(Command::new("mount").args(["-t", "bpf", "bpffs", BPFFS]))?;
    } else {
        report.missing(
            format_args!("bpffs on {BPFFS}"),
            format_args!("as root: mount -t bpf bpffs {BPFFS}"),
        );
    }
    Ok(())
}

/// What does not pass on a kernel that netguard itself runs on.
fn too_old_for_e2e(version: (u32, u32)) -> Option<String> {
    let (major, minor) = OLDEST_KERNEL_FOR_E2E;
    (version < OLDEST_KERNEL_FOR_E2E).then(|| {
        format!("netguard runs on this kernel, but not all tests of the e2e rung pass before Linux {major}.{minor}")
    })
}

fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.trim().split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn is_mounted(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(BPFFS) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_are_compared_by_number() {
        assert_eq!(kernel_version("6.18.44-fc-v669\n"), Some((6, 18)));
        assert_eq!(kernel_version("6.1-rc2"), Some((6, 1)));
        assert_eq!(kernel_version("six"), None);
        assert!(Some((5, 15)) < Some(OLDEST_KERNEL));
        assert!(too_old_for_e2e((6, 9)).is_some_and(|note| note.contains("Linux 6.10")));
        assert_eq!(too_old_for_e2e((6, 10)), None);
    }

    #[test]
    fn only_a_bpf_mount_on_the_right_place_counts() {
        assert!(is_mounted(
            "none /sys sysfs rw 0 0\nbpffs /sys/fs/bpf bpf rw,mode=700 0 0\n"
        ));
        assert!(!is_mounted(
            "bpffs /mnt/bpf bpf rw 0 0\ntmpfs /sys/fs/bpf tmpfs rw 0 0\n"
        ));
    }
}
