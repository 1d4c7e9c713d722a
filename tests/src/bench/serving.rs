//! What a web server under full load loses by netguard: a real nginx and a real client (wrk), with and without all that the default configuration
//! has on and the requests read, in pairs. Limits are such that this client, which asks like a flood, is not one.

use anyhow::Result;

use super::{
    Objects,
    report::Figure,
    wrk::{Told, median, wrk},
};
use crate::lab::{Lab, Netguard, Nginx};

const CONFIG: &str = r#"
limit.syn = { rate_per_s = 1000000, burst = 1000000 }
syn_cookies = { rate_per_s = 1000000, burst = 1000000 }
[http]
mode = "enforce"
requests = { rate_per_s = 10000000, burst = 10000000 }
endpoint = { rate_per_s = 10000000, burst = 10000000 }
cost_ms_per_s = 0
"#;
const SECONDS: u32 = 4;
const CONNECTIONS: u32 = 32;

/// How clients ask.
struct Manner {
    name: &'static str,
    args: &'static [&'static str],
}

const MANNERS: [Manner; 3] = [
    Manner {
        name: "small answers",
        args: &[],
    },
    Manner {
        name: "a connection for each",
        args: &["-H", "Connection: close"],
    },
    Manner {
        name: "1 MiB each",
        args: &[],
    },
];
/// Of [`MANNERS`], that of large answers.
const LARGE: usize = 2;

/// Measures; nothing where there is no wrk.
pub(super) fn measure(objects: &Objects, rounds: u32) -> Result<Vec<Figure>> {
    let lab = Lab::new()?;
    lab.victim.ns.sysctl("net.ipv4.tcp_max_syn_backlog", "4096")?;
    lab.aggregate_at_victim()?;
    let _server = Nginx::start(&lab)?;
    let mut pairs: Vec<(Vec<f64>, Vec<f64>)> = MANNERS.iter().map(|_| Default::default()).collect();
    for round in 0..rounds {
        eprintln!("bench: nginx under full load, round {} of {rounds}", round + 1);
        let with_first = fastrand::bool();
        let first = run(&lab, objects, with_first)?;
        let second = run(&lab, objects, !with_first)?;
        let (with, without) = if with_first {
            (first, second)
        } else {
            (second, first)
        };
        for ((with, without), (shares, slower)) in with.iter().zip(&without).zip(&mut pairs) {
            shares.push(100.0 * with.requests_per_s / without.requests_per_s);
            slower.push(1e3 * (with.mean_s - without.mean_s));
        }
    }
    let figures = MANNERS
        .iter()
        .zip(pairs)
        .filter(|(_, (shares, _))| !shares.is_empty());
    Ok(figures
        .flat_map(|(manner, (mut shares, mut slower))| {
            [
                Figure::at_least(
                    &format!("requests/s with netguard, {}", manner.name),
                    median(&mut shares),
                    "%",
                    95.0,
                ),
                Figure::at_most("  each takes longer by", median(&mut slower), "ms", 2.0),
            ]
        })
        .collect())
}

/// What the client gets in each manner.
fn run(lab: &Lab, objects: &Objects, with: bool) -> Result<Vec<Told>> {
    let mut netguard = match with {
        true => Some(Netguard::start(lab, &objects.netguard, CONFIG)?),
        false => None,
    };
    let mut told = Vec::new();
    for (number, manner) in MANNERS.iter().enumerate() {
        let path = if number == LARGE { "/big" } else { "/" };
        let url = format!("http://{}{path}", lab.victim.ip4);
        let args: Vec<&str> = manner.args.iter().copied().chain([url.as_str()]).collect();
        told.extend(wrk(&lab.client, SECONDS, CONNECTIONS, &args)?);
    }
    if let Some(netguard) = &mut netguard {
        netguard.must(&["detach"])?;
    }
    Ok(told)
}
