//! Decisions about requests that reverse proxies ask about: who asks, what for, and whether that is too often. No sockets, no files, no clock:
//! what it needs is an argument.

mod challenge;
mod client;
mod counts;
mod feedback;
mod key;
mod limits;
mod pressure;
mod report;
mod request;
mod route;
mod secret;
mod signed;
mod standing;
mod table;
mod verdict;

use std::{hash::RandomState, net::IpAddr, sync::Arc};

use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::{
    config::{ChallengeMode, Decision, KeyPart, Place, PolicyMode},
    lists::{Atlas, Of},
};
use challenge::Challenges;
use counts::{Counts, Refused};
use feedback::Feedback;
use key::Whereabouts;
use limits::{Limit, Limited};
use pressure::Pressure;
use request::{ANSWER, Asked, Reader, reported};
use table::{Room, Table};
use verdict::{plain, refusal, set};

pub use challenge::{Grant, is_solved};
pub use client::{Believed, Client, Known, Peer};
pub use counts::RefusedKey;
pub use limits::{Quota, Scope};
pub use report::{AnswerCount, DecisionReport, LimitReport};
pub use request::{Errand, Unread, Way};
pub(crate) use route::is_id;
pub use route::{Route, normal_path};
pub use secret::{LEAST_BYTES as LEAST_SECRET_BYTES, Secret};
pub use signed::{Fault, Rule as SignedRule, Signer, signature, signers};
pub use standing::{Listed, Standing};
pub use verdict::{Answer, Reply, Verdict};

/// Clients whose failures, and whose waits, are remembered: one for so many buckets of limits.
const KEYS_PER_CLIENT: u32 = 8;

/// The time, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic: what is limited.
    pub mono_ns: u64,
    /// Seconds since 1970: what others signed, and what outlives this process.
    pub wall_s: u64,
}

/// What is not in the configuration itself.
pub struct Ingredients {
    /// What buckets are chosen by.
    pub hash: RandomState,
    /// What passes are signed with.
    pub secret: Vec<u8>,
    /// Of each `[[decision.signed]]` who may sign; nobody where that is not known.
    pub signing: Vec<SignedRule>,
    /// What the blocklist comes to under the mode of the whole filter.
    pub blocklist: PolicyMode,
    /// When this process began, monotonic.
    pub began_ns: u64,
}

/// Decides.
pub struct Decider {
    mode: PolicyMode,
    /// What becomes of clients that rules block.
    blocklist: PolicyMode,
    reader: Reader,
    hash: RandomState,
    limits: Vec<Limit>,
    table: Table,
    /// Room to work in.
    rooms: Vec<Room>,
    /// Whether any limit asks where clients are.
    uses: [bool; 2],
    countries: Option<Arc<Atlas>>,
    systems: Option<Arc<Atlas>>,
    listed: Arc<Listed>,
    signing: signed::Signing,
    challenges: Challenges,
    challenge_mode: ChallengeMode,
    most_per_s: u32,
    pressure: Pressure,
    feedback: Feedback,
    counts: Counts,
    refused: Refused,
}

impl Decider {
    /// One that decides as `settings` say; `mode` is what they come to under the mode of the whole filter.
    pub fn new(settings: &Decision, mode: PolicyMode, with: Ingredients) -> Self {
        let clients = (settings.keys.value() / KEYS_PER_CLIENT).max(1);
        Self {
            mode,
            blocklist: with.blocklist,
            reader: Reader::new(settings),
            hash: with.hash,
            limits: settings.limit.iter().map(Limit::new).collect(),
            table: Table::new(settings.keys.value()),
            rooms: Vec::new(),
            uses: [KeyPart::Country, KeyPart::Asn].map(|part| settings.limit.uses(part)),
            countries: None,
            systems: None,
            listed: Arc::default(),
            signing: signed::Signing::new(with.signing, with.began_ns),
            challenges: Challenges::new(&settings.challenge, &with.secret, clients),
            challenge_mode: settings.challenge.mode,
            most_per_s: settings.challenge.pressure.value(),
            pressure: Pressure::default(),
            feedback: Feedback::new(&settings.feedback, clients),
            counts: Counts::default(),
            refused: Refused::default(),
        }
    }

    /// Takes over rules as they stand now.
    pub fn follow_rules(&mut self, listed: Arc<Listed>) {
        self.listed = listed;
    }

    /// Takes over what is known of places now.
    pub fn follow_places(&mut self, countries: Option<Arc<Atlas>>, systems: Option<Arc<Atlas>>) {
        (self.countries, self.systems) = (countries, systems);
    }

    /// Answers a request to the endpoint.
    pub fn answer(&mut self, peer: Peer, method: &Method, uri: &Uri, headers: &HeaderMap, now: Now) -> Reply {
        match Errand::at(uri.path()) {
            Some(Errand::Ask(way)) => {
                let (asked, known) = match self.reader.asked(way, peer, method, uri, headers) {
                    Ok(said) => said,
                    Err(unread) => return self.malformed(way, unread),
                };
                match known {
                    Known::Said => {}
                    Known::Untrusted => self.counts.untrusted += 1,
                    Known::Unsaid => self.counts.unsaid += 1,
                }
                self.ask(way, &asked, now)
            }
            Some(Errand::Denied) => self.denied(peer, method, uri, headers, now),
            Some(Errand::Report) => self.hear(peer, headers, now),
            None => plain(
                StatusCode::NOT_FOUND,
                "there is /v1/check, /v1/nginx, /v1/forward, /v1/envoy/..., /v1/denied and /v1/report here\n",
            ),
        }
    }

    fn ask(&mut self, way: Way, asked: &Asked<'_>, now: Now) -> Reply {
        let verdict = match self.mode {
            PolicyMode::Off => Verdict::Passed(None),
            _ => self.judge(asked, now),
        };
        let answer = verdict.answer();
        let only_said = answer == Answer::Blocked && self.blocklist == PolicyMode::Shadow;
        let shadow = (self.mode == PolicyMode::Shadow || only_said)
            && !matches!(answer, Answer::Passed | Answer::Granted);
        self.counts.count(answer, shadow);
        let challenges = &self.challenges;
        verdict.reply(way, shadow, &self.limits, asked.https, || {
            challenges.page(asked, now)
        })
    }

    /// What becomes of `asked`, and whether it is a reason to have clients work.
    fn judge(&mut self, asked: &Asked<'_>, now: Now) -> Verdict {
        self.pressure.check(now.mono_ns);
        let standing = match self.listed.standing(asked.client, now.mono_ns) {
            Standing::Blocked if self.blocklist == PolicyMode::Off => Standing::Unlisted,
            standing => standing,
        };
        if standing == Standing::Blocked && self.blocklist == PolicyMode::Enforce {
            return Verdict::Blocked;
        }
        let verdict = self.judge_unblocked(asked, standing, now);
        // One who is refused anyway cannot have all others work.
        if !matches!(verdict, Verdict::Unsigned(_) | Verdict::Limited(_)) {
            self.pressure.weigh(self.most_per_s, now.mono_ns);
        }
        match verdict {
            // In shadow that is only said, and everything else holds for it.
            Verdict::Passed(_) if standing == Standing::Blocked => Verdict::Blocked,
            verdict => verdict,
        }
    }

    /// What becomes of `asked` where no rule refuses it: first what proves who asks, then how often.
    fn judge_unblocked(&mut self, asked: &Asked<'_>, standing: Standing, now: Now) -> Verdict {
        if let Some(Err(fault)) = self.signing.check(asked, &self.hash, now) {
            // That others sign so much is not its failure.
            if fault != Fault::Full {
                self.feedback.failed(asked.client, &self.hash, now.mono_ns);
            }
            return Verdict::Unsigned(fault);
        }
        if standing == Standing::Allowed {
            return Verdict::Passed(None);
        }
        if self.challenges.is_own(asked) {
            let grant = self.challenges.answer(asked, &self.hash, now);
            return grant.map_or(Verdict::Challenged, Verdict::Granted);
        }
        if self
            .challenges
            .wants_work(asked, self.pressure.is_high(now.mono_ns), now)
        {
            return Verdict::Challenged;
        }
        self.limit(asked, now)
    }

    fn limit(&mut self, asked: &Asked<'_>, now: Now) -> Verdict {
        if self.limits.is_empty() {
            return Verdict::Passed(None);
        }
        let at = self.whereabouts(asked.client);
        let cost = self.feedback.cost(asked.client, &self.hash, now.mono_ns);
        let (limits, rooms) = (&self.limits, &mut self.rooms);
        let said = limits::judge(
            limits,
            &mut self.table,
            rooms,
            &self.hash,
            (asked, &at),
            cost,
            now.mono_ns,
        );
        match said {
            Limited::Free => Verdict::Passed(None),
            Limited::Room(quota) => Verdict::Passed(Some(quota)),
            Limited::Over(quota) => {
                // In shadow nobody is refused, and so nobody goes on in spite of it.
                if self.mode == PolicyMode::Enforce {
                    self.refused.watch(asked.client, quota.limit);
                }
                let limit = &self.limits[quota.limit];
                if let Some(hash) = key::hashed(&self.hash, quota.limit, &limit.key, asked, &at) {
                    let name = || key::told(&self.hash, &limit.key, asked, &at);
                    self.refused.count(hash, &limit.name, name);
                }
                Verdict::Limited(quota)
            }
        }
    }

    /// Where `client` is, as far as any limit asks.
    fn whereabouts(&self, client: IpAddr) -> Whereabouts {
        let place = |uses: bool, atlas: &Option<Arc<Atlas>>, of: Of| -> Option<Place> {
            atlas.as_ref().filter(|_| uses)?.place(of, client)
        };
        Whereabouts {
            country: place(self.uses[0], &self.countries, Of::Countries),
            asn: place(self.uses[1], &self.systems, Of::Asns),
        }
    }

    fn malformed(&mut self, way: Way, unread: Unread) -> Reply {
        let shadow = self.mode != PolicyMode::Enforce;
        self.counts.count(Answer::Malformed, shadow);
        Verdict::Malformed(unread).reply(way, shadow, &self.limits, false, String::new)
    }

    /// The page for what nginx was told a moment ago: its module takes no more than a status.
    fn denied(&self, peer: Peer, method: &Method, uri: &Uri, headers: &HeaderMap, now: Now) -> Reply {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let answer = text(ANSWER.as_str()).and_then(Answer::named);
        let answer = match answer {
            Some(answer @ (Answer::Limited | Answer::Unsigned | Answer::Challenged | Answer::Malformed)) => {
                answer
            }
            _ => Answer::Blocked,
        };
        let asked = self.reader.asked(Way::Nginx, peer, method, uri, headers);
        let page = asked.ok().filter(|_| answer == Answer::Challenged);
        let mut reply = refusal(answer, page.map(|(asked, _)| self.challenges.page(&asked, now)));
        // nginx hands that on from its first question.
        reply.headers_mut().remove(WWW_AUTHENTICATE);
        let wait_s = text("x-netguard-retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
        if let Some(wait_s) = wait_s.filter(|_| answer == Answer::Limited) {
            set(&mut reply, &RETRY_AFTER, &wait_s.to_string());
        }
        reply
    }

    /// Takes in how a request ended.
    fn hear(&mut self, peer: Peer, headers: &HeaderMap, now: Now) -> Reply {
        if !self.reader.trusts(peer) {
            self.counts.refused_reports += 1;
            return plain(StatusCode::FORBIDDEN, "only trusted proxies report\n");
        }
        self.counts.reports += 1;
        let client = self.reader.client(peer, headers);
        // Nobody fails for a proxy that does not say who it was.
        if let Some(status) = reported(headers).filter(|_| client.known == Known::Said) {
            let failed = self
                .feedback
                .take(client.address, status, &self.hash, now.mono_ns);
            self.counts.failures += u64::from(failed);
        }
        plain(StatusCode::NO_CONTENT, "")
    }

    /// At the end of a second: clients that have gone on for some while they were refused, and the name of the limit.
    pub fn second(&mut self) -> Vec<(IpAddr, String)> {
        let told = self.refused.second().into_iter();
        told.filter_map(|(client, limit)| Some((client, self.limits.get(limit)?.name.clone())))
            .collect()
    }

    /// Checks of the last whole second.
    pub fn checks_per_s(&mut self, now: Now) -> u64 {
        self.pressure.per_second(now.mono_ns)
    }

    /// Whether clients must work now.
    pub fn challenges_now(&self, now: Now) -> bool {
        match self.challenge_mode {
            ChallengeMode::Off => false,
            ChallengeMode::Auto => self.pressure.is_high(now.mono_ns),
            ChallengeMode::Always => true,
        }
    }
}

#[cfg(test)]
mod tests;
