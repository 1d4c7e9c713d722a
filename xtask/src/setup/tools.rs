//! The programs that tests, demo and fuzzing call, by purpose; a distribution that is not known is told exactly which.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};

use crate::{process, workspace};

use super::{Purpose, apt::Apt, report::Report};

struct Tool {
    program: &'static str,
    /// Debian's name for the package.
    package: &'static str,
    purpose: Purpose,
    why: &'static str,
}

const TOOLS: [Tool; 20] = [
    tool("gcc", "gcc", Purpose::Build, "links host programs"),
    tool("hping3", "hping3", Purpose::Run, "sends SYN, UDP and ICMP floods"),
    tool(
        "trafgen",
        "netsniff-ng",
        Purpose::Run,
        "sends hand-made packets fast",
    ),
    tool(
        "slowhttptest",
        "slowhttptest",
        Purpose::Run,
        "opens connections that do nothing",
    ),
    tool("nginx", "nginx-light", Purpose::Run, "is the server under attack"),
    tool("curl", "curl", Purpose::Run, "is the honest client"),
    tool(
        "unbound",
        "unbound",
        Purpose::Run,
        "is the name server under attack",
    ),
    tool("dig", "bind9-dnsutils", Purpose::Run, "asks the name server"),
    tool("haproxy", "haproxy", Purpose::Run, "is a proxy that asks"),
    tool("prometheus", "prometheus", Purpose::Run, "fetches figures"),
    tool("ip", "iproute2", Purpose::Run, "makes namespaces and links"),
    tool(
        "bpftool",
        "bpftool",
        Purpose::Run,
        "looks at programs and maps independently",
    ),
    tool(
        "ping",
        "iputils-ping",
        Purpose::Run,
        "asks whether a host is there",
    ),
    tool("tcpdump", "tcpdump", Purpose::Run, "shows what passes a link"),
    tool("ethtool", "ethtool", Purpose::Run, "sets a link's offloads"),
    tool("sysctl", "procps", Purpose::Run, "sets the stack's parameters"),
    tool(
        "nsenter",
        "util-linux",
        Purpose::Run,
        "enters a namespace and keeps bpffs",
    ),
    tool(
        "xdp-loader",
        "xdp-tools",
        Purpose::Run,
        "attaches a foreign XDP program",
    ),
    tool("g++", "g++", Purpose::Fuzz, "compiles libFuzzer"),
    tool(
        "pkg-config",
        "pkg-config",
        Purpose::Fuzz,
        "finds libraries for native builds",
    ),
];

const CARGO_FUZZ: &str = "0.13.2";

/// Finds the programs for `purposes`, or installs their packages.
pub(crate) fn ensure(report: &mut Report, apt: Option<&Apt>, purposes: &[Purpose]) -> Result<()> {
    let wanted = || TOOLS.iter().filter(|tool| purposes.contains(&tool.purpose));
    let is_there = |tool: &&Tool| process::find_program(tool.program).is_some();
    let absent: Vec<&Tool> = wanted().filter(|tool| !is_there(tool)).collect();
    let there: Vec<&str> = wanted().filter(is_there).map(|tool| tool.program).collect();
    if !there.is_empty() {
        report.found(there.join(" "));
    }
    if !absent.is_empty() {
        match apt.filter(|apt| apt.may_install()) {
            Some(apt) => install(report, apt, &absent)?,
            None => absent.iter().for_each(|tool| tell(report, tool)),
        }
    }
    if purposes.contains(&Purpose::Fuzz) {
        cargo_fuzz(report)?;
    }
    Ok(())
}

fn install(report: &mut Report, apt: &Apt, absent: &[&Tool]) -> Result<()> {
    let packages: BTreeSet<&str> = absent.iter().map(|tool| tool.package).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    report.doing(format_args!("apt-get install {}", packages.join(" ")));
    apt.install(&packages)?;
    absent
        .iter()
        .filter(|tool| process::find_program(tool.program).is_none())
        .for_each(|tool| tell(report, tool));
    Ok(())
}

fn tell(report: &mut Report, tool: &Tool) {
    report.missing(
        format_args!("{} ({})", tool.program, tool.why),
        format_args!("install the package that brings it (Debian: {})", tool.package),
    );
}

fn cargo_fuzz(report: &mut Report) -> Result<()> {
    if process::find_program("cargo-fuzz").is_some() {
        report.found("cargo-fuzz");
    } else if report.may_change() && process::find_program("cc").is_some() {
        report.doing(format_args!("cargo install cargo-fuzz {CARGO_FUZZ}"));
        let target_dir = workspace::root().join("target/cargo-fuzz-build");
        process::output(
            process::host_cargo()
                .args([
                    "install",
                    "cargo-fuzz",
                    "--locked",
                    "--version",
                    &format!("={CARGO_FUZZ}"),
                    "--target-dir",
                ])
                .arg(&target_dir),
        )?;
        fs::remove_dir_all(&target_dir).with_context(|| format!("cannot remove {}", target_dir.display()))?;
    } else {
        report.missing(
            "cargo-fuzz (runs the fuzz targets)",
            format_args!("cargo install cargo-fuzz@{CARGO_FUZZ}"),
        );
    }
    Ok(())
}

const fn tool(program: &'static str, package: &'static str, purpose: Purpose, why: &'static str) -> Tool {
    Tool {
        program,
        package,
        purpose,
        why,
    }
}
