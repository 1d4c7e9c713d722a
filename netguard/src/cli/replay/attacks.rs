//! Attacks in a replay, for people: what spoke for each, and what was done about it.

use super::text::{PRINTED, seconds_of, wrapped};
use crate::{daemon::evidence_sentence, replay::Report};

/// One line for each attack, and one for what spoke for it.
pub(super) fn attacks(report: &Report) -> Option<String> {
    if report.attacks.is_empty() {
        return None;
    }
    let mut lines = vec!["ATTACKS".to_owned()];
    for attack in report.attacks.iter().take(PRINTED) {
        let end = attack.ended_ms.map_or_else(
            || "to the end".to_owned(),
            |ms| format!("until {}", seconds_of(ms)),
        );
        let kind = if attack.harmful { "" } else { " (no attack)" };
        lines.push(wrapped(
            "",
            &format!(
                "{}{kind} from {} {end}: {} packets, {}/s at its peak, noticed after {} ms",
                attack.class.name(),
                seconds_of(attack.began_ms),
                attack.packets,
                attack.peak_packets_per_s,
                attack.detected_after_ms
            ),
        ));
        for evidence in &attack.evidence {
            lines.push(wrapped("  ", &evidence_sentence(evidence)));
        }
        for measure in &attack.measures {
            let until = measure.until_ms.map_or_else(
                || "to the end".to_owned(),
                |ms| format!("until {}", seconds_of(ms)),
            );
            let how = if measure.shadow { "in shadow " } else { "" };
            let since = seconds_of(measure.since_ms);
            let (what, packets) = (&measure.what, measure.packets);
            lines.push(wrapped(
                "  ",
                &format!("{how}from {since} {until}: {what} ({packets} packets)"),
            ));
        }
        if let Some(why) = &attack.no_signature {
            lines.push(wrapped("  ", &format!("no signature: {why}")));
        }
        for not in &attack.withheld {
            lines.push(wrapped("  ", &format!("no {}: {}", not.measure, not.why)));
        }
    }
    Some(lines.join("\n"))
}
