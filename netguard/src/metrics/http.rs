//! What services are asked for in the clear, and what was found in it.

use super::Family;
use crate::daemon::HttpReport;

/// Services are those that somebody listens at, so there are few.
pub(super) fn families(report: &HttpReport) -> Vec<Family> {
    let service = |port: u16| ("service", format!("tcp/{port}"));
    let heard = &report.heard;
    let known = || {
        heard
            .services
            .iter()
            .filter(|service| report.ports.contains(&service.port))
    };
    let requests = known().map(|one| (vec![service(one.port)], one.requests));
    let hellos = known().map(|one| (vec![service(one.port)], one.hellos));
    let statuses = known().flat_map(|one| {
        let classes = (1..).zip(one.statuses);
        classes.map(move |(class, count)| (vec![service(one.port), ("class", format!("{class}xx"))], count))
    });
    let found = heard
        .found
        .iter()
        .map(|found| (vec![("offence", found.offence.name().to_owned())], found.count));
    vec![
        Family::counter(
            "netguard_http_requests",
            "Requests that services were sent in the clear since the daemon began, estimated under load",
            requests.collect(),
        ),
        Family::counter(
            "netguard_http_responses",
            "How they were answered",
            statuses.collect(),
        ),
        Family::counter(
            "netguard_tls_hellos",
            "Handshakes of TLS that clients began since the daemon began, estimated under load",
            hellos.collect(),
        ),
        Family::counter(
            "netguard_offences",
            "Sources that were found to do harm to services since the daemon began, each time",
            found.collect(),
        ),
        Family::count(
            "netguard_http_turns_read",
            "Turns of clients that were read since the maps were made",
            report.turns,
        ),
        Family::count(
            "netguard_http_turns_skipped",
            "Turns that were left out under load, for which others stand",
            report.skipped,
        ),
        Family::count(
            "netguard_http_pieces_lost",
            "Pieces of turns for which there was no room",
            report.lost,
        ),
        Family::value(
            "netguard_http_conversations",
            "Conversations that are followed",
            report.conversations as f64,
        ),
    ]
}
