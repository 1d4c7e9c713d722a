//! Judges what is not HTTP/1: frames of HTTP/2, handshakes of TLS, other protocols, and heads that do not end.

use super::{
    Offence, SECOND_NS, http,
    service::Service,
    source::{Case, RATE_S, SAMPLES, Source},
};
use crate::l7::{H2Frames, Hello};

/// What is told about heads within so long belongs together: a little less than the second after which it is told again.
const LOOK_NS: u64 = 940_000_000;

pub(super) fn frames(
    case: &mut Case<'_>,
    source: &mut Source,
    service: Option<&mut Service>,
    frames: &H2Frames,
) {
    let now_ns = case.at_ns;
    // Streams that were opened and given up at once, before the other end said anything: a deadline, or a page that is left, comes later.
    let at_once = frames.resets.min(frames.headers);
    let [streams, resets] = [frames.headers, at_once].map(|count| count.saturating_mul(case.weight));
    if streams > 0 {
        http::flood(case, source, streams, &|| "HTTP/2".to_owned());
        if let Some(service) = service {
            service.total = service.total.saturating_add(streams.into());
            service.requests.add(streams, RATE_S, now_ns);
        }
    }
    let settings = case.settings.resets;
    // One observation is at most so much of the limit, and its streams in proportion.
    let most = (settings.resets / SAMPLES).max(1);
    let part = f64::from(most.min(resets)) / f64::from(resets.max(1));
    let streams = if resets == 0 {
        streams
    } else {
        (f64::from(streams) * part).round() as u32
    };
    source.streams.add(streams, settings.within_s, now_ns);
    source.resets.add(resets.min(most), settings.within_s, now_ns);
    let streams = source.streams.count(settings.within_s, now_ns);
    let resets = source.resets.count(settings.within_s, now_ns);
    if resets >= f64::from(settings.resets) && resets * 100.0 >= streams * f64::from(settings.percent) {
        case.accuse(source, Offence::RapidReset, resets, settings.within_s, || {
            format!(
                "{resets:.0} of {streams:.0} streams were given up in {} s",
                settings.within_s
            )
        });
    }
}

pub(super) fn hello(case: &mut Case<'_>, source: &mut Source, service: Option<&mut Service>, hello: &Hello) {
    let settings = case.settings.hellos;
    if let Some(service) = service {
        service.hello(&hello.ja4, &hello.name, case.weight);
    }
    source.hellos_seen.add(case.weight, RATE_S, case.at_ns);
    if source
        .hellos
        .add(case.weight_under(settings.burst), settings.per_s, case.at_ns)
        > f64::from(settings.burst)
    {
        let count = source.hellos_seen.count(RATE_S, case.at_ns);
        case.accuse(source, Offence::HandshakeFlood, count, RATE_S, || {
            let rate = count / f64::from(RATE_S);
            format!(
                "{rate:.0} handshakes a second, limit {}: {}",
                settings.per_s, hello.ja4
            )
        });
    }
}

pub(super) fn handshake_left(case: &mut Case<'_>, source: &mut Source) {
    let settings = case.settings.hellos;
    source.left.add(1, settings.within_s, case.at_ns);
    let left = source.left.count(settings.within_s, case.at_ns);
    if left >= f64::from(settings.left) {
        case.accuse(source, Offence::HandshakeFlood, left, settings.within_s, || {
            format!(
                "{left:.0} handshakes were begun and left in {} s",
                settings.within_s
            )
        });
    }
}

pub(super) fn foreign(case: &mut Case<'_>, source: &mut Source, what: &str) {
    let settings = case.settings.foreign;
    source.foreign.add(1, settings.within_s, case.at_ns);
    let foreign = source.foreign.count(settings.within_s, case.at_ns);
    if foreign >= f64::from(settings.conversations) {
        case.accuse(
            source,
            Offence::ForeignProtocol,
            foreign,
            settings.within_s,
            || {
                let within = settings.within_s;
                format!("{foreign:.0} conversations in {within} s were none of the service's: {what}")
            },
        );
    }
}

pub(super) fn head_unfinished(case: &mut Case<'_>, source: &mut Source, since_ns: u64) {
    let settings = case.settings.heads;
    let look = &mut source.heads;
    if case.at_ns.saturating_sub(look.at_ns) >= LOOK_NS {
        look.at_ns = case.at_ns;
        look.many = 0;
        look.few = 0;
    }
    let is_older = |seconds: u32| since_ns >= u64::from(seconds) * SECOND_NS;
    if is_older(settings.many_after_s) {
        look.many = look.many.saturating_add(1);
    }
    if is_older(settings.few_after_s) {
        look.few = look.few.saturating_add(1);
    }
    let (many, few) = (look.many, look.few);
    let (count, seconds) = match (many >= settings.many, few >= settings.few) {
        (true, _) if settings.many > 0 => (many, settings.many_after_s),
        (_, true) if settings.few > 0 => (few, settings.few_after_s),
        _ => return,
    };
    case.accuse(source, Offence::SlowHeads, count.into(), seconds, || {
        format!("{count} heads of requests were not whole after {seconds} s")
    });
}
