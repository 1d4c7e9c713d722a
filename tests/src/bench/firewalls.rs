//! What ships with every Linux, under the same floods: nftables and iptables, with a set of the listed sources or a limit for each
//! source.

use std::{env, fmt::Write as _};

use anyhow::{Context, Result, ensure};

use super::cases::{LISTED, MANY, address};
use crate::lab::{Family, Namespace, run_with_input};

/// One of them, with its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Firewall {
    /// A set of the listed sources.
    NftSet,
    /// A dynamic set with a limit for each source.
    NftLimit,
    /// iptables with an ipset of the listed sources.
    Ipset,
    /// iptables with hashlimit.
    Hashlimit,
}

/// What a source may send. The kernel's own words for it differ from tool to tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    /// One packet a minute: what is measured is a drop.
    Nothing,
    /// 200 packets a second, 400 at once.
    Usual,
}

/// Rules in force; removed on drop.
pub(super) struct Raised<'ns> {
    ns: &'ns Namespace,
    down: Vec<Vec<&'static str>>,
}

impl Firewall {
    /// The name in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NftSet => "nftables, set",
            Self::NftLimit => "nftables, limit for each source",
            Self::Ipset => "iptables, ipset",
            Self::Hashlimit => "iptables, hashlimit",
        }
    }

    /// Whether its tools are there.
    pub(super) fn is_installed(self) -> bool {
        let tools: &[&str] = match self {
            Self::NftSet | Self::NftLimit => &["nft"],
            Self::Ipset => &["iptables", "ip6tables", "ipset"],
            Self::Hashlimit => &["iptables", "ip6tables"],
        };
        tools.iter().all(|tool| is_on_path(tool))
    }

    /// Puts its rules for `family` in force in `ns`, before anything else sees a packet.
    pub(super) fn raise(self, ns: &Namespace, family: Family, allowance: Allowance) -> Result<Raised<'_>> {
        let mut raised = Raised { ns, down: Vec::new() };
        let iptables = family.of("iptables", "ip6tables");
        match self {
            Self::NftSet | Self::NftLimit => {
                raised.down.push(vec!["nft", "flush", "ruleset"]);
                raised.run(&["nft", "-f", "-"], &self.nft_rules(family, allowance)?)?;
            }
            Self::Ipset => {
                raised.down.push(vec![iptables, "-t", "raw", "-F"]);
                raised.down.push(vec!["ipset", "destroy", "listed"]);
                raised.run(&["ipset", "restore"], &ipset(family)?)?;
                let rule = "-t raw -A PREROUTING -m set --match-set listed src -j DROP";
                raised.iptables(iptables, rule)?;
            }
            Self::Hashlimit => {
                raised.down.push(vec![iptables, "-t", "raw", "-F"]);
                let above = match allowance {
                    Allowance::Nothing => "1/min --hashlimit-burst 1",
                    Allowance::Usual => "200/sec --hashlimit-burst 400",
                };
                for (name, packets) in [("udp", "-p udp"), ("syn", "-p tcp --syn")] {
                    raised.iptables(
                        iptables,
                        &format!(
                            "-t raw -A PREROUTING {packets} -m hashlimit --hashlimit-above {above} --hashlimit-mode \
                             srcip --hashlimit-name {name} --hashlimit-htable-size 65536 --hashlimit-htable-max \
                             262144 -j DROP"
                        ),
                    )?;
                }
            }
        }
        Ok(raised)
    }

    fn nft_rules(self, family: Family, allowance: Allowance) -> Result<String> {
        let (kind, source) = family.of(("ipv4_addr", "ip saddr"), ("ipv6_addr", "ip6 saddr"));
        let hook = "type filter hook prerouting priority raw; policy accept;";
        if self == Self::NftSet {
            let mut elements = String::new();
            listed(family).try_for_each(|address| write!(elements, "{address}, "))?;
            return Ok(format!(
                "table inet bench {{ set listed {{ type {kind}; elements = {{ {elements} }}; }}\n\
                 chain pre {{ {hook} {source} @listed drop; }}\n}}\n"
            ));
        }
        let over = match allowance {
            Allowance::Nothing => "1/minute burst 1 packets",
            Allowance::Usual => "200/second burst 400 packets",
        };
        Ok(format!(
            "table inet bench {{ set seen {{ type {kind}; flags dynamic; size 262144; timeout 30s; }}\n\
             chain each {{ add @seen {{ {source} limit rate over {over} }} drop; }}\n\
             chain pre {{ {hook} meta l4proto udp jump each; tcp flags & (syn | ack) == syn jump each; }}\n}}\n"
        ))
    }
}

impl Raised<'_> {
    fn iptables(&self, iptables: &str, rule: &str) -> Result<()> {
        let words: Vec<&str> = [iptables, "-w"].into_iter().chain(rule.split(' ')).collect();
        self.run(&words, "")
    }

    fn run(&self, words: &[&str], input: &str) -> Result<()> {
        let (program, args) = words.split_first().context("a command has a name")?;
        run_with_input(self.ns.command(program)?.args(args), input).map(drop)
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        for words in &self.down {
            if let Err(error) = self.run(words, "") {
                eprintln!("bench: {error:#}");
            }
        }
    }
}

fn ipset(family: Family) -> Result<String> {
    let family_name = family.of("inet", "inet6");
    let mut text = format!("create listed hash:ip family {family_name} hashsize 65536 maxelem 131072\n");
    listed(family).try_for_each(|address| writeln!(text, "add listed {address}"))?;
    Ok(text)
}

fn listed(family: Family) -> impl Iterator<Item = std::net::IpAddr> {
    use netguard_common::packet::Family::{V4, V6};
    (LISTED..LISTED + MANY).map(move |number| address(family.of(V4, V6), number))
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Refuses to begin without `program`.
pub(super) fn require(program: &str) -> Result<()> {
    ensure!(
        is_on_path(program),
        "{program} is not installed: the package has that name"
    );
    Ok(())
}
